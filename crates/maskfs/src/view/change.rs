//! Everything that makes, changes or removes one object.
//!
//! A creation goes where the verdict of its name says: into the host's tree, or into the private store. Set-id bits that
//! the box asks for are dropped, device nodes are refused, FIFOs and sockets stay in the box.

use super::resolve::{Child, Folder};
use super::standing::Changing;
use super::{Event, Found, Handle, View};
use crate::host::{FileKind, HostRoot, identity, kind_of, open_child, stat_child, stat_fd};
use crate::nodes::{Key, Link, Node, Place};
use pinfold_policy::{Kind, Verdict};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FallocateFlags, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::sync::Arc;

/// Where a new object goes.
#[derive(Debug)]
pub(super) struct Site {
    pub dir: Arc<OwnedFd>,
    pub place: Place,
}

/// A change of attributes; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub size: Option<u64>,
    pub atime: Option<Timespec>,
    pub mtime: Option<Timespec>,
}

/// Permission bits that may reach a file: set-id bits never do.
fn safe_mode(mode: u32) -> Mode {
    Mode::from_raw_mode(mode & 0o1777)
}

impl View {
    /// Where an object of this name and kind would be made; an error if the name is taken or protected.
    pub(super) fn site(&self, folder: &Folder, name: &[u8], kind: Kind, special: bool) -> Result<Site, Errno> {
        Self::checked(name)?;
        match self.child(folder, name)? {
            Child::Absent => {}
            Child::Passing => return Err(Errno::EXIST),
            Child::Decoy { .. } => return Err(self.refuse(folder, name, "create")),
            _ => return Err(Errno::EXIST),
        }
        match folder {
            Folder::Private { fd, .. } => Ok(Site { dir: fd.clone(), place: Place::Private }),
            Folder::Door { .. } => Err(Errno::ROFS),
            Folder::Host { fd, path, id } => {
                let path = path.as_path().join(name).map_err(|_| Errno::INVAL)?;
                let stays = special || matches!(self.verdict(&path, kind), Verdict::Mask | Verdict::Private);
                if !stays {
                    return Ok(Site { dir: fd.clone(), place: Place::Host });
                }
                let dir = self.store.folder_or_make(id)?;
                self.report(Event::Private { path: path.clone() });
                Ok(Site { dir, place: Place::Private })
            }
        }
    }

    /// The answer to a change that would touch what is masked, with a line in the log.
    pub(super) fn refuse(&self, folder: &Folder, name: &[u8], what: &'static str) -> Errno {
        if let Folder::Host { path, .. } = folder
            && let Ok(path) = path.as_path().join(name)
        {
            self.report(Event::Refused { what, path });
        }
        Errno::ROFS
    }

    pub(super) fn refuse_decoy(&self, what: &'static str, node: &Arc<Node>) -> Errno {
        if let Some(link) = node.link()
            && let Ok(folder) = self.folder(&link.parent)
        {
            return self.refuse(&folder, &link.name, what);
        }
        Errno::ROFS
    }

    fn made(&self, parent: &Arc<Node>, folder: &Folder, name: &[u8], site: &Site) -> Result<Found, Errno> {
        let stat = stat_child(site.dir.as_fd(), name)?;
        let child = match site.place {
            Place::Host => Child::Host { stat, verdict: Verdict::Share },
            _ => Child::Private { dir: site.dir.clone(), stat },
        };
        self.found(parent, folder, name, child)
    }

    pub fn mkdir(&self, parent: u64, name: &[u8], mode: u32) -> Result<Found, Errno> {
        let parent = self.node(parent)?;
        let folder = self.folder(&parent)?;
        let site = self.site(&folder, name, Kind::Folder, false)?;
        rustix::fs::mkdirat(&*site.dir, name, safe_mode(mode))?;
        if let Folder::Host { path, .. } = &folder
            && name == b".git"
            && let Ok(at) = path.as_path().join(name)
            && let Ok(git_dir) = open_child(site.dir.as_fd(), name, OFlags::DIRECTORY, Mode::empty())
        {
            self.door.made(at.as_path(), git_dir);
        }
        self.made(&parent, &folder, name, &site)
    }

