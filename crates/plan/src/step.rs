//! The plan: what the box will be, as an ordered list of small steps.

use crate::{BoxPath, GitFacts, HostPath, Identity, OsBytes, Seen, Streams};
use pinfold_policy::PolicySpec;
use serde::{Deserialize, Serialize};

/// The format that this build writes and carries out.
pub const PLAN_VERSION: u32 = 1;

/// What the box's ids are outside when root starts pinfold: far from every range that a distribution hands out, owner of
/// nothing.
pub const NOBODY_OUTSIDE: u32 = 2_000_000_000;

/// Everything about a run that is decided before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Of this format. The engine refuses any other.
    pub version: u32,
    pub run_id: String,
    pub agent: Option<String>,
    /// `<state>/runs/<run-id>`: made by the engine with mode 0700; holds `lock`, `git/`, `private/`, `log.jsonl`.
    pub run_dir: HostPath,
    /// `<data>/homes/<repository-key>/<agent or "shell">`: made by the engine with mode 0700; survives.
    pub home_dir: HostPath,
    /// Files put into the home before the start where they do not exist: path below the home, content.
    pub home_files: Vec<(String, String)>,
    pub workspace: Workspace,
    /// In order. The engine does what they say and nothing else.
    pub steps: Vec<Step>,
    /// Seconds after which the box is stopped; `None`: never.
    pub timeout: Option<u64>,
    pub accepted: Vec<String>,
}

/// The live tree behind the mask, for the MaskFs process and for the hand-back of commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    pub root: HostPath,
    pub seen: Seen,
    pub at: BoxPath,
    pub policy: PolicySpec,
    pub ids: IdMap,
    pub git: Option<GitFacts>,
    pub identity: Option<Identity>,
}

/// One user and one group; nothing else exists in the box. `inside` is what the box sees and what files of the caller
/// are shown as; `outside` is what the kernel checks. They are equal for an ordinary user. For root, `inside` is 0 and
/// `outside` an unprivileged id, so that root in the box is nobody on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    pub uid_inside: u32,
    pub uid_outside: u32,
    pub gid_inside: u32,
    pub gid_outside: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    pub user: bool,
    pub mount: bool,
    pub pid: bool,
    pub net: bool,
    pub uts: bool,
    pub ipc: bool,
    pub cgroup: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    Core,
    OpenFiles,
    Processes,
    LockedMemory,
    MessageQueues,
}

/// A ceiling: where the caller's own hard limit is lower, that one stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub resource: Resource,
    pub value: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandlockRule {
    pub at: BoxPath,
    pub access: Access,
    pub execute: bool,
}

/// A negative probe: something that must fail, tried in the finished box before the command's first instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "probe")]
pub enum Probe {
    /// MaskFs answers this masked name with an empty read. The name is virtual: it stands for a host file that MaskFs
    /// itself plants in its private store with a canary, so the host's tree is not touched.
    CanaryMask,
    /// This host path does not exist in the box.
    HostPathAbsent { path: BoxPath },
    /// This system call is refused.
    SyscallRefused { name: String },
    /// No descriptor but 0, 1 and 2 is open.
    NoInheritedDescriptors,
    /// No capability in any set, and `no_new_privs` on.
    NoPrivileges,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    pub argv: Vec<OsBytes>,
    /// The whole environment, sorted by name.
    pub env: Vec<(String, OsBytes)>,
    pub cwd: BoxPath,
    pub streams: Streams,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Step {
    /// The new process is made in these namespaces.
    Namespaces(Namespaces),
    MapIds(IdMap),
    Hostname {
        name: String,
    },
    /// Brings `lo` up. With no other device in the namespace, that is all the network there is.
    Loopback,
    /// A folder of the box's own root.
    Folder {
        at: BoxPath,
        mode: u32,
    },
    Symlink {
        at: BoxPath,
        target: OsBytes,
    },
    /// A small file written into the box's own root, read-only.
    File {
        at: BoxPath,
        mode: u32,
        content: String,
    },
    /// A host file or folder, always nosuid and nodev. The mount point is made where it is missing, with its parents, and
    /// never through a symbolic link: parts of the box home were written by former boxes.
    Bind {
        from: HostPath,
        seen: Seen,
        at: BoxPath,
        access: Access,
        execute: bool,
    },
    Tmpfs {
        at: BoxPath,
        mode: u32,
        bytes: u64,
        execute: bool,
    },
    /// `/dev` with null, zero, full, random, urandom, tty, its own pts and shm.
    Devices {
        at: BoxPath,
        shm_bytes: u64,
    },
    /// A fresh `/proc`, with these paths read-only and these hidden.
    Proc {
        at: BoxPath,
        read_only: Vec<BoxPath>,
        hidden: Vec<BoxPath>,
    },
    /// The box home, from `Plan::home_dir`.
    Home {
        at: BoxPath,
    },
    /// MaskFs over `Plan::workspace`.
    Workspace {
        at: BoxPath,
    },
    /// The box's own `.git`, from `Plan::run_dir`/git, over the workspace's.
    BoxGit {
        at: BoxPath,
    },
    /// The host's object stores, read-only, for the box's git to borrow from. What they borrow from themselves is not
    /// shown: it is named by paths of the host.
    Objects {
        from: HostPath,
        seen: Seen,
        at: BoxPath,
    },
    /// The box's root becomes `/`, read-only; the host's is gone.
    Seal,
    /// Memory and process limits in a cgroup of the box's own.
    Cgroup {
        parent: HostPath,
        memory: u64,
        pids: u64,
    },
    Limit(Limit),
    /// Empties every capability set, locks the secure bits, sets `no_new_privs`.
    DropPrivileges,
    Landlock {
        rules: Vec<LandlockRule>,
        scope_signals: bool,
        scope_abstract_sockets: bool,
    },
    /// The system-call filter of this name (the engine holds it as commented data).
    Seccomp {
        profile: String,
    },
    Probe(Probe),
    Exec(Exec),
}
