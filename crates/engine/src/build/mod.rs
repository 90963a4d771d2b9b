//! The builder: the first process of the box, from its making to the moment when it turns into init.
//!
//! Stages, and what each may rely on:
//! 1. *Attach*: dies with the supervisor, is in a session of its own (the caller's terminal is nobody's here), has its
//!    ids mapped. Must not open anything yet.
//! 2. *Sources* ([`sources`]): opens everything of the host that the plan names, with the caller's own rights, and turns it
//!    into detached mounts with their restrictions already on. After this no host path is looked at again.
//! 3. *Become*: takes the box's ids. Must come before the first file of the box is made, so that it owns them.
//! 4. *Root* ([`root`]): puts the box's file system together and makes it the only one.
//! 5. *Drop*: gives up every capability, and becomes init ([`crate::init`]), a fresh program with an empty environment.

mod root;
pub(crate) mod sources;

use crate::plan_view::PlanView;
use pinfold_plan::{IdMap, StdStream, Step};
use pinfold_sys::channel::Channel;
use pinfold_sys::process::{self, ExecStrings};
use pinfold_wire::{FromInit, Stage, ToInit, encode};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The descriptors that init is started with, besides the three streams.
pub(crate) mod init_fd {
    pub(crate) const CONFIG: i32 = 3;
    pub(crate) const CONTROL: i32 = 4;
    /// The box's git folder, where there is one.
    pub(crate) const GIT: i32 = 5;
}

/// What the supervisor hands to the builder.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) control: Channel,
    pub(crate) config: OwnedFd,
    /// Where the mounted `/dev/fuse` goes.
    pub(crate) maskfs: Option<Channel>,
}

/// Why there is no box.
#[derive(Debug)]
pub(crate) enum Fault {
    Failed { stage: Stage, doing: String, error: io::Error },
    Changed { path: String, found: String },
}

pub(crate) type Result<T> = std::result::Result<T, Fault>;

/// Turns a kernel error into a fault that says what was being done.
pub(crate) fn failed<E: Into<io::Error>>(stage: Stage, doing: impl Into<String>) -> impl FnOnce(E) -> Fault {
    let doing = doing.into();
    move |error| Fault::Failed { stage, doing, error: error.into() }
}

/// Builds the box and becomes its init. Comes back only on failure, which the supervisor has been told of then.
pub(crate) fn run(view: &PlanView<'_>, tools: Tools) -> i32 {
    // Above the numbers that init gets, where nothing overwrites it.
    let control = rustix::io::fcntl_dupfd_cloexec(&tools.control, 16);
    let fault = match build(view, tools) {
        Err(fault) => fault,
        Ok(never) => match never {},
    };
    let message = match fault {
        Fault::Failed { stage, doing, error } => {
            FromInit::BuildFailed { stage, doing, errno: error.raw_os_error().unwrap_or(0) }
        }
        Fault::Changed { path, found } => FromInit::Changed { path, found },
    };
    if let (Ok(control), Ok(bytes)) = (control, encode(&message)) {
        // If the supervisor is gone, nobody is left to tell.
        let _ = Channel::from_fd(control).send(&bytes, &[]);
    }
    1
}

enum Never {}

fn build(view: &PlanView<'_>, tools: Tools) -> Result<Never> {
    let idmapped = attach(view, &tools.control)?;
    for step in &view.building {
        match step {
            Step::Loopback => {
                pinfold_sys::net::loopback_up().map_err(failed(Stage::Network, "bring the loopback device up"))?;
            }
            Step::Hostname { name } => {
                rustix::system::sethostname(name.as_bytes()).map_err(failed(Stage::Network, "set the host name"))?;
            }
            _ => {}
        }
    }
    let mut sources = sources::open(view, idmapped)?;
    become_inside(view.ids, view.foreign_ids())?;
    let caller_umask = rustix::process::umask(Mode::empty());
    let git = root::build(view, &mut sources, tools.maskfs)?;
    if view.drop_privileges {
        drop_privileges().map_err(failed(Stage::Privileges, "drop all privileges"))?;
    }
    rustix::process::umask(caller_umask);
    become_init(view, sources.own_program, tools.control, tools.config, git)
}