    pub fn symlink(&self, parent: u64, name: &[u8], target: &[u8]) -> Result<Found, Errno> {
        let parent = self.node(parent)?;
        let folder = self.folder(&parent)?;
        let site = self.site(&folder, name, Kind::Symlink, false)?;
        rustix::fs::symlinkat(target, &*site.dir, name)?;
        self.made(&parent, &folder, name, &site)
    }

    pub fn mknod(&self, parent: u64, name: &[u8], mode: u32) -> Result<Found, Errno> {
        let parent = self.node(parent)?;
        let folder = self.folder(&parent)?;
        let kind = FileType::from_raw_mode(mode);
        let special = match kind {
            FileType::RegularFile => false,
            FileType::Fifo | FileType::Socket => true,
            _ => return Err(Errno::PERM),
        };
        let site = self.site(&folder, name, Kind::File, special)?;
        rustix::fs::mknodat(&*site.dir, name, kind, safe_mode(mode), 0)?;
        self.made(&parent, &folder, name, &site)
    }

    pub fn create(&self, parent: u64, name: &[u8], mode: u32, flags: OFlags) -> Result<(Found, u64), Errno> {
        let parent = self.node(parent)?;
        let folder = self.folder(&parent)?;
        let site = match self.site(&folder, name, Kind::File, false) {
            Ok(site) => site,
            // The host made it since the kernel looked. Without O_EXCL that is an open like any other.
            Err(Errno::EXIST) if !flags.contains(OFlags::EXCL) => {
                let child = self.child(&folder, name)?;
                let found = self.found(&parent, &folder, name, child)?;
                return Ok((found, self.open(found.node, flags)?));
            }
            Err(e) => return Err(e),
        };
        let kept = flags & (OFlags::WRONLY | OFlags::RDWR | OFlags::APPEND | OFlags::SYNC | OFlags::DSYNC);
        let fd = open_child(site.dir.as_fd(), name, kept | OFlags::CREATE | OFlags::EXCL, safe_mode(mode))?;
        let found = self.made(&parent, &folder, name, &site)?;
        let node = self.node(found.node)?;
        Ok((found, self.keep_handle(&node, Some(fd), site.place)))
    }

