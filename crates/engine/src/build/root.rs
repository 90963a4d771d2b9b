//! The box's file system: a fresh root, the plan's steps on it in order, and then nothing else.
//!
//! Every place in the box is walked to from the root's descriptor, beneath it, and never through a symbolic link: parts of
//! the box home were written by former boxes, and a link there must not decide where a mount lands.

use super::sources::{NODES, Sources};
use super::{Fault, Result, failed};
use crate::plan_view::PlanView;
use pinfold_plan::{BoxPath, IdMap, SeenKind, Step};
use pinfold_sys::channel::Channel;
use pinfold_sys::mount::{Attributes, set_attributes};
use pinfold_wire::Stage;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree, unmount,
};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Of the root itself: a few links, files and mount points.
const ROOT_BYTES: u64 = 16 << 20;
const DEV_BYTES: u64 = 64 << 10;
/// Bytes of a temporary file system for each file that it can hold; its small files are about this big.
const BYTES_PER_FILE: u64 = 8 << 10;
/// Where the new root can wait until it takes over: any folder that every Linux has.
const WAITING_ROOMS: [&str; 4] = ["/tmp", "/run", "/var", "/"];

/// Builds the root and makes it `/`. Gives back the box's git folder, to be watched without asking MaskFs.
pub(super) fn build(view: &PlanView<'_>, sources: &mut Sources, maskfs: Option<Channel>) -> Result<Option<OwnedFd>> {
    let mut root = Root::new().map_err(failed(Stage::Mounts, "make the box's root"))?;
    let mut git = None;
    for step in &view.building {
        match step {
            Step::Folder { at, mode } => root.folder(at, *mode)?,
            Step::Symlink { at, target } => root.symlink(at, target.as_bytes())?,
            Step::File { at, mode, content } => root.file(at, *mode, content)?,
            Step::Tmpfs { at, mode, bytes, execute } => root.tmpfs(at, *mode, *bytes, *execute)?,
            Step::Bind { at, .. } => root.tree(at, sources)?,
            Step::Objects { at, .. } => {
                root.tree(at, sources)?;
                // It names paths of the host, and git complains of each that it does not find. The box's own list has
                // all that are here.
                root.cover(&at.join("info/alternates"), |_, kind| nothing(kind, &sources.null))?;
            }
            Step::Home { at } => {
                root.tree(at, sources)?;
                root.home_files(at, &view.plan.home_files)?;
            }
            Step::BoxGit { at } => {
                root.tree(at, sources)?;
                git = Some(root.open(at).map_err(failed(Stage::Mounts, format!("open {at}")))?);
            }
            Step::Devices { at, shm_bytes } => root.devices(at, *shm_bytes, &sources.nodes)?,
            Step::Proc { at, read_only, hidden } => root.proc(at, read_only, hidden, &sources.null)?,
            Step::Workspace { at } => root.workspace(at, view.ids, sources.fuse.take(), maskfs.as_ref())?,
            Step::Seal => root.seal()?,
            _ => {}
        }
    }
    Ok(git)
}

struct Root {
    /// The top of the box's file system.
    top: OwnedFd,
}

/// What stands at a place in the box, or shall.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spot {
    File,
    Folder,
}

