//! Making processes: into namespaces, as a fork, as a role of our own binary; and turning into another program.

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::process::Pid;
use std::ffi::{CStr, CString};
use std::io;
use std::ptr;

/// Which side of a fork we are on.
#[derive(Debug)]
pub enum Side {
    Parent { pid: Pid, pidfd: OwnedFd },
    Child,
}

/// The namespaces that a new process is made in.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewNamespaces {
    pub user: bool,
    pub mount: bool,
    pub pid: bool,
    pub net: bool,
    pub uts: bool,
    pub ipc: bool,
    pub cgroup: bool,
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Forks into new namespaces, and into `cgroup` if one is given.
///
/// Only while the caller is single-threaded (else `ResourceBusy`): the child is a copy of one thread, and a lock that
/// another thread held would stay locked for ever in it.
pub fn clone_into(namespaces: NewNamespaces, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    let mut flags = 0u64;
    for (wanted, flag) in [
        (namespaces.user, libc::CLONE_NEWUSER),
        (namespaces.mount, libc::CLONE_NEWNS),
        (namespaces.pid, libc::CLONE_NEWPID),
        (namespaces.net, libc::CLONE_NEWNET),
        (namespaces.uts, libc::CLONE_NEWUTS),
        (namespaces.ipc, libc::CLONE_NEWIPC),
        (namespaces.cgroup, libc::CLONE_NEWCGROUP),
    ] {
        if wanted {
            flags |= flag as u64;
        }
    }
    clone3(flags, cgroup)
}

/// A plain fork, with a pidfd. Only while the caller is single-threaded, as with [`clone_into`].
pub fn fork() -> io::Result<Side> {
    clone3(0, None)
}

fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    if !single_threaded()? {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another thread runs in this process"));
    }
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain old data; all-zero is a valid value of it.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | libc::CLONE_PIDFD as u64;
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(fd) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = fd.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child gets its own copy of our memory and goes on from here on its own stack copy, as
    // after fork. We are single-threaded (checked above), so no lock can be held by a thread that does not exist there.
    // `args` and `pidfd` outlive the call, and the size passed is that of `args`.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &args as *const libc::clone_args, size_of_val(&args)) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => Ok(Side::Parent {
            pid: Pid::from_raw(pid as i32).ok_or(io::ErrorKind::InvalidData)?,
            // SAFETY: CLONE_PIDFD stored a fresh descriptor there, which nobody else has.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Whether this process has one thread only. `/proc/self/task` has a link for itself, one for its parent, and one for
/// each thread, so that one `stat` tells.
pub fn single_threaded() -> io::Result<bool> {
    Ok(rustix::fs::stat(c"/proc/self/task")?.st_nlink == 3)
}

/// Marks every descriptor from `first` up close-on-exec.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC as libc::c_uint)
}

/// Closes every descriptor from `first` up, owned by a value or not. For the moment before an exec, and for the start of
/// a role: whoever still holds an `OwnedFd` in that range must not use or drop it afterwards.
pub fn close_from(first: RawFd) -> io::Result<()> {
    close_range(first, 0)
}

