//! Look-ups, attributes, open files and folders.

use super::resolve::{Child, Folder};
use super::{NOT_SHOWN, View};
use crate::host::{FileKind, PATH_FLAGS, identity, kind_of, open_child, stat_child, stat_fd};
use crate::nodes::{Key, Link, Node, Place};
use crate::settle;
use crate::watcher::Remember;
use pinfold_policy::{Kind, Verdict};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom, Statx};
use rustix::io::Errno;
use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The answer to a look-up of a name that is not there for the box yet, and may be soon: "no such name", not to be
/// remembered.
pub const PASSING: Errno = Errno::AGAIN;

/// Attributes as the box sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    pub ino: u64,
    pub size: u64,
    /// Of 512 bytes.
    pub blocks: u64,
    pub atime: (i64, u32),
    pub mtime: (i64, u32),
    pub ctime: (i64, u32),
    /// Type and permission bits.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u32,
    pub blksize: u32,
}

/// The answer to a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub node: u64,
    pub attr: Attr,
    pub remember: Remember,
}

/// An open file or folder.
#[derive(Debug)]
pub struct Handle {
    pub(super) node: Arc<Node>,
    /// `None` for what exists only in the view.
    pub(super) fd: Option<Arc<OwnedFd>>,
    pub(super) place: Place,
    listing: Mutex<Listing>,
}

/// The names of an open folder, from its rewind to its end.
#[derive(Debug, Default)]
struct Listing {
    names: Vec<Listed>,
    /// It was read to the end, which was here. The names are given back then: folders are left open for long.
    end: Option<usize>,
}

/// One name of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: Vec<u8>,
    pub ino: u64,
    pub kind: FileKind,
}

impl View {
    pub fn lookup(&self, parent: u64, name: &[u8]) -> Result<Found, Errno> {
        Self::checked_lookup(name)?;
        let parent = self.node(parent)?;
        let folder = self.folder(&parent)?;
        let child = self.child(&folder, name)?;
        self.found(&parent, &folder, name, child)
    }

    /// Whether the answer "there is no such name" may be remembered.
    pub fn absence_lasts(&self, parent: u64) -> bool {
        self.node(parent).is_ok_and(|parent| self.names_last(&parent))
    }

    /// Whether names in this folder stay what they are until we are told.
    fn names_last(&self, folder: &Arc<Node>) -> bool {
        match folder.place() {
            Place::Host => folder.marked.load(Ordering::Acquire),
            Place::Private | Place::GitMount => true,
            Place::Decoy | Place::Door => false,
        }
    }

    /// `.` and `..` may be looked up by the kernel for exports only; we have none.
    fn checked_lookup(name: &[u8]) -> Result<(), Errno> {
        Self::checked(name).map_err(|e| if e == Errno::INVAL { Errno::NOENT } else { e })
    }

    pub(super) fn node(&self, id: u64) -> Result<Arc<Node>, Errno> {
        self.nodes.get(id).ok_or(Errno::STALE)
    }

