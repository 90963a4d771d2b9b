//! The log of a run, `log.jsonl` in its folder. The engine keeps it; the one line that it can't write is what the person
//! asked for, and that is added here for `pinfold runs` to read.

use pinfold_plan::{Exec, OsBytes, Plan, Step};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// Writes down what runs. A log that can't be written stops no run.
pub fn command(plan: &Plan) {
    let line = json!({
        "event": "command",
        "agent": plan.agent,
        "workspace": plan.workspace.root,
        "argv": exec(plan).map(|exec| &exec.argv),
    });
    let mut open = OpenOptions::new();
    let file = open.append(true).create(true).mode(0o600).open(plan.run_dir.as_path().join("log.jsonl"));
    let _ = file.and_then(|mut file| file.write_all((line.to_string() + "\n").as_bytes()));
}

fn exec(plan: &Plan) -> Option<&Exec> {
    plan.steps.iter().find_map(|step| match step {
        Step::Exec(exec) => Some(exec),
        _ => None,
    })
}

/// Bytes at the start of a log in which the command is looked for. A longer command line is not worth a list.
const MAX_START: u64 = 64 * 1024;
/// Bytes at the end of a log that hold its last line.
const MAX_END: u64 = 512;

/// What a log says of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub workspace: Option<String>,
    pub command: Option<String>,
    pub code: Option<u8>,
}

pub fn summary(path: &Path) -> Summary {
    let Ok(file) = File::open(path) else { return Summary::default() };
    let lines = BufReader::new((&file).take(MAX_START)).lines().map_while(Result::ok);
    let mut values = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let start = values.find(|line| line["event"] == "command").unwrap_or_default();
    let shown = |value: &Value| serde_json::from_value::<OsBytes>(value.clone()).ok().map(|text| text.to_string());
    let argv = start["argv"].as_array().map(|argv| argv.iter().filter_map(shown).collect::<Vec<_>>().join(" "));
    Summary { workspace: shown(&start["workspace"]), command: argv, code: code(&file) }
}

/// From the last line, read from the end: logs can be long.
fn code(file: &File) -> Option<u8> {
    let length = file.metadata().ok()?.len();
    let kept = length.min(MAX_END);
    let mut tail = vec![0u8; kept as usize];
    file.read_exact_at(&mut tail, length - kept).ok()?;
    let last = tail.strip_suffix(b"\n")?.rsplit(|b| *b == b'\n').next()?;
    let last: Value = serde_json::from_slice(last).ok()?;
    (last["event"] == "ended").then(|| last["exit-code"].as_u64())?.and_then(|code| u8::try_from(code).ok())
}
