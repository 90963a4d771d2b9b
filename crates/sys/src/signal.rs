//! Signals as descriptors, and the clean slate that a new command starts with.

use rustix::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::io;
use std::mem::MaybeUninit;

/// A set of signals that are blocked and read from a descriptor instead.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

/// One signal as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caught {
    pub number: i32,
    /// Who sent it; 0 for the kernel, and for a sender that our namespace can't see.
    pub pid: u32,
}

pub(crate) fn set_of(numbers: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` writes the whole set, and only that.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above; it can't fail with a valid pointer.
    let mut set = unsafe { set.assume_init() };
    for &number in numbers {
        // SAFETY: `set` is initialised; a bad number is answered with an error and changes nothing.
        unsafe { libc::sigaddset(&mut set, number) };
    }
    set
}

pub(crate) fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` writes the whole set, and only that.
    unsafe { libc::sigfillset(set.as_mut_ptr()) };
    // SAFETY: initialised by the line above; it can't fail with a valid pointer.
    unsafe { set.assume_init() }
}

fn change_mask(how: libc::c_int, numbers: &[i32]) -> io::Result<()> {
    let set = set_of(numbers);
    // SAFETY: `set` is initialised, and the old mask is not asked for.
    let result = unsafe { libc::sigprocmask(how, &set, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl SignalFd {
    /// Blocks `numbers` for this thread and those it will start, and opens a descriptor that reads them.
    pub fn new(numbers: &[i32]) -> io::Result<SignalFd> {
        change_mask(libc::SIG_BLOCK, numbers)?;
        let set = set_of(numbers);
        // SAFETY: `set` is initialised; -1 asks for a new descriptor.
        let raw = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
        Ok(SignalFd { fd: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// The next signal, if one waits.
    pub fn next(&self) -> io::Result<Option<Caught>> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.fd, &mut info)) {
            Ok(n) if n == info.len() => {}
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // `ssi_signo` stands first, `ssi_pid` fourth; all four are 32 bits wide.
        let word = |at: usize| u32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        Ok(Some(Caught { number: word(0) as i32, pid: word(12) }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Blocks `numbers` without reading them.
pub fn block(numbers: &[i32]) -> io::Result<()> {
    change_mask(libc::SIG_BLOCK, numbers)
}

/// Lets `numbers` through again.
pub fn unblock(numbers: &[i32]) -> io::Result<()> {
    change_mask(libc::SIG_UNBLOCK, numbers)
}

/// Back to the default, for a signal that whoever started us may have set to be ignored.
pub fn default(number: i32) {
    // SAFETY: SIG_DFL installs no code of ours; a number that can't be changed is refused.
    unsafe { libc::signal(number, libc::SIG_DFL) };
}

/// Every signal back to its default and none blocked, as a program expects to be started. (Rust's runtime ignores
/// SIGPIPE, and whoever started us may have blocked others; both would be inherited by the command.)
pub fn reset_all() -> io::Result<()> {
    for number in 1..=64 {
        // Those that can't be changed (KILL, STOP, and the two that the C library keeps for itself) are refused.
        default(number);
    }
    change_mask(libc::SIG_SETMASK, &[])
}
