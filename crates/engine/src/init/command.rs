//! The command: forked by init, confined, probed, executed. What it finds on the way is told through a pipe that exec
//! closes, so that an empty answer means success.

use super::config::InitConfig;
use super::{confine, probes};
use pinfold_plan::OsBytes;
use pinfold_sys::process::{self, ExecStrings, Side};
use pinfold_wire::FromInit;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

#[derive(Debug)]
pub(super) struct Command {
    pub(super) pid: Pid,
    /// Says why the command was not executed; its end without a word says that it was.
    pub(super) report: OwnedFd,
}

/// Where the report stands in the child, above the three streams and nothing else.
const REPORT: i32 = 3;

/// Starts the command in a process group of its own; with a terminal, in its foreground.
pub(super) fn start(config: &InitConfig, terminal: Option<BorrowedFd<'_>>) -> io::Result<Command> {
    let (report, told) = pipe_with(PipeFlags::CLOEXEC)?;
    match process::fork()? {
        Side::Child => child(config, terminal, told.as_fd()),
        Side::Parent { pid, .. } => {
            // Both sides do it, so that it is done for whoever looks first.
            let _ = rustix::process::setpgid(Some(pid), Some(pid));
            if let Some(terminal) = terminal {
                let _ = rustix::termios::tcsetpgrp(terminal, pid);
            }
            Ok(Command { pid, report })
        }
    }
}

/// Becomes the command, or says why not and ends.
fn child(config: &InitConfig, terminal: Option<BorrowedFd<'_>>, told: BorrowedFd<'_>) -> ! {
    if let Err(error) = streams(config, terminal, told) {
        say(told, &failed("prepare the streams of the command", &error));
    } else if let Ok(told) = process::inherited(REPORT) {
        say(told.as_fd(), &confined(config));
    }
    process::exit_now(1)
}

fn say(told: BorrowedFd<'_>, message: &FromInit) {
    if let Ok(bytes) = pinfold_wire::encode(message) {
        // If init is gone, so are we.
        let _ = rustix::io::write(told, &bytes);
    }
}

fn failed(doing: &str, error: &io::Error) -> FromInit {
    FromInit::ConfineFailed { doing: doing.to_owned(), errno: error.raw_os_error().unwrap_or(0) }
}

/// Returns only when the command was not executed.
fn confined(config: &InitConfig) -> FromInit {
    if let Err(hole) = confine::confine(config) {
        return failed(hole.doing, &hole.error);
    }
    if let Err(broken) = probes::all(config, REPORT) {
        return FromInit::ProbeFailed { probe: broken.probe, found: broken.found };
    }
    FromInit::NotStarted { errno: execute(config).raw_os_error().unwrap_or(0) }
}

fn streams(config: &InitConfig, terminal: Option<BorrowedFd<'_>>, told: BorrowedFd<'_>) -> io::Result<()> {
    rustix::process::setpgid(None, None)?;
    if let Some(terminal) = terminal {
        let own = rustix::process::getpid();
        // Still in the background at this moment; SIGTTOU is blocked in init, and so in us.
        rustix::termios::tcsetpgrp(terminal, own)?;
        let streams = config.exec.streams;
        for (number, stream) in [(0, streams.stdin), (1, streams.stdout), (2, streams.stderr)] {
            if stream == pinfold_plan::StdStream::Terminal {
                process::place(terminal, number)?;
            }
        }
    }
    if told.as_raw_fd() != REPORT {
        process::place(told, REPORT)?;
    }
    process::close_from(REPORT + 1)?;
    process::close_on_exec_from(REPORT)?;
    pinfold_sys::signal::reset_all()?;
    Ok(())
}

fn execute(config: &InitConfig) -> io::Error {
    let exec = &config.exec;
    if let Err(error) = rustix::process::chdir(exec.cwd.as_path()) {
        return error.into();
    }
    let assigned = exec.env.iter().map(|(name, value)| {
        let mut text = name.clone().into_bytes();
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        text
    });
    let strings = || -> io::Result<_> {
        Ok((ExecStrings::new(exec.argv.iter().map(OsBytes::as_bytes))?, ExecStrings::new(assigned)?))
    };
    let (argv, env) = match strings() {
        Ok(both) => both,
        Err(error) => return error,
    };
    let Some(name) = exec.argv.first() else { return Errno::NOENT.into() };
    let mut refused = None;
    for candidate in candidates(name, config) {
        let Ok(candidate) = CString::new(candidate) else { continue };
        let error = process::exec(&candidate, &argv, &env);
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOENT | Errno::NOTDIR) => {}
            // A later folder may have one that may be executed.
            Some(Errno::ACCESS) => refused = Some(error),
            Some(Errno::NOEXEC) => return by_shell(&candidate, exec.argv.as_slice(), &env).unwrap_or(error),
            _ => return error,
        }
    }
    refused.unwrap_or_else(|| Errno::NOENT.into())
}

/// Where the command may be: itself if it names a path, else in each folder of the box's `PATH`.
pub(super) fn candidates(name: &OsBytes, config: &InitConfig) -> Vec<Vec<u8>> {
    let name = name.as_bytes();
    if name.contains(&b'/') {
        return vec![name.to_vec()];
    }
    let path = config.exec.env.iter().find(|(key, _)| key == "PATH").map_or(&b""[..], |(_, value)| value.as_bytes());
    path.split(|&b| b == b':')
        // An empty entry would mean the current folder, which is the agent's to write.
        .filter(|folder| folder.starts_with(b"/"))
        .map(|folder| [folder, b"/", name].concat())
        .collect()
}

/// A script without `#!`, as every shell would run it.
fn by_shell(script: &CString, argv: &[OsBytes], env: &ExecStrings) -> Option<io::Error> {
    let mut words: Vec<&[u8]> = vec![b"sh", script.as_bytes()];
    words.extend(argv.iter().skip(1).map(OsBytes::as_bytes));
    let argv = ExecStrings::new(words).ok()?;
    Some(process::exec(c"/bin/sh", &argv, env))
}

/// Opens `/dev/null` over the streams of init itself: they are the command's, and init has nothing to say on them.
pub(super) fn let_streams_go() -> io::Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    for number in 0..=2 {
        process::place(null.as_fd(), number)?;
    }
    Ok(())
}
