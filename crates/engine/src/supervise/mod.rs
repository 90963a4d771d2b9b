//! The supervisor: the process that was asked for a box. It makes the others, and then stands between the box and the
//! person: terminal, signals, time, commits, the end.
//!
//! Should: make every folder and descriptor first, start MaskFs, make the box's first process, and only then start a thread
//! or touch the terminal. Mustn't: open anything that the box could have written, or trust a number it says.

mod cgroup;
mod door;
mod failures;
mod idmap;
mod log;
mod maskfs;
mod repositories;
mod terminal;

use crate::build::{self, Tools};
use crate::error::why_no_user_namespace;
use crate::host::RunHost;
use crate::init::config::InitConfig;
use crate::plan_view::PlanView;
use crate::rundir::RunDir;
use crate::{End, EngineError, Event, Outcome, Unfit};
use cgroup::BoxCgroup;
use door::Door;
use failures::{build_failed, confine_failed};
use log::RunLog;
use maskfs::MaskFs;
use pinfold_plan::Plan;
use pinfold_sys::channel::Channel;
use pinfold_sys::process::{self, NewNamespaces, Side};
use pinfold_sys::signal::{self, SignalFd};
use pinfold_wire::{Ending, FromInit, ToInit, decode, encode};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use terminal::Terminal;

/// What is passed on to the command instead of ending the supervisor.
const FORWARDED: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM];
/// What the supervisor acts on itself.
const OWN: [i32; 3] = [SIGCONT, SIGTSTP, SIGWINCH];
const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGUSR1: i32 = 10;
const SIGUSR2: i32 = 12;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;
const SIGCONT: i32 = 18;
const SIGTSTP: i32 = 20;
const SIGWINCH: i32 = 28;

/// Between being asked to end and being ended.
const GRACE: Duration = Duration::from_secs(10);
/// The same for a box that has not started its command yet.
const SHORT_GRACE: Duration = Duration::from_secs(1);
/// From the making of the box to the command's first instruction. Far more than any start takes.
const MAX_START: Duration = Duration::from_secs(60);
/// For killed processes to be gone. One that waits for an answer of MaskFs stays until it has one.
const MAX_DYING: Duration = Duration::from_secs(5);
/// Between two looks whether the shell has put us into the foreground.
const LOOK_FOR_KEYS: Duration = Duration::from_secs(1);

pub(crate) fn perform(plan: &Plan, host: RunHost<'_>) -> Result<Outcome, EngineError> {
    let view = PlanView::of(plan)?;
    // Whatever we were started with stays ours: nothing that we start inherits it by accident.
    process::close_on_exec_from(3).map_err(EngineError::io("guard our own descriptors"))?;
    let run = RunDir::make(&view)?;
    let result = in_run(&view, host, &run);
    let _ = run.clean();
    run.sweep();
    result
}

fn in_run(view: &PlanView<'_>, host: RunHost<'_>, run: &RunDir) -> Result<Outcome, EngineError> {
    let mut log = RunLog::open(run.path())?;
    let masked = Masked::new()?;
    let offers = host.git.is_some() && (view.box_git.is_some() || view.workspace.is_some());
    let size = terminal::size_for(view.exec.streams);
    let config = sealed(c"init", &serde_json::to_vec(&InitConfig::of(view, size, offers)).map_err(bug)?)?;
    let (maskfs, to_maskfs) = match view.workspace {
        Some(_) => {
            let (maskfs, channel) = MaskFs::start(&host.maskfs_config, run.path())?;
            (Some(maskfs), Some(channel))
        }
        None => (None, None),
    };
    run.make_private(view)?;
    let cgroup = view.cgroup.as_ref().map(|it| BoxCgroup::make(it, &view.plan.run_id)).transpose()?;
    let (control, theirs) = Channel::pair().map_err(EngineError::io("make a channel"))?;
    let tools = Tools { control: theirs, config, maskfs: to_maskfs };
    let (pid, pidfd) = match make_box(view, cgroup.as_ref(), &control, tools)? {
        Made::Parent(pid, pidfd) => (pid, pidfd),
        Made::Child(code) => process::exit_now(code),
    };
    let supervised = Supervisor {
        view,
        events: host.events,
        control,
        silent: false,
        pid,
        pidfd,
        maskfs,
        cgroup,
        signals: &masked.signals,
        log: &mut log,
        terminal: None,
        door: None,
        alone: false,
        ending: None,
        failure: None,
        end_override: None,
        started: false,
        stopped: false,
        kill_at: None,
        abort_at: None,
        start_by: Some(Instant::now() + MAX_START),
        timeout_at: view.plan.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        timed_out: false,
    };
    supervised.run(host.git.filter(|_| offers))
}

