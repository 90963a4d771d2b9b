//! Init: pid 1 of the box, a fresh program with nothing but what the builder left it.
//!
//! Should: make the box's terminal, start the command, reap, forward signals, report stops and ends, offer commits, and end
//! everything when the command ends or the supervisor is gone. Mustn't: wait for anything that the box could withhold.
//! So it opens nothing in the workspace: a file system that is slow to answer would leave the box without its reaper.
//!
//! It runs without any capability (the builder dropped them) and is not dumpable, so that nothing in the box, though of the
//! same user, can look into it or trace it.

mod command;
pub(crate) mod config;
mod confine;
mod folder;
mod git;
mod probes;
mod terminal;
mod watches;

use crate::build::init_fd;
use command::Command;
use config::InitConfig;
use pinfold_sys::channel::Channel;
use pinfold_sys::process;
use pinfold_sys::signal::SignalFd;
use pinfold_wire::{Ending, FromInit, ToInit, decode, encode};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use watches::Watches;

const SIGCHLD: i32 = 17;
const SIGTTOU: i32 = 22;

/// The role's whole life. Returns the exit status, which nobody but the kernel looks at.
pub fn main() -> i32 {
    match Init::set_up().and_then(Init::live) {
        Ok(()) => 0,
        // The supervisor sees the channel end without a last word.
        Err(_) => 1,
    }
}

struct Init {
    control: Channel,
    signals: SignalFd,
    config: InitConfig,
    /// The slave side of the box's terminal.
    terminal: Option<OwnedFd>,
    command: Command,
    /// Still open while it is not known whether the command was executed.
    pending: bool,
    ended: Option<Ending>,
    git: Option<Watches>,
}

impl Init {
    fn set_up() -> io::Result<Init> {
        let config = process::inherited(init_fd::CONFIG)?;
        let control = Channel::from_fd(process::inherited(init_fd::CONTROL)?);
        // The box is the first to go when memory runs out, before anything of the person's: inherited by all in it. Written
        // now, because the kernel counts the file as root's from the next line on. No failure of this opens a way out.
        let _ = std::fs::write("/proc/self/oom_score_adj", "800");
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before that was set.
        if control.closed_by_peer()? {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let config: InitConfig = read_config(config)?;
        let git_folder = if config.git.is_some() { Some(process::inherited(init_fd::GIT)?) } else { None };
        // The builder keeps nothing else open across the exec; this makes it so.
        process::close_on_exec_from(init_fd::CONFIG)?;
        // Ignored, as some callers have it, it would keep the ends of children from us.
        pinfold_sys::signal::default(SIGCHLD);
        let signals = SignalFd::new(&[SIGCHLD])?;
        pinfold_sys::signal::block(&[SIGTTOU])?;
        let terminal = terminal::make(&config, &control)?;
        let command = command::start(&config, terminal.as_ref().map(|t| t.as_fd()))?;
        command::let_streams_go()?;
        let git = config.offers.then(|| Watches::new(git_folder));
        Ok(Init { control, signals, config, terminal, command, pending: true, ended: None, git })
    }

    fn live(mut self) -> io::Result<()> {
        while self.ended.is_none() {
            self.wait_and_serve()?;
        }
        self.end()
    }

    /// One round: whatever is ready is served. The order matters where both come at once: a report before the end of the
    /// command that wrote it.
    fn wait_and_serve(&mut self) -> io::Result<()> {
        let (mut report, mut control, mut signals, mut git) = (false, false, false, false);
        {
            let ready = PollFlags::IN;
            let mut fds = vec![PollFd::new(&self.control, ready), PollFd::new(&self.signals, ready)];
            if self.pending {
                fds.push(PollFd::new(&self.command.report, ready));
            }
            let git_at = fds.len();
            if let Some(watch) = &self.git {
                fds.extend(watch.fds().map(|fd| PollFd::from_borrowed_fd(fd, ready)));
            }
            let timeout = self.git.as_ref().and_then(Watches::due_in);
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            for (at, fd) in fds.iter().enumerate() {
                let fired = !fd.revents().is_empty();
                match at {
                    0 => control |= fired,
                    1 => signals |= fired,
                    2 if self.pending => report |= fired,
                    _ => git |= fired,
                }
            }
            debug_assert!(git_at >= 2);
        }
        if report {
            self.hear_report()?;
        }
        if control {
            self.obey()?;
        }
        if signals {
            self.reap()?;
        }
        if let Some(watch) = &mut self.git {
            watch.serve(git, &self.config, &self.control)?;
        }
        Ok(())
    }

    fn tell(&self, message: &FromInit) -> io::Result<()> {
        tell(&self.control, message, &[])
    }

    fn hear_report(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; pinfold_wire::MAX_MESSAGE];
        let n = rustix::io::retry_on_intr(|| rustix::io::read(&self.command.report, &mut bytes))?;
        self.pending = false;
        if n == 0 {
            return self.tell(&FromInit::Started);
        }
        let message = decode(&bytes[..n]).map_err(io::Error::other)?;
        self.tell(&message)?;
        // Whatever its exit status is, it was not the command's.
        self.ended = Some(Ending::Exited { code: 0 });
        Ok(())
    }

