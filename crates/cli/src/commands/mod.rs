//! One file for each verb.

mod completions;
mod doctor;
mod explain;
mod man;
mod run;
mod runs;
mod trust;
mod why;

use crate::args::Verb;
use crate::report::{Failure, Report};
use std::process::ExitCode;

pub fn dispatch(verb: Verb, report: &Report) -> ExitCode {
    let done: Result<ExitCode, Failure> = match verb {
        Verb::Run(args) => run::run(None, &args, report),
        Verb::Agent(agent, args) => run::run(Some(agent), &args, report),
        Verb::Explain(args) => explain::run(&args, report),
        Verb::Why(args) => why::run(&args, report),
        Verb::Doctor(args) => doctor::run(&args, report),
        Verb::Runs(args) => runs::run(&args, report),
        Verb::Trust(args) => trust::run(&args, report),
        Verb::Completions(args) => completions::run(&args, report),
        Verb::Man => man::run(report),
    };
    done.unwrap_or_else(|failure| report.failure(&failure))
}
