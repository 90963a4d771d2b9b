//! A command with an end: captured output, a deadline, and its whole process group killed when the deadline passes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::session::Session;

/// How long a command may take unless the test says otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// A command to be run, with nothing inherited but what is said here.
#[derive(Debug, Clone)]
pub struct Cmd {
    pub(crate) argv: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    cwd: Option<PathBuf>,
    pub(crate) stdin: Stdin,
    pub(crate) deadline: Duration,
}

/// What the command reads.
#[derive(Debug, Clone, Default)]
pub enum Stdin {
    #[default]
    Null,
    /// A pipe that a [`Session`] writes to.
    Pipe,
    /// These bytes, then the end of the file.
    Bytes(Vec<u8>),
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code, with 128+n for a death by signal n, as a shell would say it.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// The deadline passed and the command was killed.
    pub timed_out: bool,
}

impl Cmd {
    pub fn new(program: impl AsRef<OsStr>) -> Cmd {
        Cmd {
            argv: vec![program.as_ref().to_owned()],
            env: BTreeMap::new(),
            cwd: None,
            stdin: Stdin::Null,
            deadline: DEADLINE,
        }
    }

    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Cmd {
        self.argv.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<S: AsRef<OsStr>>(&mut self, args: impl IntoIterator<Item = S>) -> &mut Cmd {
        self.argv.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Cmd {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    pub fn env_remove(&mut self, name: impl AsRef<OsStr>) -> &mut Cmd {
        self.env.remove(name.as_ref());
        self
    }

    pub fn cwd(&mut self, dir: impl AsRef<Path>) -> &mut Cmd {
        self.cwd = Some(dir.as_ref().to_owned());
        self
    }

    pub fn stdin(&mut self, stdin: Stdin) -> &mut Cmd {
        self.stdin = stdin;
        self
    }

    pub fn deadline(&mut self, deadline: Duration) -> &mut Cmd {
        self.deadline = deadline;
        self
    }

    /// Puts words before the command: `sh -c '… exec "$@"' sh`, say. As the caller, so after what makes the process the caller's.
    pub fn wrap_in<S: AsRef<OsStr>>(&mut self, words: impl IntoIterator<Item = S>) -> &mut Cmd {
        let at = if self.argv[0] == "setpriv" {
            self.argv.iter().position(|arg| arg == "--").map_or(0, |at| at + 1)
        } else {
            0
        };
        self.argv.splice(at..at, words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot even be started: then the test is at fault, not its subject.
    pub fn run(&self) -> Output {
        Session::start(self).finish()
    }

    /// Runs it and insists on exit code 0.
    ///
    /// # Panics
    /// When it fails, with all that it said.
    pub fn ok(&self) -> Output {
        let out = self.run();
        assert!(out.code == 0 && !out.timed_out, "{} failed: {out}", self.shown());
        out
    }

    /// The command as one line, for messages.
    pub fn shown(&self) -> String {
        self.argv.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn to_std(&self) -> Command {
        let mut command = Command::new(&self.argv[0]);
        command.args(&self.argv[1..]).env_clear().envs(&self.env).process_group(0);
        command.stdin(if matches!(self.stdin, Stdin::Null) { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        command
    }
}

impl Output {
    pub(crate) fn code_of(status: ExitStatus) -> i32 {
        status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let late = if self.timed_out { " (killed at its deadline)" } else { "" };
        writeln!(f, "exit code {}{late}", self.code)?;
        writeln!(f, "--- stdout\n{}", self.text())?;
        write!(f, "--- stderr\n{}", self.errors())
    }
}