    fn obey(&mut self) -> io::Result<()> {
        let received = match self.control.try_recv() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            other => other?,
        };
        // The supervisor is gone, and everything in the box goes with us.
        let Some(received) = received else { return Err(io::ErrorKind::BrokenPipe.into()) };
        match decode(&received.bytes).map_err(io::Error::other)? {
            ToInit::Signal { number } => self.signal(number),
            message => self.git.iter_mut().for_each(|git| git.hear(&message)),
        }
        Ok(())
    }

    /// To the foreground of the box's terminal, as a key would do it; without one, to the command's group.
    fn signal(&self, number: i32) {
        let foreground = self.terminal.as_ref().and_then(|terminal| rustix::termios::tcgetpgrp(terminal).ok());
        let group = foreground.unwrap_or(self.command.pid);
        if let Some(signal) = Signal::from_named_raw(number) {
            let _ = rustix::process::kill_process_group(group, signal);
        }
    }

    fn reap(&mut self) -> io::Result<()> {
        while self.signals.next()?.is_some() {}
        while let Some((pid, status)) = wait_any(WaitOptions::NOHANG | WaitOptions::UNTRACED)? {
            if pid == self.command.pid {
                self.command_changed(status)?;
            } else if let Some(git) = &mut self.git {
                git.child_ended(pid, status);
            }
        }
        Ok(())
    }

    fn command_changed(&mut self, status: WaitStatus) -> io::Result<()> {
        if let Some(signal) = status.stopping_signal() {
            return self.tell(&FromInit::Stopped { signal });
        }
        if self.pending {
            // Its last words are in the pipe already.
            self.hear_report()?;
        }
        if self.ended.is_none() {
            self.ended = ending(status);
        }
        Ok(())
    }

    /// The command has ended: everything else does too, the last commits are offered, and the supervisor hears how it was.
    fn end(mut self) -> io::Result<()> {
        let ending = self.ended.unwrap_or(Ending::Exited { code: 0 });
        self.tell(&FromInit::Leaving)?;
        kill_all_others();
        self.tell(&FromInit::Alone)?;
        if let Some(mut git) = self.git.take() {
            git.finish(&self.config, &self.control, &self.signals)?;
        }
        self.tell(&FromInit::Exited { ending })
    }
}

fn tell(control: &Channel, message: &FromInit, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    control.send(&encode(message).map_err(io::Error::other)?, fds)
}

fn ending(status: WaitStatus) -> Option<Ending> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Ending::Exited { code: code as u8 }),
        (None, Some(signal)) => Some(Ending::Killed { signal }),
        (None, None) => None,
    }
}

/// The next child that changed. `None`: none has, or none is left.
fn wait_any(options: WaitOptions) -> io::Result<Option<(Pid, WaitStatus)>> {
    match rustix::io::retry_on_intr(|| rustix::process::wait(options)) {
        Ok(found) => Ok(found),
        Err(rustix::io::Errno::CHILD) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Every process of the box but this one, once and for all: new ones can come only from those that are killed here.
fn kill_all_others() {
    /// Between two signals: each goes to everybody, and a box may have thousands.
    const REAPED: usize = 256;
    let all = Pid::from_raw(1).expect("one is not zero");
    loop {
        // To group 1 would be to ourselves; -1 is everybody we may signal, except us.
        let _ = rustix::process::kill_process_group(all, Signal::KILL);
        for _ in 0..REAPED {
            if !matches!(wait_any(WaitOptions::empty()), Ok(Some(_))) {
                return;
            }
        }
    }
}

fn read_config(fd: OwnedFd) -> io::Result<InitConfig> {
    let mut bytes = Vec::new();
    File::from(fd).read_to_end(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}
