//! Commits of the box, offered to the supervisor as they happen.
//!
//! Init watches the box's own git folder, by its descriptor and never through the workspace. When a branch stands at a
//! commit that the host does not have, a confined git packs what is missing into a pipe, and the supervisor gets the
//! reading end. All of it is the box's word: a box that lies here lies about its own work.

use super::config::InitConfig;
use super::{command, confine, tell, wait_any};
use pinfold_plan::OsBytes;
use pinfold_sys::channel::Channel;
use pinfold_sys::process::{self, ExecStrings, Side};
use pinfold_sys::signal::SignalFd;
use pinfold_wire::{FromInit, GitKnown, GitOffer, HostRef, MAX_REF_NAME, MAX_REFS, Oid, RefTip, ToInit, decode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Dir, FileType, MemfdFlags, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A commit is several writes; the last of them counts.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// Under a stream of commits, no offer waits longer than this.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// From the command's start until the folders are watched. The kernel waits several milliseconds before it gives up a watch,
/// as long as it takes to start the whole box: a command that is done sooner gets only the look at its end.
const UNWATCHED: Duration = Duration::from_millis(100);
/// For one run of git.
const MAX_GIT: Duration = Duration::from_secs(120);
/// For the host's first word about what it has.
const MAX_HOST: Duration = Duration::from_secs(5);
/// Bytes of a file of refs that are read.
const MAX_FILE: u64 = 4 << 20;
/// Folders below `refs/heads` that are watched, and entries that are read in all of them.
const MAX_FOLDERS: usize = 256;
const MAX_ENTRIES: usize = 4096;
/// Commits that are remembered as the host's.
const MAX_KNOWN: usize = 16 << 10;
/// Of those, as many as git is told to leave out.
const MAX_NOT: usize = 1024;
const MAX_HOST_REFS: usize = 256;

/// Where the branches stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tips {
    head_ref: Option<String>,
    head: Option<Oid>,
    refs: BTreeMap<String, Oid>,
    cut: bool,
}

#[derive(Debug)]
pub(super) struct GitWatch {
    folder: OwnedFd,
    /// `None`: not yet, or the kernel has no watch left for us; then there is only the look at the end.
    events: Option<OwnedFd>,
    /// When the folders are to be watched.
    watch_at: Option<Instant>,
    known: BTreeSet<Oid>,
    host_spoke: bool,
    /// First and last event since the last look.
    dirty: Option<(Instant, Instant)>,
    /// The branches may have moved since they were last looked at, or something was offered that is to be offered for good.
    touched: bool,
    offered: Option<Tips>,
    /// A running git, and when it is given up on.
    child: Option<(Pid, Instant)>,
    /// It packs an offer.
    packing: bool,
    /// Git could not leave out what the host is said to have, so it shall not try to: objects that are borrowed stay out
    /// of a pack in any case.
    plain: bool,
    /// The last pack failed and shall be made again.
    again: bool,
    host_refs: VecDeque<HostRef>,
    number: u64,
}

impl GitWatch {
    pub(super) fn new(folder: OwnedFd) -> GitWatch {
        GitWatch {
            folder,
            touched: true,
            events: None,
            watch_at: Some(Instant::now() + UNWATCHED),
            known: BTreeSet::new(),
            host_spoke: false,
            dirty: None,
            offered: None,
            child: None,
            packing: false,
            plain: false,
            again: false,
            host_refs: VecDeque::new(),
            number: 0,
        }
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.events.iter().map(|events| events.as_fd())
    }

    fn due(&self) -> Option<Instant> {
        let look = self
            .dirty
            .filter(|_| self.host_spoke && self.child.is_none())
            .map(|(first, last)| (last + DEBOUNCE).min(first + MAX_WAIT));
        [self.watch_at, look, self.child.map(|(_, deadline)| deadline)].into_iter().flatten().min()
    }

