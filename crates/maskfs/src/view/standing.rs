//! Whether a host object may be read, and whether it may be changed in place: by where it stands now, and by its other
//! names.
//!
//! The kernel names a descriptor by the name it was opened by. When that name is gone the object may still have another
//! one, so whoever sees a gone name asks for the others, as for a file with several links. A file with a name where the box
//! may not write (a store that a package manager shares among projects, a hook of the host's `.git`) is written after a
//! copy of it took its place in the tree.

use super::change::copy_bytes;
use super::resolve::Folder;
use super::{Event, View};
use crate::host::{FileKind, Whereabouts, identity, open_child, stat_child, stat_fd};
use crate::nodes::{Node, Place};
use pinfold_policy::{Kind, RelPathBuf, Verdict};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, Statx, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::sync::Arc;

/// How a host object may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changing {
    InPlace,
    /// Its name is private: the box gets a copy of its own.
    InACopy,
    /// It has a name that is not the box's to change: a copy must take its place first.
    SetApart,
    Never,
}

impl View {
    /// Whether bytes of this open host file may be in the box at this moment. Asked *after* the bytes were taken: a
    /// check before leaves a race, a check after closes it.
    pub(super) fn may_read(&self, fd: BorrowedFd<'_>, kind: Kind) -> bool {
        let Some(verdict) = self.standing(fd, kind) else { return false };
        if verdict.worst == Verdict::Mask {
            return false;
        }
        // A second, masked name of the same inode masks it under every name.
        match stat_fd(fd) {
            Ok(stat) if verdict.has_other_names(&stat) && kind == Kind::File => !self.is_masked_alias(&stat),
            Ok(_) => true,
            Err(_) => false,
        }
    }

    pub(super) fn is_masked_alias(&self, stat: &Statx) -> bool {
        self.guard.is_masked(&self.host, &self.policy, stat)
    }

    /// How this open host object may be changed at this moment.
    pub(super) fn changing(&self, fd: BorrowedFd<'_>, kind: Kind) -> Changing {
        let Some(verdict) = self.standing(fd, kind) else { return Changing::Never };
        match verdict.worst {
            Verdict::Mask => return Changing::Never,
            Verdict::Private => return Changing::InACopy,
            Verdict::Share | Verdict::Watch => {}
        }
        let Ok(stat) = stat_fd(fd) else { return Changing::Never };
        if kind != Kind::File || !verdict.has_other_names(&stat) {
            return Changing::InPlace;
        }
        if self.is_masked_alias(&stat) {
            return Changing::Never;
        }
        let shared = self.guard.shared_names(&self.host, &self.policy, &stat);
        if shared >= stat.stx_nlink { Changing::InPlace } else { Changing::SetApart }
    }

    fn standing(&self, fd: BorrowedFd<'_>, kind: Kind) -> Option<Standing> {
        let Whereabouts::Inside { path, undeleted } = self.host.whereabouts(fd) else { return None };
        let mut worst = self.verdict(&path, kind);
        if let Some(bare) = &undeleted {
            worst = stricter(worst, self.verdict(bare, kind));
        }
        Some(Standing { worst, name_gone: undeleted.is_some() })
    }

    /// Puts a copy of a host file in its place in the tree, so that a change of it does not reach its other names, and
    /// moves the node over to the copy.
    pub(super) fn set_apart(&self, node: &Arc<Node>, object: BorrowedFd<'_>) -> Result<(), Errno> {
        let link = node.link().ok_or(Errno::ROFS)?;
        let Folder::Host { fd: dir, path, .. } = self.folder(&link.parent)? else { return Err(Errno::ROFS) };
        let at = path.as_path().join(&link.name).map_err(|_| Errno::INVAL)?;
        let old = stat_fd(object)?;
        let stands = stat_child(dir.as_fd(), &link.name).map(|stat| identity(&stat));
        if node.kind != FileKind::File || stands != Ok(identity(&old)) || !self.is_shared(&at) {
            return Err(Errno::ROFS);
        }
        let temporary = self.temporary_name();
        let copied = self.copy_beside(&link.name, object, &old, dir.as_fd(), &temporary);
        let copy = copied.and_then(|copy| stat_fd(copy.as_fd()));
        let done = copy.and_then(|copy| self.swap_in(dir.as_fd(), &temporary, &link.name, &old).map(|()| copy));
        // Either the copy that was not wanted or the name that it replaced; never something that the host put there.
        let left = stat_child(dir.as_fd(), temporary.as_bytes()).map(|left| identity(&left));
        if left == Ok(identity(&old)) || copy.is_err() || left == copy.map(|copy| identity(&copy)) {
            rustix::fs::unlinkat(&*dir, temporary.as_str(), AtFlags::empty()).ok();
        }
        let copy = done?;
        self.report(Event::Apart { path: at });
        self.nodes.rekey(node, Self::key_of(&copy), Place::Host);
        Ok(())
    }

