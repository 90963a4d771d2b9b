//! The one place where pinfold runs git on the host.
//!
//! Every call is hardened the same way: environment cleared, a fixed search path, the git directory named outright, no
//! work tree, no hooks, no file system monitor, no lazy fetch, no transport, no replaced objects; bounded output, time and
//! memory. No call names a folder that a box can write: a repository below one is named by a descriptor, as
//! `/proc/self/fd/<n>`, since git keeps absolute paths as they are and makes relative ones absolute. Run by root in a
//! repository of somebody else, git runs as that somebody.

use crate::names::Oid;
use crate::place;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs as rfs;
use rustix::process::{PidfdFlags, Resource, pidfd_open};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Folders in which git is looked for, in this order. The caller's `PATH` may lead into the box's tree.
const SEARCH: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/bin"];
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const MAX_STDERR: usize = 16 << 10;
/// Private memory of one git process. A small pack can unpack to anything.
const MAX_MEMORY: u64 = 2 << 30;

const SETTINGS: [&str; 24] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.splitIndex=false",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=false",
    "core.sshCommand=false",
    "core.gitProxy=false",
    "core.alternateRefsCommand=false",
    "core.packedGitWindowSize=32m",
    "core.packedGitLimit=256m",
    "core.bigFileThreshold=32m",
    "credential.helper=",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "protocol.file.allow=never",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    "receive.fsckObjects=true",
    "pack.threads=2",
    "log.showSignature=false",
];

const ENVIRONMENT: [(&str, &str); 21] = [
    ("PATH", SEARCH_PATH),
    ("HOME", "/nonexistent"),
    ("XDG_CONFIG_HOME", "/nonexistent"),
    ("LC_ALL", "C"),
    // Named so that no configured work tree is opened. Nothing that we run looks at its files.
    ("GIT_WORK_TREE", "/"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_GRAFT_FILE", "/dev/null"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "false"),
    ("GIT_SSH_COMMAND", "false"),
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_PAGER", "cat"),
    ("GIT_EDITOR", "false"),
    ("GIT_ADVICE", "0"),
    ("GIT_FLUSH", "0"),
];

#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("git is not installed in {SEARCH_PATH}")]
    NotFound,
    #[error("can't run `git {what}`")]
    Run { what: String, source: io::Error },
    #[error("`git {what}` took longer than {} s and was stopped", limit.as_secs())]
    TooSlow { what: String, limit: Duration },
    #[error("`git {what}` printed more than {limit} bytes and was stopped")]
    TooMuch { what: String, limit: usize },
    #[error("`git {what}` failed: {said}")]
    Failed { what: String, code: Option<i32>, said: String },
}

/// What a git process reads.
#[derive(Debug, Default)]
pub enum Input {
    #[default]
    Nothing,
    Bytes(Vec<u8>),
    Stream(OwnedFd),
}

/// One call.
#[derive(Debug)]
pub struct Call {
    args: Vec<OsString>,
    input: Input,
    env: Vec<(&'static str, OsString)>,
    max_output: usize,
    limit: Duration,
    max_file: Option<u64>,
}

impl Call {
    pub fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Call {
            args: args.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            input: Input::Nothing,
            env: Vec::new(),
            max_output: 1 << 20,
            limit: Duration::from_secs(60),
            max_file: None,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    pub fn input(mut self, input: Input) -> Self {
        self.input = input;
        self
    }

    pub fn env(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name, value.as_ref().to_owned()));
        self
    }

    pub fn max_output(mut self, bytes: usize) -> Self {
        self.max_output = bytes;
        self
    }

    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// No file that the process writes may grow beyond this.
    pub fn max_file(mut self, bytes: u64) -> Self {
        self.max_file = Some(bytes);
        self
    }

    fn what(&self) -> String {
        self.args.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// A host repository, to run git on.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    git_dir: PathBuf,
    /// What `git_dir` names, when that is a descriptor.
    pinned: Option<Arc<OwnedFd>>,
    run_as: Option<(u32, u32)>,
    /// The object store to use instead of the repository's own.
    objects: Option<PathBuf>,
}

impl Git {
    pub fn new(git_dir: &Path) -> Result<Self, GitError> {
        let folder = place::open_folder(git_dir).map_err(cannot)?;
        Ok(Git { git_dir: git_dir.to_owned(), pinned: None, ..Git::pinned(folder)? })
    }

