//! What the person asked for, after flags and configuration were joined and before the host was looked at.

use crate::{BoxPath, OsBytes};
use pinfold_policy::PolicySpec;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Sixteen random bytes, hex. Every name and id of the run comes from it.
    pub run_id: String,
    /// The command and its arguments, as the box will execute them.
    pub argv: Vec<OsBytes>,
    /// The adapter that made `argv`, if any. Names the box home.
    pub agent: Option<String>,
    /// Where in the workspace the command starts, relative to its root. Empty for the root.
    pub subdir: OsBytes,
    /// Variables asked for by flag or configuration, beyond the allow-list.
    pub env: Vec<EnvRequest>,
    /// Files that an adapter wants in the box home before the start, if they are not there: path below the home, content.
    pub home_files: Vec<(String, String)>,
    /// What the caller's standard streams are.
    pub streams: Streams,
    pub limits: LimitsRequest,
    pub policy: PolicySpec,
    /// Protections that the person gave up by name (`--accept`).
    pub accepted: Vec<String>,
}

/// One `--env NAME[=VALUE]`. Without a value, the host's is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvRequest {
    pub name: String,
    pub value: Option<OsBytes>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StdStream {
    Terminal,
    Pipe,
    Socket,
    File,
    Null,
    /// Closed, or a folder or device that would be a way out of the box: the box gets `/dev/null`.
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    pub stdin: StdStream,
    pub stdout: StdStream,
    pub stderr: StdStream,
}

/// `None`: pinfold's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsRequest {
    /// Bytes of memory for the whole box.
    pub memory: Option<u64>,
    /// Processes and threads in the box.
    pub pids: Option<u64>,
    /// Bytes that `/tmp` may hold.
    pub tmp: Option<u64>,
    /// Seconds after which the box is stopped.
    pub timeout: Option<u64>,
}

impl Streams {
    /// Whether the box gets a terminal of its own.
    pub fn any_terminal(&self) -> bool {
        [self.stdin, self.stdout, self.stderr].contains(&StdStream::Terminal)
    }
}

/// Where the workspace stands in every box. Agents key their sessions by it, so it never varies.
pub fn workspace_at() -> BoxPath {
    BoxPath::new("/workspace")
}
