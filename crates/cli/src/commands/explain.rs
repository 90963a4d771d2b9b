//! `pinfold explain [COMMAND…]`: the plan that a run would carry out, in plain words.

use crate::agents;
use crate::args::ExplainArgs;
use crate::report::{Failure, Report, harmless};
use crate::request::{Wanted, prepare};
use std::process::ExitCode;

pub fn run(args: &ExplainArgs, report: &Report) -> Result<ExitCode, Failure> {
    let agent = args.command.first().and_then(|name| agents::find(name.to_str()?));
    let argv = if agent.is_some() { &args.command[1..] } else { &args.command[..] };
    let prepared = prepare(Wanted { agent, argv, flags: &args.flags }, report)?;
    let chapters = pinfold_plan::explain(&prepared.plan);
    if report.json {
        report.print_json(&chapters);
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for chapter in &chapters {
        text.push_str(&format!("{}\n", chapter.title));
        for line in &chapter.lines {
            text.push_str(&wrapped(&harmless(line), 100));
        }
        text.push('\n');
    }
    report.print(text.trim_end_matches('\n'));
    report.print("\n");
    Ok(ExitCode::SUCCESS)
}

/// One item of a list, broken at spaces.
fn wrapped(line: &str, width: usize) -> String {
    let mut out = String::from("  -");
    let mut used = out.len();
    for word in line.split(' ') {
        let length = word.chars().count();
        if used + 1 + length > width && used > 3 {
            out.push_str("\n   ");
            used = 3;
        }
        out.push(' ');
        out.push_str(word);
        used += 1 + length;
    }
    out.push('\n');
    out
}
