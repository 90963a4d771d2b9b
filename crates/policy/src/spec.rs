//! What the person and the project ask of the path policy, as plain values that travel inside a plan.

use crate::pattern::BadPattern;
use crate::{RuleSource, Verdict};
use serde::{Deserialize, Serialize};

/// One line of gitignore syntax and the verdict that it gives.
///
/// A pattern that begins with `!` takes back what earlier rules of the same source said, and gives no verdict itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRule {
    pub pattern: String,
    pub verdict: Verdict,
    pub source: RuleSource,
}

/// Every rule beyond the built-in tables. Within one source the last rule that matches wins, as in gitignore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySpec {
    pub rules: Vec<UserRule>,
}

/// Why a [`PolicySpec`] makes no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("the pattern {pattern:?} {why}")]
    Pattern { pattern: String, source_of_rule: RuleSource, why: BadPattern },
    #[error("the rule {pattern:?} claims to be one of pinfold's own")]
    NotBuiltin { pattern: String },
    #[error("there are {count} rules; {limit} is the most that can be obeyed at every look-up")]
    TooMany { count: usize, limit: usize },
}
