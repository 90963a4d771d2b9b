//! The mask file system: the workspace as the box sees it.
//!
//! One process for each box, outside of it, as the invoking user. It answers the FUSE mount that stands at `/workspace`
//! in the box, and every answer asks the policy about where the object stands *now*.
//!
//! - [`abi`]: the kernel's protocol. - `serve`: requests to calls and answers. - [`view`]: what the box sees, without a
//!   FUSE type. - `nodes`, `store`, `host`, `guard`: objects by number, private files, the host's tree, hard links.
#![forbid(unsafe_code)]

pub mod abi;
mod gate;
mod guard;
mod host;
pub mod isolate;
mod nodes;
mod serve;
mod settle;
mod store;
pub mod view;
mod watcher;

pub use host::FileKind;
pub use serve::Server;
pub use view::{Admitted, Canary, Event, GitDoor, Owners, Parts, View};
pub use watcher::Remember;
