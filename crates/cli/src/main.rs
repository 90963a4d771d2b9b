//! pinfold: runs a command that nobody has to trust, in a box where the worst it can do is cheap to undo.
//!
//! This page picks the role, reads the command line, and turns the result into an exit code. Each verb is a file in
//! `commands/`; what a run is made of is in `request.rs`.
#![forbid(unsafe_code)]

mod agents;
mod args;
mod commands;
mod exit;
mod fail;
mod report;
mod request;
mod roles;
mod settings;
mod streams;

use args::Parsed;
use report::Report;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The processes of a run are this binary again, in a hidden role. They never come back from here.
    if let Some(code) = roles::play(std::env::args_os().nth(1)) {
        return code;
    }
    match args::parse(std::env::args_os()) {
        Parsed::Verb(verb, report) => commands::dispatch(verb, &report),
        Parsed::Text(text) => {
            Report::new(false, false).print(&text);
            ExitCode::SUCCESS
        }
        Parsed::Wrong(failure, report) => report.failure(&failure),
    }
}
