//! What the caller's three standard streams are. A box gets none that would be a way out of it.

use pinfold_plan::{StdStream, Streams};
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::termios::isatty;
use std::os::fd::{AsFd, BorrowedFd};

pub fn of_this_process() -> Streams {
    Streams {
        stdin: stream(std::io::stdin().as_fd()),
        stdout: stream(std::io::stdout().as_fd()),
        stderr: stream(std::io::stderr().as_fd()),
    }
}

fn stream(fd: BorrowedFd<'_>) -> StdStream {
    let (Ok(seen), Ok(flags)) = (fstat(fd), fcntl_getfl(fd)) else { return StdStream::Absent };
    // A descriptor that only names a thing gives no bytes, but it can be walked from.
    if flags.contains(OFlags::PATH) {
        return StdStream::Absent;
    }
    match FileType::from_raw_mode(seen.st_mode) {
        FileType::CharacterDevice if isatty(fd) => StdStream::Terminal,
        FileType::CharacterDevice if is_null(seen.st_rdev) => StdStream::Null,
        FileType::Fifo => StdStream::Pipe,
        FileType::Socket => StdStream::Socket,
        FileType::RegularFile => StdStream::File,
        _ => StdStream::Absent,
    }
}

fn is_null(device: u64) -> bool {
    (rustix::fs::major(device), rustix::fs::minor(device)) == (1, 3)
}
