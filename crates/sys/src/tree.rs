//! Removing a tree that somebody hostile made.
//!
//! `remove_dir_all` holds a descriptor and a stack frame for each level, and gives up at a folder without permissions. A box
//! can nest folders without end and take every permission from them, so here folders are moved up before they are emptied:
//! the depth of the tree costs nothing. No link is followed, and only what lies below `path` is touched.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::path::Path;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a folder and all that is in it. `ENOENT` when there is none.
pub fn remove(path: &Path) -> Result<(), Errno> {
    let top = open(rustix::fs::CWD, path)?;
    let mut moved = 0;
    // What is moved up is met by the next round.
    while each(top.as_fd(), |name, kind| remove_from(top.as_fd(), name, kind, top.as_fd(), &mut moved))? > 0 {}
    drop(top);
    gone(rustix::fs::unlinkat(rustix::fs::CWD, path, AtFlags::REMOVEDIR))
}

/// Removes one name of a folder; of a folder with that name, its files, and its own folders move to the top.
fn remove_from(
    folder: BorrowedFd<'_>,
    name: &CStr,
    kind: FileType,
    top: BorrowedFd<'_>,
    moved: &mut u64,
) -> Result<(), Errno> {
    if kind != FileType::Directory {
        return gone(rustix::fs::unlinkat(folder, name, AtFlags::empty()));
    }
    let child = match open(folder, name) {
        Err(Errno::NOENT) => return Ok(()),
        child => child?,
    };
    each(child.as_fd(), |name, kind| match kind {
        FileType::Directory => move_up(child.as_fd(), name, top, moved),
        _ => gone(rustix::fs::unlinkat(&child, name, AtFlags::empty())),
    })?;
    gone(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR))
}

fn move_up(folder: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, moved: &mut u64) -> Result<(), Errno> {
    // Most folders are shallow and soon empty; and moving one needs the right to write to it.
    if rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR).is_ok() {
        return Ok(());
    }
    drop(open(folder, name)?);
    loop {
        *moved += 1;
        let new = format!("gone-{moved}");
        match rustix::fs::renameat_with(folder, name, top, new.as_str(), RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            done => return gone(done),
        }
    }
}

/// Opens a folder for its owner, whatever its permissions say.
fn open(at: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    let path = rustix::fs::openat(&at, name, FOLDER | OFlags::PATH, Mode::empty())?;
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&path)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        rustix::fs::chmod(format!("/proc/self/fd/{}", path.as_raw_fd()), Mode::RWXU)?;
    }
    rustix::fs::openat(&path, c".", FOLDER | OFlags::RDONLY, Mode::empty())
}

/// Calls `act` for each name, and says how many there were.
fn each(folder: BorrowedFd<'_>, mut act: impl FnMut(&CStr, FileType) -> Result<(), Errno>) -> Result<usize, Errno> {
    let mut count = 0;
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            },
            kind => kind,
        };
        act(name, kind)?;
        count += 1;
    }
    Ok(count)
}

/// Somebody else may clean up at the same time.
fn gone(done: Result<(), Errno>) -> Result<(), Errno> {
    if done == Err(Errno::NOENT) { Ok(()) } else { done }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_links_and_permissions_stop_nothing() {
        let base = std::env::temp_dir().join(format!("pinfold-tree-{}", std::process::id()));
        let victim = base.with_extension("victim");
        std::fs::create_dir_all(&victim).unwrap();
        std::fs::write(victim.join("kept"), b"x").unwrap();
        std::fs::create_dir(&base).unwrap();
        std::os::unix::fs::symlink(&victim, base.join("link")).unwrap();
        std::fs::create_dir_all(base.join("gone-1/gone-2")).unwrap();
        std::fs::create_dir_all(base.join("wide/locked/in")).unwrap();
        std::fs::write(base.join("wide/locked/in/file"), b"x").unwrap();
        rustix::fs::chmod(base.join("wide/locked/in"), Mode::empty()).unwrap();
        rustix::fs::chmod(base.join("wide/locked"), Mode::RUSR).unwrap();
        let mut at = rustix::fs::open(&base, FOLDER | OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..6000 {
            rustix::fs::mkdirat(&at, c"d", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, c"d", FOLDER | OFlags::PATH, Mode::empty()).unwrap();
        }
        drop(at);
        remove(&base).unwrap();
        assert!(!base.exists());
        assert!(victim.join("kept").exists());
        assert_eq!(remove(&base), Err(Errno::NOENT));
        std::fs::remove_dir_all(&victim).unwrap();
    }
}
