//! Request + host facts + policy → [`Plan`] → [`check`](check()) → [`CheckedPlan`].
//!
//! A plan is an immutable, printable, serialisable value with no decision left in it: the engine carries its steps out
//! in order and never asks "should I?". This crate reads no file, no environment, no clock; names and ids come from the
//! request.
#![forbid(unsafe_code)]

mod bytes;
mod check;
mod display;
mod explain;
mod facts;
mod planner;
mod request;
mod step;

pub use bytes::{BoxPath, HostPath, OsBytes};
pub use check::{CheckError, CheckedPlan, Finding, check};
pub use explain::{Chapter, explain};
pub use facts::{Caller, Entry, GitFacts, GitLayout, HostFacts, Identity, Repository, Seen, SeenKind, Toolchain};
pub use planner::{ACCEPTABLE, PlanError, env_wanted, plan};
pub use request::{EnvRequest, LimitsRequest, Request, StdStream, Streams, workspace_at};
pub use step::{
    Access, Exec, IdMap, LandlockRule, Limit, NOBODY_OUTSIDE, Namespaces, PLAN_VERSION, Plan, Probe, Resource, Step,
    Workspace,
};
