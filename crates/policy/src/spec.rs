//! (helper A owns this file; placeholder shape that others compile against)
use crate::{Decision, Kind, RelPath, RuleSource, Verdict};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRule {
    pub pattern: String,
    pub verdict: Verdict,
    pub source: RuleSource,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySpec {
    pub rules: Vec<UserRule>,
}

#[derive(Debug)]
pub struct PathPolicy;

impl PathPolicy {
    pub fn new(_spec: &PolicySpec) -> Result<Self, String> {
        Ok(PathPolicy)
    }

    pub fn decide(&self, path: RelPath<'_>, _kind: Kind) -> Decision<'_> {
        let masked = path.name() == Some(b".env");
        Decision { verdict: if masked { Verdict::Mask } else { Verdict::Share }, rule: None, source: &RuleSource::Builtin, reason: "" }
    }
}
