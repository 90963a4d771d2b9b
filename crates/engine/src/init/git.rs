//! Commits of the box, offered to the supervisor as they happen.
//!
//! When a branch stands at a commit that the host does not have, a confined git packs what is missing into a pipe, and the
//! supervisor gets the reading end. The workspace's own repository is watched by the descriptor of its folder. Those below
//! it lie in the workspace, where a slow file server could hold whoever looks; so a child looks, and is given up on. All
//! of it is the box's word: a box that lies here lies about its own work.

use super::config::InitConfig;
use super::folder::{GitFolder, Tips};
use super::{command, confine, tell};
use pinfold_plan::OsBytes;
use pinfold_sys::channel::Channel;
use pinfold_sys::process::{self, ExecStrings, Side};
use pinfold_wire::{FromInit, GitKnown, GitOffer, HostRef, MAX_REF_NAME, Oid, RefTip};
use rustix::fs::inotify::{self, CreateFlags};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitStatus};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// A commit is several writes; the last of them counts.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// Under a stream of commits, no offer waits longer than this.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// From the command's start until the folders are watched. The kernel waits several milliseconds before it gives up a watch,
/// as long as it takes to start the whole box: a command that is done sooner gets only the look at its end.
const UNWATCHED: Duration = Duration::from_millis(100);
/// For one run of git.
pub(super) const MAX_GIT: Duration = Duration::from_secs(120);
/// For one look into a folder of the workspace.
const MAX_LOOK: Duration = Duration::from_secs(10);
/// Bytes of what a look says; it fits with the most refs.
const MAX_SEEN: u64 = 1 << 20;
/// Commits that are remembered as the host's.
const MAX_KNOWN: usize = 16 << 10;
/// Of those, as many as git is told to leave out.
const MAX_NOT: usize = 1024;
const MAX_HOST_REFS: usize = 256;

/// Where a repository is, and how changes in it are heard of.
#[derive(Debug)]
enum Place {
    /// The workspace's own. `events`: `None` if the kernel has no watch left for us; then there is only the look at the
    /// end.
    Own { folder: GitFolder, events: Option<OwnedFd> },
    /// Below the workspace. `watches`: numbers of an inotify descriptor that all of them have together.
    Tree { at: Vec<u8>, watches: Vec<i32> },
}

/// What a running child does.
#[derive(Debug)]
enum Work {
    Look(File),
    Pack,
    Ref,
}

/// What a look has seen.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    tips: Tips,
    watches: Vec<i32>,
}

/// One repository of the box.
#[derive(Debug)]
pub(super) struct GitWatch {
    number: u32,
    place: Place,
    /// When the folders are to be watched.
    watch_at: Option<Instant>,
    known: BTreeSet<Oid>,
    pub(super) host_spoke: bool,
    /// First and last event since the last look.
    dirty: Option<(Instant, Instant)>,
    /// The branches may have moved since they were last looked at, or something was offered that is to be offered for good.
    touched: bool,
    offered: Option<Tips>,
    /// A running child, and when it is given up on.
    child: Option<(Pid, Instant, Work)>,
    /// What a look has found that is not offered yet.
    seen: Option<Tips>,
    /// Git could not leave out what the host is said to have, so it shall not try to: objects that are borrowed stay out
    /// of a pack in any case.
    plain: bool,
    /// The last pack failed and shall be made again.
    again: bool,
    host_refs: VecDeque<HostRef>,
    offers: u64,
}

impl GitWatch {
    pub(super) fn own(folder: OwnedFd) -> GitWatch {
        Self::new(0, Place::Own { folder: GitFolder::new(folder), events: None })
    }

    /// `at`: its `.git`, from the top of the workspace.
    pub(super) fn tree(number: u32, at: Vec<u8>) -> GitWatch {
        Self::new(number, Place::Tree { at, watches: Vec::new() })
    }

