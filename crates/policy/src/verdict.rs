//! What a decision says.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What the box gets of a path, from the widest to the narrowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The real file, live both ways.
    Share,
    /// The real file, live; changes are listed when the run ends, because the host runs them later.
    Watch,
    /// The box sees and changes its own copy; the host's file is untouched.
    Private,
    /// No byte of the host's file exists in the box.
    Mask,
}

/// What is known of the thing a path names. A rule that ends in `/` speaks of folders only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    File,
    Folder,
    Symlink,
}

/// Where a rule was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "from")]
pub enum RuleSource {
    /// pinfold's own tables.
    Builtin,
    /// The user's configuration file, with the line of the rule (1-based).
    User { line: u32 },
    /// The project's `pinfold.toml`, with the line of the rule (1-based). Such a rule can only narrow.
    Project { line: u32 },
    /// The same file, when the person has trusted exactly this content of it.
    Trusted { line: u32 },
    /// A flag of this command line.
    Flag,
}

/// A verdict with its reason and its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'p> {
    pub verdict: Verdict,
    /// The pattern that decided, as it was written; `None` when nothing matched and the default holds.
    pub rule: Option<&'p str>,
    /// Where that pattern stands.
    pub source: &'p RuleSource,
    /// Why such a path gets this verdict, in plain words, without a full stop.
    pub reason: &'p str,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Share => "share",
            Verdict::Watch => "watch",
            Verdict::Private => "private",
            Verdict::Mask => "mask",
        })
    }
}
