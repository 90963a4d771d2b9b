//! What the tests of real boxes are written with. Dev-only; nothing in the product depends on it.
//!
//! Start here when you write a test:
//!
//! - [`Caller`] is a person on this machine: root, or the ordinary user `pinfold-test`, with a home, XDG directories and a cleared
//!   environment of their own. Everything a test runs, it runs as a caller.
//! - [`TestRepo`] is that person's repository: real git, real files.
//! - [`Launcher`] starts a command in a box: pinfold's, or a [`Baseline`] that has the hole which the test is about. A test of a
//!   promise first shows that its attack works on a baseline.
//! - [`Session`] is a box that is still running, so that the host can act meanwhile.
//! - [`Canary`] is a secret that can be recognised wherever it turns up.
//! - [`mock`] is a scripted language model that drives the real agents.
//! - [`require!`] says why a test cannot run here; with `PINFOLD_MUST_RUN=1` that is a failure.

//!
//! Every wait in here ends: a box that hangs is a failed test, never a hung suite.

#![forbid(unsafe_code)]

mod baseline;
mod caller;
mod canary;
mod cmd;
pub mod mock;
pub mod need;
mod product;
mod repo;
mod session;
pub mod snapshot;
mod terminal;

pub use baseline::Baseline;
pub use caller::{As, Caller};
pub use canary::{Canary, MARK as CANARY_MARK, find_bytes};
pub use cmd::{Cmd, Output, Stdin};
pub use need::Missing;
pub use product::{Launcher, mockmodel_binary, pinfold_binary};
pub use repo::TestRepo;
pub use session::Session;
pub use terminal::Terminal;
