//! Commits that leave the box, as claims: holding a [`GitOffer`] proves the shape of its names, and nothing about the
//! pack that comes with it.

use serde::{Deserialize, Serialize};

/// Repositories below the workspace whose commits are offered. Those of more stay in the box.
pub const MAX_REPOSITORIES: usize = 64;
/// Branches in one offer. More are left out, with `cut` set.
pub const MAX_REFS: usize = 256;
/// Bytes of the longest branch name that is offered.
pub const MAX_REF_NAME: usize = 128;

/// A commit id in hex, of SHA-1 or SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an object id")]
pub struct BadOid;

impl Oid {
    pub fn new(hex: impl Into<String>) -> Result<Oid, BadOid> {
        let hex = hex.into();
        let right = matches!(hex.len(), 40 | 64) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if right { Ok(Oid(hex)) } else { Err(BadOid) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Oid {
    type Error = BadOid;

    fn try_from(hex: String) -> Result<Oid, BadOid> {
        Oid::new(hex)
    }
}

impl From<Oid> for String {
    fn from(oid: Oid) -> String {
        oid.0
    }
}

impl std::fmt::Display for Oid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A ref of the box, by its full name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefTip {
    pub name: String,
    pub oid: Oid,
}

/// "The box has new commits."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitOffer {
    /// Which repository: 0 is the workspace's own, and others are numbered by MaskFs.
    pub repository: u32,
    /// Counts up within a run and a repository.
    pub number: u64,
    /// The branch that HEAD names, in full; `None` when it is detached.
    pub head_ref: Option<String>,
    pub head: Option<Oid>,
    pub refs: Vec<RefTip>,
    /// Some refs were left out.
    pub cut: bool,
    /// The last one: the command has ended.
    pub last: bool,
}

/// The answer to an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitKnown {
    pub repository: u32,
    pub number: u64,
    pub oids: Vec<Oid>,
}

/// A branch of the host, for the box to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRef {
    pub repository: u32,
    /// Without `refs/heads/`.
    pub branch: String,
    pub oid: Oid,
}
