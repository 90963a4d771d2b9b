//! Reading and writing below a known folder, by descriptor.
//!
//! Every read of the host's git directory goes through here: beneath the folder that was opened once, through no
//! symbolic link, from regular files only, and never more than a stated number of bytes. It does not know what the
//! files mean.

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A regular file, read whole, with the facts of the descriptor that was read.
#[derive(Debug)]
pub struct Contents {
    pub bytes: Vec<u8>,
    pub file: File,
    pub stat: fs::Stat,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub bytes: Vec<u8>,
    pub kind: FileType,
}

/// Opens a folder of the host by the path that the survey found. The last component may not be a symbolic link.
pub fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat2(fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?)
}

/// Opens a folder below `dir`, through no symbolic link.
pub fn folder_below(dir: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    open_below(dir, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

fn open_below(dir: impl AsFd, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    // EAGAIN: something was renamed while the kernel walked; it could not prove that the walk stayed beneath.
    for _ in 0..16 {
        match fs::openat2(&dir, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => continue,
            other => return Ok(other?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Reads a regular file below `dir`. `None` if nothing of that name exists.
pub fn read_below(dir: impl AsFd, path: &[u8], max: u64) -> io::Result<Option<Contents>> {
    let fd = match open_below(dir, path, OFlags::RDONLY) {
        Err(e) if is_absent(&e) => return Ok(None),
        other => other?,
    };
    read_file(File::from(fd), max).map(Some)
}

/// Opens a regular file below `dir` for reading.
pub fn open_file_below(dir: impl AsFd, path: &[u8]) -> io::Result<File> {
    let file = File::from(open_below(dir, path, OFlags::RDONLY)?);
    match FileType::from_raw_mode(fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file),
        _ => Err(not_regular()),
    }
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Reads an open file whole, if it is a regular one of at most `max` bytes.
pub fn read_file(mut file: File, max: u64) -> io::Result<Contents> {
    let stat = fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(not_regular());
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > max {
        return Err(too_large(max));
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    (&mut file).take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(too_large(max));
    }
    Ok(Contents { bytes, file, stat })
}

fn too_large(max: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than the limit of {max} bytes"))
}

/// Nothing there, or something on the way is not a folder.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Whether anything of that name stands in `dir`, a dangling symbolic link included.
pub fn exists_in(dir: impl AsFd, name: &[u8]) -> bool {
    // Only a clear "no" is a no.
    !matches!(fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
}

/// The names in a folder, sorted, at most `max`. An absent folder has none.
pub fn list_below(dir: impl AsFd, path: &[u8], max: usize) -> io::Result<Vec<Name>> {
    let folder = match folder_below(dir, path) {
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        other => other?,
    };
    list(&folder, max)
}

/// The names in an open folder, sorted, at most `max`.
pub fn list(folder: impl AsFd, max: usize) -> io::Result<Vec<Name>> {
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let bytes = entry.file_name().to_bytes();
        if bytes == b"." || bytes == b".." {
            continue;
        }
        if names.len() == max {
            return Err(io::Error::other(format!("more than {max} names in one folder")));
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = fs::statat(&folder, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        names.push(Name { bytes: bytes.to_vec(), kind });
    }
    names.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    Ok(names)
}

/// Device and inode: what makes two descriptors the same thing.
pub fn identity(fd: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// An empty folder that nobody else writes to, and who is to own what is put there.
#[derive(Debug, Clone, Copy)]
pub struct Dest<'a> {
    dir: BorrowedFd<'a>,
    owner: Option<(u32, u32)>,
}

impl<'a> Dest<'a> {
    /// `owner`: user and group for everything made, when it is not to be the caller.
    pub fn new(dir: BorrowedFd<'a>, owner: Option<(u32, u32)>) -> Self {
        Dest { dir, owner }
    }

    pub fn dir(&self) -> BorrowedFd<'a> {
        self.dir
    }

    /// Makes a file with these bytes. It must not exist.
    pub fn file(&self, path: &[u8], mode: u32, bytes: &[u8]) -> io::Result<File> {
        let mut file = self.empty_file(path, mode)?;
        file.write_all(bytes)?;
        Ok(file)
    }

    pub fn empty_file(&self, path: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(fs::openat(self.dir, path, flags, Mode::from_raw_mode(mode))?);
        if let Some((uid, gid)) = self.owner {
            fs::fchown(&file, Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid)))?;
        }
        Ok(file)
    }

    /// Makes a folder; that it exists already is fine.
    pub fn folder(&self, path: &[u8]) -> io::Result<()> {
        match fs::mkdirat(self.dir, path, Mode::from_raw_mode(0o755)) {
            Ok(()) => self.own(path),
            Err(Errno::EXIST) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes the folders above `path`.
    pub fn folders_above(&self, path: &[u8]) -> io::Result<()> {
        let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/');
        slashes.map(|(end, _)| &path[..end]).try_for_each(|folder| self.folder(folder))
    }

    pub fn symlink(&self, path: &[u8], target: &[u8]) -> io::Result<()> {
        fs::symlinkat(target, self.dir, path)?;
        self.own(path)
    }

    fn own(&self, path: &[u8]) -> io::Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        let (uid, gid) = (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid));
        Ok(fs::chownat(self.dir, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}
