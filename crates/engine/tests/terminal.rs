//! A person at a terminal: the box has one of its own, and the caller's comes back as it was.

mod common;
use common::*;
use pinfold_plan::StdStream::{Pipe, Terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// A terminal with a program in it.
struct Screen {
    master: OwnedFd,
    slave: OwnedFd,
    child: Child,
    seen: String,
    // Its folder is removed with it.
    test: Option<TestBox>,
}

impl Screen {
    fn size(rows: u16, columns: u16) -> Winsize {
        Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
    }

    /// Starts `words` as the leader of a session whose terminal this is.
    fn start(words: &[String], environment: &[(&str, &str)], stdout: Option<Stdio>) -> Screen {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        tcsetwinsize(&master, Screen::size(33, 111)).unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).args(words).envs(environment.iter().copied());
        command.stdin(end()).stdout(stdout.unwrap_or_else(end)).stderr(end());
        let child = command.spawn().unwrap();
        Screen { master, slave, child, seen: String::new(), test: None }
    }

    fn of(test: TestBox) -> Screen {
        let mut screen = Screen::start(&words(&test), &[("ENGINEBOX_QUIET", "1")], None);
        screen.test = Some(test);
        screen
    }

    fn types(&self, keys: &str) {
        rustix::io::write(&self.master, keys.as_bytes()).unwrap();
    }

    /// Waits until this has been shown, and forgets everything up to it.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            assert!(start.elapsed() < DEADLINE, "{text:?} was not shown, but {:?}", self.seen);
            let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })).unwrap();
            if fds[0].revents().contains(PollFlags::IN) {
                let mut buffer = [0u8; 4096];
                let n = rustix::io::read(&self.master, &mut buffer).unwrap_or(0);
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
            }
        }
    }

    fn ends(mut self) -> (Option<i32>, bool) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < DEADLINE, "it does not end; shown: {:?}", self.seen);
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let settings = tcgetattr(&self.slave).unwrap();
        let sane = settings.local_modes.contains(
            rustix::termios::LocalModes::ICANON | rustix::termios::LocalModes::ECHO | rustix::termios::LocalModes::ISIG,
        ) && settings.output_modes.contains(rustix::termios::OutputModes::OPOST);
        (status.code(), sane)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn words(test: &TestBox) -> Vec<String> {
    let command = test.command();
    let all = std::iter::once(command.get_program()).chain(command.get_args());
    all.map(|word| word.to_str().unwrap().to_owned()).collect()
}

/// A shell that is about to start a program can lose a key that comes just then, on any terminal.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(150));
}

fn interactive(who: Who, script: &str) -> TestBox {
    TestBox::shell(who, script).streams(Terminal, Terminal, Terminal)
}

#[test]
fn the_box_has_a_terminal_of_its_own() {
    for who in everybody() {
        let script = "tty; ls -l /proc/self/fd | grep -o '/dev/[^p].*'; stty size; test -t 0 && test -t 1 && test -t 2 && \
                      echo three; (exec 3<>/dev/tty && echo own); exit 42";
        let mut screen = Screen::of(interactive(who, script));
        for text in ["/dev/pts/0\r\n", "33 111\r\n", "three\r\n", "own\r\n"] {
            screen.shows(text);
        }
        assert_eq!(screen.ends(), (Some(42), true), "{who:?}");
    }
}

#[test]
fn keys_arrive_and_echo() {
    for who in everybody() {
        let mut screen = Screen::of(interactive(who, "echo ready; read line; echo \"<$line>\"; exit 0"));
        screen.shows("ready");
        screen.types("hüllo\x7f\x7f!\r");
        screen.shows("<hül!>");
        assert_eq!(screen.ends(), (Some(0), true));
    }
}

