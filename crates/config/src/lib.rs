//! Configuration: from TOML text to settings.
//!
//! Two layers exist. The *user's* file may say anything. The *project's* `pinfold.toml` came with the repository, which is
//! not our friend: unless the person has trusted exactly this content, it may only narrow, and every line that asks for
//! more is handed back as a [`Refusal`]. [`parse`] makes one layer of one text, [`resolve`] joins them.
//!
//! This crate opens no file and knows no default limit: the caller brings the text, whether it is trusted, and the
//! ceilings. Flags are the caller's too; they go on top of what [`resolve`] gives.
#![forbid(unsafe_code)]

mod error;
mod layers;
mod read;
mod units;

pub use error::{ConfigError, ConfigErrors, Refusal};
pub use layers::{Agent, Env, Layer, Limits, Settings, resolve};
pub use read::{MAX_TEXT, Origin, parse};