    pub(super) fn found(&self, parent: &Arc<Node>, folder: &Folder, name: &[u8], child: Child) -> Result<Found, Errno> {
        let link = Link { parent: parent.clone(), name: name.to_vec() };
        let place = Self::child_place(&child);
        let named = Remember { name: self.names_last(parent), attributes: true };
        match child {
            Child::Absent => Err(Errno::NOENT),
            Child::Passing => Err(PASSING),
            Child::Host { stat, .. } => {
                let node = self.nodes.reach(Self::key_of(&stat), place, kind_of(&stat), link);
                let attributes = self.attributes_last(&node, parent, &stat);
                // A folder is marked before its attributes are taken for good, so they are taken once more.
                let stat = if attributes && node.kind == FileKind::Folder { self.fresh(&node, stat) } else { stat };
                // With a second name somewhere, a name's verdict hangs on more than this folder.
                let name = named.name && (node.kind == FileKind::Folder || stat.stx_nlink == 1);
                let remember = Remember { name, attributes };
                Ok(Found { node: node.id, attr: self.host_attr(&stat), remember })
            }
            Child::Door { stat } => {
                let node = self.nodes.reach(Self::key_of(&stat), place, kind_of(&stat), link);
                Ok(Found { node: node.id, attr: self.attr(&stat), remember: Remember::NOTHING })
            }
            Child::Private { stat, .. } => {
                let node = self.nodes.reach(Self::key_of(&stat), place, kind_of(&stat), link);
                Ok(Found { node: node.id, attr: self.attr(&stat), remember: named })
            }
            Child::Decoy { folder: true } => {
                let Folder::Host { id, .. } = folder else { return Err(Errno::NOENT) };
                let dir = self.store.make_decoy(id, name)?;
                let stat = stat_child(dir.as_fd(), name)?;
                let node = self.nodes.reach(Self::key_of(&stat), Place::Private, FileKind::Folder, link);
                Ok(Found { node: node.id, attr: self.attr(&stat), remember: named })
            }
            Child::Decoy { folder: false } => {
                let Folder::Host { id, .. } = folder else { return Err(Errno::NOENT) };
                let key = Key::Decoy { folder: *id, name: name.to_vec() };
                let node = self.nodes.reach(key, place, FileKind::File, link);
                // It may be a decoy for the sake of another name of its inode, which is watched elsewhere.
                let remember = Remember { name: false, attributes: true };
                Ok(Found { node: node.id, attr: self.decoy_attr(&node), remember })
            }
            Child::GitMount => {
                let node = self.nodes.reach(Key::GitMount, place, FileKind::Folder, link);
                Ok(Found { node: node.id, attr: self.git_mount_attr(), remember: Remember::ALL })
            }
        }
    }

    /// Whether a host object's attributes stay what they are until we are told: of a folder, when it is marked itself; of
    /// a file, when the folder of its only name is.
    fn attributes_last(&self, node: &Arc<Node>, parent: &Arc<Node>, stat: &Statx) -> bool {
        if !parent.marked.load(Ordering::Acquire) {
            return false;
        }
        match node.kind {
            FileKind::Folder => self.object_fd(node).is_ok_and(|fd| self.watcher.mark(node, fd.as_fd())),
            FileKind::File | FileKind::Symlink | FileKind::Special => stat.stx_nlink == 1,
        }
    }

    fn fresh(&self, node: &Arc<Node>, stat: Statx) -> Statx {
        self.object_fd(node).and_then(|fd| stat_fd(fd.as_fd())).unwrap_or(stat)
    }

    /// Whether attributes got by [`View::getattr`] may be remembered.
    pub(super) fn attr_lasts(&self, node: &Arc<Node>, stat: &Statx) -> bool {
        match node.place() {
            Place::Private => true,
            Place::Host => {
                let Some(link) = node.link() else { return node.marked.load(Ordering::Acquire) };
                self.attributes_last(node, &link.parent, stat)
            }
            Place::Door | Place::Decoy | Place::GitMount => false,
        }
    }

    /// Attributes, and whether they may be remembered.
    pub fn getattr(&self, node: u64, handle: Option<u64>) -> Result<(Attr, bool), Errno> {
        let node = self.node(node)?;
        match node.place() {
            Place::Decoy => return Ok((self.decoy_attr(&node), true)),
            Place::GitMount => return Ok((self.git_mount_attr(), true)),
            Place::Host | Place::Private | Place::Door => {}
        }
        let open = handle.and_then(|id| self.handle(id).ok()).and_then(|handle| handle.fd.clone());
        let fd = match open {
            Some(fd) => fd,
            None => self.object_fd(&node)?,
        };
        let mut stat = stat_fd(fd.as_fd())?;
        let lasts = self.attr_lasts(&node, &stat);
        if lasts && node.kind == FileKind::Folder {
            // It may have been marked only now.
            stat = stat_fd(fd.as_fd())?;
        }
        if node.place() == Place::Host && !self.still_shown(&node, fd.as_fd()) {
            return Err(Errno::STALE);
        }
        Ok((if node.place() == Place::Host { self.host_attr(&stat) } else { self.attr(&stat) }, lasts))
    }