    fn new(number: u32, place: Place) -> GitWatch {
        GitWatch {
            number,
            place,
            touched: true,
            watch_at: Some(Instant::now() + UNWATCHED),
            known: BTreeSet::new(),
            host_spoke: false,
            dirty: None,
            offered: None,
            child: None,
            seen: None,
            plain: false,
            again: false,
            host_refs: VecDeque::new(),
            offers: 0,
        }
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn events(&self) -> Option<BorrowedFd<'_>> {
        match &self.place {
            Place::Own { events, .. } => events.as_ref().map(|events| events.as_fd()),
            Place::Tree { .. } => None,
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.child.is_some()
    }

    /// The inotify descriptor of the repositories in the tree has told of this watch.
    pub(super) fn hear(&mut self, watch: i32) {
        if matches!(&self.place, Place::Tree { watches, .. } if watches.contains(&watch)) {
            self.changed();
        }
    }

    fn changed(&mut self) {
        let now = Instant::now();
        self.dirty = Some(self.dirty.map_or((now, now), |(first, _)| (first, now)));
        self.touched = true;
    }

    pub(super) fn due(&self) -> Option<Instant> {
        if let Some((_, deadline, _)) = &self.child {
            return Some(*deadline);
        }
        if self.seen.is_some() || !self.host_refs.is_empty() {
            return Some(Instant::now());
        }
        let look = self.dirty.filter(|_| self.host_spoke).map(|(first, last)| (last + DEBOUNCE).min(first + MAX_WAIT));
        [self.watch_at, look].into_iter().flatten().min()
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
        let Some((_, _, work)) = self.child.take_if(|(child, ..)| *child == pid) else { return };
        match work {
            Work::Look(report) if status.exit_status() == Some(0) => self.take_look(report),
            // It is looked at again when something happens, and at the end.
            Work::Look(_) => self.touched = true,
            Work::Pack if status.exit_status() != Some(0) && !self.plain => {
                let now = Instant::now();
                (self.plain, self.again) = (true, true);
                (self.offered, self.dirty) = (None, Some((now, now)));
            }
            Work::Pack | Work::Ref => {}
        }
    }

    fn take_look(&mut self, mut report: File) {
        let mut text = Vec::new();
        let read = report.rewind().and_then(|()| report.take(MAX_SEEN).read_to_end(&mut text));
        let Some(seen) = read.ok().and_then(|_| serde_json::from_slice::<Seen>(&text).ok()) else { return };
        if let Place::Tree { watches, .. } = &mut self.place {
            *watches = seen.watches;
        }
        self.seen = Some(seen.tips);
    }

    /// One round of init's loop. `events`: the inotify descriptor of the repositories in the tree.
    pub(super) fn serve(
        &mut self,
        fired: bool,
        config: &InitConfig,
        control: &Channel,
        events: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        if fired {
            self.drain_events();
        }
        let now = Instant::now();
        if self.watch_at.take_if(|at| now >= *at).is_some() {
            self.start_watching(now, events.is_some());
        }
        if self.child.is_some() {
            self.give_up_if_late();
            return Ok(());
        }
        if let Some(host) = self.host_refs.pop_front() {
            return self.keep_host_ref(&host, config);
        }
        if let Some(tips) = self.seen.take() {
            return self.offer(tips, config, control, false);
        }
        if self.due().is_some_and(|due| now >= due) {
            self.dirty = None;
            self.look(config, control, events, false)?;
        }
        Ok(())
    }

    fn give_up_if_late(&self) {
        if let Some((pid, deadline, _)) = &self.child
            && Instant::now() >= *deadline
        {
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
        }
    }

    /// The command has ended and nothing else lives: a last look, if anything was touched at all. False: no need.
    pub(super) fn begin_last(&mut self) -> bool {
        self.child = None;
        (self.offered, self.seen) = (None, None);
        self.drain_events();
        self.touched
    }

    /// The next step of the last look. False: it is over.
    pub(super) fn go_on(&mut self, config: &InitConfig, control: &Channel, first: bool) -> io::Result<bool> {
        if self.child.is_some() {
            self.give_up_if_late();
        } else if let Some(tips) = self.seen.take() {
            self.offer(tips, config, control, true)?;
        } else if first || std::mem::take(&mut self.again) {
            self.look(config, control, None, true)?;
        }
        Ok(self.child.is_some() || self.seen.is_some() || self.again)
    }

    fn drain_events(&mut self) {
        let mut buffer = [0u8; 4096];
        while let Some(events) = self.events()
            && let Ok(1..) = rustix::io::read(events, &mut buffer)
        {
            self.changed();
        }
    }

    /// What happened until now was not seen, so it counts as an event.
    fn start_watching(&mut self, now: Instant, tree: bool) {
        let watched = match &mut self.place {
            Place::Own { folder, events } => {
                *events = new_events();
                events.iter().for_each(|events| drop(folder.watch(events.as_fd())));
                events.is_some()
            }
            Place::Tree { .. } => tree,
        };
        if watched {
            self.dirty = Some((now, now));
        }
    }

    /// Where do the branches stand? Below the workspace the answer comes when the child has ended.
    fn look(
        &mut self,
        config: &InitConfig,
        control: &Channel,
        tree_events: Option<BorrowedFd<'_>>,
        last: bool,
    ) -> io::Result<()> {
        match &self.place {
            Place::Own { folder, events } => {
                if let Some(events) = events.as_ref().filter(|_| !last) {
                    folder.watch(events.as_fd());
                }
                let tips = folder.tips();
                self.offer(tips, config, control, last)
            }
            Place::Tree { at, .. } => {
                let report = File::from(rustix::fs::memfd_create(c"branches", MemfdFlags::CLOEXEC)?);
                let pid = look_into(config, at, &report, tree_events)?;
                self.child = Some((pid, Instant::now() + MAX_LOOK, Work::Look(report)));
                Ok(())
            }
        }
    }

    fn git_dir(&self, config: &InitConfig) -> Option<Vec<u8>> {
        match &self.place {
            Place::Own { .. } => Some(config.git.as_ref()?.as_path().as_os_str().as_bytes().to_vec()),
            Place::Tree { at, .. } => {
                let top = config.workspace.as_ref()?.as_path().as_os_str().as_bytes();
                Some([top, b"/", at].concat())
            }
        }
    }

    fn offer(&mut self, tips: Tips, config: &InitConfig, control: &Channel, last: bool) -> io::Result<()> {
        // An event since this look began was not seen by it.
        self.touched = self.offered.is_some() || self.dirty.is_some();
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
        let git_dir = self.git_dir(config).ok_or(io::ErrorKind::NotFound)?;
        let pid = git(config, &git_dir, PACK, Some(&wanted), into.as_fd())?;
        drop(into);
        self.child = Some((pid, Instant::now() + MAX_GIT, Work::Pack));
        self.offers += 1;
        let refs = tips.refs.iter().map(|(name, oid)| RefTip { name: name.clone(), oid: oid.clone() }).collect();
        let offer = GitOffer {
            repository: self.number,
            number: self.offers,
            head_ref: tips.head_ref.clone(),
            head: tips.head.clone(),
            refs,
            cut: tips.cut,
            last,
        };
        (self.offered, self.touched) = (Some(tips), true);
        tell(control, &FromInit::GitOffer(offer), &[pack.as_fd()])
    }

    fn keep_host_ref(&mut self, host: &HostRef, config: &InitConfig) -> io::Result<()> {
        let name = format!("refs/pinfold/host/{}", host.branch);
        if name.len() > 2 * MAX_REF_NAME || name.contains('\0') {
            return Ok(());
        }
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        let git_dir = self.git_dir(config).ok_or(io::ErrorKind::NotFound)?;
        let pid = git(config, &git_dir, &["update-ref", &name, host.oid.as_str()], None, null.as_fd())?;
        self.child = Some((pid, Instant::now() + MAX_GIT, Work::Ref));
        Ok(())
    }
}

pub(super) fn new_events() -> Option<OwnedFd> {
    inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()
}

/// Starts a child that looks into a git folder of the workspace and writes what it sees into `report`. It has init's own
/// rights, which in the workspace are the command's, and nothing open but these descriptors.
fn look_into(config: &InitConfig, at: &[u8], report: &File, events: Option<BorrowedFd<'_>>) -> io::Result<Pid> {
    let top = config.workspace.as_ref().ok_or(io::ErrorKind::NotFound)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    match process::fork()? {
        Side::Parent { pid, .. } => Ok(pid),
        Side::Child => {
            let look = || -> Option<()> {
                rustix::process::setpgid(None, None).ok()?;
                process::place(report.as_fd(), 0).ok()?;
                process::place(events.unwrap_or(null.as_fd()), 1).ok()?;
                process::close_from(3).ok()?;
                let report = File::from(process::inherited(0).ok()?);
                let watch = process::inherited(1).ok().filter(|_| events.is_some());
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let top = rustix::fs::open(top.as_path(), flags, Mode::empty()).ok()?;
                let folder = GitFolder::below(&top, at).ok()?;
                // Watched before it is read: what changes in between is heard of.
                let watches = watch.map(|events| folder.watch(events.as_fd())).unwrap_or_default();
                serde_json::to_writer(&report, &Seen { tips: folder.tips(), watches }).ok()
            };
            process::exit_now(if look().is_some() { 0 } else { 1 })
        }
    }
}

/// Only what is the box's own: objects that it borrows are the host's already.
const PACK: &[&str] = &["pack-objects", "--revs", "--local", "--thin", "--delta-base-offset", "--stdout", "-q"];

/// Switched off for each run: what the box may have put into its configuration must not run here too. It could do no
/// harm that the command can't do, but it could make an offer hang.
const NEUTRAL: &[&str] =
    &["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.pager=cat", "-c", "gc.auto=0"];

/// Starts git in the box, behind the same walls as the command.
fn git(
    config: &InitConfig,
    git_dir: &[u8],
    words: &[&str],
    input: Option<&str>,
    output: BorrowedFd<'_>,
) -> io::Result<Pid> {
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
    let mut env: Vec<Vec<u8>> = vec![[b"GIT_DIR=", git_dir].concat()];
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
