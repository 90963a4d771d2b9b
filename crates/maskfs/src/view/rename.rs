//! Renames, the one call that can carry bytes across the border between shared and private names.
//!
//! Within one side a rename is the kernel's. Across, a file is copied and its source removed, so that the usual
//! write-then-rename of editors works on private names; folders answer `EXDEV`, and `mv` copies them. A folder that holds
//! masked names answers `EXDEV` too: what is masked can't be moved, not even along with its folder.

use super::change::copy_bytes;
use super::read::for_each_name;
use super::resolve::MAX_DEPTH;
use super::resolve::{Child, Folder};
use super::{Event, View};
use crate::host::{FileKind, PATH_FLAGS, identity, kind_of, open_child};
use crate::nodes::{Link, Node, Place};
use pinfold_policy::{Kind, RelPathBuf, Verdict};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, Statx};
use rustix::io::Errno;
use std::sync::Arc;

/// One end of a rename.
struct End<'a> {
    parent: &'a Arc<Node>,
    folder: &'a Folder,
    name: &'a [u8],
}

/// What is moved, and where it lies now.
struct Source {
    dir: Arc<OwnedFd>,
    place: Place,
    stat: Statx,
    /// It is the host's, under a private name: the box moves a copy of its own, made when nothing can refuse any more.
    original: bool,
}