    /// A git directory that is its own common one, wherever its path leads by now.
    pub fn pinned(git_dir: OwnedFd) -> Result<Self, GitError> {
        let program = SEARCH.iter().map(|dir| Path::new(dir).join("git")).find(|path| path.is_file());
        let program = program.ok_or(GitError::NotFound)?;
        let run_as = owner_to_run_as(&git_dir).map_err(cannot)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", git_dir.as_raw_fd()));
        Ok(Git { program, git_dir: path, pinned: Some(Arc::new(git_dir)), run_as, objects: None })
    }

    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Its git directory is named by descriptor, so it must not be given paths that git resolves.
    pub fn is_pinned(&self) -> bool {
        self.pinned.is_some()
    }

    /// The same repository, with new objects going to and coming from this store first.
    pub fn with_objects(&self, store: &Path) -> Self {
        Git { objects: Some(store.to_owned()), ..self.clone() }
    }

    /// User and group of what is to be made in the repository, when it is not the caller.
    pub fn owner(&self) -> Option<(u32, u32)> {
        self.run_as
    }

    /// Runs git and returns what it printed. A failure is an error.
    pub fn run(&self, call: Call) -> Result<Vec<u8>, GitError> {
        let what = call.what();
        let (status, out, said) = self.finish(call)?;
        if status.success() { Ok(out) } else { Err(GitError::Failed { what, code: status.code(), said }) }
    }

    /// Runs git for a yes (exit 0) or a no (exit 1).
    pub fn asks(&self, call: Call) -> Result<bool, GitError> {
        let what = call.what();
        let (status, _, said) = self.finish(call)?;
        match status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            code => Err(GitError::Failed { what, code, said }),
        }
    }

