//! The kernel calls that rustix lacks, as small typed functions: the only crate with `unsafe`.
//!
//! Nothing here decides anything. A function does one call (or one inseparable group of calls), and says what its caller
//! must have seen to. What rustix offers safely is used directly by the crates above.

pub mod channel;
pub mod command;
pub mod landlock;
pub mod mount;
pub mod net;
pub mod priority;
pub mod probe;
pub mod process;
pub mod seccomp;
pub mod signal;
pub mod tree;
pub mod watch;