fn bug(error: impl std::fmt::Display) -> EngineError {
    EngineError::Bug(error.to_string())
}

/// Our signals, blocked for as long as this lives.
struct Masked {
    signals: SignalFd,
}

impl Masked {
    fn new() -> Result<Masked, EngineError> {
        // Ignored, as some callers have it, it would keep the end of the box from us.
        signal::default(SIGCHLD);
        let all: Vec<i32> = FORWARDED.into_iter().chain(OWN).collect();
        Ok(Masked { signals: SignalFd::new(&all).map_err(EngineError::io("take over the signals"))? })
    }
}

impl Drop for Masked {
    fn drop(&mut self) {
        // What came in after the end of the box was meant for it, and is not to hit us now.
        while let Ok(Some(_)) = self.signals.next() {}
        let all: Vec<i32> = FORWARDED.into_iter().chain(OWN).collect();
        let _ = signal::unblock(&all);
    }
}

/// Bytes in a file that nobody can change, to be read from the start.
fn sealed(name: &std::ffi::CStr, bytes: &[u8]) -> Result<OwnedFd, EngineError> {
    let make = || -> io::Result<OwnedFd> {
        let mut file = File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        file.write_all(bytes)?;
        file.rewind()?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(file.into())
    };
    make().map_err(EngineError::io("write a configuration into memory"))
}

enum Made {
    Parent(Pid, OwnedFd),
    Child(i32),
}

fn make_box(
    view: &PlanView<'_>,
    cgroup: Option<&BoxCgroup>,
    control: &Channel,
    tools: Tools,
) -> Result<Made, EngineError> {
    let ns = view.namespaces;
    let namespaces = NewNamespaces {
        user: ns.user,
        mount: ns.mount,
        pid: ns.pid,
        net: ns.net,
        uts: ns.uts,
        ipc: ns.ipc,
        cgroup: ns.cgroup,
    };
    let side = process::clone_into(namespaces, cgroup.map(|it| it.as_fd())).map_err(|error| {
        match rustix::io::Errno::from_io_error(&error) {
            Some(rustix::io::Errno::NOSYS) => EngineError::unfit(Unfit::KernelTooOld("clone3"), error),
            Some(rustix::io::Errno::INVAL) => EngineError::unfit(Unfit::KernelTooOld("a kind of namespace"), error),
            Some(rustix::io::Errno::PERM | rustix::io::Errno::NOSPC | rustix::io::Errno::USERS) => {
                why_no_user_namespace(Unfit::UserNamespacesDenied, error)
            }
            _ if error.kind() == io::ErrorKind::ResourceBusy => bug("a thread runs already when the box is made"),
            _ => EngineError::Io { doing: "make the box's first process".into(), source: error },
        }
    })?;
    match side {
        Side::Child => {
            // A copy of the supervisor's end would keep the channel open when the supervisor is gone.
            drop_in_child(control);
            Ok(Made::Child(build::run(view, tools)))
        }
        Side::Parent { pid, pidfd } => {
            if view.foreign_ids() {
                idmap::streams(view);
                let mapped = idmap::write(view, pid).and_then(|()| idmap::objects(view, pid)).and_then(|mounts| {
                    let fds: Vec<_> = mounts.iter().map(|mount| mount.as_fd()).collect();
                    let bytes = encode(&ToInit::Mapped).map_err(bug)?;
                    control.send(&bytes, &fds).map_err(EngineError::io("hand the id maps to the box"))
                });
                if let Err(error) = mapped {
                    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                    let _ = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
                    return Err(error);
                }
            }
            Ok(Made::Parent(pid, pidfd))
        }
    }
}