    /// Whether a host object reached before is still one that the box may see.
    pub(super) fn still_shown(&self, node: &Arc<Node>, fd: BorrowedFd<'_>) -> bool {
        node.id == crate::abi::ROOT_ID || self.may_read(fd, Self::host_kind(node.kind))
    }

    pub fn readlink(&self, node: u64) -> Result<Vec<u8>, Errno> {
        let node = self.node(node)?;
        let fd = self.object_fd(&node)?;
        let text = rustix::fs::readlinkat(&*fd, c"", Vec::new())?.into_bytes();
        if node.place() == Place::Host && !self.still_shown(&node, fd.as_fd()) {
            return Err(Errno::STALE);
        }
        Ok(text)
    }

    /// Opens a file. Only the access mode and `O_APPEND` of `flags` count: creation and truncation are calls of their own.
    pub fn open(&self, node: u64, flags: OFlags) -> Result<u64, Errno> {
        let node = self.node(node)?;
        if node.kind != FileKind::File {
            return Err(if node.kind == FileKind::Folder { Errno::ISDIR } else { Errno::NXIO });
        }
        let writes = flags.intersects(OFlags::WRONLY | OFlags::RDWR);
        let kept = flags & (OFlags::WRONLY | OFlags::RDWR | OFlags::APPEND | OFlags::SYNC | OFlags::DSYNC);
        match node.place() {
            Place::Decoy if writes => Err(self.refuse_decoy("write", &node)),
            Place::Decoy => Ok(self.keep_handle(&node, None, Place::Decoy)),
            Place::GitMount => Err(Errno::ISDIR),
            Place::Door if writes => Err(Errno::ROFS),
            Place::Door | Place::Private => {
                let fd = self.host.reopen(self.object_fd(&node)?.as_fd(), kept)?;
                Ok(self.keep_handle(&node, Some(fd), node.place()))
            }
            Place::Host => self.open_host(&node, kept, writes),
        }
    }

    fn open_host(&self, node: &Arc<Node>, flags: OFlags, writes: bool) -> Result<u64, Errno> {
        let object = self.object_fd(node)?;
        let path = self.host_path(object.as_fd())?;
        if self.verdict(&path, Kind::File) == Verdict::Mask {
            return Err(Errno::STALE);
        }
        let object = if writes { self.changeable(node, object)? } else { object };
        // The object was compared when it was reached by name, so it is a regular file and this can't block on a FIFO.
        let fd = self.host.reopen(object.as_fd(), flags | OFlags::NONBLOCK)?;
        if node.place() == Place::Private {
            return Ok(self.keep_handle(node, Some(fd), Place::Private));
        }
        if !self.still_shown(node, fd.as_fd()) {
            return Err(Errno::STALE);
        }
        Ok(self.keep_handle(node, Some(fd), Place::Host))
    }

    pub(super) fn keep_handle(&self, node: &Arc<Node>, fd: Option<OwnedFd>, place: Place) -> u64 {
        let fd = fd.map(Arc::new);
        if let Some(fd) = &fd {
            node.remember_handle(fd);
        }
        let id = self.next_handle.fetch_add(1, Ordering::Relaxed);
        let handle = Handle { node: node.clone(), fd, place, listing: Mutex::default() };
        self.handles.write().unwrap().insert(id, Arc::new(handle));
        id
    }

    pub(super) fn handle(&self, id: u64) -> Result<Arc<Handle>, Errno> {
        self.handles.read().unwrap().get(&id).cloned().ok_or(Errno::BADF)
    }

    pub fn release(&self, handle: u64) {
        let closed = self.handles.write().unwrap().remove(&handle);
        drop(closed);
    }

    /// Reads up to `buffer.len()` bytes at `offset`. The policy is asked after the bytes were taken, and they are dropped
    /// when the file stands under a masked name by then.
    pub fn read(&self, handle: u64, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let handle = self.handle(handle)?;
        let Some(fd) = &handle.fd else { return Ok(0) };
        let mut done = 0;
        while done < buffer.len() {
            match rustix::io::pread(fd, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(e) if done == 0 => return Err(e),
                Err(_) => break,
            }
        }
        if handle.place == Place::Host && !self.still_shown(&handle.node, fd.as_fd()) {
            buffer[..done].fill(0);
            return Err(Errno::ACCESS);
        }
        Ok(done)
    }

