//! Between the supervisor and pid 1 of the box.

use crate::{GitKnown, GitOffer, HostRef};
use serde::{Deserialize, Serialize};

/// From the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum ToInit {
    /// The id maps are written; go on building. Carries the idmapped mounts that the plan needs, in the plan's order.
    Mapped,
    /// Sends this signal to the command: to its foreground group where there is a terminal.
    Signal { number: i32 },
    /// The host has these commits now; don't offer them again.
    Known(GitKnown),
    /// The host's branch moved: keep it under `refs/pinfold/host/` in the box.
    HostRef(HostRef),
    /// Commits of this repository below the workspace come back too. `at`: its `.git`, from the top of the workspace.
    Repository { number: u32, at: Vec<u8> },
    /// After [`FromInit::Alone`]: no more repositories will be named.
    Told,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Ending {
    Exited { code: u8 },
    Killed { signal: i32 },
}

/// From the box: first from the process that builds it, then from pid 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum FromInit {
    /// Building failed: what was being done, and the kernel's answer (0: no kernel error).
    BuildFailed { stage: Stage, doing: String, errno: i32 },
    /// What stands at a path now is not what the plan saw.
    Changed { path: String, found: String },
    /// The box's terminal. Carries the master side.
    Terminal,
    /// All probes failed as they should, and the command was executed.
    Started,
    /// A protection is missing; the command was not executed.
    ProbeFailed { probe: String, found: String },
    /// The last steps before the command failed.
    ConfineFailed { doing: String, errno: i32 },
    /// The command could not be executed.
    NotStarted { errno: i32 },
    /// The command was stopped by this signal.
    Stopped { signal: i32 },
    /// New commits in the box. Carries the read end of a pipe with a pack of them.
    GitOffer(GitOffer),
    /// Something the person should know.
    Note { text: String },
    /// The command ended; everything else in the box is being killed.
    Leaving,
    /// Nothing but pid 1 lives in the box. Answered by [`ToInit::Told`] where commits are offered.
    Alone,
    /// The last word: how the command ended.
    Exited { ending: Ending },
}

/// Where building a box can fail; tells an unfit host from a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Ids,
    Network,
    Sources,
    Mounts,
    Fuse,
    Home,
    Privileges,
    Exec,
}
