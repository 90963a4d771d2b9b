//! The door between a box and the host's git repository.
//!
//! Inwards, [`door`] makes the box a git directory of its own: refs, index and settings are rewritten copies, objects are
//! borrowed. No git runs for that. Outwards, [`import`] takes the box's commits as untrusted bytes, verifies them beside
//! the host's objects, stores them under `refs/pinfold/`, and moves the person's branch only where that is safe.
//!
//! This crate knows nothing of mounts, namespaces or sockets. It is handed folders and byte streams.
#![forbid(unsafe_code)]

pub mod door;
pub mod git;
pub mod import;
pub mod index;
pub mod names;
pub mod place;