fn close_range(first: RawFd, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the call touches no memory. Descriptors that values still own are the callers' promise, see `close_from`.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first as libc::c_uint, libc::c_uint::MAX, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a descriptor that the process was started with. Fails if it is not open.
///
/// For the fixed numbers of a role, once each, at its start.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD only asks; a number that is not open is answered with EBADF.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and by the contract of this function nothing else in the process owns it yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes `target` a copy of `fd` that survives exec.
pub fn place(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == target {
        // SAFETY: F_SETFD changes one flag of a descriptor that is open because it is borrowed.
        return match unsafe { libc::fcntl(target, libc::F_SETFD, 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
    }
    // SAFETY: touches no memory. What was open at `target` is replaced: callers place at the fixed numbers of a role,
    // after having moved their own descriptors above them.
    if unsafe { libc::dup2(fd.as_raw_fd(), target) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Arguments or an environment in the form that exec wants.
#[derive(Debug)]
pub struct ExecStrings {
    // Owns what `pointers` points to.
    _strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl ExecStrings {
    pub fn new<B: Into<Vec<u8>>>(strings: impl IntoIterator<Item = B>) -> io::Result<Self> {
        let strings: Vec<CString> = strings.into_iter().map(CString::new).collect::<Result<_, _>>()?;
        let mut pointers: Vec<_> = strings.iter().map(|s| s.as_ptr()).collect();
        pointers.push(ptr::null());
        Ok(ExecStrings { _strings: strings, pointers })
    }
}

/// Becomes the program at `path`. Returns only on failure.
pub fn exec(path: &CStr, argv: &ExecStrings, env: &ExecStrings) -> io::Error {
    // SAFETY: path is NUL-terminated; both arrays are null-terminated and point to strings that `ExecStrings` owns.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), env.pointers.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the program behind the descriptor. Returns only on failure.
pub fn exec_fd(program: BorrowedFd<'_>, argv: &ExecStrings, env: &ExecStrings) -> io::Error {
    // SAFETY: as in `exec`; the path is an empty constant, so that the program is the descriptor itself.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Ends the process at once: no destructors, no flushing. What a forked child must use instead of returning.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Starts `program` with an empty environment, in a session of its own (so that a Ctrl-C at the caller's terminal does
/// not reach it), all signals at their defaults, and exactly these descriptors: `fds[i]` becomes number `i`. All others
/// must be close-on-exec already ([`close_on_exec_from`]).
pub fn spawn(program: &CStr, argv: &ExecStrings, fds: &[BorrowedFd<'_>]) -> io::Result<(Pid, OwnedFd)> {
    // Out of the way of the numbers they are going to have, so that no placement overwrites a source.
    let lifted: Vec<OwnedFd> =
        fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, fds.len() as RawFd)).collect::<Result<_, _>>()?;
    let mut actions = FileActions::new()?;
    for (target, fd) in lifted.iter().enumerate() {
        actions.place(fd.as_raw_fd(), target as RawFd)?;
    }
    let attributes = SpawnAttributes::new()?;
    let env: [*mut libc::c_char; 1] = [ptr::null_mut()];
    let mut pid: libc::pid_t = 0;
    // SAFETY: all pointers are to live, initialised values; argv and env are null-terminated, and posix_spawn does not
    // write to the strings in spite of its type.
    let error = unsafe {
        libc::posix_spawn(
            &mut pid,
            program.as_ptr(),
            &actions.0,
            &attributes.0,
            argv.pointers.as_ptr().cast(),
            env.as_ptr(),
        )
    };
    check(error)?;
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
    // Ours and not waited for yet, so the number can't have been given to another process.
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    Ok((pid, pidfd))
}

fn check(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = std::mem::MaybeUninit::uninit();
        // SAFETY: init fills the value it is given.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: initialised by the call above, which reported success.
        Ok(FileActions(unsafe { actions.assume_init() }))
    }

    fn place(&mut self, fd: RawFd, target: RawFd) -> io::Result<()> {
        // SAFETY: the value is initialised; the numbers are only looked at in the child.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, fd, target) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

struct SpawnAttributes(libc::posix_spawnattr_t);

/// `POSIX_SPAWN_SETSID` of both C libraries on Linux; the libc crate has it for one of them only.
const POSIX_SPAWN_SETSID: libc::c_short = 0x80;

impl SpawnAttributes {
    fn new() -> io::Result<Self> {
        let mut attributes = std::mem::MaybeUninit::uninit();
        // SAFETY: init fills the value it is given.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: initialised by the call above, which reported success.
        let mut attributes = SpawnAttributes(unsafe { attributes.assume_init() });
        let (all, none) = (crate::signal::full_set(), crate::signal::set_of(&[]));
        // SAFETY: the attributes and the set are initialised.
        check(unsafe { libc::posix_spawnattr_setsigdefault(&mut attributes.0, &all) })?;
        // SAFETY: the attributes and the set are initialised.
        check(unsafe { libc::posix_spawnattr_setsigmask(&mut attributes.0, &none) })?;
        let flags = POSIX_SPAWN_SETSID
            | libc::POSIX_SPAWN_SETSIGDEF as libc::c_short
            | libc::POSIX_SPAWN_SETSIGMASK as libc::c_short;
        // SAFETY: the attributes are initialised.
        check(unsafe { libc::posix_spawnattr_setflags(&mut attributes.0, flags) })?;
        Ok(attributes)
    }
}

impl Drop for SpawnAttributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}
