//! The hidden roles: the same binary, started again by a run for one job. They take their whole world from inherited
//! descriptors, and print nothing.

mod maskfs;

use pinfold_wire::{ROLE_INIT, ROLE_MASKFS};
use std::ffi::OsString;
use std::process::ExitCode;

/// Plays the role that the first argument names; `None` when it names none.
pub fn play(first: Option<OsString>) -> Option<ExitCode> {
    match first?.to_str()? {
        ROLE_INIT => Some(ExitCode::from(u8::try_from(pinfold_engine::init::main()).unwrap_or(1))),
        ROLE_MASKFS => Some(maskfs::main()),
        _ => None,
    }
}
