//! Pure deciders: what the box may see of a path, and why.
//!
//! Nothing here opens a file, reads a clock or knows of FUSE. A decision is a function of values and carries its reason
//! and its rule, so that `explain`, `why`, the log and the tests say the same words.
#![forbid(unsafe_code)]

mod path;
mod spec;
mod verdict;

pub use path::{BadPath, RelPath, RelPathBuf};
pub use verdict::{Decision, Kind, RuleSource, Verdict};


pub use spec::{PathPolicy, PolicySpec, UserRule};
