//! Makes the box's own git directory from the host's, in milliseconds and without running git.
//!
//! [`build`] reads the host's git directory by descriptor, through no symbolic link, and writes a plain one into an empty
//! folder: `HEAD`, refs, index, hooks, excludes and a neutral configuration. Objects are not copied; the box borrows them
//! through `objects/info/alternates`. Whatever the host's layout is (main, linked worktree, submodule), the box's is
//! always a plain one. [`nested`] does the same for repositories found further down in the tree.
//!
//! It does not know where the result will be mounted, nor what the work tree holds.

mod config;
mod credentials;
mod error;
mod extras;
mod nested;
mod person;
mod refs;
mod reftable;
mod settings;
mod tracked;

pub use config::Config;
pub use error::DoorError;
pub(crate) use error::printable;
pub use nested::{Nested, NestedAsk, bare, nested, parse_gitdir_file};
pub use person::Person;
pub(crate) use refs::value as ref_value;
pub use refs::{Head, Refs, Value, parse_loose, parse_packed};
pub use reftable::parse_table;

use crate::names::{HashKind, Oid};
use crate::place::{self, Dest};
use pinfold_plan::{GitFacts, GitLayout, Identity};
use pinfold_policy::{PathPolicy, RelPath, RelPathBuf};
pub(crate) use settings::{RefStorage, Settings};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use tracked::Tracked;

/// The host's git directory, opened.
#[derive(Debug)]
pub struct HostGit {
    git_dir: OwnedFd,
    common_dir: OwnedFd,
    shape: Shape,
}

/// How a git directory stands to its work tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One work tree, one git directory.
    Plain,
    /// Of a linked worktree: much lies in the common folder.
    Linked,
    /// No work tree.
    Bare,
}

impl HostGit {
    /// Opens the folders that the survey found.
    pub fn open(facts: &GitFacts) -> Result<Self, DoorError> {
        let open = |path: &Path| place::open_folder(path).map_err(DoorError::read(path.as_os_str().as_encoded_bytes()));
        let git_dir = open(facts.git_dir.as_path())?;
        let common_dir = open(facts.common_dir.as_path())?;
        let shape = if facts.layout == GitLayout::Linked { Shape::Linked } else { Shape::Plain };
        Ok(HostGit { git_dir, common_dir, shape })
    }

    /// From folders that are open already. They differ only in a linked worktree.
    pub fn from_folders(git_dir: OwnedFd, common_dir: OwnedFd, shape: Shape) -> Self {
        HostGit { git_dir, common_dir, shape }
    }

    /// How it stands to its work tree.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.shape == Shape::Linked
    }

    /// Holds `HEAD` and `index`.
    pub fn git_dir(&self) -> BorrowedFd<'_> {
        self.git_dir.as_fd()
    }

    /// Holds refs, configuration and objects.
    pub fn common_dir(&self) -> BorrowedFd<'_> {
        self.common_dir.as_fd()
    }
}

/// What the box is to get.
pub struct DoorAsk<'a> {
    /// The lines of `objects/info/alternates`: absolute paths in the box, or paths relative to the box's `objects`.
    pub alternates: Vec<Vec<u8>>,
    pub identity: Option<&'a Identity>,
    pub policy: &'a PathPolicy,
    /// Where this repository stands in the workspace; the policy speaks of workspace paths.
    pub prefix: RelPath<'a>,
    /// The top of this repository's work tree on the host, to recognise absolute paths into it.
    pub root: Option<&'a Path>,
    /// From the owner of a host file to the owner that the box sees.
    pub present_ids: &'a (dyn Fn(u32, u32) -> (u32, u32) + Sync),
    /// User and group of everything made, when it is not to be the caller.
    pub owner: Option<(u32, u32)>,
    /// Lines for `info/exclude`, so that secret files which the box makes are never added.
    pub excludes: &'a [u8],
    /// Whether the person's hooks are copied.
    pub hooks: bool,
    /// The person's own settings, where they are to count.
    pub person: Option<&'a Person>,
}

impl fmt::Debug for DoorAsk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoorAsk")
            .field("alternates", &self.alternates)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// What was made, and what a person may want to know of it.
#[derive(Debug)]
pub struct DoorReport {
    /// The first thousand tracked paths that are masked, relative to the repository.
    pub tracked_masked: Vec<RelPathBuf>,
    pub tracked_masked_total: usize,
    pub head: Head,
    pub hash: HashKind,
    /// In plain words: what was left out and why.
    pub notes: Vec<String>,
}

/// Where the host's `HEAD` points now. It looks at no more refs than it has to.
pub fn head(host: &HostGit) -> Result<Head, DoorError> {
    let settings = Settings::read(host.git_dir(), host.common_dir(), &mut Vec::new())?;
    refs::head_alone(host, settings.ref_storage, settings.hash)
}

/// The host's branches now, by full name.
pub(crate) fn branches(host: &HostGit, storage: RefStorage, hash: HashKind) -> Result<Vec<(Vec<u8>, Oid)>, DoorError> {
    refs::heads(host, storage, hash)
}

/// Fills the empty folder `dest` with a git directory for the box.
pub fn build(host: &HostGit, dest: BorrowedFd<'_>, ask: &DoorAsk<'_>) -> Result<DoorReport, DoorError> {
    let dest = Dest::new(dest, ask.owner);
    let mut notes = Vec::new();
    let settings = Settings::read(host.git_dir(), host.common_dir(), &mut notes)?;
    let refs = refs::read(host, settings.ref_storage, settings.hash, &mut notes)?;
    let head = refs::head(host, settings.ref_storage, &refs, settings.hash)?;

    for folder in [&b"info"[..], b"objects", b"objects/info", b"objects/pack"] {
        dest.folder(folder).map_err(DoorError::write(folder))?;
    }
    let alternates: Vec<u8> = ask.alternates.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
    dest.file(b"objects/info/alternates", 0o644, &alternates).map_err(DoorError::write("objects/info/alternates"))?;

    let bare = host.shape == Shape::Bare;
    let tracked = if bare { Tracked::default() } else { tracked::copy_index(host, dest, ask, settings.hash)? };
    tracked::write_sparse(host, dest, settings.host_is_sparse(), &tracked)?;
    extras::shallow(host, dest)?;
    extras::info(host, dest, ask, &settings.config, &mut notes)?;
    extras::state(host, dest, &mut notes)?;
    extras::logs(host, dest, &head, &mut notes)?;
    let hooks_path = extras::hooks(host, dest, ask, &settings.config, &mut notes)?;
    let person = ask.person.map(|p| &p.config);
    let make = settings::Make { identity: ask.identity, person, masked: tracked.total > 0, hooks_path, bare };
    let config = settings.neutral(&make);
    dest.file(b"config", 0o644, &config).map_err(DoorError::write("config"))?;
    refs::write(dest, &refs, &head)?;

    Ok(DoorReport {
        tracked_masked: tracked.masked,
        tracked_masked_total: tracked.total,
        head,
        hash: settings.hash,
        notes,
    })
}
