//! `pinfold run` and the agents' verbs: prepare, then hand the checked plan to the engine.
//!
//! This is where the crates meet that must not know each other: the engine gets the configuration for MaskFs as bytes,
//! and the door for commits as a trait object.

mod commits;
pub mod log;
mod prune;

use crate::agents::Agent;
use crate::args::RunArgs;
use crate::exit::Trouble;
use crate::report::{Failure, Report};
use crate::request::{Prepared, Wanted, prepare};
use pinfold_engine::{End, Event, Outcome, RunHost};
use pinfold_plan::{BoxPath, HostPath, OsBytes, Plan, Step};
use pinfold_wire::{FromMaskFs, MaskFsConfig};
use std::path::PathBuf;
use std::process::ExitCode;

pub fn run(agent: Option<&'static Agent>, args: &RunArgs, report: &Report) -> Result<ExitCode, Failure> {
    let prepared = prepare(Wanted { agent, argv: &args.command, flags: &args.flags }, report)?;
    if args.dry_run {
        if report.json {
            report.print_json(&*prepared.plan)
        } else {
            report.print(&prepared.plan.to_string())
        }
        return Ok(ExitCode::SUCCESS);
    }
    perform(&prepared, report)
}

fn perform(prepared: &Prepared, report: &Report) -> Result<ExitCode, Failure> {
    let plan = &prepared.plan;
    pinfold_survey::remember(&prepared.facts).map_err(|error| {
        Failure::of(Trouble::Host, &error).hint(format!("pinfold keeps what it knows in {}", prepared.facts.data_dir))
    })?;
    let (git, fates) = commits::door(plan)?;
    let mut events = |event: Event| {
        if event == Event::Started {
            log::command(plan);
        }
        tell(&event, &fates, report);
    };
    let host = RunHost { maskfs_config: maskfs_config(plan)?, events: &mut events, git: Some(git) };
    if plan.agent.is_some() {
        report.note("a box has no network yet: the agent reaches no model outside of it");
    }
    let outcome = pinfold_engine::perform(plan, host);
    fates.words().iter().for_each(|note| report.note(note));
    let outcome = outcome?;
    if let Some(runs) = plan.run_dir.as_path().parent() {
        prune::prune(runs);
    }
    finish(plan, &outcome)
}

/// What the person hears while the box runs.
fn tell(event: &Event, fates: &commits::Fates, report: &Report) {
    match event {
        Event::Note(text) | Event::MaskFs(FromMaskFs::Note { text }) => report.note(text),
        Event::MaskFs(FromMaskFs::Counts { tracked_masked, .. }) if *tracked_masked > 0 => {
            let files = if *tracked_masked == 1 {
                "1 tracked file is".into()
            } else {
                format!("{tracked_masked} tracked files are")
            };
            report.note(&format!(
                "{files} masked in the working tree, but git's history holds what was committed of them, and the box can read that"
            ));
        }
        Event::MaskFs(FromMaskFs::Stays { number, at, tips }) => fates.left(*number, at, tips),
        _ => {}
    }
}

fn maskfs_config(plan: &Plan) -> Result<Vec<u8>, Failure> {
    let bug = |error: serde_json::Error| Failure::of(Trouble::Bug, &error);
    let objects: Vec<&BoxPath> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Objects { at, .. } => Some(at),
            _ => None,
        })
        .collect();
    let config = MaskFsConfig {
        run_id: plan.run_id.clone(),
        workspace: serde_json::to_value(&plan.workspace).map_err(bug)?,
        run_dir: serde_json::to_value(&plan.run_dir).map_err(bug)?,
        objects_at: serde_json::to_value(&objects).map_err(bug)?,
        person: person().iter().map(serde_json::to_value).collect::<Result<_, _>>().map_err(bug)?,
    };
    serde_json::to_vec(&config).map_err(bug)
}

/// Where the person's own git settings are.
fn person() -> Vec<HostPath> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let Some(home) = absolute("HOME") else { return Vec::new() };
    let config = absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    vec![HostPath::new(home), HostPath::new(config)]
}

fn finish(plan: &Plan, outcome: &Outcome) -> Result<ExitCode, Failure> {
    let program = || {
        let first = plan.steps.iter().find_map(|step| match step {
            Step::Exec(exec) => exec.argv.first().cloned(),
            _ => None,
        });
        first.unwrap_or_else(|| OsBytes::from("?"))
    };
    if outcome.timed_out {
        let seconds = plan.timeout.unwrap_or_default();
        return Err(Failure::new(Trouble::TimedOut, format!("the box was stopped after {seconds} seconds"))
            .hint("give it longer with --timeout"));
    }
    match &outcome.end {
        End::NotFound => Err(Failure::new(Trouble::NoCommand, format!("the box has no command {}", program()))
            .hint("a box has the programs of /usr and the toolchains in your PATH; `pinfold explain` lists them")),
        End::NotExecutable(error) => {
            let mut failure = Failure::new(Trouble::NotExecutable, format!("{} can't be executed", program()));
            failure.causes.push(error.to_string());
            Err(failure.hint("is it a program, with its executable bit set and its interpreter in the box?"))
        }
        End::Exited(_) | End::Killed(_) => Ok(ExitCode::from(outcome.exit_code())),
    }
}
