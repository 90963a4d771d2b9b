//! `pinfold completions SHELL`

use crate::args::{self, CompletionsArgs};
use crate::report::{Failure, Report};
use std::process::ExitCode;

pub fn run(args: &CompletionsArgs, report: &Report) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "pinfold", &mut text);
    report.print(&String::from_utf8_lossy(&text));
    Ok(ExitCode::SUCCESS)
}
