//! Real coding agents for tests: installed from npm once, given to a caller's home as their own installers would, with a scripted
//! model around them.
//!
//! A box has no network, so the model runs in the box too: what stands in the caller's `~/.local/bin` under the agent's name starts
//! the model server on loopback and then the real program. The model's script and its log lie in the repository's ignored `target/`,
//! which is shared, so that the log can be read on the host.

#![forbid(unsafe_code)]

pub mod agent;
pub mod scene;
pub mod transcript;
