//! From a folder and a name to what is there now.
//!
//! Every answer starts from where the folder stands at this moment (the kernel's own name for its descriptor), so a folder
//! that the host moved under a masked name is masked with the very next call.

use super::{DOOR_PREFIX, Event, NOT_SHOWN, View};
use crate::host::{
    self, FileKind, Identity, PATH_FLAGS, Whereabouts, identity, kind_of, open_child, stat_child, stat_fd,
};
use crate::nodes::{Key, Link, Node, Place};
use crate::settle;
use pinfold_policy::{Kind, RelPath, RelPathBuf, Verdict};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, Statx};
use rustix::io::Errno;
use std::sync::Arc;

/// A folder, ready for calls on its names.
#[derive(Debug)]
pub(super) enum Folder {
    Host { fd: Arc<OwnedFd>, path: RelPathBuf, id: Identity },
    Private { fd: Arc<OwnedFd>, id: Identity },
    Door { fd: Arc<OwnedFd> },
}

/// What a name in a folder stands for.
#[derive(Debug)]
pub(super) enum Child {
    Absent,
    /// The host's object, under a verdict that shows it.
    Host {
        stat: Statx,
        verdict: Verdict,
    },
    /// In the private store, below this folder of it.
    Private {
        dir: Arc<OwnedFd>,
        stat: Statx,
    },
    /// A masked name that exists on the host.
    Decoy {
        folder: bool,
    },
    /// A file of the host under a temporary name, beside masked ones: not there for the box, for a moment.
    Passing,
    Door {
        stat: Statx,
    },
    GitMount,
}

/// Folders deeper than this are not reopened by name, nor looked through.
pub(super) const MAX_DEPTH: usize = 1024;

impl View {
    /// Opens the folder behind a node for calls on its names. `ESTALE` when the host masked, moved or removed it.
    pub(super) fn folder(&self, node: &Arc<Node>) -> Result<Folder, Errno> {
        if node.kind != FileKind::Folder {
            return Err(Errno::NOTDIR);
        }
        let fd = self.object_fd(node)?;
        match node.place() {
            Place::Host => {
                let path = self.host_path(fd.as_fd())?;
                if !path.as_path().is_root() && self.verdict(&path, Kind::Folder) == Verdict::Mask {
                    return Err(Errno::STALE);
                }
                let Key::Real(id) = node.key() else { return Err(Errno::STALE) };
                // Before anything in it is looked at: what changes from here on, we hear of.
                self.watcher.mark(node, fd.as_fd());
                Ok(Folder::Host { fd, path, id })
            }
            Place::Private => match node.key() {
                Key::Real(id) => Ok(Folder::Private { fd, id }),
                _ => Err(Errno::STALE),
            },
            Place::Door => Ok(Folder::Door { fd }),
            Place::Decoy | Place::GitMount => Err(Errno::STALE),
        }
    }

    pub(super) fn verdict(&self, path: &RelPathBuf, kind: Kind) -> Verdict {
        self.policy.decide(path.as_path(), kind).verdict
    }

    /// The workspace path where an open object stands now, as long as it is in the tree.
    pub(super) fn host_path(&self, fd: BorrowedFd<'_>) -> Result<RelPathBuf, Errno> {
        match self.host.whereabouts(fd) {
            Whereabouts::Inside { path, .. } => Ok(path),
            Whereabouts::Outside => Err(Errno::STALE),
        }
    }

    /// An `O_PATH` descriptor of a node's object: kept, reopened by its name and compared, or taken from an open file.
    pub(super) fn object_fd(&self, node: &Arc<Node>) -> Result<Arc<OwnedFd>, Errno> {
        self.object_fd_at(node, 0)
    }

