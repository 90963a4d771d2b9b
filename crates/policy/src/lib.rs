//! Pure deciders: what the box may see of a path, and why.
//!
//! Nothing here opens a file, reads a clock or knows of FUSE. A decision is a function of values and carries its reason
//! and its rule, so that `explain`, `why`, the log and the tests say the same words.
//!
//! `decide.rs` joins what the others know: the built-in names (`names/`), the person's and the project's rules
//! (`pattern.rs`), and the spellings under which a file system could open a file (`fold.rs`).
#![forbid(unsafe_code)]

mod decide;
mod fold;
mod names;
mod path;
mod pattern;
mod spec;
mod verdict;

pub use decide::{Folder, MAX_RULES, PathPolicy};
pub use names::{BuiltinRule, builtin_rules};
pub use path::{BadPath, RelPath, RelPathBuf};
pub use pattern::{BadPattern, MAX_PATTERN, Pattern};
pub use spec::{PolicyError, PolicySpec, UserRule};
pub use verdict::{Decision, Kind, RuleSource, Verdict};
