//! Between the caller's terminal and the box's: keys in, output out, the size, and the caller's settings put back on every
//! way out.
//!
//! The caller's terminal is read raw while the box has it, so that every key reaches the box's own terminal, which makes
//! signals and echo of them in there. Output goes through a thread: a person who holds the screen with Ctrl-S must not hold
//! the supervisor.

use crate::EngineError;
use pinfold_plan::{StdStream, Streams};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::thread::Builder;

/// For output that the screen has not taken yet when the box is gone.
const MAX_DRAIN: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };
const CHUNK: usize = 16 << 10;

/// The settings to be put back, while they are changed. Not in the `Terminal`, because a panic ends the process without
/// dropping it.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

fn restore() {
    let saved = SAVED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    if let Some(saved) = saved {
        // Drained first, so that nothing of the box is shown under the wrong settings.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &saved);
    }
}

fn restore_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

/// The stream that shows output. The plan says which are terminals.
fn screen(streams: Streams) -> Option<BorrowedFd<'static>> {
    [(streams.stdout, stdout()), (streams.stderr, stderr()), (streams.stdin, stdin())]
        .into_iter()
        .find(|(stream, _)| *stream == StdStream::Terminal)
        .map(|(_, fd)| fd)
}

/// Rows, columns, and both in pixels; all zero if nobody knows.
pub(super) fn size_for(streams: Streams) -> [u16; 4] {
    screen(streams)
        .and_then(|fd| tcgetwinsize(fd).ok())
        .map_or([0; 4], |size| [size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel])
}

#[derive(Debug)]
pub(super) struct Terminal {
    master: OwnedFd,
    screen: BorrowedFd<'static>,
    /// Keys are ours to read: standard input is a terminal, and we are in its foreground.
    has_keys: bool,
    keys_are_terminal: bool,
    hung_up: bool,
    /// Read and not yet taken by the box.
    pending: Vec<u8>,
    /// Closed when the thread has written everything.
    drained: OwnedFd,
}

impl Terminal {
    /// Starts the relay over the master side of the box's terminal.
    pub(super) fn take(streams: Streams, master: OwnedFd) -> Result<Terminal, EngineError> {
        let io = |what: &str| {
            let doing = what.to_owned();
            move |errno: Errno| EngineError::Io { doing, source: errno.into() }
        };
        let screen = screen(streams).ok_or_else(|| EngineError::Bug("a terminal that nobody asked for".into()))?;
        let flags = rustix::fs::fcntl_getfl(&master).map_err(io("set the box's terminal up"))?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK).map_err(io("set the box's terminal up"))?;
        let output = rustix::io::fcntl_dupfd_cloexec(&master, 3).map_err(io("set the box's terminal up"))?;
        let (drained, done) = pipe_with(PipeFlags::CLOEXEC).map_err(io("make a pipe"))?;
        Builder::new()
            .name("screen".into())
            .spawn(move || {
                pump(&output, screen);
                drop(done);
            })
            .map_err(EngineError::io("start a thread for the terminal"))?;
        let keys_are_terminal = streams.stdin == StdStream::Terminal;
        let mut terminal = Terminal {
            master,
            screen,
            has_keys: false,
            keys_are_terminal,
            hung_up: false,
            pending: Vec::new(),
            drained,
        };
        terminal.enter();
        Ok(terminal)
    }

    /// Takes the caller's terminal, if it is ours to take: in the background it belongs to the shell.
    pub(super) fn enter(&mut self) {
        if !self.keys_are_terminal || self.has_keys {
            return;
        }
        let foreground = rustix::termios::tcgetpgrp(stdin()).is_ok_and(|group| group == rustix::process::getpgrp());
        if !foreground {
            return;
        }
        if let Ok(settings) = tcgetattr(stdin()) {
            let mut raw = settings.clone();
            raw.make_raw();
            restore_on_panic();
            SAVED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get_or_insert(settings);
            let _ = tcsetattr(stdin(), OptionalActions::Flush, &raw);
        }
        self.has_keys = true;
    }

    /// Whether the person may be typing to somebody else: a job that a shell started in the background is not told when it
    /// comes to the front.
    pub(super) fn misses_keys(&self) -> bool {
        self.keys_are_terminal && !self.has_keys && !self.hung_up
    }

    /// Gives it back, for a while or for good.
    pub(super) fn leave(&mut self) {
        self.has_keys = false;
        restore();
    }

    /// Tells the box's terminal how large the screen is now. The kernel signals it to whoever is in its foreground.
    pub(super) fn resize(&self) {
        if let Ok(size) = tcgetwinsize(self.screen) {
            let _ = tcsetwinsize(&self.master, size);
        }
    }

    /// To be polled for input; not while earlier keys still wait.
    pub(super) fn keys(&self) -> Option<BorrowedFd<'static>> {
        (self.has_keys && self.pending.is_empty()).then(stdin)
    }

    pub(super) fn wants_room(&self) -> Option<BorrowedFd<'_>> {
        (!self.pending.is_empty()).then(|| self.master.as_fd())
    }

    pub(super) fn serve(&mut self, keys: bool, room: bool) {
        if keys && self.pending.is_empty() {
            let mut buffer = [0u8; 4096];
            match rustix::io::read(stdin(), &mut buffer) {
                Ok(n @ 1..) => self.pending.extend_from_slice(&buffer[..n]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                // Gone for good, or only not ours at the moment.
                Ok(0) => (self.has_keys, self.hung_up) = (false, true),
                Err(_) => self.has_keys = false,
            }
        }
        if (keys || room) && !self.pending.is_empty() {
            match rustix::io::write(&self.master, &self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(Errno::INTR | Errno::AGAIN) => {}
                // Nobody is left to read them.
                Err(_) => self.pending.clear(),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The other side is closed by now, or will be in a moment: what is left comes out, then the thread ends.
        let mut fds = [PollFd::new(&self.drained, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&MAX_DRAIN));
        self.leave();
    }
}

/// From the box's terminal to the screen, until the box's side is closed.
fn pump(from: &OwnedFd, to: BorrowedFd<'static>) {
    let mut buffer = vec![0u8; CHUNK];
    loop {
        match rustix::io::read(from, &mut buffer) {
            Ok(n @ 1..) => {
                if write_all(to, &buffer[..n]).is_err() {
                    return;
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(from, PollFlags::IN)], None);
            }
            // EIO: the last one in the box closed its side.
            Ok(0) | Err(_) => return,
        }
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            // Somebody who shares the terminal made it non-blocking.
            Err(Errno::AGAIN) => {
                poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
