//! The FUSE binding: takes requests off `/dev/fuse`, asks the view, and answers.
//!
//! It decides nothing about paths. A few threads read from the same descriptor; the kernel gives each request to one of
//! them. When the box's mount namespace ends, the read says `ENODEV` and the threads end.

use crate::abi::{self, Header, Malformed, Op, Reader, Writer, fattr};
use crate::gate::Gate;
use crate::host::FileKind;
use crate::view::{Attr, Change, Forget, Found, Listed, PASSING, View};
use crate::watcher::Remember;
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, RenameFlags, SeekFrom, Timespec};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The largest write that the kernel sends at once, and the largest read.
const MAX_WRITE: u32 = 1 << 20;
/// A request is a header, its fixed part and at most one write.
const BUFFER: usize = MAX_WRITE as usize + 4096;
/// Names and attributes that nobody but this mount can change are good for this long (seconds).
const LONG: u64 = 3600;
/// Looking through a folder goes as deep as folders do. Only what is used takes memory.
const STACK: usize = 16 << 20;
/// The box's first process, in the numbers of the process namespace that the mount was made in.
const BUILDER: u32 = 1;
/// How long an answer can be on its way to the kernel's memory.
const ECHO: Duration = Duration::from_millis(4);

/// What a request is answered with.
enum Reply {
    Body(Vec<u8>),
    /// The kernel expects no answer.
    Nothing,
    /// The answer comes later.
    Held,
}

type Answer = Result<Reply, Errno>;

#[derive(Debug)]
struct Shared {
    fuse: OwnedFd,
    view: View,
    gate: Gate<HeldLookup>,
}

/// A look-up of the root's `.git` that waits.
#[derive(Debug)]
struct HeldLookup {
    unique: u64,
    name: Vec<u8>,
}

#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Server {
    /// Starts to answer on a mounted `/dev/fuse` descriptor.
    pub fn start(view: View, fuse: OwnedFd, threads: usize) -> std::io::Result<Server> {
        let shared = Arc::new(Shared { fuse, view, gate: Gate::new() });
        let threads = (0..threads)
            .map(|n| {
                let shared = shared.clone();
                let thread = std::thread::Builder::new().name(format!("maskfs-{n}")).stack_size(STACK);
                thread.spawn(move || shared.work())
            })
            .collect::<Result<_, _>>()?;
        let watching = shared.clone();
        std::thread::Builder::new().name("maskfs-watch".into()).spawn(move || watching.watch())?;
        Ok(Server { shared, threads: Mutex::new(threads) })
    }

    /// The command starts now: from here on the first look at `.git` waits for [`Server::git_ready`].
    pub fn go(&self) {
        self.shared.gate.go();
    }

    /// The box's own `.git` is complete.
    pub fn git_ready(&self) {
        for held in self.shared.gate.open() {
            let answer = self.shared.lookup(abi::ROOT_ID, &held.name, true);
            self.shared.answer(held.unique, answer);
        }
    }

    pub fn view(&self) -> &View {
        &self.shared.view
    }

    /// Returns when the mount is gone.
    pub fn wait(&self) {
        let threads = std::mem::take(&mut *self.threads.lock().unwrap());
        for thread in threads {
            // A worker that panicked has already said so; the others go on until the mount ends.
            thread.join().ok();
        }
    }
}

