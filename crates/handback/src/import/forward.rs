//! Moves the person's branch to what the box made of it, by fast-forward, where nobody could be surprised by it.
//!
//! The index moves along and the work tree is not touched: it holds the box's work already. The person's git is kept out
//! by holding `index.lock` from the first look to the last write, and the branch moves by compare-and-swap, so whatever
//! happens in between either waits or makes us step back with nothing changed.

use super::error::ImportError;
use super::inspect::{self, Concerns};
use super::limits::Limits;
use crate::door::{self, RefStorage, Value, printable};
use crate::git::{Call, Git};
use crate::names::{BranchName, HashKind, Oid};
use crate::place;
use pinfold_policy::{PathPolicy, RelPath, RelPathBuf};
use rustix::fs::{self as rfs, Mode, OFlags, Timespec, Timestamps};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files that say that the person is in the middle of something.
const IN_PROGRESS: [(&[u8], &str); 9] = [
    (b"MERGE_HEAD", "a merge"),
    (b"rebase-merge", "a rebase"),
    (b"rebase-apply", "a rebase or `git am`"),
    (b"CHERRY_PICK_HEAD", "a cherry-pick"),
    (b"REVERT_HEAD", "a revert"),
    (b"sequencer", "a cherry-pick or revert"),
    (b"BISECT_LOG", "a bisection"),
    (b"BISECT_START", "a bisection"),
    (b"MERGE_AUTOSTASH", "a merge"),
];
const MAX_INDEX: u64 = 2 << 30;
const MAX_WORKTREES: usize = 10_000;
/// How long to wait for the person's own git to let go of the index.
const PATIENCE: Duration = Duration::from_millis(500);

/// What became of the person's branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// There is nothing to move: the box offers no such branch, or the host has it all.
    Nothing,
    Moved {
        from: Option<Oid>,
        to: Oid,
    },
    /// It stays where it is, and why, in plain words.
    Waits {
        because: Vec<String>,
    },
}

impl Forward {
    fn waits(why: impl Into<String>) -> Self {
        Forward::Waits { because: vec![why.into()] }
    }
}

/// What the moving needs to know of the repository and the run.
#[derive(Debug)]
pub(super) struct Mover<'a> {
    pub git: &'a Git,
    pub git_dir: BorrowedFd<'a>,
    pub common_dir: BorrowedFd<'a>,
    pub git_dir_path: &'a Path,
    pub linked: bool,
    pub hash: HashKind,
    pub storage: RefStorage,
    pub branch: &'a BranchName,
    /// Where the branch was when the box started, or where we put it since.
    pub last: Option<Oid>,
    pub run_id: &'a str,
    pub policy: &'a PathPolicy,
    pub prefix: RelPath<'a>,
    pub limits: &'a Limits,
}

