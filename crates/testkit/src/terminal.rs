//! A command on a terminal of its own, as a person would have started it: a pty pair, a session, job control.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::canary::find_bytes;
use crate::cmd::{Cmd, Output};

const TICK: Duration = Duration::from_millis(5);

/// A terminal with a command on it.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    /// Kept open, so that the terminal outlives the command and can be looked at afterwards.
    slave: OwnedFd,
    child: Child,
    screen: Arc<Mutex<Vec<u8>>>,
    until: Instant,
}

impl Terminal {
    /// Starts the command as the leader of a session that has a new terminal of 24 rows and 80 columns.
    ///
    /// # Panics
    /// When there are no terminals, or the command cannot be started.
    pub fn start(cmd: &Cmd) -> Terminal {
        let open = || -> std::io::Result<(OwnedFd, OwnedFd)> {
            let master = rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)?;
            rustix::pty::grantpt(&master)?;
            rustix::pty::unlockpt(&master)?;
            let name = rustix::pty::ptsname(&master, Vec::new())?;
            let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
            let slave = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty())?;
            // A person owns the terminal that she sits at.
            rustix::fs::fchmod(&slave, rustix::fs::Mode::from_raw_mode(0o666))?;
            tcsetwinsize(&slave, size(24, 80))?;
            Ok((master, slave))
        };
        let (master, slave) = open().unwrap_or_else(|error| panic!("cannot make a terminal: {error}"));
        let end = |slave: &OwnedFd| Stdio::from(slave.try_clone().expect("a descriptor can be duplicated"));
        let plain = cmd.to_std();
        // setsid is not the leader of a group here, so that it becomes the command without another process between.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--"]).arg(plain.get_program()).args(plain.get_args()).env_clear();
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(dir) = plain.get_current_dir() {
            command.current_dir(dir);
        }
        command.env("TERM", "xterm-256color").stdin(end(&slave)).stdout(end(&slave)).stderr(end(&slave));
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start `{}`: {error}", cmd.shown()));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let mut from = std::fs::File::from(master.try_clone().expect("a descriptor can be duplicated"));
        let kept = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = from.read(&mut buffer) {
                kept.lock().expect("nobody panics with the screen").extend_from_slice(&buffer[..n]);
            }
        });
        Terminal { master, slave, child, screen, until: Instant::now() + cmd.deadline }
    }

    /// The process id of the command.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    pub fn send(&self, keys: &[u8]) {
        let mut to = std::fs::File::from(self.master.try_clone().expect("a descriptor can be duplicated"));
        // A terminal that nobody reads any more swallows keys: the waits of the test will tell.
        let _ = to.write_all(keys);
    }

    /// Waits until this has been on the screen.
    pub fn wait_for(&self, text: &str) -> bool {
        while find_bytes(&self.screen(), text.as_bytes()).is_none() {
            if Instant::now() > self.until {
                return false;
            }
            std::thread::sleep(TICK);
        }
        true
    }

    /// All that was written to the screen.
    pub fn screen(&self) -> Vec<u8> {
        self.screen.lock().expect("nobody panics with the screen").clone()
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let _ = tcsetwinsize(&self.master, size(rows, columns));
    }

    /// How the terminal is set.
    ///
    /// # Panics
    /// When it is no terminal any more.
    pub fn settings(&self) -> Termios {
        tcgetattr(&self.slave).expect("the terminal is open")
    }

    /// What stands in the terminal's input, unread: keys that nobody typed, if nobody did.
    pub fn unread(&self) -> Vec<u8> {
        let Ok(mut settings) = tcgetattr(&self.slave) else { return Vec::new() };
        // Without this a line without an end would stay unseen.
        settings.local_modes.remove(rustix::termios::LocalModes::ICANON);
        let _ = rustix::termios::tcsetattr(&self.slave, rustix::termios::OptionalActions::Now, &settings);
        let mut found = Vec::new();
        let mut buffer = [0; 256];
        while ready(self.slave.as_fd()) {
            match rustix::io::read(&self.slave, &mut buffer) {
                Ok(n @ 1..) => found.extend_from_slice(&buffer[..n]),
                _ => break,
            }
        }
        found
    }

    /// Waits for the command's end.
    pub fn finish(&mut self) -> Output {
        let mut timed_out = false;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Err(_) => break None,
                Ok(None) if Instant::now() > self.until && !timed_out => {
                    timed_out = true;
                    let _ = self.child.kill();
                }
                Ok(None) => std::thread::sleep(TICK),
            }
        };
        std::thread::sleep(TICK * 10);
        let code = status.map_or(-1, Output::code_of);
        Output { code, stdout: self.screen(), stderr: Vec::new(), timed_out }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn ready(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut poll = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let wait = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    matches!(rustix::event::poll(&mut poll, Some(&wait)), Ok(1..))
        && poll[0].revents().contains(rustix::event::PollFlags::IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_the_terminal_and_its_keys() {
        let mut cmd = Cmd::new("/bin/sh");
        cmd.args(["-c", "stty size < /dev/tty; read line; echo got:$line; trap 'echo INT; exit 9' INT; echo @ready; while :; do sleep 0.05; done"]);
        cmd.env("PATH", "/usr/bin:/bin");
        let mut terminal = Terminal::start(&cmd);
        assert!(terminal.wait_for("24 80"));
        terminal.send(b"word\n");
        assert!(terminal.wait_for("got:word") && terminal.wait_for("@ready"));
        terminal.send(b"\x03");
        assert_eq!(terminal.finish().code, 9);
        assert_eq!(terminal.unread(), b"");
        terminal.send(b"left");
        assert_eq!(terminal.unread(), b"left");
    }
}
