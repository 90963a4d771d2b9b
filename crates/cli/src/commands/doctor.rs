//! `pinfold doctor`: what this machine offers, and what became of each attack on the real box here.
//!
//! Each attack is a line of a table: what runs inside, what the host does meanwhile, and what must hold afterwards. Boxes are
//! started as a person would start them: this very binary, `pinfold run`, in a planted repository, under the person's own
//! configuration. Many attacks share a box, so that all of them take a few seconds.

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
    /// It can't be tried here, for lack of a tool; nothing follows from that.
    Skipped,
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
    ("P5", "What only git has is not lost (undo of the tree comes later)"),
    ("P6", "Network: none but the box's own loopback"),
    ("P7", "Keys stay out: the caller's environment is not the box's"),
    ("P8", "Gone means gone: nothing outlives the box"),
    ("box", "The box itself: the walls that all of this rests on"),
];

pub fn run(_args: &DoctorArgs, report: &Report) -> Result<ExitCode, Failure> {
    let mut findings = host::findings();
    show(&findings, report);
    match Stage::set() {
        Ok(stage) => {
            let found = attacks::perform(&stage);
            for (promise, _) in PROMISES {
                let of_promise: Vec<_> = found.iter().filter(|finding| finding.promise == *promise).cloned().collect();
                show(&of_promise, report);
                findings.extend(of_promise);
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
            "\n{} held, {} not tried, {} weaker, {} not asked, {} broken\n",
            count(Outcome::Held),
            count(Outcome::Skipped),
            count(Outcome::Weaker),
            count(Outcome::NotAsked),
            count(Outcome::Broken)
        ));
    }
    Ok(match worst {
        Outcome::Held | Outcome::Skipped | Outcome::Weaker => ExitCode::SUCCESS,
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
            Outcome::Skipped => "not tried",
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