impl Mover<'_> {
    /// Moves the branch to `new`, or says why not. `watched` are the paths that the host may run later.
    pub(super) fn forward(&self, new: Oid) -> Result<(Forward, Vec<RelPathBuf>), ImportError> {
        let host = match self.where_it_stands(new)? {
            Ok(host) => host,
            Err(forward) => return Ok((forward, Vec::new())),
        };
        let concerns = self.concerns(host, new)?;
        if !concerns.against.is_empty() {
            return Ok((Forward::Waits { because: concerns.against }, concerns.watched));
        }
        Ok((self.move_it(host, new)?, concerns.watched))
    }

    /// The branch's value on the host, if the branch can be moved from there as far as refs go.
    fn where_it_stands(&self, new: Oid) -> Result<Result<Option<Oid>, Forward>, ImportError> {
        if let Some(why) = self.other_head()? {
            return Ok(Err(Forward::waits(why)));
        }
        let host = self.value()?;
        let Some(at) = host else {
            // Before its first commit the host's branch has no value; that is also what deleting it looks like.
            return Ok(match self.last {
                None => Ok(None),
                Some(_) => Err(Forward::waits(format!("{} no longer exists here", self.branch.short()))),
            });
        };
        if at == new || inspect::is_ancestor(self.git, new, at)? {
            return Ok(Err(Forward::Nothing));
        }
        if !inspect::is_ancestor(self.git, at, new)? {
            let short = self.branch.short();
            return Ok(Err(Forward::waits(match self.last {
                Some(last) if last == at => format!("the box has rewritten commits that {short} has here already"),
                _ => format!("{short} has commits here that the box does not have"),
            })));
        }
        // Ours, or a commit of the person's that the box has taken in since. Anything else was moved back on purpose.
        let known = match self.last {
            Some(last) => last == at || inspect::is_ancestor(self.git, last, at)?,
            None => true,
        };
        Ok(if known { Ok(host) } else { Err(Forward::waits(format!("{} was moved here", self.branch.short()))) })
    }

    fn other_head(&self) -> Result<Option<String>, ImportError> {
        let head = self.head_of(self.git_dir)?;
        let short = self.branch.short();
        if head.as_deref() != Some(self.branch.full().as_bytes()) {
            let now = match head {
                Some(name) => printable(name.strip_prefix(b"refs/heads/").unwrap_or(&name)),
                None => "no branch".into(),
            };
            return Ok(Some(format!("{now} is checked out here, not {short}")));
        }
        let own = door::ref_value(self.common_dir, self.branch.full().as_bytes(), self.storage, self.hash)?;
        if matches!(own, Some(Value::Symbolic(_))) {
            return Ok(Some(format!("{short} is another name for another branch here")));
        }
        if self.is_checked_out_elsewhere()? {
            return Ok(Some(format!("{short} is also checked out in another worktree")));
        }
        let busy = IN_PROGRESS.iter().find(|(file, _)| place::exists_in(self.git_dir, file));
        Ok(busy.map(|(_, what)| format!("{what} is in progress here")))
    }

    /// The ref that `HEAD` of this git directory names; `None` if it names a commit, or nothing that we understand.
    fn head_of(&self, git_dir: BorrowedFd<'_>) -> Result<Option<Vec<u8>>, ImportError> {
        Ok(match door::ref_value(git_dir, b"HEAD", self.storage, self.hash)? {
            Some(Value::Symbolic(name)) => Some(name),
            _ => None,
        })
    }

    fn is_checked_out_elsewhere(&self) -> Result<bool, ImportError> {
        let looking = || ImportError::host("look at the worktrees");
        let own = place::identity(self.git_dir).map_err(looking())?;
        for other in self.other_git_dirs().map_err(looking())? {
            let same_head = self.head_of(other.as_fd())?.as_deref() == Some(self.branch.full().as_bytes());
            if same_head && place::identity(&other).map_err(looking())? != own {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn other_git_dirs(&self) -> io::Result<Vec<OwnedFd>> {
        let mut others: Vec<OwnedFd> = Vec::new();
        if self.linked {
            others.push(rustix::io::fcntl_dupfd_cloexec(self.common_dir, 3)?);
        }
        for name in place::list_below(self.common_dir, b"worktrees", MAX_WORKTREES)? {
            match place::folder_below(self.common_dir, &[b"worktrees/", &name.bytes[..]].concat()) {
                Ok(dir) => others.push(dir),
                Err(e) if place::is_absent(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(others)
    }

    fn value(&self) -> Result<Option<Oid>, ImportError> {
        Ok(self.git.id(Call::new(["rev-parse", "--verify", "--quiet", "--end-of-options", self.branch.full()]))?)
    }

    fn concerns(&self, base: Option<Oid>, new: Oid) -> Result<Concerns, ImportError> {
        let mut concerns = Concerns::default();
        let known = base.unwrap_or(self.hash.empty_tree());
        let objects = inspect::new_objects(self.git, &[new], &[known], self.limits)?;
        objects.look_into_folders(self.git, self.hash, self.limits, &mut concerns)?;
        let policy = (self.policy, self.prefix);
        inspect::weigh_paths(self.git, base, new, policy, self.limits, &mut concerns)?;
        Ok(concerns)
    }

    fn move_it(&self, from: Option<Oid>, to: Oid) -> Result<Forward, ImportError> {
        let Some(lock) = self.lock()? else {
            return Ok(Forward::waits("another git process holds the index here"));
        };
        // Looked at again now that nobody else's git can commit, merge or switch here.
        if let Some(why) = self.other_head()? {
            return Ok(Forward::waits(why));
        }
        let old_tree = from.unwrap_or(self.hash.empty_tree());
        let index = lock.copy_index(self.git_dir)?;
        let staged =
            Call::new(["diff-index", "--cached", "--quiet", "--ignore-submodules=none", old_tree.as_str(), "--"]);
        if !self.git.asks(lock.on_copy(staged))? {
            return Ok(Forward::waits("there are staged changes here"));
        }
        let merge = Call::new(["read-tree", "-i", "-m", old_tree.as_str(), to.as_str()]);
        if let Err(crate::git::GitError::Failed { said, .. }) = self.git.run(lock.on_copy(merge)) {
            return Ok(Forward::waits(format!("the index here can't take it: {said}")));
        }
        lock.fill(index)?;
        let null = Oid::null(self.hash);
        let update = Call::new(["update-ref", "--no-deref", "-m"])
            .arg(format!("pinfold {}: fast-forward", self.run_id))
            .args([self.branch.full(), to.as_str(), from.unwrap_or(null).as_str()]);
        if let Err(crate::git::GitError::Failed { .. }) = self.git.run(update) {
            return Ok(Forward::waits(format!("{} was moved here at this very moment", self.branch.short())));
        }
        lock.commit()?;
        Ok(Forward::Moved { from, to })
    }

    fn lock(&self) -> Result<Option<IndexLock>, ImportError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match IndexLock::take(self.git_dir, self.git_dir_path, self.git.owner()) {
                Ok(lock) => return Ok(Some(lock)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(ImportError::host("lock the index")(e)),
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The person's `index.lock`, held by us. It vanishes when it goes out of scope.
struct IndexLock {
    dir: OwnedFd,
    file: File,
    /// A copy of the index for git to work on, beside the lock.
    copy: Vec<u8>,
    copy_path: PathBuf,
    done: std::cell::Cell<bool>,
}

/// Times and owner of the original.
struct Original {
    stat: Option<rfs::Stat>,
}

const LOCK: &[u8] = b"index.lock";

impl IndexLock {
    fn take(git_dir: BorrowedFd<'_>, git_dir_path: &Path, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let dir = rustix::io::fcntl_dupfd_cloexec(git_dir, 3)?;
        let file = create(dir.as_fd(), LOCK)?;
        let copy = format!("index.pinfold-{}", std::process::id()).into_bytes();
        let copy_path = git_dir_path.join(std::ffi::OsStr::from_bytes(&copy));
        let lock = IndexLock { dir, file, copy, copy_path, done: false.into() };
        give(&lock.file, owner)?;
        Ok(lock)
    }

    /// Copies the index for git to work on. An absent index stays absent.
    fn copy_index(&self, git_dir: BorrowedFd<'_>) -> Result<Original, ImportError> {
        let doing = "copy the index";
        let Some(index) = place::read_below(git_dir, b"index", MAX_INDEX).map_err(ImportError::host(doing))? else {
            return Ok(Original { stat: None });
        };
        let copied = (|| {
            let _ = rfs::unlinkat(&self.dir, &self.copy[..], rfs::AtFlags::empty());
            let mut file = create(self.dir.as_fd(), &self.copy)?;
            file.write_all(&index.bytes)?;
            give(&file, Some((index.stat.st_uid, index.stat.st_gid)))?;
            // What is "racily clean" is judged by this time.
            keep_time(&file, &index.stat)
        })();
        copied.map_err(ImportError::host(doing))?;
        Ok(Original { stat: Some(index.stat) })
    }

    fn on_copy(&self, call: Call) -> Call {
        call.env("GIT_INDEX_FILE", &self.copy_path)
    }

    /// Writes the changed copy into the lock file, with mode, owner and time of the original.
    fn fill(&self, original: Original) -> Result<(), ImportError> {
        let filled = (|| {
            let changed = place::read_below(&self.dir, &self.copy, MAX_INDEX)?;
            let changed = changed.ok_or_else(|| io::Error::other("git wrote no index"))?;
            (&self.file).write_all(&changed.bytes)?;
            if let Some(stat) = &original.stat {
                rfs::fchmod(&self.file, Mode::from_raw_mode(stat.st_mode & 0o777))?;
                give(&self.file, Some((stat.st_uid, stat.st_gid)))?;
                // Else entries that have to be compared by content would look older than the index.
                keep_time(&self.file, stat)?;
            }
            self.file.sync_data()
        })();
        filled.map_err(ImportError::host("write the new index"))
    }

    fn commit(self) -> Result<(), ImportError> {
        rfs::renameat(&self.dir, LOCK, &self.dir, &b"index"[..])
            .map_err(|e| ImportError::host("put the new index in place")(e.into()))?;
        self.done.set(true);
        Ok(())
    }
}

impl Drop for IndexLock {
    fn drop(&mut self) {
        // Nothing to be done about a failure: git names a lock that stayed behind, and says what to do.
        let _ = rfs::unlinkat(&self.dir, &self.copy[..], rfs::AtFlags::empty());
        if !self.done.get() {
            let _ = rfs::unlinkat(&self.dir, LOCK, rfs::AtFlags::empty());
        }
    }
}

fn create(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(rfs::openat(dir, name, flags, Mode::from_raw_mode(0o644))?))
}

/// Only root can give a file away, and only root needs to.
fn give(file: &File, owner: Option<(u32, u32)>) -> io::Result<()> {
    let Some((uid, gid)) = owner else { return Ok(()) };
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Ok(rfs::fchown(file, Some(rfs::Uid::from_raw(uid)), Some(rfs::Gid::from_raw(gid)))?)
}

fn keep_time(file: &File, stat: &rfs::Stat) -> io::Result<()> {
    let time = Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ };
    Ok(rfs::futimens(file, &Timestamps { last_access: time, last_modification: time })?)
}
