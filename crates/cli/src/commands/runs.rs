//! `pinfold runs`: what the state folder knows of runs, newest first.

use crate::args::RunsArgs;
use crate::commands::run::log;
use crate::exit::Trouble;
use crate::report::{Failure, Report, harmless};
use pinfold_survey::Ask;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

/// Runs that are listed; older ones are there, and nobody wants to read them.
const MAX_LISTED: usize = 200;

#[derive(Debug, Serialize)]
struct Run {
    id: String,
    alive: bool,
    /// Milliseconds since 1970.
    started_ms: u64,
    workspace: Option<String>,
    command: Option<String>,
    code: Option<u8>,
}

pub fn run(_args: &RunsArgs, report: &Report) -> Result<ExitCode, Failure> {
    let who = pinfold_survey::who(&Ask::of_this_process(true, vec![])?)?;
    let folder = who.state_dir.join("runs");
    let mut runs = Vec::new();
    match folder.read_dir() {
        Ok(listing) => runs.extend(listing.flatten().filter_map(|child| look(&child.path()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(Failure::of(Trouble::Host, &error).hint(format!("it is in {}", folder.display()))),
    }
    runs.sort_by_key(|run| std::cmp::Reverse((run.started_ms, run.id.clone())));
    runs.truncate(MAX_LISTED);
    for run in &runs {
        if report.json { report.print_json(run) } else { report.print(&line(run)) }
    }
    if runs.is_empty() && !report.json {
        report.note("no runs yet");
    }
    Ok(ExitCode::SUCCESS)
}

fn look(folder: &Path) -> Option<Run> {
    let id = folder.file_name()?.to_str().filter(|id| id.len() == 32)?.to_owned();
    let seen = folder.join("lock").symlink_metadata().ok()?;
    let started = seen.created().or_else(|_| seen.modified()).ok()?;
    let started = started.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis() as u64;
    let log::Summary { workspace, command, code } = log::summary(&folder.join("log.jsonl"));
    Some(Run { id, alive: is_locked(&folder.join("lock")), started_ms: started, workspace, command, code })
}

/// Whoever runs a box holds its lock for as long as it lives.
fn is_locked(lock: &Path) -> bool {
    use rustix::fs::{FlockOperation, flock};
    let Ok(file) = std::fs::File::open(lock) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
}

fn line(run: &Run) -> String {
    let state = match (run.alive, run.code) {
        (true, _) => "running".to_owned(),
        (false, Some(code)) => format!("ended {code}"),
        (false, None) => "broke off".to_owned(),
    };
    let text = |part: &Option<String>| harmless(part.as_deref().unwrap_or("?"));
    format!("{}  {state:<10}  {}  {}\n", &run.id[..12], text(&run.workspace), text(&run.command))
}