impl View {
    pub fn rename(&self, from: (u64, &[u8]), to: (u64, &[u8]), flags: RenameFlags) -> Result<(), Errno> {
        Self::checked(from.1)?;
        Self::checked(to.1)?;
        let (old_parent, new_parent) = (self.node(from.0)?, self.node(to.0)?);
        let (old_folder, new_folder) = (self.folder(&old_parent)?, self.folder(&new_parent)?);
        let old = End { parent: &old_parent, folder: &old_folder, name: from.1 };
        let new = End { parent: &new_parent, folder: &new_folder, name: to.1 };
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::INVAL);
        }
        let source = self.movable(&old)?;
        if flags.contains(RenameFlags::EXCHANGE) {
            return self.exchange(&old, &new, source);
        }
        let over = self.child(new.folder, new.name)?;
        self.check_over(&new, &over)?;
        if flags.contains(RenameFlags::NOREPLACE) && !matches!(over, Child::Absent) {
            return Err(Errno::EXIST);
        }
        self.carry(&old, &new, source, over)
    }

    /// Whether the source may move at all, and what it is.
    fn movable(&self, end: &End<'_>) -> Result<Source, Errno> {
        match self.child(end.folder, end.name)? {
            Child::Absent | Child::Passing => Err(Errno::NOENT),
            Child::Decoy { .. } => Err(self.refuse(end.folder, end.name, "rename")),
            Child::GitMount => Err(Errno::BUSY),
            Child::Door { .. } => Err(Errno::ROFS),
            Child::Private { .. } if self.stands_for_masked(end.folder, end.name) => {
                Err(self.refuse(end.folder, end.name, "rename"))
            }
            Child::Private { dir, stat } => Ok(Source { dir, place: Place::Private, stat, original: false }),
            Child::Host { stat, verdict: Verdict::Private } if kind_of(&stat) == FileKind::Folder => Err(Errno::XDEV),
            Child::Host { stat, verdict: Verdict::Private } => {
                let Folder::Host { fd, .. } = end.folder else { return Err(Errno::STALE) };
                Ok(Source { dir: fd.clone(), place: Place::Private, stat, original: true })
            }
            Child::Host { stat, .. } => {
                let Folder::Host { fd, path, .. } = end.folder else { return Err(Errno::STALE) };
                if kind_of(&stat) == FileKind::Folder {
                    let path = path.as_path().join(end.name).map_err(|_| Errno::INVAL)?;
                    if self.holds_masked(fd.as_fd(), end.name, &path, 0)? {
                        self.report(Event::Refused { what: "rename a folder that holds masked names", path });
                        return Err(Errno::XDEV);
                    }
                }
                Ok(Source { dir: fd.clone(), place: Place::Host, stat, original: false })
            }
        }
    }

    /// What is moved is the box's own from here on.
    fn owned(&self, end: &End<'_>, source: Source) -> Result<Source, Errno> {
        if !source.original {
            return Ok(source);
        }
        let found = self.lookup(end.parent.id, end.name)?;
        let node = self.node(found.node)?;
        let made = self.object_fd(&node).and_then(|fd| self.copy_up(&node, fd.as_fd()));
        self.forget(found.node, 1);
        made?;
        match self.child(end.folder, end.name)? {
            Child::Private { dir, stat } => Ok(Source { dir, place: Place::Private, stat, original: false }),
            _ => Err(Errno::STALE),
        }
    }

    fn check_over(&self, end: &End<'_>, over: &Child) -> Result<(), Errno> {
        match over {
            Child::Decoy { .. } => Err(self.refuse(end.folder, end.name, "replace")),
            Child::Private { .. } if self.stands_for_masked(end.folder, end.name) => {
                Err(self.refuse(end.folder, end.name, "replace"))
            }
            Child::GitMount => Err(Errno::BUSY),
            Child::Door { .. } => Err(Errno::ROFS),
            Child::Passing => Err(Errno::EXIST),
            Child::Absent | Child::Host { .. } | Child::Private { .. } => Ok(()),
        }
    }

    fn carry(&self, old: &End<'_>, new: &End<'_>, source: Source, over: Child) -> Result<(), Errno> {
        let kind = kind_of(&source.stat);
        if let Child::Host { stat, .. } | Child::Private { stat, .. } = &over {
            match (kind == FileKind::Folder, kind_of(stat) == FileKind::Folder) {
                (false, true) => return Err(Errno::ISDIR),
                (true, false) => return Err(Errno::NOTDIR),
                _ => {}
            }
        }
        let target = self.target(new, kind, &over)?;
        if let Child::Host { stat, .. } | Child::Private { stat, .. } = &over
            && Self::key_of(stat) == Self::key_of(&source.stat)
        {
            return Ok(());
        }
        let emptied = match &over {
            Child::Host { stat, .. } if kind_of(stat) == FileKind::Folder => Some(identity(stat)),
            _ => None,
        };
        if let Some(id) = &emptied {
            self.private_names_gone(id)?;
        }
        let source = self.owned(old, source)?;
        let over_place = Self::child_place(&over);
        if let Child::Host { stat, .. } | Child::Private { stat, .. } = &over
            && over_place == target.1
        {
            self.before_removal(Self::key_of(stat), target.0.as_fd(), new.name)?;
        }
        if source.place == target.1 {
            rustix::fs::renameat(&*source.dir, old.name, &*target.0, new.name)?;
            if let Some(node) = self.nodes.known(&Self::key_of(&source.stat)) {
                self.nodes.relink(&node, Link { parent: new.parent.clone(), name: new.name.to_vec() });
            }
        } else {
            self.copy_across(old, new, &source, target.0.as_fd())?;
        }
        if source.place == Place::Private {
            self.after_private_removal(old.folder, old.name);
        }
        if let Some(id) = &emptied {
            self.store.forget_folder(id);
        }
        Ok(())
    }

    /// Where the moved object goes: by what stands there, else by the verdict of the new name.
    fn target(&self, end: &End<'_>, kind: FileKind, over: &Child) -> Result<(Arc<OwnedFd>, Place), Errno> {
        match (end.folder, over) {
            (Folder::Door { .. }, _) => Err(Errno::ROFS),
            (Folder::Private { fd, .. }, _) => Ok((fd.clone(), Place::Private)),
            (Folder::Host { .. }, Child::Private { dir, .. }) => Ok((dir.clone(), Place::Private)),
            (Folder::Host { fd, path, id }, _) => {
                let path = path.as_path().join(end.name).map_err(|_| Errno::INVAL)?;
                let verdict = self.verdict(&path, Self::host_kind(kind));
                let stays = kind == FileKind::Special || matches!(verdict, Verdict::Mask | Verdict::Private);
                if stays {
                    self.report(Event::Private { path });
                    return Ok((self.store.folder_or_make(id)?, Place::Private));
                }
                Ok((fd.clone(), Place::Host))
            }
        }
    }

    fn copy_across(&self, old: &End<'_>, new: &End<'_>, source: &Source, to: BorrowedFd<'_>) -> Result<(), Errno> {
        let temporary = self.temporary_name();
        match kind_of(&source.stat) {
            FileKind::Folder | FileKind::Special => return Err(Errno::XDEV),
            FileKind::Symlink => {
                let text = rustix::fs::readlinkat(&*source.dir, old.name, Vec::new())?;
                rustix::fs::symlinkat(text, to, temporary.as_str())?;
            }
            FileKind::File => {
                let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                let from = open_child(source.dir.as_fd(), old.name, flags, Mode::empty())?;
                let mode = Mode::from_raw_mode(u32::from(source.stat.stx_mode) & 0o777);
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                let copy = open_child(to, temporary.as_bytes(), flags, mode)?;
                let copied = copy_bytes(from.as_fd(), copy.as_fd());
                let shown = source.place != Place::Host || self.may_read(from.as_fd(), Kind::File);
                if copied.is_err() || !shown {
                    rustix::fs::unlinkat(to, temporary.as_str(), AtFlags::empty()).ok();
                    return Err(copied.err().unwrap_or(Errno::ACCESS));
                }
            }
        }
        if let Err(e) = rustix::fs::renameat(to, temporary.as_str(), to, new.name) {
            rustix::fs::unlinkat(to, temporary.as_str(), AtFlags::empty()).ok();
            return Err(e);
        }
        self.before_removal(Self::key_of(&source.stat), source.dir.as_fd(), old.name)?;
        rustix::fs::unlinkat(&*source.dir, old.name, AtFlags::empty())
    }

    /// A name for a copy that is about to take another's place.
    pub(super) fn temporary_name(&self) -> String {
        const PREFIX: &str = ".pinfold-move-";
        let (me, n) = (std::process::id(), self.next_handle.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        format!("{PREFIX}{me}-{n}")
    }

    fn exchange(&self, old: &End<'_>, new: &End<'_>, source: Source) -> Result<(), Errno> {
        let other = self.movable(new)?;
        if source.place != other.place {
            return Err(Errno::XDEV);
        }
        // Each must be allowed under the other's name, on the side where both lie.
        let (_, there) = self.target(new, kind_of(&source.stat), &Child::Absent)?;
        let (_, here) = self.target(old, kind_of(&other.stat), &Child::Absent)?;
        if source.place == Place::Host && (there != Place::Host || here != Place::Host) {
            return Err(Errno::XDEV);
        }
        let (source, other) = (self.owned(old, source)?, self.owned(new, other)?);
        rustix::fs::renameat_with(&*source.dir, old.name, &*other.dir, new.name, RenameFlags::EXCHANGE)?;
        for (stat, end) in [(&source.stat, new), (&other.stat, old)] {
            if let Some(node) = self.nodes.known(&Self::key_of(stat)) {
                self.nodes.relink(&node, Link { parent: end.parent.clone(), name: end.name.to_vec() });
            }
        }
        Ok(())
    }

    /// Whether anything below a folder of the host is masked. Stops at the first find.
    fn holds_masked(
        &self,
        parent: BorrowedFd<'_>,
        name: &[u8],
        path: &RelPathBuf,
        depth: usize,
    ) -> Result<bool, Errno> {
        // Each level holds a descriptor. A folder that can't be looked through can't be vouched for.
        if depth > MAX_DEPTH {
            return Ok(true);
        }
        let fd = open_child(parent, name, PATH_FLAGS | OFlags::DIRECTORY, Mode::empty())?;
        let mut folders = Vec::new();
        let mut masked = false;
        let listed = for_each_name(fd.as_fd(), |entry| {
            let Ok(at) = path.as_path().join(&entry.name) else { return };
            match self.verdict(&at, Self::host_kind(entry.kind)) {
                Verdict::Mask => masked |= entry.kind != FileKind::Special,
                // A private copy hides what is below; nothing of it moves with the names that the box sees.
                Verdict::Private => {}
                Verdict::Share | Verdict::Watch if entry.kind == FileKind::Folder => folders.push((entry.name, at)),
                Verdict::Share | Verdict::Watch => {}
            }
        });
        match listed {
            // A folder that can't be looked into can't be vouched for.
            Err(Errno::ACCESS | Errno::PERM) => return Ok(true),
            listed => listed?,
        }
        if masked {
            return Ok(true);
        }
        for (name, at) in folders {
            if self.holds_masked(fd.as_fd(), &name, &at, depth + 1)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
