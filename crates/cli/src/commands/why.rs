//! `pinfold why PATH…`: what the box sees of a path, and by which rule. The policy itself answers, not a copy of it.

use crate::args::WhyArgs;
use crate::exit::Trouble;
use crate::report::{Failure, Report, harmless};
use crate::request::{Place, place, policy};
use pinfold_plan::{HostFacts, OsBytes, SeenKind};
use pinfold_policy::{Kind, PathPolicy, RelPath, RuleSource, Verdict};
use serde::Serialize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Serialize)]
struct Answer {
    path: String,
    /// A verdict of the policy, or `read-only` and `absent` outside the workspace.
    verdict: String,
    reason: String,
    rule: Option<String>,
    source: Option<String>,
}

pub fn run(args: &WhyArgs, report: &Report) -> Result<ExitCode, Failure> {
    let place = place(&args.flags, None, report)?;
    let policy = policy(&place.policy)?;
    let mut facts = None;
    for path in &args.paths {
        let answer = answer(path, &place, &policy, &mut facts)?;
        if report.json { report.print_json(&answer) } else { report.print(&shown(&answer)) }
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(answer: &Answer) -> String {
    let mut text = format!("{}: {}\n  {}\n", harmless(&answer.path), answer.verdict, harmless(&answer.reason));
    if let Some(rule) = &answer.rule {
        text.push_str(&format!("  by the rule {}", harmless(rule)));
        text.push_str(&answer.source.as_ref().map_or("\n".into(), |source| format!(" ({source})\n")));
    }
    text
}

fn answer(path: &Path, place: &Place, policy: &PathPolicy, facts: &mut Option<HostFacts>) -> Result<Answer, Failure> {
    let root = place.found.repository.root.as_path();
    let absolute = without_dots(&place.ask.cwd.join(path));
    // `/workspace/…` is what the box calls it; somebody who reads a log of the box asks with that name.
    let inside = absolute.strip_prefix(root).or_else(|_| absolute.strip_prefix("/workspace")).map(Path::to_path_buf);
    let Ok(inside) = inside else { return Ok(outside(&absolute, place, facts)) };
    let relative = RelPath::new(inside.as_os_str().as_bytes()).map_err(|error| {
        Failure::new(Trouble::Usage, format!("{} is not a path: {error}", OsBytes::from(path.as_os_str())))
    })?;
    let decision = policy.decide(relative, kind(path, &root.join(&inside)));
    Ok(Answer {
        path: relative.to_string(),
        verdict: decision.verdict.to_string(),
        reason: format!("{}; {}", decision.reason, meaning(decision.verdict)),
        rule: decision.rule.map(str::to_owned),
        source: decision.rule.map(|_| source(decision.source)),
    })
}

fn meaning(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Share => "the box has the real file, live both ways",
        Verdict::Watch => "the box has the real file, and a change is named when it comes back in a commit",
        Verdict::Private => "the box has a copy of its own, and yours stays as it is",
        Verdict::Mask => "the box reads it as empty and can't change it",
    }
}

fn source(source: &RuleSource) -> String {
    match source {
        RuleSource::Builtin => "pinfold's own table".into(),
        RuleSource::User { line } => format!("your configuration, line {line}"),
        RuleSource::Project { line } => format!("this project's pinfold.toml, line {line}"),
        RuleSource::Trusted { line } => format!("this project's pinfold.toml, which you trusted, line {line}"),
        RuleSource::Flag => "a flag".into(),
    }
}

fn kind(written: &Path, full: &Path) -> Kind {
    match full.symlink_metadata() {
        Ok(seen) if seen.is_dir() => Kind::Folder,
        Ok(seen) if seen.is_symlink() => Kind::Symlink,
        Ok(_) => Kind::File,
        Err(_) if written.as_os_str().as_bytes().ends_with(b"/") => Kind::Folder,
        Err(_) => Kind::File,
    }
}

/// Outside the workspace the plan decides, not the policy: what is not shown does not exist.
fn outside(path: &Path, place: &Place, facts: &mut Option<HostFacts>) -> Answer {
    let facts = facts.get_or_insert_with(|| pinfold_survey::facts(&place.ask, place.who.clone(), place.found.clone()));
    let system =
        facts.system.iter().filter(|entry| entry.seen.kind != SeenKind::Symlink).map(|entry| ("system", entry));
    let tools = facts.toolchains.iter().map(|tool| (tool.name.as_str(), &tool.entry));
    let tree = system.chain(tools).find(|(_, entry)| path.starts_with(entry.path.as_path()));
    let (verdict, reason, rule) = match tree {
        Some((name, entry)) => {
            ("read-only", "a box is shown this tree of programs", Some(format!("{} ({name})", entry.path)))
        }
        None => ("absent", "it is outside the workspace, and no tree that a box is shown holds it", None),
    };
    Answer {
        path: OsBytes::from(path.as_os_str()).to_string(),
        verdict: verdict.into(),
        reason: reason.into(),
        rule,
        source: None,
    }
}

/// `.` and `..` taken out by their text, as the policy has it: it decides about names.
fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => drop(out.pop()),
            _ => {}
        }
    }
    out
}
