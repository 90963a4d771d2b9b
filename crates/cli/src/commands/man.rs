//! `pinfold man`: the manual page, from the same table as `--help`.

use crate::args;
use crate::exit::Trouble;
use crate::report::{Failure, Report};
use std::process::ExitCode;

pub fn run(report: &Report) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(args::command());
    page.render(&mut text).map_err(|error| Failure::of(Trouble::Bug, &error))?;
    report.print(&String::from_utf8_lossy(&text));
    Ok(ExitCode::SUCCESS)
}