#[test]
fn keys_make_signals() {
    for who in everybody() {
        let mut screen = Screen::of(interactive(who, "echo ready; exec sleep 60"));
        screen.shows("ready");
        settle();
        screen.types("\x03");
        assert_eq!(screen.ends(), (Some(130), true));
        let mut screen = Screen::of(interactive(
            who,
            "trap 'echo caught' INT; echo ready; while ! read x; do :; done; echo \"got $x\"",
        ));
        screen.shows("ready");
        settle();
        screen.types("\x03");
        screen.shows("caught");
        settle();
        screen.types("\r");
        assert!(screen.ends().1);
        let mut screen = Screen::of(interactive(who, "echo ready; exec cat"));
        screen.shows("ready");
        settle();
        screen.types("\x1c");
        assert_eq!(screen.ends(), (Some(131), true), "Ctrl-\\");
        let mut screen = Screen::of(interactive(who, "echo ready; cat; echo end"));
        screen.shows("ready");
        settle();
        screen.types("\x04");
        screen.shows("end");
        assert_eq!(screen.ends(), (Some(0), true), "Ctrl-D");
    }
}

#[test]
fn a_new_size_arrives() {
    for who in everybody() {
        let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.02; done";
        let mut screen = Screen::of(interactive(who, script));
        screen.shows("ready");
        tcsetwinsize(&screen.master, Screen::size(50, 150)).unwrap();
        screen.shows("50 150");
        assert_eq!(screen.ends(), (Some(0), true));
    }
}

#[test]
fn the_terminal_comes_back_when_we_are_ended() {
    for who in everybody() {
        let mut screen = Screen::of(interactive(who, "echo ready; exec sleep 60"));
        screen.shows("ready");
        let raw = tcgetattr(&screen.slave).unwrap();
        assert!(!raw.local_modes.contains(rustix::termios::LocalModes::ICANON), "keys must arrive one by one");
        let pid = rustix::process::Pid::from_child(&screen.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(screen.ends(), (Some(143), true));
    }
}

#[test]
fn ctrl_z_gives_the_shell_back_and_fg_goes_on() {
    if !must(std::path::Path::new("/bin/bash").exists(), "the test of job control, which wants bash") {
        return;
    }
    for who in everybody() {
        let test = interactive(who, "echo ready; read line; echo \"<$line>\"; exit 9");
        let shell = ["bash", "--norc", "--noprofile", "--noediting", "-i"].map(str::to_owned);
        let mut screen =
            Screen::start(&shell, &[("ENGINEBOX_QUIET", "1"), ("PS1", "$ "), ("HISTFILE", "/dev/null")], None);
        screen.types(&format!("{}\r", words(&test).join(" ")));
        screen.shows("ready");
        screen.types("\x1a");
        screen.shows("Stopped");
        screen.types("echo the-$((1+1))-shell\r");
        screen.shows("the-2-shell\r\n");
        screen.types("fg\r");
        screen.shows("enginebox");
        // Typed once it is in front again.
        std::thread::sleep(std::time::Duration::from_millis(300));
        screen.types("word\r");
        screen.shows("<word>");
        screen.shows("$ ");
        screen.types("echo status $?\r");
        screen.shows("status 9");
        screen.types("exit\r");
        assert!(screen.ends().1);
    }
}

/// Output that is not a terminal gets the bytes as they are, without the terminal's carriage returns.
#[test]
fn a_pipe_beside_a_terminal_is_passed_through() {
    for who in everybody() {
        let script = "echo one; echo two; tty; test -t 1 || echo pipe; echo error >&2";
        let test = TestBox::shell(who, script).streams(Terminal, Pipe, Terminal);
        let (r, w) = rustix::pipe::pipe().unwrap();
        let mut screen = Screen::start(&words(&test), &[("ENGINEBOX_QUIET", "1")], Some(Stdio::from(w)));
        screen.shows("error\r\n");
        assert_eq!(screen.ends(), (Some(0), true));
        let mut said = String::new();
        std::io::Read::read_to_string(&mut std::fs::File::from(r), &mut said).unwrap();
        assert_eq!(said, "one\ntwo\n/dev/pts/0\npipe\n");
    }
}

/// Everything that was written before the end is shown, however much it is.
#[test]
fn the_last_words_are_shown() {
    for who in everybody() {
        let mut screen = Screen::of(interactive(who, "seq 1 20000; echo last-words"));
        screen.shows("\r\n20000\r\nlast-words\r\n");
        assert_eq!(screen.ends(), (Some(0), true));
    }
}