    /// An unnamed file in a folder. Its bytes lie on the host's file system without a name until it is linked.
    pub fn tmpfile(&self, parent: u64, mode: u32, flags: OFlags) -> Result<(Found, u64), Errno> {
        let parent = self.node(parent)?;
        let (dir, place) = match self.folder(&parent)? {
            Folder::Host { fd, .. } => (fd, Place::Host),
            Folder::Private { fd, .. } => (fd, Place::Private),
            Folder::Door { .. } => return Err(Errno::ROFS),
        };
        let kept = (flags & (OFlags::WRONLY | OFlags::RDWR)) | OFlags::TMPFILE | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&*dir, c".", kept, safe_mode(mode))?;
        let stat = stat_fd(fd.as_fd())?;
        let link = Link { parent: parent.clone(), name: Vec::new() };
        let node = self.nodes.reach(Self::key_of(&stat), place, FileKind::File, link);
        // It has no name to be reopened by; this descriptor is the way to it until the kernel forgets it.
        self.nodes.orphan(&node, fd.try_clone().map_err(|_| Errno::MFILE)?);
        let remember = crate::watcher::Remember::NOTHING;
        let found = Found { node: node.id, attr: self.attr(&stat), remember };
        Ok((found, self.keep_handle(&node, Some(fd), place)))
    }

    pub fn write(&self, handle: u64, offset: u64, bytes: &[u8], kill_set_id: bool) -> Result<usize, Errno> {
        let handle = self.handle(handle)?;
        let Some(fd) = &handle.fd else { return Err(Errno::ROFS) };
        self.check_in_place(&handle, fd.as_fd())?;
        let mut done = 0;
        while done < bytes.len() {
            match rustix::io::pwrite(fd, &bytes[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        if kill_set_id {
            self.drop_set_id(fd.as_fd())?;
        }
        Ok(done)
    }

    /// An open file is written to as long as it stands where it may be changed.
    fn check_in_place(&self, handle: &Handle, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        if handle.place != Place::Host || self.changing(fd, Kind::File) == Changing::InPlace {
            return Ok(());
        }
        if let Ok(path) = self.host_path(fd) {
            self.report(Event::Refused { what: "write", path });
        }
        Err(Errno::ROFS)
    }

    /// The descriptor of a host object that is about to be changed, after whatever must be copied before.
    pub(super) fn changeable(&self, node: &Arc<Node>, object: Arc<OwnedFd>) -> Result<Arc<OwnedFd>, Errno> {
        match self.changing(object.as_fd(), Self::host_kind(node.kind)) {
            Changing::InPlace => return Ok(object),
            Changing::InACopy => self.copy_up(node, object.as_fd())?,
            Changing::SetApart => self.set_apart(node, object.as_fd())?,
            Changing::Never => return Err(Errno::ROFS),
        }
        self.object_fd(node)
    }

    /// The kernel of an ordinary user's server does this by itself; root's does not.
    fn drop_set_id(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        let mode = u32::from(stat_fd(fd)?.stx_mode);
        if mode & 0o6000 != 0 && mode & 0o170_000 == 0o100_000 {
            rustix::fs::chmod(HostRoot::magic_path(fd), Mode::from_raw_mode(mode & 0o1777))?;
        }
        Ok(())
    }

    pub fn allocate(&self, handle: u64, offset: u64, length: u64, mode: u32) -> Result<(), Errno> {
        let handle = self.handle(handle)?;
        let Some(fd) = &handle.fd else { return Err(Errno::ROFS) };
        self.check_in_place(&handle, fd.as_fd())?;
        let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
        rustix::fs::fallocate(fd, mode, offset, length)
    }

    pub fn setattr(&self, node: u64, handle: Option<u64>, change: &Change) -> Result<(super::Attr, bool), Errno> {
        let node = self.node(node)?;
        match node.place() {
            Place::Decoy => return Err(self.refuse_decoy("change", &node)),
            Place::Door | Place::GitMount => return Err(Errno::ROFS),
            Place::Host | Place::Private => {}
        }
        let open = handle.and_then(|id| self.handle(id).ok());
        if let Some((handle, open)) = open.as_ref().and_then(|handle| handle.fd.as_ref().map(|fd| (handle, fd))) {
            self.check_in_place(handle, open.as_fd())?;
        }
        let mut fd = self.object_fd(&node)?;
        if node.place() == Place::Host && node.id != crate::abi::ROOT_ID {
            fd = self.changeable(&node, fd)?;
        }
        // A handle from before a copy was made is not the copy's.
        let open = open.filter(|handle| handle.place == node.place()).and_then(|handle| handle.fd.clone());
        self.apply(&node, fd.as_fd(), open.as_deref(), change)?;
        let stat = stat_fd(fd.as_fd())?;
        Ok((self.attr(&stat), self.attr_lasts(&node, &stat)))
    }

    fn apply(
        &self,
        node: &Arc<Node>,
        fd: BorrowedFd<'_>,
        open: Option<&OwnedFd>,
        change: &Change,
    ) -> Result<(), Errno> {
        self.keep_owner(fd, change)?;
        if let Some(size) = change.size {
            match open {
                Some(open) => rustix::fs::ftruncate(open, size)?,
                None => rustix::fs::ftruncate(self.host.reopen(fd, OFlags::WRONLY | OFlags::NONBLOCK)?, size)?,
            }
            self.drop_set_id(fd)?;
        }
        if let Some(mode) = change.mode {
            if node.kind == FileKind::Symlink {
                return Err(Errno::OPNOTSUPP);
            }
            // The host's own set-id bits on a folder stay as they were.
            let kept = if node.kind == FileKind::Folder { u32::from(stat_fd(fd)?.stx_mode) & 0o6000 } else { 0 };
            let mode = Mode::from_raw_mode(safe_mode(mode).bits() | kept);
            rustix::fs::chmod(HostRoot::magic_path(fd), mode)?;
        }
        if change.atime.is_some() || change.mtime.is_some() {
            let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT as _ };
            let times = Timestamps {
                last_access: change.atime.unwrap_or(omit),
                last_modification: change.mtime.unwrap_or(omit),
            };
            rustix::fs::utimensat(fd, c"", &times, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }

    /// One user and one group exist in the box: a change of owner can only name them, and changes nothing.
    fn keep_owner(&self, fd: BorrowedFd<'_>, change: &Change) -> Result<(), Errno> {
        if change.uid.is_none() && change.gid.is_none() {
            return Ok(());
        }
        let stat = stat_fd(fd)?;
        let (uid, gid) = self.owners.present(stat.stx_uid, stat.stx_gid);
        let same = change.uid.is_none_or(|asked| asked == uid) && change.gid.is_none_or(|asked| asked == gid);
        if same { Ok(()) } else { Err(Errno::PERM) }
    }

    pub fn unlink(&self, parent: u64, name: &[u8]) -> Result<(), Errno> {
        let parent = self.node(parent)?;
        let folder = self.folder(&parent)?;
        match self.child(&folder, name)? {
            Child::Absent | Child::Passing => Err(Errno::NOENT),
            Child::Decoy { .. } => Err(self.refuse(&folder, name, "remove")),
            Child::Door { .. } => Err(Errno::ROFS),
            Child::GitMount => Err(Errno::ISDIR),
            Child::Private { dir, stat } => {
                self.before_removal(Self::key_of(&stat), dir.as_fd(), name)?;
                rustix::fs::unlinkat(&*dir, name, AtFlags::empty())?;
                self.after_private_removal(&folder, name);
                Ok(())
            }
            Child::Host { verdict: Verdict::Private, .. } => {
                let Folder::Host { id, .. } = &folder else { return Err(Errno::STALE) };
                self.store.remove(id, name);
                Ok(())
            }
            Child::Host { stat, .. } => {
                let Folder::Host { fd, .. } = &folder else { return Err(Errno::STALE) };
                self.before_removal(Self::key_of(&stat), fd.as_fd(), name)?;
                rustix::fs::unlinkat(&**fd, name, AtFlags::empty())
            }
        }
    }

    /// What the box removed stays away, also where the host has an original of that private name.
    pub(super) fn after_private_removal(&self, folder: &Folder, name: &[u8]) {
        let Folder::Host { fd, path, id } = folder else { return };
        let Ok(stat) = stat_child(fd.as_fd(), name) else { return };
        let Ok(path) = path.as_path().join(name) else { return };
        if self.verdict(&path, Self::host_kind(kind_of(&stat))) == Verdict::Private {
            self.store.remove(id, name);
        }
    }

    /// An object that is open keeps working after its last name went; its descriptor is taken before that.
    pub(super) fn before_removal(&self, key: Key, dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
        let Some(node) = self.nodes.known(&key) else { return Ok(()) };
        let fd = open_child(dir, name, crate::host::PATH_FLAGS, Mode::empty())?;
        let stat = stat_fd(fd.as_fd())?;
        if Key::Real(identity(&stat)) != key {
            return Ok(());
        }
        if stat.stx_nlink <= 1 || node.kind == FileKind::Folder {
            self.nodes.orphan(&node, fd);
        }
        Ok(())
    }

    pub fn rmdir(&self, parent: u64, name: &[u8]) -> Result<(), Errno> {
        let parent = self.node(parent)?;
        let folder = self.folder(&parent)?;
        match self.child(&folder, name)? {
            Child::Absent | Child::Passing => Err(Errno::NOENT),
            Child::Decoy { folder: true } => Err(self.refuse(&folder, name, "remove")),
            Child::Decoy { folder: false } => Err(Errno::NOTDIR),
            Child::Door { .. } => Err(Errno::ROFS),
            Child::GitMount => Err(Errno::BUSY),
            Child::Private { dir, stat } => {
                if self.stands_for_masked(&folder, name) {
                    return Err(self.refuse(&folder, name, "remove"));
                }
                rustix::fs::unlinkat(&*dir, name, AtFlags::REMOVEDIR)?;
                if let Some(node) = self.nodes.known(&Self::key_of(&stat)) {
                    *node.fd.lock().unwrap() = None;
                }
                self.after_private_removal(&folder, name);
                Ok(())
            }
            Child::Host { verdict: Verdict::Private, .. } => {
                let child = self.lookup(parent.id, name)?;
                let names = self.readdir_once(child.node)?;
                self.forget(child.node, 1);
                if names {
                    return Err(Errno::NOTEMPTY);
                }
                let Folder::Host { id, .. } = &folder else { return Err(Errno::STALE) };
                self.store.remove(id, name);
                Ok(())
            }
            Child::Host { stat, .. } => {
                let Folder::Host { fd, .. } = &folder else { return Err(Errno::STALE) };
                let id = identity(&stat);
                self.private_names_gone(&id)?;
                rustix::fs::unlinkat(&**fd, name, AtFlags::REMOVEDIR)?;
                self.store.forget_folder(&id);
                Ok(())
            }
        }
    }

    /// Whether a folder of the view has names.
    fn readdir_once(&self, node: u64) -> Result<bool, Errno> {
        let (handle, _) = self.opendir(node)?;
        let names = self.readdir(handle, 0, 3);
        self.release(handle);
        Ok(names?.len() > 2)
    }

    /// `ENOTEMPTY` while the box has private names in this folder of the host.
    pub(super) fn private_names_gone(&self, id: &crate::host::Identity) -> Result<(), Errno> {
        let Some(store) = self.store.folder(id) else { return Ok(()) };
        let mut any = false;
        super::read::for_each_name(store.as_fd(), |entry| {
            // A stand-in for a masked folder doesn't count: the host's own folder decides.
            any |= !self.store.is_decoy(id, &entry.name);
        })?;
        if any { Err(Errno::NOTEMPTY) } else { Ok(()) }
    }

    /// Whether a private folder stands for a masked one that the host still has.
    pub(super) fn stands_for_masked(&self, folder: &Folder, name: &[u8]) -> bool {
        let Folder::Host { fd, id, .. } = folder else { return false };
        self.store.is_decoy(id, name) && stat_child(fd.as_fd(), name).is_ok()
    }

    pub fn link(&self, node: u64, parent: u64, name: &[u8]) -> Result<Found, Errno> {
        let node = self.node(node)?;
        let parent = self.node(parent)?;
        let folder = self.folder(&parent)?;
        match node.place() {
            Place::Decoy => return Err(self.refuse_decoy("link", &node)),
            Place::Door | Place::GitMount => return Err(Errno::XDEV),
            Place::Host | Place::Private => {}
        }
        if node.kind == FileKind::Folder {
            return Err(Errno::PERM);
        }
        let object = self.object_fd(&node)?;
        let from = node.place();
        if from == Place::Host {
            if !self.still_shown(&node, object.as_fd()) {
                return Err(Errno::ROFS);
            }
            let path = self.host_path(object.as_fd());
            if path.is_ok_and(|path| self.verdict(&path, Self::host_kind(node.kind)) == Verdict::Private) {
                return Err(Errno::XDEV);
            }
        }
        let site = self.site(&folder, name, Self::host_kind(node.kind), node.kind == FileKind::Special)?;
        if site.place != from {
            return Err(Errno::XDEV);
        }
        let source = HostRoot::magic_path(object.as_fd());
        rustix::fs::linkat(rustix::fs::CWD, source, &*site.dir, name, AtFlags::SYMLINK_FOLLOW)?;
        let found = self.made(&parent, &folder, name, &site)?;
        Ok(found)
    }

    /// Makes the box's own copy of a host original under a private name and moves the node over to it.
    pub(super) fn copy_up(&self, node: &Arc<Node>, object: BorrowedFd<'_>) -> Result<(), Errno> {
        let link = node.link().ok_or(Errno::ROFS)?;
        let Folder::Host { fd, id, path } = self.folder(&link.parent)? else { return Err(Errno::STALE) };
        let stat = stat_fd(object)?;
        // It may have moved away from the name by which it is known here; there is nothing to copy to then.
        if stat_child(fd.as_fd(), &link.name).map(|stands| identity(&stands)) != Ok(identity(&stat)) {
            return Err(Errno::ROFS);
        }
        let dir = self.store.folder_or_make(&id)?;
        let mode = u32::from(stat.stx_mode);
        match node.kind {
            FileKind::File => {
                let from = self.host.reopen(object, OFlags::RDONLY | OFlags::NONBLOCK)?;
                self.copy_into(from.as_fd(), dir.as_fd(), &link.name, mode, node)?;
            }
            FileKind::Symlink => {
                let text = rustix::fs::readlinkat(object, c"", Vec::new())?;
                rustix::fs::symlinkat(text, &*dir, link.name.as_slice())?;
            }
            FileKind::Folder | FileKind::Special => return Err(Errno::ROFS),
        }
        if let Ok(path) = path.as_path().join(&link.name) {
            self.report(Event::Private { path });
        }
        self.nodes.rekey(node, Self::store_key(dir.as_fd(), &link.name)?, Place::Private);
        Ok(())
    }

    fn copy_into(
        &self,
        from: BorrowedFd<'_>,
        dir: BorrowedFd<'_>,
        name: &[u8],
        mode: u32,
        node: &Arc<Node>,
    ) -> Result<(), Errno> {
        let to = open_child(dir, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, safe_mode(mode & 0o777))?;
        let copied = copy_bytes(from, to.as_fd());
        // The same rule as for any read: the policy is asked after the bytes were taken.
        if copied.is_err() || !self.still_shown(node, from) {
            rustix::fs::unlinkat(dir, name, AtFlags::empty()).ok();
            return Err(copied.err().unwrap_or(Errno::ACCESS));
        }
        Ok(())
    }

    pub fn getxattr(&self, node: u64, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let node = self.node(node)?;
        let path = self.xattr_path(&node, name)?.ok_or(Errno::NODATA)?;
        let mut value = vec![0; 64 * 1024];
        let count = rustix::fs::getxattr(&path.1, name, &mut value)?;
        value.truncate(count);
        if node.place() == Place::Host && !self.still_shown(&node, path.0.as_fd()) {
            return Err(Errno::STALE);
        }
        Ok(value)
    }

    pub fn listxattr(&self, node: u64) -> Result<Vec<u8>, Errno> {
        let node = self.node(node)?;
        let Some((fd, path)) = self.xattr_path(&node, b"user.")? else { return Ok(Vec::new()) };
        let mut names = vec![0; 64 * 1024];
        let count = rustix::fs::listxattr(&path, &mut names)?;
        names.truncate(count);
        if node.place() == Place::Host && !self.still_shown(&node, fd.as_fd()) {
            return Err(Errno::STALE);
        }
        let mut shown = Vec::new();
        for name in names.split_inclusive(|&b| b == 0).filter(|name| name.starts_with(b"user.")) {
            shown.extend_from_slice(name);
        }
        Ok(shown)
    }

    pub fn setxattr(&self, node: u64, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        let node = self.node(node)?;
        self.setattr(node.id, None, &Change::default())?;
        let (_fd, path) = self.xattr_path(&node, name)?.ok_or(Errno::ROFS)?;
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        rustix::fs::setxattr(&path, name, value, flags)
    }

    pub fn removexattr(&self, node: u64, name: &[u8]) -> Result<(), Errno> {
        let node = self.node(node)?;
        self.setattr(node.id, None, &Change::default())?;
        let (_fd, path) = self.xattr_path(&node, name)?.ok_or(Errno::ROFS)?;
        rustix::fs::removexattr(&path, name)
    }

    /// Only `user.*` attributes exist in the box: the others carry capabilities, labels and ACLs of the host.
    fn xattr_path(&self, node: &Arc<Node>, name: &[u8]) -> Result<Option<(Arc<OwnedFd>, String)>, Errno> {
        if !name.starts_with(b"user.") {
            return Err(Errno::OPNOTSUPP);
        }
        match (node.place(), node.kind) {
            (Place::Host | Place::Private | Place::Door, FileKind::File | FileKind::Folder) => {
                let fd = self.object_fd(node)?;
                let path = HostRoot::magic_path(fd.as_fd());
                Ok(Some((fd, path)))
            }
            _ => Ok(None),
        }
    }
}

/// Copies a whole file: shared extents where the file system can, else the kernel copies, else we do.
pub(super) fn copy_bytes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let mut buffer = vec![0; 128 * 1024];
    let mut offset = 0;
    loop {
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(from, &mut buffer, offset))?;
        if count == 0 {
            return Ok(());
        }
        let mut done = 0;
        while done < count {
            done += rustix::io::retry_on_intr(|| rustix::io::pwrite(to, &buffer[done..count], offset + done as u64))?;
        }
        offset += count as u64;
    }
}
