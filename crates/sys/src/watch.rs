//! fanotify, as an ordinary user may have it: changes in marked folders, each with the folder's handle and the name.
//!
//! An unprivileged group may mark objects it can open, one mark for each folder, and learns the folder's *file handle* and
//! never a descriptor. What the handles mean is the caller's to know.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use std::ffi::CStr;

/// A file handle: what the kernel calls an object that has no descriptor. Comparable, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileHandle {
    kind: i32,
    bytes: Vec<u8>,
}

/// Something happened in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderEvent {
    Changed(FolderChange),
    /// The queue ran over: anything may have changed.
    Overflow,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderChange {
    pub folder: FileHandle,
    /// The name concerned; `.` for the folder itself.
    pub name: Vec<u8>,
    /// A name was made, removed or moved. Otherwise what it names was written to or given other attributes.
    pub names: bool,
    /// This process did it. Of others an ordinary user is not told who.
    pub own: bool,
}

/// What to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Names that are made, removed or moved.
    Names,
    /// And what is written to the files they name, and changes of attributes.
    Contents,
}

#[derive(Debug)]
pub struct Watch {
    group: OwnedFd,
}

const NAMES: u64 = libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO;
const CONTENTS: u64 = libc::FAN_MODIFY | libc::FAN_ATTRIB | libc::FAN_CLOSE_WRITE | libc::FAN_EVENT_ON_CHILD;

impl Watch {
    /// `EPERM`, `ENOSYS` or `EMFILE` where an ordinary user may not have one.
    pub fn new() -> Result<Self, Errno> {
        let flags = libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | libc::FAN_REPORT_DFID_NAME;
        // SAFETY: the call takes two numbers and touches no memory of ours.
        let fd = unsafe { libc::fanotify_init(flags, libc::O_RDONLY as u32) };
        if fd < 0 {
            return Err(last_error());
        }
        // SAFETY: the kernel has just given us this descriptor, and nobody else knows of it.
        let group = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Watch { group })
    }

    /// Marks a folder. The descriptor may be `O_PATH`.
    pub fn mark_folder(&self, folder: BorrowedFd<'_>, interest: Interest) -> Result<(), Errno> {
        let mask = libc::FAN_ONDIR
            | match interest {
                Interest::Names => NAMES,
                Interest::Contents => NAMES | CONTENTS,
            };
        // fanotify_mark refuses O_PATH descriptors; the magic link names the same object.
        let path = format!("/proc/self/fd/{}\0", folder.as_raw_fd());
        let path = CStr::from_bytes_with_nul(path.as_bytes()).expect("digits and one NUL");
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_ONLYDIR;
        // SAFETY: `path` is a NUL-terminated string that outlives the call; the rest are numbers.
        let done = unsafe { libc::fanotify_mark(self.group.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr()) };
        if done < 0 { Err(last_error()) } else { Ok(()) }
    }

    /// Takes what is queued, without waiting. An event that stands in the queue when this is called is in the answer.
    pub fn drain(&self) -> Result<Vec<FolderEvent>, Errno> {
        let mut events = Vec::new();
        let mut buffer = vec![0u8; 16 * 1024];
        loop {
            match rustix::io::read(&self.group, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(events),
                Ok(count) => parse(&buffer[..count], &mut events),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.group.as_fd()
    }
}

/// The handle that events will name this folder by.
pub fn file_handle(of: BorrowedFd<'_>) -> Result<FileHandle, Errno> {
    const CAPACITY: usize = 128;
    #[repr(C, align(8))]
    struct Raw {
        bytes: u32,
        kind: i32,
        handle: [u8; CAPACITY],
    }
    let mut raw = Raw { bytes: CAPACITY as u32, kind: 0, handle: [0; CAPACITY] };
    let mut mount_id = 0i32;
    // SAFETY: `raw` has the layout of `struct file_handle` with room for as many bytes as its first field says, and both
    // out-pointers live across the call.
    let done = unsafe {
        libc::name_to_handle_at(
            of.as_raw_fd(),
            c"".as_ptr(),
            (&raw mut raw).cast(),
            &raw mut mount_id,
            libc::AT_EMPTY_PATH,
        )
    };
    if done < 0 {
        return Err(last_error());
    }
    let used = (raw.bytes as usize).min(CAPACITY);
    Ok(FileHandle { kind: raw.kind, bytes: raw.handle[..used].to_vec() })
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Events come from the kernel; a short one ends the parse rather than the process.
fn parse(mut rest: &[u8], events: &mut Vec<FolderEvent>) {
    const METADATA: usize = 24;
    let me = std::process::id();
    while rest.len() >= METADATA {
        let length = number::<4>(rest, 0).map_or(0, u32::from_ne_bytes) as usize;
        let mask = number::<8>(rest, 8).map_or(0, u64::from_ne_bytes);
        let pid = number::<4>(rest, 20).map_or(0, u32::from_ne_bytes);
        if length < METADATA || length > rest.len() {
            return;
        }
        let change = folder_and_name(&rest[METADATA..length]);
        events.push(match change {
            Some((folder, name)) if mask & libc::FAN_Q_OVERFLOW == 0 => {
                FolderEvent::Changed(FolderChange { folder, name, names: mask & NAMES != 0, own: pid == me })
            }
            // The queue ran over, or an event that we can't place: either may concern anything.
            _ => FolderEvent::Overflow,
        });
        rest = &rest[length..];
    }
}

/// The first information record is the folder's: type, padding, length, file-system id, handle, name.
fn folder_and_name(info: &[u8]) -> Option<(FileHandle, Vec<u8>)> {
    let length = usize::from(u16::from_ne_bytes(number::<2>(info, 2)?));
    let bytes = u32::from_ne_bytes(number::<4>(info, 12)?) as usize;
    let kind = i32::from_ne_bytes(number::<4>(info, 16)?);
    let handle = FileHandle { kind, bytes: info.get(20..20 + bytes)?.to_vec() };
    let name = info.get(20 + bytes..length)?;
    let end = name.iter().position(|&b| b == 0).unwrap_or(name.len());
    Some((handle, name[..end].to_vec()))
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_names_is_seen_under_the_folders_own_handle() {
        let dir = std::env::temp_dir().join(format!("pinfold-watch-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let fd = rustix::fs::open(&dir, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
        let watch = Watch::new().unwrap();
        watch.mark_folder(fd.as_fd(), Interest::Names).unwrap();
        assert_eq!(watch.drain().unwrap(), []);
        std::fs::write(dir.join("new"), b"x").unwrap();
        let folder = file_handle(fd.as_fd()).unwrap();
        let change = FolderChange { folder, name: b"new".to_vec(), names: true, own: true };
        assert_eq!(watch.drain().unwrap(), [FolderEvent::Changed(change.clone())]);
        watch.mark_folder(fd.as_fd(), Interest::Contents).unwrap();
        std::fs::write(dir.join("new"), b"y").unwrap();
        let written = FolderChange { names: false, ..change };
        assert!(watch.drain().unwrap().contains(&FolderEvent::Changed(written)));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn short_events_do_not_panic() {
        for length in 0..80 {
            let mut events = Vec::new();
            parse(&vec![0x18; length], &mut events);
        }
    }
}