    pub fn seek(&self, handle: u64, to: SeekFrom) -> Result<u64, Errno> {
        let handle = self.handle(handle)?;
        let Some(fd) = &handle.fd else { return Err(Errno::NXIO) };
        let at = rustix::fs::seek(fd, to)?;
        if handle.place == Place::Host && !self.still_shown(&handle.node, fd.as_fd()) {
            return Err(Errno::ACCESS);
        }
        Ok(at)
    }

    /// Opens a folder. Also says whether its list of names may be remembered.
    pub fn opendir(&self, node: u64) -> Result<(u64, bool), Errno> {
        let node = self.node(node)?;
        if node.kind != FileKind::Folder {
            return Err(Errno::NOTDIR);
        }
        let place = node.place();
        // Opening marks the folder, before its names are read.
        if place == Place::Host {
            self.folder(&node)?;
        }
        let lasts = self.names_last(&node);
        Ok((self.keep_handle(&node, None, place), lasts))
    }

    /// Names with what they stand for, as look-ups would have answered. A name that is gone by then has no answer.
    pub fn readdir_plus(&self, handle: u64, start: usize, max: usize) -> Result<Vec<(Listed, Option<Found>)>, Errno> {
        let names = self.readdir(handle, start, max)?;
        let node = self.handle(handle)?.node.clone();
        if node.place() == Place::GitMount {
            return Ok(names.into_iter().map(|name| (name, None)).collect());
        }
        let folder = self.folder(&node)?;
        let found = |name: &[u8]| {
            // A repository is made ready when somebody looks into it, not when its folder is listed.
            if name == b"." || name == b".." || name.to_ascii_lowercase().ends_with(b".git") {
                return None;
            }
            let child = self.child(&folder, name).ok()?;
            self.found(&node, &folder, name, child).ok()
        };
        Ok(names.into_iter().map(|name| (name.clone(), found(&name.name))).collect())
    }

    /// At most `max` names of an open folder from the `start`-th on. The list is taken at `start` 0 and kept until it was
    /// read to its end.
    pub fn readdir(&self, handle: u64, start: usize, max: usize) -> Result<Vec<Listed>, Errno> {
        let handle = self.handle(handle)?;
        let mut listing = handle.listing.lock().unwrap();
        if start > 0 && listing.end.is_some_and(|end| start >= end) {
            return Ok(Vec::new());
        }
        if start == 0 || listing.names.is_empty() {
            *listing = Listing { names: self.list(&handle.node)?, end: None };
        }
        let names: Vec<_> = listing.names.iter().skip(start).take(max).cloned().collect();
        if names.is_empty() {
            *listing = Listing { names: Vec::new(), end: Some(start) };
        }
        Ok(names)
    }

    fn list(&self, node: &Arc<Node>) -> Result<Vec<Listed>, Errno> {
        let parent = node.link().map_or_else(|| node.clone(), |link| link.parent);
        let mut names = vec![self.dots(node, b"."), self.dots(&parent, b"..")];
        if node.place() == Place::GitMount {
            return Ok(names);
        }
        match self.folder(node)? {
            Folder::Private { fd, .. } => for_each_name(fd.as_fd(), |entry| names.push(entry))?,
            Folder::Door { fd } => {
                for_each_name(fd.as_fd(), |entry| names.push(entry))?;
                names.retain(|entry| entry.name != NOT_SHOWN);
            }
            Folder::Host { fd, path, id } => self.list_host(&fd, &path, &id, &mut names)?,
        }
        Ok(names)
    }

    fn dots(&self, node: &Arc<Node>, name: &[u8]) -> Listed {
        let ino = match node.key() {
            Key::Real(id) => id.ino,
            Key::Decoy { .. } | Key::GitMount => synthetic_ino(node),
        };
        Listed { name: name.to_vec(), ino, kind: FileKind::Folder }
    }

