//! `pinfold doctor`: what this machine offers, and what became of each attack on the real box here.
//!
//! Each attack is a row of a table: what is planted outside, what runs inside, and what must hold afterwards. The box is
//! started as a person would start it: this very binary, `pinfold run`, in a planted repository.

mod attacks;
mod host;
mod stage;

use crate::args::DoctorArgs;
use crate::exit::Trouble;
use crate::report::{Failure, Report, harmless};
use serde::Serialize;
use stage::Stage;
use std::process::ExitCode;

/// What became of one question. Ordered from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Held,
    /// Weaker than it could be on another machine, and said so; no promise is broken.
    Weaker,
    /// The question could not be asked.
    NotAsked,
    Broken,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub promise: &'static str,
    /// What was tried, in words.
    pub tried: String,
    pub outcome: Outcome,
    /// What happened.
    pub seen: String,
}

/// The promises in their order, as the report heads them.
const PROMISES: &[(&str, &str)] = &[
    ("host", "What this machine offers"),
    ("P1", "Reads: nothing of the host but the workspace, programs and its own home"),
    ("P2", "Secrets: a masked path has no readable byte, at any moment"),
    ("P3", "Git stays sane: masks never show, are never committed, change nothing"),
    ("P4", "Nothing waits to pounce: what runs on the host by itself stays in the box"),
    ("P6", "Network: none but the box's own loopback"),
    ("P8", "Gone means gone: nothing outlives the box"),
    ("box", "The box itself"),
];

pub fn run(_args: &DoctorArgs, report: &Report) -> Result<ExitCode, Failure> {
    let mut findings = host::findings();
    show(&findings, report);
    match Stage::set() {
        Ok(stage) => {
            for (promise, _) in PROMISES {
                let of_promise: Vec<_> = attacks::TABLE.iter().filter(|attack| attack.promise == *promise).collect();
                let found: Vec<_> = of_promise.iter().map(|attack| attack.perform(&stage)).collect();
                show(&found, report);
                findings.extend(found);
            }
        }
        Err(error) => {
            let mut failure = Failure::of(Trouble::Host, &error);
            failure.message = format!("no place for a planted repository: {}", failure.message);
            return Err(failure.hint("doctor needs git, and room in the temporary folder (TMPDIR)"));
        }
    }
    let worst = findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::NotAsked);
    if report.json {
        report.print_json(&findings);
    } else {
        let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
        report.print(&format!(
            "\n{} held, {} weaker, {} not asked, {} broken\n",
            count(Outcome::Held),
            count(Outcome::Weaker),
            count(Outcome::NotAsked),
            count(Outcome::Broken)
        ));
    }
    Ok(match worst {
        Outcome::Held | Outcome::Weaker => ExitCode::SUCCESS,
        Outcome::NotAsked => ExitCode::from(Trouble::Unfit.code()),
        Outcome::Broken => ExitCode::from(Trouble::Unproven.code()),
    })
}

/// One promise and what became of its questions, as soon as they are answered.
fn show(findings: &[Finding], report: &Report) {
    let Some(first) = findings.first().filter(|_| !report.json) else { return };
    let title = PROMISES.iter().find(|(promise, _)| *promise == first.promise).map_or("", |(_, title)| title);
    let mut text = format!("{}  {title}\n", first.promise);
    for finding in findings {
        let mark = match finding.outcome {
            Outcome::Held => "held",
            Outcome::Weaker => "weaker",
            Outcome::NotAsked => "not asked",
            Outcome::Broken => "BROKEN",
        };
        text.push_str(&format!("  {mark:<9}  {}\n", harmless(&finding.tried)));
        if !finding.seen.is_empty() {
            text.push_str(&format!("             {}\n", harmless(&finding.seen).replace('\n', "\n             ")));
        }
    }
    report.print(&text);
}
