//! Performs a checked plan on Linux: [`perform`] makes the box, runs the command in it, and leaves nothing behind.
//!
//! Three processes carry out one plan, and each file says which one it runs in:
//! - the *supervisor* is the caller: it makes the folders of the run, starts MaskFs, makes the box's first process, and
//!   from then on relays a terminal, signals and commits (`supervise`);
//! - the *builder* is that first process, still a copy of the supervisor: it carries out the plan's steps from the
//!   namespaces to the sealed root (`build`);
//! - *init* is what the builder turns into, a fresh program: pid 1 of the box. It starts the command behind the last
//!   walls, reaps, forwards signals, and ends everything when the command ends (`init`).
//!
//! Nothing here asks whether something should be done: the plan says it. Nothing here prints.
#![forbid(unsafe_code)]

mod build;
mod error;
mod host;
pub mod init;
mod plan_view;
mod rundir;
pub mod seccomp;
mod supervise;

pub use error::{EngineError, Kind, Unfit};
pub use host::{End, Event, GitAnswer, GitDoor, Outcome, Repository, RunHost};

use pinfold_plan::CheckedPlan;

/// Carries out the plan: returns when the command has ended and nothing of the box is left alive.
///
/// Call it from the main thread, while it is the only one: the box dies with the thread that made it.
pub fn perform(plan: &CheckedPlan, host: RunHost<'_>) -> Result<Outcome, EngineError> {
    supervise::perform(plan, host)
}

/// `perform` for plans that no check would pass: for tests that take one wall away and look whether the start is refused.
#[cfg(feature = "unchecked")]
pub fn perform_unchecked(plan: &pinfold_plan::Plan, host: RunHost<'_>) -> Result<Outcome, EngineError> {
    supervise::perform(plan, host)
}