    fn list_host(
        &self,
        fd: &Arc<OwnedFd>,
        path: &pinfold_policy::RelPathBuf,
        id: &crate::host::Identity,
        names: &mut Vec<Listed>,
    ) -> Result<(), Errno> {
        let mut mine = HashSet::new();
        if self.git_mount && path.as_path().is_root() {
            names.push(Listed { name: b".git".to_vec(), ino: GIT_MOUNT_INO, kind: FileKind::Folder });
            mine.insert(b".git".to_vec());
        }
        if let Some(store) = self.store.folder(id) {
            for_each_name(store.as_fd(), |entry| {
                if mine.insert(entry.name.clone()) && !self.is_empty_stand_in(&store, id, &entry) {
                    names.push(entry);
                }
            })?;
        }
        let mut passing = false;
        for_each_name(fd.as_fd(), |entry| {
            if entry.kind == FileKind::Special || mine.contains(&entry.name) || !self.is_listed(path, id, &entry) {
                return;
            }
            if entry.kind == FileKind::File && self.is_passing_entry(fd, path, &entry) {
                passing = true;
            } else if !self.is_masked_entry(fd, &entry) {
                names.push(entry);
            }
        })?;
        if passing {
            self.look_again(id);
        }
        // Names are no secret's bytes, yet a folder that became masked meanwhile has none in the box.
        let now = self.host_path(fd.as_fd())?;
        if !now.as_path().is_root() && self.verdict(&now, Kind::Folder) == Verdict::Mask {
            return Err(Errno::STALE);
        }
        Ok(())
    }

    fn is_passing_entry(&self, fd: &Arc<OwnedFd>, path: &pinfold_policy::RelPathBuf, entry: &Listed) -> bool {
        settle::looks_temporary(&entry.name)
            && stat_child(fd.as_fd(), &entry.name)
                .is_ok_and(|stat| self.is_passing(fd.as_fd(), path, &entry.name, &stat))
    }

    /// A harmless name of a masked inode is a decoy as any other.
    fn is_masked_entry(&self, fd: &Arc<OwnedFd>, entry: &Listed) -> bool {
        entry.kind == FileKind::File
            && stat_child(fd.as_fd(), &entry.name).is_ok_and(|stat| stat.stx_nlink > 1 && self.is_masked_alias(&stat))
    }

    /// A list without a passing name must not be remembered for longer than that name may pass.
    fn look_again(&self, folder: &crate::host::Identity) {
        if let Some(node) = self.nodes.known(&Key::Real(*folder)) {
            self.relist.lock().unwrap().push((Instant::now() + settle::SETTLED, node.id));
            self.watcher.wake();
        }
    }

    /// Decoys are opened by name and not listed: what git, tar or a glob never hears of, they can't commit or remove.
    fn is_listed(&self, folder: &pinfold_policy::RelPathBuf, id: &crate::host::Identity, entry: &Listed) -> bool {
        let Ok(path) = folder.as_path().join(&entry.name) else { return false };
        match self.verdict(&path, Self::host_kind(entry.kind)) {
            Verdict::Mask => false,
            Verdict::Private => !self.store.is_removed(id, &entry.name),
            Verdict::Share | Verdict::Watch => true,
        }
    }

    fn is_empty_stand_in(&self, store: &Arc<OwnedFd>, id: &crate::host::Identity, entry: &Listed) -> bool {
        if entry.kind != FileKind::Folder || !self.store.is_decoy(id, &entry.name) {
            return false;
        }
        let Ok(fd) = open_child(store.as_fd(), &entry.name, PATH_FLAGS, Mode::empty()) else { return false };
        let mut empty = true;
        for_each_name(fd.as_fd(), |_| empty = false).is_ok() && empty
    }

    pub fn statfs(&self) -> Result<rustix::fs::StatVfs, Errno> {
        rustix::fs::fstatvfs(self.host.fd())
    }