    /// How long init may sleep; `None`: for ever.
    pub(super) fn due_in(&self) -> Option<Timespec> {
        let wait = self.due()?.saturating_duration_since(Instant::now());
        // Rounded up, so that it is really due then.
        Some(Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) + 1 })
            .map(|t| if t.tv_nsec >= 1_000_000_000 { Timespec { tv_sec: t.tv_sec + 1, tv_nsec: 0 } } else { t })
    }

    pub(super) fn known(&mut self, known: &GitKnown) {
        self.host_spoke = true;
        self.known.extend(known.oids.iter().cloned());
        while self.known.len() > MAX_KNOWN {
            self.known.pop_first();
        }
    }

    pub(super) fn host_ref(&mut self, host: &HostRef) {
        if self.host_refs.len() < MAX_HOST_REFS {
            self.host_refs.push_back(host.clone());
        }
    }

    pub(super) fn child_ended(&mut self, pid: Pid, status: WaitStatus) {
        if self.child.take_if(|(child, _)| *child == pid).is_none() {
            return;
        }
        let packing = std::mem::take(&mut self.packing);
        if packing && status.exit_status() != Some(0) && !self.plain {
            let now = Instant::now();
            (self.plain, self.again) = (true, true);
            (self.offered, self.dirty) = (None, Some((now, now)));
        }
    }

    /// One round of init's loop.
    pub(super) fn serve(&mut self, fired: bool, config: &InitConfig, control: &Channel, last: bool) -> io::Result<()> {
        if fired {
            self.drain_events();
        }
        let now = Instant::now();
        if self.watch_at.take_if(|at| now >= *at).is_some() {
            self.start_watching(now);
        }
        if let Some((pid, deadline)) = self.child {
            if now >= deadline {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
            return Ok(());
        }
        if let Some(host) = self.host_refs.pop_front() {
            return self.keep_host_ref(&host, config);
        }
        if self.due().is_some_and(|due| now >= due) {
            self.dirty = None;
            self.watch_folders();
            self.offer(config, control, last)?;
            self.touched = self.offered.is_some();
        }
        Ok(())
    }

    /// The command has ended and nothing else lives: a last look, if anything was touched at all.
    pub(super) fn finish(&mut self, config: &InitConfig, control: &Channel, signals: &SignalFd) -> io::Result<()> {
        (self.child, self.packing) = (None, false);
        self.offered = None;
        self.drain_events();
        if !self.touched {
            return Ok(());
        }
        let host_deadline = Instant::now() + MAX_HOST;
        while !self.host_spoke && Instant::now() < host_deadline {
            self.listen(control, signals, host_deadline)?;
        }
        loop {
            self.again = false;
            self.offer(config, control, true)?;
            while let Some((pid, deadline)) = self.child {
                if Instant::now() >= deadline {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
                self.listen(control, signals, deadline)?;
            }
            if !self.again {
                return Ok(());
            }
        }
    }

    /// Waits for the supervisor's word, or the end of a child.
    fn listen(&mut self, control: &Channel, signals: &SignalFd, until: Instant) -> io::Result<()> {
        let wait = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let mut fds = [PollFd::new(control, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        match control.try_recv() {
            Ok(None) => return Err(io::ErrorKind::BrokenPipe.into()),
            Ok(Some(message)) => {
                if let Ok(ToInit::Known(known)) = decode(&message.bytes) {
                    self.known(&known);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while signals.next()?.is_some() {}
        while let Some((pid, status)) = wait_any(WaitOptions::NOHANG)? {
            self.child_ended(pid, status);
        }
        Ok(())
    }

    fn drain_events(&mut self) {
        let Some(events) = &self.events else { return };
        let mut buffer = [0u8; 4096];
        while let Ok(1..) = rustix::io::read(events, &mut buffer) {
            let now = Instant::now();
            self.dirty = Some(self.dirty.map_or((now, now), |(first, _)| (first, now)));
            self.touched = true;
        }
    }

    /// What happened until now was not seen, so it counts as an event.
    fn start_watching(&mut self, now: Instant) {
        self.events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        self.watch_folders();
        if self.events.is_some() {
            self.dirty = Some((now, now));
        }
    }

    /// Watches the folders where refs live; those that are watched already stay so.
    fn watch_folders(&mut self) {
        let Some(events) = &self.events else { return };
        // inotify takes paths only, so the folder becomes the current one. The command has its own.
        if rustix::process::fchdir(&self.folder).is_err() {
            return;
        }
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW
            | WatchFlags::EXCL_UNLINK;
        let mut folders = vec![PathBuf::from("."), "refs".into(), "refs/heads".into()];
        let mut at = 2;
        while at < folders.len() && folders.len() < MAX_FOLDERS {
            let below = self.entries(&folders[at]).unwrap_or_default();
            let below = below.into_iter().filter(|(_, kind)| *kind == FileType::Directory);
            let parent = folders[at].clone();
            folders.extend(below.map(|(name, _)| parent.join(name)));
            at += 1;
        }
        for folder in folders.iter().take(MAX_FOLDERS) {
            let _ = inotify::add_watch(events, folder, flags);
        }
    }

    fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.folder, path, flags, Mode::empty(), resolve)
    }

    fn entries(&self, folder: &Path) -> rustix::io::Result<Vec<(String, FileType)>> {
        let mut found = Vec::new();
        for entry in Dir::new(self.open(folder, OFlags::DIRECTORY)?)?.take(MAX_ENTRIES) {
            let entry = entry?;
            // A branch whose name is no text can't be offered.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name != "." && name != ".." {
                found.push((name.to_owned(), entry.file_type()));
            }
        }
        Ok(found)
    }

    /// A small regular file; anything else reads as absent.
    fn text(&self, path: &Path) -> Option<String> {
        let file = self.open(path, OFlags::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size as u64 > MAX_FILE {
            return None;
        }
        let mut text = String::new();
        File::from(file).take(MAX_FILE).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Where HEAD and the branches stand, read from the files themselves: a loose ref counts before a packed one.
    fn tips(&self) -> Tips {
        let mut refs = BTreeMap::new();
        for line in self.text(Path::new("packed-refs")).unwrap_or_default().lines() {
            if let Some((oid, name)) = line.split_once(' ')
                && let (Some(_), Ok(oid)) = (name.strip_prefix("refs/heads/"), Oid::new(oid))
            {
                refs.insert(name.to_owned(), oid);
            }
        }
        let mut folders = VecDeque::from([PathBuf::from("refs/heads")]);
        let mut left = MAX_FOLDERS;
        while let Some(folder) = folders.pop_front() {
            for (name, kind) in self.entries(&folder).unwrap_or_default() {
                let path = folder.join(name);
                match kind {
                    FileType::Directory if left > 0 => {
                        left -= 1;
                        folders.push_back(path);
                    }
                    FileType::RegularFile => {
                        if let (Some(text), Some(name)) = (self.text(&path), path.to_str())
                            && let Ok(oid) = Oid::new(text.trim_end())
                        {
                            refs.insert(name.to_owned(), oid);
                        }
                    }
                    _ => {}
                }
            }
        }
        let all = refs.len();
        let mut refs: BTreeMap<_, _> = refs.into_iter().filter(|(name, _)| name.len() <= MAX_REF_NAME).collect();
        while refs.len() > MAX_REFS {
            refs.pop_last();
        }
        let cut = refs.len() < all;
        let head = self.text(Path::new("HEAD")).unwrap_or_default();
        let head = head.trim_end();
        let head_ref = head.strip_prefix("ref: ").filter(|name| name.len() <= MAX_REF_NAME).map(str::to_owned);
        let head = match &head_ref {
            Some(name) => refs.get(name).cloned(),
            None => Oid::new(head).ok(),
        };
        Tips { head_ref, head, refs, cut }
    }

    fn offer(&mut self, config: &InitConfig, control: &Channel, last: bool) -> io::Result<()> {
        let tips = self.tips();
        let all: BTreeSet<&Oid> = tips.refs.values().chain(&tips.head).collect();
        let news = all.iter().any(|oid| !self.known.contains(*oid));
        if !news || self.offered.as_ref() == Some(&tips) {
            return Ok(());
        }
        let mut wanted = String::new();
        for oid in &all {
            wanted.push_str(&format!("{oid}\n"));
        }
        wanted.push_str("--not\n");
        // What the branches stand at is known to exist here; of the rest, any part helps.
        for oid in self.known.iter().take(if self.plain { 0 } else { MAX_NOT }) {
            wanted.push_str(&format!("{oid}\n"));
        }
        let (pack, into) = pipe_with(PipeFlags::CLOEXEC)?;
        let pid = git(config, PACK, Some(&wanted), into.as_fd())?;
        drop(into);
        self.child = Some((pid, Instant::now() + MAX_GIT));
        self.packing = true;
        self.number += 1;
        let refs = tips.refs.iter().map(|(name, oid)| RefTip { name: name.clone(), oid: oid.clone() }).collect();
        let offer = GitOffer {
            number: self.number,
            head_ref: tips.head_ref.clone(),
            head: tips.head.clone(),
            refs,
            cut: tips.cut,
            last,
        };
        self.offered = Some(tips);
        tell(control, &FromInit::GitOffer(offer), &[pack.as_fd()])
    }

    fn keep_host_ref(&mut self, host: &HostRef, config: &InitConfig) -> io::Result<()> {
        let name = format!("refs/pinfold/host/{}", host.branch);
        if name.len() > 2 * MAX_REF_NAME || name.contains('\0') {
            return Ok(());
        }
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let pid = git(config, &["update-ref", &name, host.oid.as_str()], None, null.as_fd())?;
        self.child = Some((pid, Instant::now() + MAX_GIT));
        Ok(())
    }
}

/// Only what is the box's own: objects that it borrows are the host's already.
const PACK: &[&str] = &["pack-objects", "--revs", "--local", "--thin", "--delta-base-offset", "--stdout", "-q"];

/// Switched off for each run: what the box may have put into its configuration must not run here too. It could do no
/// harm that the command can't do, but it could make an offer hang.
const NEUTRAL: &[&str] =
    &["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.pager=cat", "-c", "gc.auto=0"];

/// Starts git in the box, behind the same walls as the command.
fn git(config: &InitConfig, words: &[&str], input: Option<&str>, output: BorrowedFd<'_>) -> io::Result<Pid> {
    let folder = config.git.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let input: OwnedFd = match input {
        Some(text) => {
            let mut file = File::from(rustix::fs::memfd_create(c"revisions", MemfdFlags::CLOEXEC)?);
            file.write_all(text.as_bytes())?;
            file.rewind()?;
            file.into()
        }
        None => rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?,
    };
    let argv = ExecStrings::new(["git"].iter().chain(NEUTRAL).chain(words).copied())?;
    let mut git_dir = b"GIT_DIR=".to_vec();
    git_dir.extend_from_slice(std::os::unix::ffi::OsStrExt::as_bytes(folder.as_path().as_os_str()));
    let mut env: Vec<Vec<u8>> = vec![git_dir];
    for fixed in
        ["GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1"]
    {
        env.push(fixed.into());
    }
    for (name, value) in config.exec.env.iter().filter(|(name, _)| matches!(name.as_str(), "PATH" | "HOME")) {
        env.push([name.as_bytes(), b"=", value.as_bytes()].concat());
    }
    let env = ExecStrings::new(env)?;
    let programs: Vec<CString> = command::candidates(&OsBytes::from("git"), config)
        .into_iter()
        .filter_map(|path| CString::new(path).ok())
        .collect();
    match process::fork()? {
        Side::Parent { pid, .. } => Ok(pid),
        Side::Child => {
            let walls = || -> Option<()> {
                rustix::process::setpgid(None, None).ok()?;
                process::place(input.as_fd(), 0).ok()?;
                process::place(output, 1).ok()?;
                process::close_from(3).ok()?;
                pinfold_sys::signal::reset_all().ok()?;
                rustix::process::chdir(c"/").ok()?;
                confine::confine(config).ok()
            };
            if walls().is_some() {
                for program in &programs {
                    let _ = process::exec(program, &argv, &env);
                }
            }
            process::exit_now(127)
        }
    }
}