/// Stage 1. Returns the mounts that only the supervisor could make.
fn attach(view: &PlanView<'_>, control: &Channel) -> Result<Vec<OwnedFd>> {
    let dying = || failed::<rustix::io::Errno>(Stage::Ids, "die with the supervisor");
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).map_err(dying())?;
    // It may have died before that was set; then its end of the channel is closed.
    if control.closed_by_peer().map_err(failed(Stage::Ids, "die with the supervisor"))? {
        return Err(dying()(rustix::io::Errno::SRCH));
    }
    rustix::process::setsid().map_err(failed(Stage::Ids, "leave the caller's session"))?;
    if view.foreign_ids() {
        return wait_for_maps(control).map_err(failed(Stage::Ids, "wait for the id maps"));
    }
    let IdMap { uid_inside: uid, gid_inside: gid, .. } = view.ids;
    for (file, text) in [
        // The kernel wants this before an ordinary user may map a group.
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{uid} {uid} 1\n")),
        ("gid_map", format!("{gid} {gid} 1\n")),
    ] {
        write_whole(&format!("/proc/self/{file}"), &text).map_err(failed(Stage::Ids, format!("write {file}")))?;
    }
    Ok(Vec::new())
}

fn wait_for_maps(control: &Channel) -> io::Result<Vec<OwnedFd>> {
    let mut mounts = Vec::new();
    loop {
        let message = control.recv()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        mounts.extend(message.fds);
        match pinfold_wire::decode::<ToInit>(&message.bytes) {
            Ok(ToInit::Mapped) => return Ok(mounts),
            // A signal that came in early; the command does not exist yet.
            Ok(_) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}

fn write_whole(path: &str, text: &str) -> io::Result<()> {
    let fd = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    File::from(fd).write_all(text.as_bytes())
}

/// Stage 3. An ordinary user's ids are the right ones already.
fn become_inside(ids: IdMap, foreign: bool) -> Result<()> {
    if !foreign {
        return Ok(());
    }
    let (uid, gid) = (rustix::fs::Uid::from_raw(ids.uid_inside), rustix::fs::Gid::from_raw(ids.gid_inside));
    let take = || -> io::Result<()> {
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
        // The kernel forgets it when ids change.
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        Ok(())
    };
    take().map_err(failed(Stage::Ids, "take the box's ids"))
}

/// Stage 5. Each set by itself, and locked: with `no_new_privs` on top, nothing that is executed later gets one back.
fn drop_privileges() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    rustix::thread::clear_ambient_capability_set()?;
    for bit in 0..64 {
        match rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) => {}
            // One more than the kernel knows.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    type Bits = CapabilitiesSecureBits;
    rustix::thread::set_capabilities_secure_bits(
        Bits::NO_ROOT
            | Bits::NO_ROOT_LOCKED
            | Bits::NO_SETUID_FIXUP
            | Bits::NO_SETUID_FIXUP_LOCKED
            | Bits::KEEP_CAPS_LOCKED
            | Bits::NO_CAP_AMBIENT_RAISE
            | Bits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    Ok(())
}

fn become_init(
    view: &PlanView<'_>,
    program: OwnedFd,
    control: Channel,
    config: OwnedFd,
    git: Option<OwnedFd>,
) -> Result<Never> {
    let mut fds = vec![config.as_fd(), control.as_fd()];
    fds.extend(git.as_ref().map(|git| git.as_fd()));
    let error = match hand_over(view, program.as_fd(), &fds) {
        Ok(never) => return Ok(never),
        Err(error) => error,
    };
    Err(failed(Stage::Exec, "start pinfold's own program in the box")(error))
}

fn hand_over(view: &PlanView<'_>, program: BorrowedFd<'_>, fds: &[BorrowedFd<'_>]) -> io::Result<Never> {
    /// Above every number that is handed over.
    const ABOVE: i32 = 16;
    streams(view)?;
    let argv = ExecStrings::new(["pinfold", pinfold_wire::ROLE_INIT])?;
    let env = ExecStrings::new::<&str>([])?;
    // First out of the way, then into place, so that none is overwritten before it has been copied.
    let program = rustix::io::fcntl_dupfd_cloexec(program, ABOVE)?;
    let lifted: Vec<OwnedFd> =
        fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, ABOVE)).collect::<std::result::Result<_, _>>()?;
    // A failure is still reported, by the copy of the channel that the caller lifted likewise.
    for (at, fd) in lifted.iter().enumerate() {
        process::place(fd.as_fd(), init_fd::CONFIG + at as i32)?;
    }
    Err(process::exec_fd(program.as_fd(), &argv, &env))
}

/// Descriptors 0, 1 and 2 for the box: what the plan passes through, and `/dev/null` for the rest. The terminal of the
/// caller ends here.
fn streams(view: &PlanView<'_>) -> io::Result<()> {
    let streams = view.exec.streams;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let null: BorrowedFd<'_> = null.as_fd();
    for (number, stream) in [(0, streams.stdin), (1, streams.stdout), (2, streams.stderr)] {
        match stream {
            StdStream::Pipe | StdStream::Socket | StdStream::File => {}
            StdStream::Terminal | StdStream::Null | StdStream::Absent => process::place(null, number)?,
        }
    }
    Ok(())
}