fn below(at: &BoxPath) -> PathBuf {
    at.as_path().components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

/// A new file system of this type, detached.
fn new_mount(kind: &str, options: &[(&str, &str)], attributes: MountAttrFlags) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn new_tmpfs(mode: u32, bytes: u64, attributes: MountAttrFlags) -> rustix::io::Result<OwnedFd> {
    let files = (bytes / BYTES_PER_FILE).clamp(1 << 10, 4 << 20);
    let options = [
        ("source", "pinfold"),
        ("mode", &format!("{mode:o}")),
        ("size", &bytes.to_string()),
        ("nr_inodes", &files.to_string()),
    ];
    new_mount("tmpfs", &options, attributes)
}

fn attach(mount: impl AsFd, place: impl AsFd) -> rustix::io::Result<()> {
    move_mount(
        mount,
        c"",
        place,
        c"",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

/// A mount to put over what the box is not to see: each place needs one of its own.
fn nothing(kind: Spot, null: &OwnedFd) -> io::Result<OwnedFd> {
    match kind {
        Spot::Folder => {
            let flags = QUIET | MountAttrFlags::MOUNT_ATTR_NOEXEC | MountAttrFlags::MOUNT_ATTR_RDONLY;
            Ok(new_tmpfs(0o555, DEV_BYTES, flags)?)
        }
        Spot::File => {
            let flags =
                OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
            Ok(open_tree(null, c"", flags)?)
        }
    }
}

const QUIET: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);

impl Root {
    fn new() -> io::Result<Root> {
        let top = new_tmpfs(0o755, ROOT_BYTES, QUIET)?;
        let mut last = Errno::NOENT;
        for room in WAITING_ROOMS {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match rustix::fs::open(room, flags, Mode::empty()).and_then(|place| attach(&top, place)) {
                Ok(()) => return Ok(Root { top }),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    fn walk(&self, path: &Path, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(&self.top, path, flags | OFlags::CLOEXEC, mode, resolve) {
                // Something was renamed during the walk; the kernel wants us to try again.
                Err(Errno::AGAIN) => continue,
                other => return other,
            }
        }
    }

    fn open(&self, at: &BoxPath) -> rustix::io::Result<OwnedFd> {
        self.walk(&below(at), OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
    }

    /// The folder that holds `at`, made if it is missing, and the last name.
    fn parent(&self, at: &BoxPath) -> rustix::io::Result<(OwnedFd, PathBuf)> {
        let path = below(at);
        let name = path.file_name().ok_or(Errno::EXIST)?.into();
        let folder = path.parent().unwrap_or(Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match self.walk(folder, flags, Mode::empty()) {
            Err(Errno::NOENT) => {}
            other => return Ok((other?, name)),
        }
        let mut fd = self.walk(Path::new(""), flags, Mode::empty())?;
        let mut so_far = PathBuf::new();
        for part in folder {
            so_far.push(part);
            match rustix::fs::mkdirat(&fd, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            fd = self.walk(&so_far, flags, Mode::empty())?;
        }
        Ok((fd, name))
    }

    /// A place to mount on, made if it is missing.
    fn spot(&self, at: &BoxPath, want: Spot) -> Result<OwnedFd> {
        let doing = || format!("make the mount point {at}");
        let found = match self.open(at) {
            Err(Errno::NOENT) => {
                self.make_spot(at, want).map_err(failed(Stage::Mounts, doing()))?;
                self.open(at)
            }
            other => other,
        };
        let fd = found.map_err(|errno| in_the_way(at, errno, doing()))?;
        let kind = rustix::fs::fstat(&fd).map_err(failed(Stage::Mounts, doing()))?.st_mode;
        let spot = match FileType::from_raw_mode(kind) {
            FileType::Directory => Some(Spot::Folder),
            FileType::RegularFile => Some(Spot::File),
            _ => None,
        };
        if spot == Some(want) { Ok(fd) } else { Err(in_the_way(at, Errno::NOTDIR, doing())) }
    }

    fn make_spot(&self, at: &BoxPath, want: Spot) -> rustix::io::Result<()> {
        let (folder, name) = self.parent(at)?;
        let made = match want {
            Spot::Folder => rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(0o755)),
            Spot::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(0o444)).map(drop)
            }
        };
        match made {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    fn put(&self, at: &BoxPath, mount: impl AsFd, want: Spot) -> Result<()> {
        let spot = self.spot(at, want)?;
        attach(mount, spot).map_err(failed(Stage::Mounts, format!("mount {at}")))
    }

    fn folder(&self, at: &BoxPath, mode: u32) -> Result<()> {
        let make = || -> rustix::io::Result<()> {
            let (folder, name) = self.parent(at)?;
            match rustix::fs::mkdirat(&folder, name, Mode::from_raw_mode(mode)) {
                Err(Errno::EXIST) => Ok(()),
                other => other,
            }
        };
        make().map_err(failed(Stage::Mounts, format!("make the folder {at}")))
    }

    fn symlink(&self, at: &BoxPath, target: &[u8]) -> Result<()> {
        let make = || -> rustix::io::Result<()> {
            let (folder, name) = self.parent(at)?;
            rustix::fs::symlinkat(target, &folder, name)
        };
        make().map_err(failed(Stage::Mounts, format!("make the link {at}")))
    }

    fn file(&self, at: &BoxPath, mode: u32, content: &str) -> Result<()> {
        let make = || -> io::Result<()> {
            let (folder, name) = self.parent(at)?;
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&folder, name, flags, Mode::from_raw_mode(mode))?;
            File::from(fd).write_all(content.as_bytes())
        };
        make().map_err(failed(Stage::Mounts, format!("write the file {at}")))
    }

    fn tmpfs(&self, at: &BoxPath, mode: u32, bytes: u64, execute: bool) -> Result<()> {
        let attributes = if execute { QUIET } else { QUIET | MountAttrFlags::MOUNT_ATTR_NOEXEC };
        let mount = new_tmpfs(mode, bytes, attributes).map_err(failed(Stage::Mounts, format!("mount {at}")))?;
        self.put(at, mount, Spot::Folder)
    }

    fn tree(&self, at: &BoxPath, sources: &mut Sources) -> Result<()> {
        let (mount, kind) = sources
            .trees
            .pop_front()
            .ok_or_else(|| failed(Stage::Mounts, format!("find the source of {at}"))(Errno::NOENT))?;
        self.put(at, mount, if kind == SeenKind::File { Spot::File } else { Spot::Folder })
    }

    /// Files that an agent wants to find. What a former box left in their way stays as it is.
    fn home_files(&self, home: &BoxPath, files: &[(String, String)]) -> Result<()> {
        for (path, content) in files {
            let at = home.join(path);
            match self.file(&at, 0o600, content) {
                Ok(()) => {}
                Err(Fault::Failed { error, .. })
                    if [Errno::EXIST, Errno::NOTDIR, Errno::LOOP]
                        .map(|e| Some(e.raw_os_error()))
                        .contains(&error.raw_os_error()) => {}
                Err(Fault::Failed { doing, error, .. }) => return Err(failed(Stage::Home, doing)(error)),
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn devices(&self, at: &BoxPath, shm_bytes: u64, nodes: &[OwnedFd]) -> Result<()> {
        let doing = || failed::<Errno>(Stage::Mounts, format!("set {at} up"));
        // This one file system may hold devices: it is where they stand.
        let flags = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let dev = new_tmpfs(0o755, DEV_BYTES, flags).map_err(doing())?;
        self.put(at, &dev, Spot::Folder)?;
        for (name, node) in NODES.iter().zip(nodes) {
            self.put(&at.join(name), node, Spot::File)?;
        }
        let options = [("source", "pinfold"), ("mode", "0620"), ("ptmxmode", "0666")];
        let pts = new_mount("devpts", &options, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC)
            .map_err(doing())?;
        self.put(&at.join("pts"), pts, Spot::Folder)?;
        self.tmpfs(&at.join("shm"), 0o1777, shm_bytes, false)?;
        for (name, target) in [
            ("ptmx", "pts/ptmx"),
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ] {
            self.symlink(&at.join(name), target.as_bytes())?;
        }
        set_attributes(&dev, Attributes { read_only: true, ..Attributes::default() }, false)
            .map_err(failed(Stage::Mounts, format!("make {at} read-only")))
    }

    fn proc(&self, at: &BoxPath, read_only: &[BoxPath], hidden: &[BoxPath], null: &OwnedFd) -> Result<()> {
        let flags = QUIET | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let proc = new_mount("proc", &[("source", "proc")], flags)
            .map_err(failed(Stage::Mounts, "mount the box's own /proc"))?;
        self.put(at, proc, Spot::Folder)?;
        for path in read_only {
            let restrict = Attributes {
                read_only: true,
                no_suid: true,
                no_dev: true,
                no_exec: true,
                private: true,
                ..Attributes::default()
            };
            self.cover(path, |spot, _| super::sources::clone(spot, restrict, false))?;
        }
        for path in hidden {
            self.cover(path, |_, kind| nothing(kind, null))?;
        }
        Ok(())
    }

    /// Puts a mount over something in a tree that is not ours. What is not there needs no cover.
    fn cover(&self, at: &BoxPath, with: impl FnOnce(&OwnedFd, Spot) -> io::Result<OwnedFd>) -> Result<()> {
        let put = || -> io::Result<()> {
            let spot = match self.open(at) {
                Err(Errno::NOENT) => return Ok(()),
                other => other?,
            };
            let folder = FileType::from_raw_mode(rustix::fs::fstat(&spot)?.st_mode) == FileType::Directory;
            let cover = with(&spot, if folder { Spot::Folder } else { Spot::File })?;
            Ok(attach(cover, spot)?)
        };
        put().map_err(failed(Stage::Mounts, format!("cover {at}")))
    }

    /// MaskFs: mounted here, served from outside the box by the process at the other end of `maskfs`.
    fn workspace(&self, at: &BoxPath, ids: IdMap, fuse: Option<OwnedFd>, maskfs: Option<&Channel>) -> Result<()> {
        let mount = || -> io::Result<OwnedFd> {
            let (fuse, maskfs) = (fuse.ok_or(Errno::BADF)?, maskfs.ok_or(Errno::BADF)?);
            let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
            let context = context.as_fd();
            fsconfig_set_string(context, "source", "pinfold")?;
            // As a number: some kernels refuse the descriptor itself here.
            fsconfig_set_string(context, "fd", fuse.as_raw_fd().to_string())?;
            fsconfig_set_string(context, "rootmode", "40000")?;
            fsconfig_set_string(context, "user_id", ids.uid_inside.to_string())?;
            fsconfig_set_string(context, "group_id", ids.gid_inside.to_string())?;
            // Admits this user namespace and its children, and nobody outside of it.
            fsconfig_set_flag(context, "allow_other")?;
            fsconfig_set_flag(context, "default_permissions")?;
            fsconfig_create(context)?;
            let mount = fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, QUIET)?;
            maskfs.send(b"fuse", &[fuse.as_fd()])?;
            Ok(mount)
        };
        let mount = mount().map_err(failed(Stage::Fuse, format!("mount the workspace at {at}")))?;
        self.put(at, mount, Spot::Folder)
    }

    /// The box's root becomes `/`, read-only, and the host's is let go.
    fn seal(&mut self) -> Result<()> {
        let seal = || -> io::Result<()> {
            rustix::process::fchdir(&self.top)?;
            // Both names are the same: the old root ends up mounted over the new one, and is taken off by the next line.
            rustix::process::pivot_root(c".", c".")?;
            unmount(c".", UnmountFlags::DETACH)?;
            rustix::process::chdir(c"/")?;
            let top = rustix::fs::openat(CWD, c"/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            set_attributes(&top, Attributes { read_only: true, ..Attributes::default() }, false)
        };
        seal().map_err(failed(Stage::Mounts, "make the box's root the only one"))
    }
}

/// A former box can have put a link or a file where a mount point belongs.
fn in_the_way(at: &BoxPath, errno: Errno, doing: String) -> Fault {
    match errno {
        Errno::LOOP | Errno::NOTDIR | Errno::XDEV => {
            failed(Stage::Home, format!("{doing}: something else stands there"))(Errno::NOTDIR)
        }
        other => {
            let _ = at;
            failed(Stage::Mounts, doing)(other)
        }
    }
}
