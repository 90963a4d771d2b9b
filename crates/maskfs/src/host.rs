//! The host's tree, held by descriptor.
//!
//! A path is a hint from a moment ago. What decides is where an open file stands *now*: the kernel's own name for a
//! descriptor, read after the bytes were taken. This file answers that question and knows nothing of verdicts.

use pinfold_policy::{RelPath, RelPathBuf};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::sync::RwLock;

/// What makes an object itself, whatever its name: enough to notice that an inode number was used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub dev: u64,
    pub ino: u64,
    /// Birth time in nanoseconds; 0 where the file system has none.
    pub born: i128,
    pub kind: FileKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    File,
    Folder,
    Symlink,
    /// FIFOs, sockets, devices: the host's do not exist in the box.
    Special,
}

/// Where an open object stands at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    Inside {
        path: RelPathBuf,
        /// Set when the name ends in ` (deleted)`: the kernel marks an unlinked object so, and a file may be called so.
        /// Whoever decides must look at both.
        undeleted: Option<RelPathBuf>,
    },
    /// Moved out of the tree, or too deep for the kernel to name.
    Outside,
}

#[derive(Debug)]
pub struct HostRoot {
    fd: OwnedFd,
    /// `/proc/self/fd`, to ask the kernel for names and to open an `O_PATH` descriptor again.
    proc_fds: OwnedFd,
    /// The root's absolute path as the kernel last said it; the root may be renamed under us.
    prefix: RwLock<Vec<u8>>,
}

pub const PATH_FLAGS: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl HostRoot {
    pub fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let proc_fds = rustix::fs::open("/proc/self/fd", flags, Mode::empty())?;
        let root = HostRoot { fd, proc_fds, prefix: RwLock::default() };
        root.learn_prefix()?;
        Ok(root)
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn learn_prefix(&self) -> Result<(), Errno> {
        let now = self.kernel_name(self.fd.as_fd())?;
        *self.prefix.write().unwrap() = now;
        Ok(())
    }

    fn kernel_name(&self, fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
        let number = itoa(fd.as_raw_fd());
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4200];
        let (name, _) = rustix::fs::readlinkat_raw(&self.proc_fds, number.as_str(), &mut buffer[..])?;
        Ok(name.to_vec())
    }

    /// Where `fd` stands now. One `readlink`.
    pub fn whereabouts(&self, fd: BorrowedFd<'_>) -> Whereabouts {
        let Ok(name) = self.kernel_name(fd) else { return Whereabouts::Outside };
        if let Some(found) = self.below(&name) {
            return found;
        }
        // The tree itself may have been moved by the person; its descriptor knows where to.
        if self.learn_prefix().is_err() {
            return Whereabouts::Outside;
        }
        self.below(&name).unwrap_or(Whereabouts::Outside)
    }

    fn below(&self, name: &[u8]) -> Option<Whereabouts> {
        let prefix = self.prefix.read().unwrap();
        let rest = match name.strip_prefix(prefix.as_slice())? {
            b"" => b"",
            // The root may be `/` only in tests; everywhere else the rest starts with the slash.
            rest if prefix.as_slice() == b"/" => rest,
            rest => rest.strip_prefix(b"/")?,
        };
        let path = RelPath::new(rest).ok()?.to_owned();
        let undeleted =
            rest.strip_suffix(b" (deleted)").and_then(|bare| RelPath::new(bare).ok()).map(RelPath::to_owned);
        Some(Whereabouts::Inside { path, undeleted })
    }

    /// Opens what an `O_PATH` descriptor stands for. Never follows anything but the kernel's own link.
    pub fn reopen(&self, fd: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
        let number = itoa(fd.as_raw_fd());
        rustix::fs::openat(&self.proc_fds, number.as_str(), flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// The `/proc/self/fd/N` path of a descriptor, for calls that take only a path (xattr, chmod of `O_PATH`).
    pub fn magic_path(fd: BorrowedFd<'_>) -> String {
        format!("/proc/self/fd/{}", fd.as_raw_fd())
    }
}

/// Opens one name below a folder without following it anywhere.
pub fn open_child(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    // O_PATH of a symbolic link is wanted now and then, and RESOLVE_NO_SYMLINKS would refuse it.
    let resolve = if flags.contains(OFlags::PATH) { resolve.difference(ResolveFlags::NO_SYMLINKS) } else { resolve };
    rustix::fs::openat2(dir, name, flags, mode, resolve)
}

pub fn stat_child(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Statx, Errno> {
    rustix::fs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW, wanted())
}

pub fn stat_fd(fd: BorrowedFd<'_>) -> Result<Statx, Errno> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, wanted())
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

pub fn kind_of(stat: &Statx) -> FileKind {
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Folder,
        FileType::Symlink => FileKind::Symlink,
        _ => FileKind::Special,
    }
}

pub fn identity(stat: &Statx) -> Identity {
    let born = &stat.stx_btime;
    let known = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    Identity {
        dev: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
        ino: stat.stx_ino,
        born: if known { i128::from(born.tv_sec) * 1_000_000_000 + i128::from(born.tv_nsec) } else { 0 },
        kind: kind_of(stat),
    }
}

/// A small decimal without a trip through `format!`: this runs on every read.
fn itoa(value: i32) -> Digits {
    let mut digits = Digits { bytes: [0; 12], start: 12 };
    let mut rest = value.unsigned_abs();
    loop {
        digits.start -= 1;
        digits.bytes[digits.start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return digits;
        }
    }
}

struct Digits {
    bytes: [u8; 12],
    start: usize,
}

impl Digits {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.start..]).expect("digits are ASCII")
    }
}
