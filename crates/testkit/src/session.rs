//! A command that is still running, so that a test can act on the host while the box does its part.
//!
//! The two sides keep step by lines: the box prints a marker and waits for a line on its standard input; the test waits for the marker,
//! acts, and sends the line. Output is kept up to a limit and always read on, so that a box that floods cannot stall the test.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use crate::canary::find_bytes;
use crate::cmd::{Cmd, Output, Stdin};

/// How much of each stream is kept.
const KEPT_BYTES: usize = 64 << 20;
/// How often a wait looks again.
const TICK: Duration = Duration::from_millis(2);
/// How long output is awaited from a process that is gone: a survivor may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(2);

/// A running command. Dropping it kills its process group.
#[derive(Debug)]
pub struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
    started: Instant,
    deadline: Duration,
    finished: bool,
}

impl Session {
    /// Starts the command.
    ///
    /// # Panics
    /// When it cannot be started at all.
    pub fn start(cmd: &Cmd) -> Session {
        let mut child = cmd.to_std().spawn().unwrap_or_else(|error| panic!("cannot start `{}`: {error}", cmd.shown()));
        let mut stdin = child.stdin.take();
        if let Stdin::Bytes(bytes) = &cmd.stdin {
            let (bytes, mut pipe) = (bytes.clone(), stdin.take().expect("standard input was asked to be a pipe"));
            // The command may end without reading: its business, not an error.
            std::thread::spawn(move || pipe.write_all(&bytes));
        }
        let stdout = Stream::follow(child.stdout.take().expect("standard output was asked to be a pipe"));
        let stderr = Stream::follow(child.stderr.take().expect("standard error was asked to be a pipe"));
        Session { child, stdin, stdout, stderr, started: Instant::now(), deadline: cmd.deadline, finished: false }
    }

    /// The process id of what was started (after `setpriv`, this is the command's own).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `marker` has been printed on standard output `times` times. False when the command ends or its deadline passes before.
    pub fn wait_for(&mut self, marker: &str, times: usize) -> bool {
        loop {
            if self.stdout.count(marker.as_bytes()) >= times {
                return true;
            }
            let ended = matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
            if ended || self.started.elapsed() > self.deadline {
                std::thread::sleep(TICK * 10);
                return self.stdout.count(marker.as_bytes()) >= times;
            }
            self.stdout.pause();
        }
    }

    /// Sends a line. False when nobody reads any more.
    pub fn send(&mut self, line: &str) -> bool {
        self.stdin.as_mut().is_some_and(|pipe| pipe.write_all(line.as_bytes()).and_then(|()| pipe.flush()).is_ok())
    }

    /// Ends the command's standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends a signal to the command itself (not to its group).
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // A command that is gone already cannot be signalled, and need not be.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// What standard output has said so far.
    pub fn so_far(&self) -> Vec<u8> {
        self.stdout.bytes()
    }

    /// Has it ended?
    pub fn ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for the end, or kills the group at the deadline.
    pub fn finish(mut self) -> Output {
        self.stdin = None;
        let mut timed_out = false;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Err(_) => break None,
                Ok(None) if self.started.elapsed() > self.deadline && !timed_out => {
                    timed_out = true;
                    self.kill_group();
                }
                Ok(None) => std::thread::sleep(TICK),
            }
        };
        self.finished = true;
        let code = status.map_or(-1, Output::code_of);
        Output { code, stdout: self.stdout.end(), stderr: self.stderr.end(), timed_out }
    }

    fn kill_group(&self) {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.finished {
            self.kill_group();
            let _ = self.child.wait();
        }
    }
}

/// One output stream, read by a thread.
#[derive(Debug)]
struct Stream {
    kept: Arc<(Mutex<Vec<u8>>, Condvar)>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn follow(mut pipe: impl Read + Send + 'static) -> Stream {
        let kept = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let shared = Arc::clone(&kept);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(n) = pipe.read(&mut buffer) {
                if n == 0 {
                    break;
                }
                let mut bytes = shared.0.lock().expect("no reader panics with the lock held");
                let room = KEPT_BYTES.saturating_sub(bytes.len());
                bytes.extend_from_slice(&buffer[..n.min(room)]);
                shared.1.notify_all();
            }
        });
        Stream { kept, reader }
    }

    fn bytes(&self) -> Vec<u8> {
        self.kept.0.lock().expect("no reader panics with the lock held").clone()
    }

    fn count(&self, marker: &[u8]) -> usize {
        let bytes = self.kept.0.lock().expect("no reader panics with the lock held");
        let (mut from, mut count) = (0, 0);
        while let Some(at) = find_bytes(&bytes[from..], marker) {
            count += 1;
            from += at + marker.len();
        }
        count
    }

    /// Waits a little, or until there is more.
    fn pause(&self) {
        let bytes = self.kept.0.lock().expect("no reader panics with the lock held");
        let _ = self.kept.1.wait_timeout(bytes, TICK * 5);
    }

    fn end(&self) -> Vec<u8> {
        let until = Instant::now() + DRAIN;
        while !self.reader.is_finished() && Instant::now() < until {
            std::thread::sleep(TICK);
        }
        self.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Cmd {
        let mut cmd = Cmd::new("/bin/sh");
        cmd.args(["-c", script]).env("PATH", "/usr/bin:/bin");
        cmd
    }

    #[test]
    fn the_two_sides_keep_step() {
        let mut cmd = sh("echo @ready; read x; echo got $x; exit 3");
        cmd.stdin(Stdin::Pipe);
        let mut session = Session::start(&cmd);
        assert!(session.wait_for("@ready", 1));
        assert!(session.send("word\n"));
        let out = session.finish();
        assert_eq!((out.code, out.text().as_str()), (3, "@ready\ngot word\n"));
    }

    #[test]
    fn a_command_that_hangs_is_killed_with_its_children() {
        let mut cmd = sh("sleep 77 & sleep 78");
        cmd.deadline(Duration::from_millis(200));
        let out = cmd.run();
        assert!(out.timed_out);
        assert_eq!(out.code, 128 + 9);
    }

    #[test]
    fn waiting_ends_when_the_command_does() {
        let mut session = Session::start(&sh("exit 0"));
        assert!(!session.wait_for("@ready", 1));
    }

    #[test]
    fn input_is_given_and_ended() {
        let mut cmd = sh("cat; kill -TERM $$");
        cmd.stdin(Stdin::Bytes(b"all of it".to_vec()));
        let out = cmd.run();
        assert_eq!((out.text().as_str(), out.code), ("all of it", 128 + 15));
    }
}
