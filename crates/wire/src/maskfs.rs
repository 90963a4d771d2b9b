//! Between the supervisor and the MaskFs process.

use crate::Oid;
use serde::{Deserialize, Serialize};

/// The descriptors that the role is started with. 0 is `/dev/null`, 1 and 2 are its log.
pub mod maskfs_fd {
    /// A sealed memory file with the [`MaskFsConfig`](crate::MaskFsConfig) as JSON.
    pub const CONFIG: i32 = 3;
    /// The channel to the supervisor. Its end means that the run is over.
    pub const CONTROL: i32 = 4;
    /// One message comes in here, with the mounted `/dev/fuse`; any bytes.
    pub const FUSE: i32 = 5;
}

/// A masked name in the root of the workspace that stands for a planted secret. It is answered like any masked name, and
/// no listing shows it.
pub const CANARY_NAME: &str = ".pinfold-canary.env";

/// What the process is told at its start. The values of other crates are passed through as they serialise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskFsConfig {
    pub run_id: String,
    /// A `plan::Workspace`.
    pub workspace: serde_json::Value,
    /// A `plan::HostPath`: the run's folder, which holds `private/` and `git/`.
    pub run_dir: serde_json::Value,
    /// A `plan::BoxPath` for each of the host's object stores, in the order of `workspace.git.objects`.
    pub objects_at: serde_json::Value,
    /// The folders of the person's own git settings, each a `plan::HostPath`: the home, and the folder of configuration
    /// below which `git/` lies.
    #[serde(default)]
    pub person: Vec<serde_json::Value>,
}

/// From the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum ToMaskFs {
    /// The box is built and proven; the command runs.
    Go,
    /// Everything in the box but its init has ended, so nobody will ask for anything any more.
    Over,
}

/// From MaskFs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub enum FromMaskFs {
    /// It has the descriptor and answers.
    Serving,
    /// It can't serve, and why. It ends after that.
    Failed { doing: String, errno: i32 },
    /// Something the person should know.
    Note { text: String },
    /// What it found out about the tree.
    Counts { tracked_masked: u64, masked: u64, private: u64 },
    /// The box has a private copy of this repository. Carries the host's git directory and its common one, as they were
    /// when they were opened: the box can change what stands above them. `at`: the `.git`, from the top of the workspace.
    Repository { number: u32, at: Vec<u8> },
    /// Branches of a private repository in the box stand where the box put them, and what they hold ends with it unless
    /// it was taken. No number: nothing of it was offered.
    Stays { number: Option<u32>, at: Vec<u8>, tips: Vec<Oid> },
    /// A line for the run's log.
    Event { line: serde_json::Value },
}