    /// Runs git for one object id; `None` if it exits with 1.
    pub fn id(&self, call: Call) -> Result<Option<Oid>, GitError> {
        let what = call.what();
        match self.run(call) {
            Ok(out) => match Oid::parse(out.trim_ascii_end()) {
                Ok(oid) => Ok(Some(oid)),
                Err(e) => Err(GitError::Failed { what, code: Some(0), said: format!("it printed no id: {e}") }),
            },
            Err(GitError::Failed { code: Some(1), .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn finish(&self, mut call: Call) -> Result<(ExitStatus, Vec<u8>, String), GitError> {
        let what = call.what();
        let failed = |source| GitError::Run { what: what.clone(), source };
        let (stdin, bytes) = match std::mem::take(&mut call.input) {
            Input::Nothing => (Stdio::null(), None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Input::Stream(fd) => (fd.into(), None),
        };
        let mut child = self.command(&call).stdin(stdin).spawn().map_err(failed)?;
        let answer = Talk::with(&mut child, bytes).and_then(|talk| talk.until_done(&call));
        match answer {
            Ok(Ended::Done(out, said)) => {
                let status = child.wait().map_err(failed)?;
                Ok((status, out, describe(&said, status)))
            }
            other => {
                // Errors of stopping it would hide why it is stopped; it ends by our closed pipes too.
                let _ = child.kill();
                let _ = child.wait();
                match other {
                    Ok(Ended::TooSlow) => Err(GitError::TooSlow { what, limit: call.limit }),
                    Ok(Ended::TooMuch) => Err(GitError::TooMuch { what, limit: call.max_output }),
                    Ok(Ended::Done(..)) => unreachable!("handled above"),
                    Err(source) => Err(GitError::Run { what, source }),
                }
            }
        }
    }

    fn command(&self, call: &Call) -> Command {
        let mut command = Command::new(&self.program);
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command.args(&call.args).current_dir("/").env_clear().envs(ENVIRONMENT).env("GIT_DIR", &self.git_dir);
        if let Some(store) = &self.objects {
            command.env("GIT_OBJECT_DIRECTORY", store);
        }
        command.envs(call.env.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some((uid, gid)) = self.run_as {
            command.uid(uid).gid(gid);
        }
        if let Some(fd) = &self.pinned {
            pinfold_sys::command::inherit(&mut command, Arc::clone(fd));
        }
        pinfold_sys::command::limit(&mut command, &limits(call));
        pinfold_sys::command::end_with_parent(&mut command);
        // A key pressed in the person's terminal means the box, not a half-done import.
        command.process_group(0);
        command
    }
}

fn cannot(source: io::Error) -> GitError {
    GitError::Run { what: "anything".into(), source }
}

/// The owner of the repository, if we are root and it is not ours.
fn owner_to_run_as(git_dir: &OwnedFd) -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let stat = rfs::fstat(git_dir)?;
    Ok((stat.st_uid != 0).then_some((stat.st_uid, stat.st_gid)))
}

fn limits(call: &Call) -> Vec<(Resource, u64)> {
    let fixed = [(Resource::Data, MAX_MEMORY), (Resource::Core, 0)];
    fixed.into_iter().chain(call.max_file.map(|bytes| (Resource::Fsize, bytes))).collect()
}

fn describe(said: &[u8], status: ExitStatus) -> String {
    let text = crate::door::printable(said);
    match status.signal() {
        Some(signal) => format!("it was ended by signal {signal}; {text}"),
        None => text.trim().to_owned(),
    }
}

enum Ended {
    Done(Vec<u8>, Vec<u8>),
    TooSlow,
    TooMuch,
}

/// Our side of a child's pipes, none of which blocks.
struct Talk {
    stdin: Option<(std::process::ChildStdin, Vec<u8>, usize)>,
    stdout: std::process::ChildStdout,
    stderr: std::process::ChildStderr,
    pidfd: OwnedFd,
}

impl Talk {
    fn with(child: &mut Child, input: Option<Vec<u8>>) -> io::Result<Self> {
        let missing = || io::Error::other("a pipe to git is missing");
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        let stdin = match input {
            Some(bytes) => Some((child.stdin.take().ok_or_else(missing)?, bytes, 0)),
            None => None,
        };
        never_block(&stdout)?;
        never_block(&stderr)?;
        if let Some((pipe, ..)) = &stdin {
            never_block(pipe)?;
        }
        let pidfd = pidfd_open(rustix::process::Pid::from_child(child), PidfdFlags::empty())?;
        Ok(Talk { stdin, stdout, stderr, pidfd })
    }

    fn until_done(mut self, call: &Call) -> io::Result<Ended> {
        let deadline = Instant::now() + call.limit;
        let (mut out, mut said) = (Vec::new(), Vec::new());
        let (mut out_open, mut said_open) = (true, true);
        while out_open || said_open {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Ended::TooSlow);
            }
            self.wait(left, out_open, said_open)?;
            self.feed()?;
            if out_open {
                out_open = take(&mut self.stdout, &mut out, call.max_output + 1)?;
                if out.len() > call.max_output {
                    return Ok(Ended::TooMuch);
                }
            }
            if said_open {
                said_open = take_and_drop(&mut self.stderr, &mut said)?;
            }
        }
        drop(self.stdin);
        // Its pipes are closed; it may still be at work.
        let left = deadline.saturating_duration_since(Instant::now());
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll_for(&mut ended, left)?;
        if ended[0].revents().is_empty() { Ok(Ended::TooSlow) } else { Ok(Ended::Done(out, said)) }
    }

    fn wait(&self, left: Duration, out_open: bool, said_open: bool) -> io::Result<()> {
        let mut fds = Vec::with_capacity(3);
        if out_open {
            fds.push(PollFd::new(&self.stdout, PollFlags::IN));
        }
        if said_open {
            fds.push(PollFd::new(&self.stderr, PollFlags::IN));
        }
        if let Some((pipe, ..)) = &self.stdin {
            fds.push(PollFd::new(pipe, PollFlags::OUT));
        }
        poll_for(&mut fds, left)
    }

    fn feed(&mut self) -> io::Result<()> {
        let Some((pipe, bytes, at)) = &mut self.stdin else { return Ok(()) };
        match pipe.write(&bytes[*at..]) {
            Ok(n) => *at += n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // It stopped reading; its exit code says why.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => *at = bytes.len(),
            Err(e) => return Err(e),
        }
        if *at == bytes.len() {
            self.stdin = None;
        }
        Ok(())
    }
}

fn never_block(fd: impl AsFd) -> io::Result<()> {
    let flags = rfs::fcntl_getfl(&fd)?;
    Ok(rfs::fcntl_setfl(&fd, flags | rfs::OFlags::NONBLOCK)?)
}

pub(crate) fn poll_for(fds: &mut [PollFd<'_>], left: Duration) -> io::Result<()> {
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
    match poll(fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Reads what is there, up to `max` bytes in all. `false` at the end of the stream.
fn take(from: &mut impl Read, into: &mut Vec<u8>, max: usize) -> io::Result<bool> {
    let mut chunk = [0; 64 << 10];
    while into.len() < max {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(false),
            Ok(n) => into.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

/// Reads what is there and keeps the first part.
fn take_and_drop(from: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut rest = Vec::new();
    let open = take(from, &mut rest, 1 << 20)?;
    into.extend_from_slice(&rest[..rest.len().min(MAX_STDERR - into.len())]);
    Ok(open)
}
