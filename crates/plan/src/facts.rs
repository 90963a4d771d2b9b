//! What `survey` saw on the host. Facts grow old: the plan records identities, and whoever opens a path later compares.

use crate::{HostPath, OsBytes};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    pub caller: Caller,
    pub repository: Repository,
    /// Existing system folders and files that a box may be given read-only (`/usr`, `/lib64`, `/etc/ssl` …).
    pub system: Vec<Entry>,
    /// Toolchains below the caller's home, each a tree that holds no credentials.
    pub toolchains: Vec<Toolchain>,
    /// The variables of the caller's environment that the allow-list or a request names.
    pub env: Vec<(String, OsBytes)>,
    /// The caller's `PATH`, split, absolute entries only, in order.
    pub path: Vec<HostPath>,
    pub identity: Option<Identity>,
    /// `$XDG_STATE_HOME/pinfold`: runs, logs.
    pub state_dir: HostPath,
    /// `$XDG_DATA_HOME/pinfold`: box homes.
    pub data_dir: HostPath,
    /// A cgroup v2 folder that the caller may write, with `memory` and `pids` delegated.
    pub cgroup: Option<HostPath>,
    /// Landlock ABI; 0 where the kernel has none.
    pub landlock_abi: i32,
    /// Hard limit of open files.
    pub nofile_hard: u64,
    /// Bytes of memory of the machine.
    pub memory: u64,
    /// The processors that are on, as the kernel writes the list: `0-7`.
    pub cpus: String,
}

/// Who started pinfold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub uid: u32,
    pub gid: u32,
    /// Login name as the user database has it, for the box's `/etc/passwd`.
    pub name: String,
    pub home: HostPath,
    /// Login shell as the user database has it.
    pub shell: HostPath,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeenKind {
    File,
    Folder,
    Symlink,
    Device,
}

/// What stood at a path when the survey looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub dev: u64,
    pub ino: u64,
    pub kind: SeenKind,
}

/// A host path that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub path: HostPath,
    pub seen: Seen,
    /// For a symbolic link, its text.
    pub target: Option<OsBytes>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// The field's name for it: `rustup`, `nvm`, `pyenv`.
    pub name: String,
    /// Shown read-only at the same path.
    pub entry: Entry,
}

/// The person's git identity, from the global configuration only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub name: String,
    pub email: String,
}

/// The folder that the box works in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    pub root: HostPath,
    pub seen: Seen,
    /// Stable for this root path: names the box home.
    pub key: String,
    /// `None` with `--here` on a folder that is no repository.
    pub git: Option<GitFacts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GitLayout {
    /// `.git` is a folder.
    Main,
    /// `.git` is a file: a linked worktree.
    Linked,
    /// `.git` is a file: a submodule of an enclosing repository.
    Submodule,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitFacts {
    pub layout: GitLayout,
    /// Holds HEAD and index.
    pub git_dir: HostPath,
    /// Holds refs and config; equal to `git_dir` except in a linked worktree.
    pub common_dir: HostPath,
    /// The object store, and the stores it borrows from, each an existing folder.
    pub objects: Vec<Entry>,
}