impl Shared {
    fn work(&self) {
        let mut buffer = vec![0u8; BUFFER];
        loop {
            match rustix::io::read(&self.fuse, &mut buffer) {
                Ok(count) => self.handle(&buffer[..count]),
                // ENOENT: the request was interrupted before we took it.
                Err(Errno::INTR | Errno::NOENT | Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
    }

    /// Turns the host's changes into invalidations. An answer that was on its way while the change happened may be taken
    /// for good after the first invalidation; a second one, a moment later, finds it. The thread ends with the process.
    fn watch(&self) {
        let mut echoes: VecDeque<(Instant, Vec<Forget>)> = VecDeque::new();
        loop {
            let patience = echoes.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
            let Some(forget) = self.view.wait_stale(patience) else { return };
            self.invalidate(&forget);
            if !forget.is_empty() {
                echoes.push_back((Instant::now() + ECHO, forget));
            }
            while echoes.front().is_some_and(|(due, _)| *due <= Instant::now()) {
                let (_, forget) = echoes.pop_front().expect("just seen");
                self.invalidate(&forget);
            }
        }
    }

    fn invalidate(&self, forget: &[Forget]) {
        for item in forget {
            let mut body = Writer::new();
            let code = match item {
                Forget::Name { folder, name } => {
                    body.u64(*folder).u32(name.len() as u32).u32(0).raw(name).raw(&[0]);
                    abi::NOTIFY_INVAL_ENTRY
                }
                Forget::Object { node } => {
                    // From the first byte to the last, attributes included.
                    body.u64(*node).u64(0).u64(0);
                    abi::NOTIFY_INVAL_INODE
                }
            };
            let body = body.into_bytes();
            let mut head = Writer::new();
            head.u32((abi::OUT_HEADER + body.len()) as u32).i32(code).u64(0);
            // "No such entry" says that the kernel did not remember it.
            rustix::io::writev(&self.fuse, &[IoSlice::new(&head.into_bytes()), IoSlice::new(&body)]).ok();
        }
    }

    fn handle(&self, message: &[u8]) {
        let Ok((header, body)) = Reader::message(message) else { return };
        let answer = match Op::from_code(header.opcode) {
            Some(op) => self.dispatch(op, &header, body).unwrap_or(Err(Errno::IO)),
            None => Err(Errno::NOSYS),
        };
        self.answer(header.unique, answer);
    }

    fn answer(&self, unique: u64, answer: Answer) {
        let (error, body) = match answer {
            Ok(Reply::Body(body)) => (0, body),
            Ok(Reply::Nothing | Reply::Held) => return,
            Err(e) => (-e.raw_os_error(), Vec::new()),
        };
        let mut head = Writer::new();
        head.u32((abi::OUT_HEADER + body.len()) as u32).i32(error).u64(unique);
        let head = head.into_bytes();
        // An error here means that the caller was killed meanwhile, or that the mount is gone; the next read tells.
        rustix::io::writev(&self.fuse, &[IoSlice::new(&head), IoSlice::new(&body)]).ok();
    }

    /// The outer result is about the message's form, the inner one is the view's answer.
    fn dispatch(&self, op: Op, header: &Header, mut body: Reader<'_>) -> Result<Answer, Malformed> {
        let node = header.node;
        let view = &self.view;
        Ok(match op {
            Op::Init => self.init(&mut body)?,
            Op::Lookup => {
                let name = body.name()?;
                self.gated_lookup(header, name)
            }
            Op::Forget => {
                view.forget(node, body.u64()?);
                Ok(Reply::Nothing)
            }
            Op::BatchForget => {
                let count = body.u32()?;
                body.u32()?;
                for _ in 0..count {
                    view.forget(body.u64()?, body.u64()?);
                }
                Ok(Reply::Nothing)
            }
            Op::Getattr => {
                let flags = body.u32()?;
                body.u32()?;
                let handle = (flags & abi::GETATTR_FH != 0).then_some(body.u64()?);
                view.getattr(node, handle).map(|(attr, lasts)| attr_reply(attr, lasts))
            }
            Op::Setattr => {
                let (handle, change) = parse_setattr(&mut body)?;
                view.setattr(node, handle, &change).map(|(attr, lasts)| attr_reply(attr, lasts))
            }
            Op::Readlink => view.readlink(node).map(Reply::Body),
            Op::Symlink => {
                let (name, target) = (body.name()?, body.name()?);
                view.symlink(node, name, target).map(entry_reply)
            }
            Op::Mknod => {
                let mode = body.u32()?;
                body.bytes(12)?;
                view.mknod(node, body.name()?, mode).map(entry_reply)
            }
            Op::Mkdir => {
                let mode = body.u32()?;
                body.u32()?;
                view.mkdir(node, body.name()?, mode).map(entry_reply)
            }
            Op::Unlink => view.unlink(node, body.name()?).map(empty),
            Op::Rmdir => view.rmdir(node, body.name()?).map(empty),
            Op::Rename => {
                let to = body.u64()?;
                let (old, new) = (body.name()?, body.name()?);
                view.rename((node, old), (to, new), RenameFlags::empty()).map(empty)
            }
            Op::Rename2 => {
                let (to, flags) = (body.u64()?, body.u32()?);
                body.u32()?;
                let (old, new) = (body.name()?, body.name()?);
                match RenameFlags::from_bits(flags) {
                    Some(flags) => view.rename((node, old), (to, new), flags).map(empty),
                    None => Err(Errno::INVAL),
                }
            }
            Op::Link => {
                let old = body.u64()?;
                view.link(old, node, body.name()?).map(entry_reply)
            }
            Op::Open => {
                let flags = OFlags::from_bits_retain(body.u32()?);
                view.open(node, flags).map(open_reply)
            }
            Op::Create | Op::Tmpfile => {
                let flags = OFlags::from_bits_retain(body.u32()?);
                let mode = body.u32()?;
                body.bytes(8)?;
                let made = match op {
                    Op::Create => view.create(node, body.name()?, mode, flags),
                    _ => view.tmpfile(node, mode, flags),
                };
                made.map(created_reply)
            }
            Op::Read => {
                let (handle, offset, size) = (body.u64()?, body.u64()?, body.u32()?);
                self.read(handle, offset, size)
            }
            Op::Write => {
                let (handle, offset, size, flags) = (body.u64()?, body.u64()?, body.u32()?, body.u32()?);
                body.bytes(16)?;
                let bytes = body.bytes(size as usize)?;
                let kill = flags & abi::WRITE_KILL_SUIDGID != 0;
                view.write(handle, offset, bytes, kill).map(write_reply)
            }
            Op::Release | Op::Releasedir => {
                view.release(body.u64()?);
                Ok(empty(()))
            }
            Op::Fsync => {
                let (handle, flags) = (body.u64()?, body.u32()?);
                view.fsync(handle, flags & abi::FSYNC_DATASYNC != 0).map(empty)
            }
            Op::Fsyncdir => view.fsync_folder(node).map(empty),
            Op::Opendir => view.opendir(node).map(folder_reply),
            Op::Readdir => {
                let (handle, offset, size) = (body.u64()?, body.u64()?, body.u32()?);
                self.readdir(handle, offset, size)
            }
            Op::Readdirplus => {
                let (handle, offset, size) = (body.u64()?, body.u64()?, body.u32()?);
                self.readdir_plus(handle, offset, size)
            }
            Op::Statfs => view.statfs().map(|stat| statfs_reply(&stat)),
            Op::Setxattr => {
                let (size, flags) = (body.u32()?, body.u32()?);
                let name = body.name()?;
                view.setxattr(node, name, body.bytes(size as usize)?, flags).map(empty)
            }
            Op::Getxattr => {
                let size = body.u32()?;
                body.u32()?;
                view.getxattr(node, body.name()?).and_then(|value| sized_reply(size, value))
            }
            Op::Listxattr => {
                let size = body.u32()?;
                view.listxattr(node).and_then(|names| sized_reply(size, names))
            }
            Op::Removexattr => view.removexattr(node, body.name()?).map(empty),
            Op::Fallocate => {
                let (handle, offset, length, mode) = (body.u64()?, body.u64()?, body.u64()?, body.u32()?);
                view.allocate(handle, offset, length, mode).map(empty)
            }
            Op::Lseek => {
                let (handle, offset, whence) = (body.u64()?, body.u64()?, body.u32()?);
                self.seek(handle, offset, whence)
            }
            Op::Interrupt => Ok(Reply::Nothing),
            Op::Destroy => Ok(empty(())),
            // FLUSH and ACCESS: "not implemented" tells the kernel not to ask again. COPY_FILE_RANGE: the kernel copies
            // through READ and WRITE instead, where the policy is asked.
            Op::Flush | Op::Access | Op::CopyFileRange | Op::Syncfs => Err(Errno::NOSYS),
        })
    }

    fn init(&self, body: &mut Reader<'_>) -> Result<Answer, Malformed> {
        let (major, minor, readahead, flags) = (body.u32()?, body.u32()?, body.u32()?, body.u32()?);
        let flags2 = body.u32().unwrap_or(0);
        if major != abi::MAJOR || minor < 31 {
            return Ok(Err(Errno::PROTO));
        }
        let offered = u64::from(flags) | u64::from(flags2) << 32;
        use abi::init::*;
        let wanted = ASYNC_READ
            | BIG_WRITES
            | AUTO_INVAL_DATA
            | DO_READDIRPLUS
            | READDIRPLUS_AUTO
            | ASYNC_DIO
            | PARALLEL_DIROPS
            | MAX_PAGES
            | HANDLE_KILLPRIV_V2
            | INIT_EXT
            | NO_EXPORT_SUPPORT;
        let agreed = wanted & offered;
        let mut out = Writer::new();
        out.u32(abi::MAJOR).u32(minor.min(abi::MINOR)).u32(readahead.min(MAX_WRITE)).u32(agreed as u32);
        // Background requests and congestion threshold, largest write, nanosecond times.
        out.u16(64).u16(48).u32(MAX_WRITE).u32(1);
        out.u16((MAX_WRITE / 4096) as u16).u16(0).u32((agreed >> 32) as u32).raw(&[0; 28]);
        Ok(Ok(Reply::Body(out.into_bytes())))
    }

    fn gated_lookup(&self, header: &Header, name: &[u8]) -> Answer {
        if header.node != abi::ROOT_ID || name != b".git" || !self.view.has_git_mount() {
            return self.lookup(header.node, name, true);
        }
        let builder = header.pid == BUILDER;
        match self.gate.pass(builder, || HeldLookup { unique: header.unique, name: name.to_vec() }) {
            Ok(remember) => self.lookup(header.node, name, remember),
            Err(()) => Ok(Reply::Held),
        }
    }

    fn lookup(&self, parent: u64, name: &[u8], remember: bool) -> Answer {
        match self.view.lookup(parent, name) {
            Ok(found) if remember => Ok(entry_reply(found)),
            Ok(found) => Ok(entry_reply(Found { remember: Remember::NOTHING, ..found })),
            Err(PASSING) => Err(Errno::NOENT),
            Err(Errno::NOENT) if self.view.absence_lasts(parent) => Ok(absence_reply()),
            Err(e) => Err(e),
        }
    }

    fn read(&self, handle: u64, offset: u64, size: u32) -> Answer {
        let mut bytes = vec![0; size.min(MAX_WRITE) as usize];
        let count = self.view.read(handle, offset, &mut bytes)?;
        bytes.truncate(count);
        Ok(Reply::Body(bytes))
    }

    fn seek(&self, handle: u64, offset: u64, whence: u32) -> Answer {
        const SEEK_DATA: u32 = 3;
        const SEEK_HOLE: u32 = 4;
        let to = match whence {
            SEEK_DATA => SeekFrom::Data(offset),
            SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        let mut out = Writer::new();
        out.u64(self.view.seek(handle, to)?);
        Ok(Reply::Body(out.into_bytes()))
    }

    fn readdir(&self, handle: u64, offset: u64, size: u32) -> Answer {
        let start = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
        let size = size as usize;
        let mut out = Writer::new();
        for (n, entry) in self.view.readdir(handle, start, size / SHORTEST_NAME + 1)?.iter().enumerate() {
            if out.length() + name_length(entry) > size {
                break;
            }
            put_name(&mut out, entry, start + n + 1);
        }
        Ok(Reply::Body(out.into_bytes()))
    }

    fn readdir_plus(&self, handle: u64, offset: u64, size: u32) -> Answer {
        let start = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
        let size = size as usize;
        let mut out = Writer::new();
        // Each answer counts as a look-up, so no more may be made than fit: one entry at a time would ask for the folder
        // each time, hence as many as fit for sure.
        let longest = ENTRY + (NAME_FIXED + 255).next_multiple_of(8);
        for (n, (entry, found)) in self.view.readdir_plus(handle, start, (size / longest).max(1))?.iter().enumerate() {
            match found {
                Some(found) => put_entry(&mut out, found),
                // Node 0: only the name.
                None => drop(out.raw(&[0; ENTRY])),
            }
            put_name(&mut out, entry, start + n + 1);
        }
        Ok(Reply::Body(out.into_bytes()))
    }
}

/// Bytes of an entry's fixed part, of a name's, and of the shortest name with it.
const ENTRY: usize = 128;
const NAME_FIXED: usize = 24;
const SHORTEST_NAME: usize = NAME_FIXED + 8;

fn name_length(entry: &Listed) -> usize {
    (NAME_FIXED + entry.name.len()).next_multiple_of(8)
}

fn put_name(out: &mut Writer, entry: &Listed, next: usize) {
    let kind = match entry.kind {
        FileKind::File => 8,
        FileKind::Folder => 4,
        FileKind::Symlink => 10,
        FileKind::Special => 0,
    };
    out.u64(entry.ino).u64(next as u64).u32(entry.name.len() as u32).u32(kind).raw(&entry.name).pad_to(8);
}

fn parse_setattr(body: &mut Reader<'_>) -> Result<(Option<u64>, Change), Malformed> {
    let valid = body.u32()?;
    body.u32()?;
    let (handle, size, _lock_owner) = (body.u64()?, body.u64()?, body.u64()?);
    let (atime, mtime, _ctime) = (body.u64()?, body.u64()?, body.u64()?);
    let (atime_nsec, mtime_nsec, _ctime_nsec) = (body.u32()?, body.u32()?, body.u32()?);
    let (mode, _) = (body.u32()?, body.u32()?);
    let (uid, gid) = (body.u32()?, body.u32()?);
    let has = |bit: u32| valid & bit != 0;
    let time = |set: u32, now: u32, sec: u64, nsec: u32| {
        if has(now) {
            Some(Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW as _ })
        } else {
            has(set).then_some(Timespec { tv_sec: sec.cast_signed(), tv_nsec: i64::from(nsec) as _ })
        }
    };
    let change = Change {
        mode: has(fattr::MODE).then_some(mode),
        uid: has(fattr::UID).then_some(uid),
        gid: has(fattr::GID).then_some(gid),
        size: has(fattr::SIZE).then_some(size),
        atime: time(fattr::ATIME, fattr::ATIME_NOW, atime, atime_nsec),
        mtime: time(fattr::MTIME, fattr::MTIME_NOW, mtime, mtime_nsec),
    };
    Ok((has(fattr::FH).then_some(handle), change))
}

fn empty((): ()) -> Reply {
    Reply::Body(Vec::new())
}

fn put_attr(out: &mut Writer, attr: &Attr) {
    out.u64(attr.ino).u64(attr.size).u64(attr.blocks);
    let seconds = [attr.atime.0, attr.mtime.0, attr.ctime.0];
    seconds.iter().for_each(|s| {
        out.u64(s.cast_unsigned());
    });
    out.u32(attr.atime.1).u32(attr.mtime.1).u32(attr.ctime.1);
    out.u32(attr.mode).u32(attr.nlink).u32(attr.uid).u32(attr.gid).u32(attr.rdev).u32(attr.blksize).u32(0);
}

fn attr_reply(attr: Attr, lasts: bool) -> Reply {
    let mut out = Writer::new();
    out.u64(seconds(lasts)).u32(0).u32(0);
    put_attr(&mut out, &attr);
    Reply::Body(out.into_bytes())
}

fn seconds(lasts: bool) -> u64 {
    if lasts { LONG } else { 0 }
}

fn put_entry(out: &mut Writer, found: &Found) {
    out.u64(found.node).u64(0).u64(seconds(found.remember.name)).u64(seconds(found.remember.attributes));
    out.u32(0).u32(0);
    put_attr(out, &found.attr);
}

/// "There is no such name", to be remembered.
fn absence_reply() -> Reply {
    let mut out = Writer::new();
    out.u64(0).u64(0).u64(LONG).u64(0).u32(0).u32(0).raw(&[0; 88]);
    Reply::Body(out.into_bytes())
}

fn entry_reply(found: Found) -> Reply {
    let mut out = Writer::new();
    put_entry(&mut out, &found);
    Reply::Body(out.into_bytes())
}

fn put_open(out: &mut Writer, handle: u64) {
    out.u64(handle).u32(abi::FOPEN_KEEP_CACHE | abi::FOPEN_NOFLUSH).i32(0);
}

fn open_reply(handle: u64) -> Reply {
    let mut out = Writer::new();
    put_open(&mut out, handle);
    Reply::Body(out.into_bytes())
}

fn folder_reply((handle, lasts): (u64, bool)) -> Reply {
    let flags = if lasts { abi::FOPEN_CACHE_DIR | abi::FOPEN_KEEP_CACHE } else { 0 };
    let mut out = Writer::new();
    out.u64(handle).u32(flags).i32(0);
    Reply::Body(out.into_bytes())
}

fn created_reply((found, handle): (Found, u64)) -> Reply {
    let mut out = Writer::new();
    put_entry(&mut out, &found);
    put_open(&mut out, handle);
    Reply::Body(out.into_bytes())
}

fn write_reply(count: usize) -> Reply {
    let mut out = Writer::new();
    out.u32(count as u32).u32(0);
    Reply::Body(out.into_bytes())
}

/// An xattr call asks for the size first (with size 0), then for the bytes.
fn sized_reply(size: u32, bytes: Vec<u8>) -> Answer {
    if size == 0 {
        let mut out = Writer::new();
        out.u32(bytes.len() as u32).u32(0);
        return Ok(Reply::Body(out.into_bytes()));
    }
    if bytes.len() > size as usize {
        return Err(Errno::RANGE);
    }
    Ok(Reply::Body(bytes))
}

fn statfs_reply(stat: &rustix::fs::StatVfs) -> Reply {
    let mut out = Writer::new();
    out.u64(stat.f_blocks).u64(stat.f_bfree).u64(stat.f_bavail).u64(stat.f_files).u64(stat.f_ffree);
    out.u32(stat.f_bsize as u32).u32(stat.f_namemax as u32).u32(stat.f_frsize as u32).u32(0).raw(&[0; 24]);
    Reply::Body(out.into_bytes())
}