    fn object_fd_at(&self, node: &Arc<Node>, depth: usize) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(fd) = node.fd.lock().unwrap().clone() {
            return Ok(fd);
        }
        if depth > MAX_DEPTH {
            return Err(Errno::LOOP);
        }
        match self.reopen_by_name(node, depth) {
            Ok(fd) => {
                let fd = Arc::new(fd);
                if node.kind == FileKind::Folder {
                    self.nodes.keep_fd(node, fd.clone());
                }
                Ok(fd)
            }
            Err(e) => node.any_handle().ok_or(e),
        }
    }

    fn reopen_by_name(&self, node: &Arc<Node>, depth: usize) -> Result<OwnedFd, Errno> {
        let links = node.links();
        if links.is_empty() {
            return rustix::fs::openat(self.host.fd(), c".", PATH_FLAGS, Mode::empty());
        }
        let mut error = Errno::STALE;
        for link in links.into_iter().rev() {
            match self.reopen_as(node, &link, depth) {
                Ok(fd) => {
                    self.nodes.relink(node, link);
                    return Ok(fd);
                }
                Err(e) => {
                    node.drop_link(&link);
                    error = e;
                }
            }
        }
        // A name that is gone is a stale node: the kernel then looks the name up again.
        Err(if error == Errno::NOENT { Errno::STALE } else { error })
    }

    fn reopen_as(&self, node: &Arc<Node>, link: &Link, depth: usize) -> Result<OwnedFd, Errno> {
        let place = node.place();
        let parent_place = link.parent.place();
        let fd = match (place, parent_place) {
            (Place::Private, Place::Host) if self.canary.as_ref().is_some_and(|canary| canary.0 == link.name) => {
                let dir = &self.canary.as_ref().expect("just seen").1;
                open_child(dir.as_fd(), &link.name, PATH_FLAGS, Mode::empty())?
            }
            (Place::Private, Place::Host) => {
                let Key::Real(parent) = link.parent.key() else { return Err(Errno::STALE) };
                let folder = self.store.folder(&parent).ok_or(Errno::STALE)?;
                open_child(folder.as_fd(), &link.name, PATH_FLAGS, Mode::empty())?
            }
            (Place::Door, Place::Private) => {
                let Key::Real(parent) = link.parent.key() else { return Err(Errno::STALE) };
                let door = self.door_of(&parent, &link.name).ok_or(Errno::STALE)?;
                rustix::fs::openat(&*door, c".", PATH_FLAGS, Mode::empty())?
            }
            (Place::Host | Place::Private | Place::Door, _) => {
                let parent = self.object_fd_at(&link.parent, depth + 1)?;
                open_child(parent.as_fd(), &link.name, PATH_FLAGS, Mode::empty())?
            }
            (Place::Decoy | Place::GitMount, _) => return Err(Errno::STALE),
        };
        match node.key() {
            Key::Real(expected) if identity(&stat_fd(fd.as_fd())?) == expected => Ok(fd),
            _ => Err(Errno::STALE),
        }
    }

    /// What `name` stands for in this folder, now.
    pub(super) fn child(&self, folder: &Folder, name: &[u8]) -> Result<Child, Errno> {
        match folder {
            Folder::Private { fd, id } => {
                if let Some(door) = self.door_of(id, name) {
                    return Ok(Child::Door { stat: stat_fd(door.as_fd())? });
                }
                match stat_child(fd.as_fd(), name) {
                    Ok(stat) => Ok(Child::Private { dir: fd.clone(), stat }),
                    Err(Errno::NOENT) => Ok(Child::Absent),
                    Err(e) => Err(e),
                }
            }
            Folder::Door { .. } if name == NOT_SHOWN => Ok(Child::Absent),
            Folder::Door { fd } => match stat_child(fd.as_fd(), name) {
                Ok(stat) if kind_of(&stat) == FileKind::Special => Ok(Child::Absent),
                Ok(stat) => Ok(Child::Door { stat }),
                Err(Errno::NOENT) => Ok(Child::Absent),
                Err(e) => Err(e),
            },
            Folder::Host { fd, path, id } => self.host_child(fd, path, id, name),
        }
    }

    fn host_child(&self, fd: &Arc<OwnedFd>, path: &RelPathBuf, id: &Identity, name: &[u8]) -> Result<Child, Errno> {
        if self.git_mount && path.as_path().is_root() && name == b".git" {
            return Ok(Child::GitMount);
        }
        if let Some((canary, dir)) = &self.canary
            && path.as_path().is_root()
            && name == canary
        {
            return self.canary_child(path, name, dir);
        }
        if let Some(private) = self.private_child(fd, id, name)? {
            return Ok(private);
        }
        let stat = match stat_child(fd.as_fd(), name) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(Child::Absent),
            Err(e) => return Err(e),
        };
        let kind = match kind_of(&stat) {
            FileKind::Special => return Ok(Child::Absent),
            FileKind::File => Kind::File,
            FileKind::Folder => Kind::Folder,
            FileKind::Symlink => Kind::Symlink,
        };
        let at = path.as_path().join(name).map_err(|_| Errno::INVAL)?;
        match self.verdict(&at, kind) {
            Verdict::Mask => Ok(Child::Decoy { folder: kind == Kind::Folder }),
            Verdict::Private => self.private_original(fd, &at, id, name, stat),
            verdict => {
                if kind == Kind::File && stat.stx_nlink > 1 && self.is_masked_alias(&stat) {
                    return Ok(Child::Decoy { folder: false });
                }
                if self.is_passing(fd.as_fd(), path, name, &stat) {
                    return Ok(Child::Passing);
                }
                Ok(Child::Host { stat, verdict })
            }
        }
    }

    /// See [`crate::settle`].
    pub(super) fn is_passing(&self, folder: BorrowedFd<'_>, path: &RelPathBuf, name: &[u8], stat: &Statx) -> bool {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        settle::may_be_passing(name, stat, (now.tv_sec, now.tv_nsec as u32))
            && self.nodes.known(&Self::key_of(stat)).is_none()
            && self.holds_masked_names(folder, path)
    }

    /// Whether a name directly in this folder of the host is masked. What can't be listed may hold one.
    fn holds_masked_names(&self, folder: BorrowedFd<'_>, path: &RelPathBuf) -> bool {
        let mut masked = false;
        let listed = super::for_each_name(folder, |entry| {
            masked = masked
                || path
                    .as_path()
                    .join(&entry.name)
                    .is_ok_and(|at| self.verdict(&at, Self::host_kind(entry.kind)) == Verdict::Mask);
        });
        masked || listed.is_err()
    }

    /// The planted secret goes the way of a host's: if the policy does not mask it, the probe reads its bytes.
    fn canary_child(&self, path: &RelPathBuf, name: &[u8], dir: &Arc<OwnedFd>) -> Result<Child, Errno> {
        let at = path.as_path().join(name).map_err(|_| Errno::INVAL)?;
        if self.verdict(&at, Kind::File) == Verdict::Mask {
            return Ok(Child::Decoy { folder: false });
        }
        Ok(Child::Private { dir: dir.clone(), stat: stat_child(dir.as_fd(), name)? })
    }

    fn private_child(&self, fd: &Arc<OwnedFd>, id: &Identity, name: &[u8]) -> Result<Option<Child>, Errno> {
        let Some(folder) = self.store.folder(id) else { return Ok(None) };
        match stat_child(folder.as_fd(), name) {
            Ok(stat) => {
                // An empty stand-in for a masked folder lasts only as long as that folder.
                let stands_in = kind_of(&stat) == FileKind::Folder && self.store.is_decoy(id, name);
                if stands_in && stat_child(fd.as_fd(), name).is_err() && self.store.drop_decoy(id, name) {
                    return Ok(None);
                }
                Ok(Some(Child::Private { dir: folder, stat }))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A private name that the host has too: the box gets a copy of its own, at the latest when it writes.
    fn private_original(
        &self,
        fd: &Arc<OwnedFd>,
        at: &RelPathBuf,
        id: &Identity,
        name: &[u8],
        stat: Statx,
    ) -> Result<Child, Errno> {
        if self.store.is_removed(id, name) {
            return Ok(Child::Absent);
        }
        let is_git = name.to_ascii_lowercase().ends_with(b".git");
        let inherited =
            at.as_path().parent().is_some_and(|p| !p.is_root() && self.verdict_of_folder(p) == Verdict::Private);
        if is_git
            && !inherited
            && kind_of(&stat) != FileKind::Symlink
            && let Some(dir) = self.admit_git(fd, at, id, name)?
        {
            let stat = stat_child(dir.as_fd(), name)?;
            return Ok(Child::Private { dir, stat });
        }
        // What merely looks like a repository is an original of the host, shown read-only until written.
        if kind_of(&stat) == FileKind::File && stat.stx_nlink > 1 && self.is_masked_alias(&stat) {
            return Ok(Child::Decoy { folder: false });
        }
        Ok(Child::Host { stat, verdict: Verdict::Private })
    }

    fn verdict_of_folder(&self, path: RelPath<'_>) -> Verdict {
        self.policy.decide(path, Kind::Folder).verdict
    }

    fn door_of(&self, git: &Identity, name: &[u8]) -> Option<Arc<OwnedFd>> {
        if !name.starts_with(DOOR_PREFIX) {
            return None;
        }
        self.doors.read().unwrap().get(&(*git, name.to_vec())).cloned()
    }

    /// Makes the private repository for a `.git` of the tree, once; one at a time, since each takes milliseconds.
    fn admit_git(
        &self,
        worktree: &Arc<OwnedFd>,
        at: &RelPathBuf,
        id: &Identity,
        name: &[u8],
    ) -> Result<Option<Arc<OwnedFd>>, Errno> {
        let mut admissions = self.admissions.lock().unwrap();
        let folder = self.store.folder_or_make(id)?;
        if stat_child(folder.as_fd(), name).is_ok() {
            return Ok(Some(folder));
        }
        if admissions.contains(&(*id, name.to_vec())) {
            return Err(Errno::ACCESS);
        }
        // Built under another name and renamed, so that nobody sees half a repository.
        let building = self.store.begin()?;
        let admitted = self.door.admit(worktree.as_fd(), at.as_path(), building.fd());
        match admitted {
            Ok(Some(admitted)) => {
                let git = identity(&stat_fd(building.fd())?);
                building.finish(&folder, name)?;
                let mut doors = self.doors.write().unwrap();
                doors.extend(admitted.doors.into_iter().map(|(name, fd)| ((git, name), Arc::new(fd))));
                Ok(Some(folder))
            }
            Ok(None) => Ok(None),
            Err(e) => {
                let text = format!("the private repository for {at} could not be made ({e}); the box can't use it");
                self.report(Event::Note { text });
                admissions.insert((*id, name.to_vec()));
                Err(Errno::ACCESS)
            }
        }
    }

    /// Opens a child of the private store or of the host for reading its attributes.
    pub(super) fn child_place(child: &Child) -> Place {
        match child {
            Child::Private { .. } => Place::Private,
            Child::Decoy { .. } => Place::Decoy,
            Child::Door { .. } => Place::Door,
            Child::GitMount => Place::GitMount,
            Child::Host { .. } | Child::Absent | Child::Passing => Place::Host,
        }
    }

    /// A name that the kernel may send and that no file system has.
    pub(super) fn checked(name: &[u8]) -> Result<(), Errno> {
        match name {
            b"" | b"." | b".." => Err(Errno::INVAL),
            _ if name.len() > 255 => Err(Errno::NAMETOOLONG),
            _ if name.contains(&b'/') || name.contains(&0) => Err(Errno::INVAL),
            _ => Ok(()),
        }
    }

    pub(super) fn host_kind(kind: FileKind) -> Kind {
        match kind {
            FileKind::Folder => Kind::Folder,
            FileKind::Symlink => Kind::Symlink,
            FileKind::File | FileKind::Special => Kind::File,
        }
    }

    pub(super) fn key_of(stat: &Statx) -> Key {
        Key::Real(host::identity(stat))
    }
}