    fn is_shared(&self, at: &RelPathBuf) -> bool {
        matches!(self.verdict(at, Kind::File), Verdict::Share | Verdict::Watch)
    }

    /// A copy with the mode, the times and the attributes of the original, under a temporary name.
    fn copy_beside(
        &self,
        name: &[u8],
        object: BorrowedFd<'_>,
        old: &Statx,
        dir: BorrowedFd<'_>,
        temporary: &str,
    ) -> Result<OwnedFd, Errno> {
        let from = open_child(dir, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
        if identity(&stat_fd(from.as_fd())?) != identity(&stat_fd(object)?) {
            return Err(Errno::ROFS);
        }
        let mode = Mode::from_raw_mode(u32::from(old.stx_mode) & 0o777);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let copy = open_child(dir, temporary.as_bytes(), flags, mode)?;
        copy_bytes(from.as_fd(), copy.as_fd())?;
        copy_attributes(from.as_fd(), copy.as_fd());
        let time = |t: &rustix::fs::StatxTimestamp| Timespec { tv_sec: t.tv_sec, tv_nsec: i64::from(t.tv_nsec) as _ };
        let times = Timestamps { last_access: time(&old.stx_atime), last_modification: time(&old.stx_mtime) };
        rustix::fs::futimens(&copy, &times)?;
        Ok(copy)
    }

    /// Exchanges the two names, and back when what stood there was no longer the original.
    fn swap_in(&self, dir: BorrowedFd<'_>, temporary: &str, name: &[u8], old: &Statx) -> Result<(), Errno> {
        let swap = || rustix::fs::renameat_with(dir, temporary, dir, name, RenameFlags::EXCHANGE);
        match swap() {
            // A file system without exchange: the window is as small as it gets.
            Err(Errno::INVAL | Errno::NOSYS) => {
                let stands = stat_child(dir, name)?;
                if identity(&stands) != identity(old) {
                    return Err(Errno::STALE);
                }
                return rustix::fs::renameat(dir, temporary, dir, name);
            }
            done => done?,
        }
        match stat_child(dir, temporary.as_bytes()) {
            Ok(stat) if identity(&stat) == identity(old) => Ok(()),
            _ => {
                // The host was faster. What it put there goes back, also when it has taken our copy away meanwhile.
                swap().or_else(|_| rustix::fs::renameat_with(dir, temporary, dir, name, RenameFlags::NOREPLACE))?;
                Err(Errno::STALE)
            }
        }
    }
}

/// What the names that the kernel gives for a descriptor say.
struct Standing {
    worst: Verdict,
    /// The name by which it was opened may be gone.
    name_gone: bool,
}

impl Standing {
    fn has_other_names(&self, stat: &Statx) -> bool {
        stat.stx_nlink > 1 || self.name_gone && stat.stx_nlink > 0
    }
}

fn stricter(one: Verdict, other: Verdict) -> Verdict {
    let rank = |verdict| match verdict {
        Verdict::Mask => 3,
        Verdict::Private => 2,
        Verdict::Watch => 1,
        Verdict::Share => 0,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// The `user.*` attributes; one that can't be copied is left out, as `cp` does.
fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    let mut names = vec![0; 64 * 1024];
    let Ok(count) = rustix::fs::flistxattr(from, &mut names) else { return };
    let mut value = vec![0; 64 * 1024];
    for name in names[..count].split(|&b| b == 0).filter(|name| name.starts_with(b"user.")) {
        if let Ok(count) = rustix::fs::fgetxattr(from, name, &mut value) {
            rustix::fs::fsetxattr(to, name, &value[..count], XattrFlags::empty()).ok();
        }
    }
}
