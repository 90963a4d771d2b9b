//! All repositories of the box that are watched: the workspace's own, and those below it that the host knows.
//!
//! Each is a [`GitWatch`]; here is what they have together: one inotify descriptor for those in the tree, one child at a
//! time, and the end.

use super::config::InitConfig;
use super::git::{GitWatch, MAX_GIT, new_events};
use super::wait_any;
use pinfold_sys::channel::Channel;
use pinfold_sys::signal::SignalFd;
use pinfold_wire::{MAX_REPOSITORIES, ToInit, decode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// For the host's first word about what it has.
const MAX_HOST: Duration = Duration::from_secs(5);
/// For the supervisor to say that it has named all repositories: it may be taking in commits.
const MAX_TOLD: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Watches {
    own: Option<GitWatch>,
    tree: Vec<GitWatch>,
    events: Option<OwnedFd>,
    told: bool,
}

impl Watches {
    pub(super) fn new(own: Option<OwnedFd>) -> Watches {
        Watches { own: own.map(GitWatch::own), tree: Vec::new(), events: None, told: false }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut GitWatch> {
        self.own.iter_mut().chain(&mut self.tree)
    }

    /// What concerns git in the supervisor's words; the rest is not for us.
    pub(super) fn hear(&mut self, message: &ToInit) {
        match message {
            ToInit::Known(known) => {
                self.all().filter(|git| git.number() == known.repository).for_each(|git| git.known(known));
            }
            ToInit::HostRef(host) => {
                self.all().filter(|git| git.number() == host.repository).for_each(|git| git.host_ref(host));
            }
            ToInit::Repository { number, at } if self.tree.len() < MAX_REPOSITORIES => {
                self.tree.push(GitWatch::tree(*number, at.clone()));
            }
            ToInit::Told => self.told = true,
            ToInit::Repository { .. } | ToInit::Mapped | ToInit::Signal { .. } => {}
        }
    }

    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let own = self.own.iter().filter_map(GitWatch::events);
        own.chain(self.events.iter().map(|events| events.as_fd()))
    }

    /// How long init may sleep; `None`: for ever.
    pub(super) fn due_in(&self) -> Option<Timespec> {
        let busy = self.tree.iter().any(GitWatch::is_busy);
        // While one of the tree is at work, the others wait for it.
        let tree = self.tree.iter().filter(|git| git.is_busy() == busy).filter_map(GitWatch::due);
        let due = self.own.iter().filter_map(GitWatch::due).chain(tree).min()?;
        Some(timespec(due.saturating_duration_since(Instant::now())))
    }

    pub(super) fn child_ended(&mut self, pid: Pid, status: WaitStatus) {
        self.all().for_each(|git| git.child_ended(pid, status));
    }

    /// One round of init's loop.
    pub(super) fn serve(&mut self, fired: bool, config: &InitConfig, control: &Channel) -> io::Result<()> {
        if let Some(own) = &mut self.own {
            own.serve(fired, config, control, None)?;
        }
        if self.tree.is_empty() {
            return Ok(());
        }
        if self.events.is_none() {
            self.events = new_events();
        }
        if fired {
            self.read_events();
        }
        let events = self.events.as_ref().map(|events| events.as_fd());
        if let Some(busy) = self.tree.iter_mut().find(|git| git.is_busy()) {
            return busy.serve(false, config, control, events);
        }
        for git in &mut self.tree {
            git.serve(false, config, control, events)?;
            if git.is_busy() {
                break;
            }
        }
        Ok(())
    }

    fn read_events(&mut self) {
        let Some(events) = &self.events else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(events, &mut buffer);
        while let Ok(event) = reader.next() {
            self.tree.iter_mut().for_each(|git| git.hear(event.wd()));
        }
    }

    /// The command has ended and nothing else lives: a last look at each. Those in the tree have as long together as one
    /// pack may take.
    pub(super) fn finish(&mut self, config: &InitConfig, control: &Channel, signals: &SignalFd) -> io::Result<()> {
        let told_by = Instant::now() + MAX_TOLD;
        while !self.told && Instant::now() < told_by {
            self.listen(control, signals, told_by)?;
        }
        self.read_events();
        let host_by = Instant::now() + MAX_HOST;
        for at in 0..self.all().count() {
            let over = if at == 0 && self.own.is_some() { None } else { Some(host_by + MAX_GIT) };
            let mut first = true;
            if !self.nth(at).begin_last() {
                continue;
            }
            while !self.nth(at).host_spoke && Instant::now() < host_by {
                self.listen(control, signals, host_by)?;
            }
            while over.is_none_or(|over| Instant::now() < over) && self.nth(at).go_on(config, control, first)? {
                first = false;
                let until = self.nth(at).due().unwrap_or_else(Instant::now);
                self.listen(control, signals, over.map_or(until, |over| over.min(until)))?;
            }
        }
        Ok(())
    }

    fn nth(&mut self, at: usize) -> &mut GitWatch {
        self.all().nth(at).expect("counted a moment ago, and none goes")
    }

    /// Waits for the supervisor's word, or the end of a child.
    fn listen(&mut self, control: &Channel, signals: &SignalFd, until: Instant) -> io::Result<()> {
        let wait = timespec(until.saturating_duration_since(Instant::now()));
        let mut fds = [PollFd::new(control, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        match poll(&mut fds, Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        match control.try_recv() {
            Ok(None) => return Err(io::ErrorKind::BrokenPipe.into()),
            Ok(Some(message)) => {
                if let Ok(message) = decode(&message.bytes) {
                    self.hear(&message);
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
}

/// Rounded up, so that what is waited for is really due then.
fn timespec(wait: Duration) -> Timespec {
    let wait = wait + Duration::from_millis(1);
    Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) }
}