/// Closes the child's copy of a descriptor that it does not own. The owner's value is never dropped in the child, which
/// ends without running destructors.
fn drop_in_child(channel: &Channel) {
    use std::os::fd::AsRawFd;
    if let Ok(copy) = process::inherited(channel.as_fd().as_raw_fd()) {
        drop(copy);
    }
}

struct Supervisor<'r, 'h> {
    view: &'r PlanView<'r>,
    events: &'h mut dyn FnMut(Event),
    control: Channel,
    /// The box has closed its end of the channel. It may take a while to be gone.
    silent: bool,
    pid: Pid,
    pidfd: OwnedFd,
    maskfs: Option<MaskFs>,
    cgroup: Option<BoxCgroup>,
    signals: &'r SignalFd,
    log: &'r mut RunLog,
    terminal: Option<Terminal>,
    door: Option<Door>,
    /// Nothing but init lives in the box, and it waits to hear of the last repositories.
    alone: bool,
    ending: Option<Ending>,
    failure: Option<EngineError>,
    end_override: Option<End>,
    started: bool,
    stopped: bool,
    /// When the box is killed for not ending by itself.
    kill_at: Option<Instant>,
    /// When MaskFs is killed, because something in the box waits for it and can't die.
    abort_at: Option<Instant>,
    start_by: Option<Instant>,
    timeout_at: Option<Instant>,
    timed_out: bool,
}

impl Drop for Supervisor<'_, '_> {
    /// On every way out: no box without a supervisor.
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}

impl Supervisor<'_, '_> {
    fn run(mut self, git: Option<Box<dyn crate::GitDoor>>) -> Result<Outcome, EngineError> {
        if let Some(git) = git {
            self.door = Some(Door::open(git)?);
        }
        while !self.round()? {}
        self.wind_up()
    }

    /// Waits for something to happen and serves it. True: the box is gone.
    fn round(&mut self) -> Result<bool, EngineError> {
        let mut ready = Ready::default();
        self.wait(&mut ready)?;
        if ready.signals {
            self.serve_signals()?;
        }
        if ready.control || ready.gone {
            while self.hear_init()? {}
        }
        if ready.maskfs {
            self.hear_maskfs();
        }
        if ready.maskfs_gone && !ready.gone && self.ending.is_none() {
            // Its last words are read when everything has ended.
            self.fail(EngineError::MaskFsDied { detail: String::new() });
        }
        if ready.door {
            self.serve_door();
        }
        if let Some(terminal) = &mut self.terminal {
            terminal.serve(ready.keys, ready.room);
        }
        self.look_at_the_clock();
        Ok(ready.gone)
    }