    pub fn fsync(&self, handle: u64, data_only: bool) -> Result<(), Errno> {
        let handle = self.handle(handle)?;
        match &handle.fd {
            Some(fd) if data_only => rustix::fs::fdatasync(fd),
            Some(fd) => rustix::fs::fsync(fd),
            None => Ok(()),
        }
    }

    pub fn fsync_folder(&self, node: u64) -> Result<(), Errno> {
        let node = self.node(node)?;
        if node.place() == Place::GitMount {
            return Ok(());
        }
        let fd = self.object_fd(&node)?;
        rustix::fs::fsync(self.host.reopen(fd.as_fd(), OFlags::RDONLY | OFlags::DIRECTORY)?)
    }

    /// Attributes of a host object. A folder in which the box made or removed private names is as new as these are,
    /// though the host's folder itself has not changed.
    pub(super) fn host_attr(&self, stat: &Statx) -> Attr {
        let mut attr = self.attr(stat);
        if kind_of(stat) == FileKind::Folder
            && let Some(store) = self.store.folder(&identity(stat))
            && let Ok(private) = stat_fd(store.as_fd())
        {
            let private = self.attr(&private);
            attr.mtime = attr.mtime.max(private.mtime);
            attr.ctime = attr.ctime.max(private.ctime);
        }
        attr
    }

    pub(super) fn attr(&self, stat: &Statx) -> Attr {
        let (uid, gid) = self.owners.present(stat.stx_uid, stat.stx_gid);
        let time = |t: &rustix::fs::StatxTimestamp| (t.tv_sec, t.tv_nsec);
        Attr {
            ino: stat.stx_ino,
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            atime: time(&stat.stx_atime),
            mtime: time(&stat.stx_mtime),
            ctime: time(&stat.stx_ctime),
            mode: stat.stx_mode.into(),
            nlink: stat.stx_nlink,
            uid,
            gid,
            rdev: 0,
            blksize: stat.stx_blksize,
        }
    }

    /// An empty regular file. It is shown as writable, so that a write reaches us and fails as "Read-only file system"
    /// rather than as a permission that the box would try to change.
    pub(super) fn decoy_attr(&self, node: &Arc<Node>) -> Attr {
        self.view_attr(synthetic_ino(node), 0o100_644, 1)
    }

    fn git_mount_attr(&self) -> Attr {
        self.view_attr(GIT_MOUNT_INO, 0o040_755, 2)
    }

    fn view_attr(&self, ino: u64, mode: u32, nlink: u32) -> Attr {
        Attr {
            ino,
            size: 0,
            blocks: 0,
            atime: self.started,
            mtime: self.started,
            ctime: self.started,
            mode,
            nlink,
            uid: self.owners.uid_inside,
            gid: self.owners.gid_inside,
            rdev: 0,
            blksize: 4096,
        }
    }

    /// A store object's key from its folder and name.
    pub(super) fn store_key(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Key, Errno> {
        Ok(Key::Real(identity(&stat_child(dir, name)?)))
    }
}

const GIT_MOUNT_INO: u64 = 1 << 62;

/// Numbers for what has none: above every inode number that a file system gives out in practice.
fn synthetic_ino(node: &Arc<Node>) -> u64 {
    1 << 62 | node.id
}

/// Calls `each` for every name of a folder but `.` and `..`.
pub(crate) fn for_each_name(dir: BorrowedFd<'_>, mut each: impl FnMut(Listed)) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = rustix::fs::openat(dir, c".", flags, Mode::empty())?;
    let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
    let mut entries = RawDir::new(&open, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let kind = match entry.file_type() {
            rustix::fs::FileType::RegularFile => FileKind::File,
            rustix::fs::FileType::Directory => FileKind::Folder,
            rustix::fs::FileType::Symlink => FileKind::Symlink,
            // Some file systems don't say; ask the object.
            rustix::fs::FileType::Unknown => match stat_child(open.as_fd(), name) {
                Ok(stat) => kind_of(&stat),
                Err(_) => continue,
            },
            _ => FileKind::Special,
        };
        each(Listed { name: name.to_vec(), ino: entry.ino(), kind });
    }
    Ok(())
}
