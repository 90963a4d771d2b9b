//! Everything of the host that the box is given, opened once, with the caller's rights.
//!
//! Each path is opened without following the kernel's magic links, compared with what the plan saw, and cloned into a
//! mount of its own that nobody else sees; its restrictions are on before it stands anywhere.

use super::{Fault, Result, failed};
use crate::plan_view::PlanView;
use pinfold_plan::{Access, HostPath, Seen, SeenKind, Step};
use pinfold_sys::mount::{Attributes, set_attributes};
use pinfold_wire::Stage;
use rustix::fs::{CWD, FileType, MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags};
use rustix::mount::{OpenTreeFlags, open_tree};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The devices of a box.
pub(super) const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

#[derive(Debug)]
pub(super) struct Sources {
    /// Our own executable, behind a read-only mount: `/proc/1/exe` is nothing that a box could write to.
    pub(super) own_program: OwnedFd,
    /// In the order of the plan's steps `Bind`, `Home`, `BoxGit` and `Objects`.
    pub(super) trees: VecDeque<(OwnedFd, SeenKind)>,
    /// In the order of [`NODES`], if the plan wants devices.
    pub(super) nodes: Vec<OwnedFd>,
    /// For hiding files of `/proc`.
    pub(super) null: OwnedFd,
    pub(super) fuse: Option<OwnedFd>,
}

/// `idmapped`: the mounts that stand for the plan's `Objects`, if the supervisor made them.
pub(super) fn open(view: &PlanView<'_>, idmapped: Vec<OwnedFd>) -> Result<Sources> {
    let mut idmapped = VecDeque::from(idmapped);
    let mut trees = VecDeque::new();
    let mut nodes = Vec::new();
    let mut fuse = None;
    for step in &view.building {
        match step {
            Step::Bind { from, seen, access, execute, .. } => {
                let restrict = Attributes { read_only: *access == Access::ReadOnly, no_exec: !execute, ..restricted() };
                trees.push_back((tree(from, Some(*seen), restrict)?, seen.kind));
            }
            Step::Home { .. } => trees.push_back((tree(&view.plan.home_dir, None, restricted())?, SeenKind::Folder)),
            Step::BoxGit { .. } => {
                trees.push_back((tree(&view.plan.run_dir.join("git"), None, restricted())?, SeenKind::Folder));
            }
            Step::Objects { from, seen, .. } => {
                let tree = match idmapped.pop_front() {
                    Some(mount) => mount,
                    None => tree(from, Some(*seen), objects_restricted())?,
                };
                trees.push_back((tree, seen.kind));
            }
            Step::Devices { .. } => {
                for name in NODES {
                    nodes.push(node(name)?);
                }
            }
            Step::Workspace { .. } => fuse = Some(open_fuse()?),
            _ => {}
        }
    }
    Ok(Sources { own_program: own_program()?, trees, nodes, null: node("null")?, fuse })
}

fn restricted() -> Attributes<'static> {
    Attributes { no_suid: true, no_dev: true, private: true, ..Attributes::default() }
}

/// A store of objects is data: read, never executed.
pub(crate) fn objects_restricted() -> Attributes<'static> {
    Attributes { read_only: true, no_exec: true, ..restricted() }
}

/// A folder or file with all that is mounted below it, as a detached mount with these restrictions.
fn tree(path: &HostPath, seen: Option<Seen>, restrict: Attributes<'_>) -> Result<OwnedFd> {
    let fd = open_seen(path, seen)?;
    clone(&fd, restrict, true).map_err(failed(Stage::Mounts, format!("take {path} into the box")))
}

/// Opens a path of the plan, and compares what is there with what the survey saw.
pub(crate) fn open_seen(path: &HostPath, seen: Option<Seen>) -> Result<OwnedFd> {
    let opening = || failed::<io::Error>(Stage::Sources, format!("open {path}"));
    let fd = open_path(path.as_path()).map_err(opening())?;
    let Some(seen) = seen else { return Ok(fd) };
    let now = rustix::fs::fstat(&fd).map_err(|errno| opening()(errno.into()))?;
    let kind = match FileType::from_raw_mode(now.st_mode) {
        FileType::RegularFile => Some(SeenKind::File),
        FileType::Directory => Some(SeenKind::Folder),
        _ => None,
    };
    if (now.st_dev, now.st_ino) != (seen.dev, seen.ino) || kind != Some(seen.kind) {
        return Err(Fault::Changed { path: path.to_string(), found: "another file stands there now".into() });
    }
    Ok(fd)
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?)
}

/// A copy of the mount behind `fd`, in no file system yet.
pub(crate) fn clone(fd: impl AsFd, restrict: Attributes<'_>, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let mount = open_tree(fd, c"", flags)?;
    set_attributes(&mount, restrict, recursive)?;
    Ok(mount)
}

/// A device of the host. Read-only says nothing about its data: it keeps owner, mode and times from being changed.
fn node(name: &str) -> Result<OwnedFd> {
    let path = format!("/dev/{name}");
    let take = || -> io::Result<OwnedFd> {
        let fd = open_path(Path::new(&path))?;
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::CharacterDevice {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::NODEV.raw_os_error()));
        }
        let restrict =
            Attributes { read_only: true, no_suid: true, no_exec: true, private: true, ..Attributes::default() };
        clone(&fd, restrict, false)
    };
    take().map_err(failed(Stage::Mounts, format!("take {path} into the box")))
}

/// Opened by this process, not handed in: the kernel wants opener and mount in one user namespace.
fn open_fuse() -> Result<OwnedFd> {
    rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(failed(Stage::Fuse, "open /dev/fuse"))
}

/// The program of this process, for init.
///
/// `/proc/self/exe` itself belongs to the mounts of the host, which this process has left; so the path is opened again,
/// and compared. If the program was replaced on disk meanwhile, init gets a sealed copy of the one that runs.
fn own_program() -> Result<OwnedFd> {
    let take = || -> io::Result<OwnedFd> {
        let running = rustix::fs::stat("/proc/self/exe")?;
        let path = rustix::fs::readlink("/proc/self/exe", Vec::new())?;
        let found = open_path(Path::new(OsStr::from_bytes(path.as_bytes()))).and_then(|fd| {
            let found = rustix::fs::fstat(&fd)?;
            Ok((fd, (found.st_dev, found.st_ino) == (running.st_dev, running.st_ino)))
        });
        match found {
            Ok((fd, true)) => clone(&fd, Attributes { read_only: true, ..restricted() }, false),
            _ => sealed_copy(),
        }
    };
    take().map_err(failed(Stage::Exec, "take pinfold's own program into the box"))
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let from = rustix::fs::open("/proc/self/exe", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let copy = rustix::fs::memfd_create(c"pinfold", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let (mut from, mut copy) = (std::fs::File::from(from), std::fs::File::from(copy));
    io::copy(&mut from, &mut copy)?;
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o555))?;
    rustix::fs::fcntl_add_seals(&copy, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    Ok(copy.into())
}