    fn wait(&mut self, ready: &mut Ready) -> Result<(), EngineError> {
        type Hit = fn(&mut Ready, PollFlags);
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(8);
        let mut hits: Vec<Hit> = Vec::with_capacity(8);
        fds.push(PollFd::new(self.signals, PollFlags::IN));
        hits.push(|r, _| r.signals = true);
        if !self.silent {
            fds.push(PollFd::new(&self.control, PollFlags::IN));
            hits.push(|r, _| r.control = true);
        }
        fds.push(PollFd::new(&self.pidfd, PollFlags::IN));
        hits.push(|r, _| r.gone = true);
        if let Some(maskfs) = &self.maskfs {
            if let Some(channel) = maskfs.channel() {
                fds.push(PollFd::new(channel, PollFlags::IN));
                hits.push(|r, _| r.maskfs = true);
            }
            if self.ending.is_none() && self.failure.is_none() {
                fds.push(PollFd::new(maskfs.pidfd(), PollFlags::IN));
                hits.push(|r, _| r.maskfs_gone = true);
            }
        }
        if let Some(door) = &self.door {
            fds.push(PollFd::from_borrowed_fd(door.wake(), PollFlags::IN));
            hits.push(|r, _| r.door = true);
        }
        if let Some(terminal) = &self.terminal {
            if let Some(keys) = terminal.keys() {
                fds.push(PollFd::from_borrowed_fd(keys, PollFlags::IN));
                hits.push(|r, _| r.keys = true);
            }
            if let Some(master) = terminal.wants_room() {
                fds.push(PollFd::from_borrowed_fd(master, PollFlags::OUT));
                hits.push(|r, _| r.room = true);
            }
        }
        let keys = self.terminal.as_ref().is_some_and(Terminal::misses_keys).then(|| Instant::now() + LOOK_FOR_KEYS);
        let next = [self.kill_at, self.abort_at, self.start_by, self.timeout_at, keys].into_iter().flatten().min();
        let timeout = next.map(|at| {
            let wait = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(EngineError::io("wait for the box")(error.into())),
        }
        for (fd, hit) in fds.iter().zip(hits) {
            if !fd.revents().is_empty() {
                hit(ready, fd.revents());
            }
        }
        Ok(())
    }

    fn say(&self, message: &ToInit) {
        if let Ok(bytes) = encode(message) {
            // A box that does not listen is about to be gone.
            let _ = self.control.try_send(&bytes);
        }
    }

    fn serve_signals(&mut self) -> Result<(), EngineError> {
        while let Some(caught) = self.signals.next().map_err(EngineError::io("read a signal"))? {
            match caught.number {
                SIGWINCH => self.terminal.iter().for_each(Terminal::resize),
                SIGCONT => self.resume(),
                number => {
                    self.say(&ToInit::Signal { number });
                    if let Some(grace) = self.grace(number) {
                        self.kill_at.get_or_insert(Instant::now() + grace);
                    }
                }
            }
        }
        Ok(())
    }

    /// Time that the box has to end by itself after this signal. `None`: it need not end.
    fn grace(&self, number: i32) -> Option<Duration> {
        match number {
            SIGTERM | SIGHUP => Some(if self.started { GRACE } else { SHORT_GRACE }),
            // Still starting, or stuck in it. The signal waits for the command; the person should not.
            SIGINT | SIGQUIT if !self.started => Some(SHORT_GRACE),
            _ => None,
        }
    }

    /// One message of the box. False: none waits.
    fn hear_init(&mut self) -> Result<bool, EngineError> {
        let received = match self.control.try_recv() {
            Ok(Some(received)) => received,
            Ok(None) => {
                self.silent = true;
                return Ok(false);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(EngineError::io("listen to the box")(error)),
        };
        let mut fds = received.fds.into_iter();
        let message: FromInit = decode(&received.bytes).map_err(bug)?;
        match message {
            FromInit::BuildFailed { stage, doing, errno } => self.fail(build_failed(stage, doing, errno)),
            FromInit::Changed { path, found } => self.fail(EngineError::Changed { path, found }),
            FromInit::ProbeFailed { probe, found } => self.fail(EngineError::ProbeFailed { probe, found }),
            FromInit::ConfineFailed { doing, errno } => self.fail(confine_failed(doing, errno)),
            FromInit::NotStarted { errno } => self.not_started(errno),
            FromInit::Terminal => {
                if let Some(master) = fds.next() {
                    self.terminal = Some(Terminal::take(self.view.exec.streams, master)?);
                }
            }
            FromInit::Started => self.start()?,
            FromInit::Stopped { signal } => self.stop(signal),
            FromInit::GitOffer(offer) => {
                if let (Some(door), Some(pack)) = (&self.door, fds.next()) {
                    self.log.offer(&offer);
                    door.offer(offer, pack);
                }
            }
            FromInit::Note { text } => (self.events)(Event::Note(text)),
            FromInit::Leaving => self.abort_at = Some(Instant::now() + MAX_DYING),
            FromInit::Alone => self.end_of_repositories(),
            FromInit::Exited { ending } => {
                self.ending = Some(ending);
                self.maskfs.iter().for_each(MaskFs::over);
            }
        }
        Ok(true)
    }

    fn start(&mut self) -> Result<(), EngineError> {
        self.started = true;
        self.start_by = None;
        self.log.started();
        if let Some(maskfs) = &self.maskfs {
            maskfs.go();
        }
        (self.events)(Event::Started);
        Ok(())
    }

    fn not_started(&mut self, errno: i32) {
        let error = io::Error::from_raw_os_error(errno);
        self.end_override = Some(match rustix::io::Errno::from_raw_os_error(errno) {
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => End::NotFound,
            _ => End::NotExecutable(error),
        });
    }

    fn fail(&mut self, error: EngineError) {
        // A box that lost its file server while it was being made fails in many ways, and this is the reason for all.
        let unserved = !self.started && self.failure.is_none() && self.maskfs.as_ref().is_some_and(MaskFs::is_gone);
        let error = if unserved { EngineError::MaskFsDied { detail: String::new() } } else { error };
        self.failure.get_or_insert(error);
        self.kill();
    }

    fn kill(&mut self) {
        self.start_by = None;
        self.abort_at.get_or_insert(Instant::now() + MAX_DYING);
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }

    /// The command was stopped: so are we, as the shell that started us expects, with its terminal as it was.
    fn stop(&mut self, _signal: i32) {
        self.stopped = true;
        self.terminal.iter_mut().for_each(Terminal::leave);
        // Ours is blocked and read from a descriptor; for this moment it shall do what it does by default. If our group
        // has nobody to continue it, the kernel lets this pass without effect.
        let _ = rustix::process::kill_current_process_group(Signal::TSTP);
        let _ = signal::unblock(&[SIGTSTP]);
        let _ = signal::block(&[SIGTSTP]);
        self.resume();
    }

    fn resume(&mut self) {
        self.terminal.iter_mut().for_each(Terminal::enter);
        self.terminal.iter().for_each(Terminal::resize);
        if std::mem::take(&mut self.stopped) {
            self.say(&ToInit::Signal { number: SIGCONT });
        }
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if self.timeout_at.take_if(|at| now >= *at).is_some() {
            self.timed_out = true;
            self.say(&ToInit::Signal { number: SIGTERM });
            self.kill_at.get_or_insert(now + GRACE);
        }
        if self.start_by.take_if(|at| now >= *at).is_some() {
            let source = io::ErrorKind::TimedOut.into();
            self.fail(EngineError::Io { doing: "start the box within a minute".into(), source });
        }
        if self.kill_at.take_if(|at| now >= *at).is_some() {
            self.kill();
        }
        if self.abort_at.take_if(|at| now >= *at).is_some() {
            self.maskfs.iter().for_each(MaskFs::kill);
        }
        if let Some(terminal) = self.terminal.as_mut().filter(|terminal| terminal.misses_keys()) {
            terminal.enter();
        }
    }

    /// The box is gone: the terminal is given back, MaskFs ends, and the last commits are taken in.
    fn wind_up(mut self) -> Result<Outcome, EngineError> {
        let status = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        drop(self.terminal.take());
        if let Some(cgroup) = self.cgroup.take() {
            cgroup.remove();
        }
        if let Some(door) = self.door.take() {
            for answer in door.close() {
                for note in answer.notes {
                    (self.events)(Event::Note(note));
                }
            }
        }
        if let Some(mut maskfs) = self.maskfs.take() {
            // If the box ended by itself, this was said when it did.
            if self.ending.is_none() {
                maskfs.over();
            }
            for (message, _) in maskfs.end() {
                self.log.maskfs(&message);
                (self.events)(Event::MaskFs(message));
            }
            if let Some(EngineError::MaskFsDied { detail }) = &mut self.failure {
                *detail = maskfs.last_words();
            }
        }
        if let Some(failure) = self.failure.take() {
            self.log.failed(&failure);
            return Err(failure);
        }
        let killed = status.ok().flatten().and_then(|status| status.terminating_signal());
        let end = match (self.end_override.take(), self.ending) {
            (Some(end), _) => end,
            (None, Some(Ending::Exited { code })) => End::Exited(code),
            (None, Some(Ending::Killed { signal })) => End::Killed(signal),
            // Init itself was killed: by us, by the kernel for want of memory, or by somebody of the same user.
            (None, None) => match killed {
                Some(signal) => End::Killed(signal),
                None => return Err(bug(format!("init of the box (process {}) ended without a word", self.pid))),
            },
        };
        let outcome = Outcome { end, timed_out: self.timed_out };
        self.log.ended(&outcome);
        Ok(outcome)
    }
}

#[derive(Default)]
struct Ready {
    signals: bool,
    control: bool,
    gone: bool,
    maskfs: bool,
    maskfs_gone: bool,
    door: bool,
    keys: bool,
    room: bool,
}
