//! How long it takes until a command in a box has done its work: `true`, by every launcher that runs here, on an empty repository and
//! on a big one, as root and as an ordinary user. And how much memory a running box of pinfold holds.
//!
//! ```text
//! cargo run --profile fast -p pinfold-benches --bin start
//! ```

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a measurement prints its table")]

mod launchers;
mod services;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use pinfold_benches::ground::repository;
use pinfold_benches::memory::{self, Held};
use pinfold_benches::race::{self, Contestant, Outcome, Ready};
use pinfold_benches::stats::Sample;
use pinfold_benches::table::Table;
use pinfold_testkit::{As, Caller, TestRepo, need, pinfold_binary};

use crate::services::Engine;
use crate::view::View;

/// Compares the start of a box with other ways to start one.
#[derive(Debug, Parser)]
struct Args {
    /// How often each contestant is started.
    #[arg(long, default_value_t = 60)]
    rounds: usize,
    /// Tracked files of the big repository.
    #[arg(long, default_value_t = 100_000)]
    files: usize,
    /// Secret-named files of the big repository, half of them tracked.
    #[arg(long, default_value_t = 1_000)]
    secrets: usize,
    /// Only these launchers.
    #[arg(long, value_delimiter = ',', default_value = "fork,bwrap,crun,runc,docker,podman,pinfold")]
    only: Vec<String>,
    /// Only these callers.
    #[arg(long, value_delimiter = ',', default_value = "user,root")]
    callers: Vec<String>,
    /// Another build of pinfold, in rows of its own.
    #[arg(long, value_name = "BINARY")]
    also: Option<std::path::PathBuf>,
    /// Milliseconds of rest before each start.
    #[arg(long, default_value_t = 50)]
    rest: u64,
    /// The order of the starts follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const EMPTY: &str = "empty";

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(code) = with_plain_cgroups() {
        return code;
    }
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("start: {why}");
            ExitCode::FAILURE
        }
    }
}

/// OCI runtimes refuse a machine with both generations of cgroups. There, and as root, everything runs in a mount namespace that
/// shows the second only, as most machines do today.
fn with_plain_cgroups() -> Option<ExitCode> {
    const CGROUP2_MAGIC: i64 = 0x6367_7270;
    let hybrid = rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.f_type != CGROUP2_MAGIC);
    if !hybrid || !rustix::process::geteuid().is_root() || std::env::var_os(services::OUTSIDE).is_some() {
        return None;
    }
    let script = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec \"$@\"";
    let this = std::env::current_exe().ok()?;
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(this)
        .args(std::env::args_os().skip(1))
        .env(services::OUTSIDE, std::process::id().to_string())
        .status()
        .ok()?;
    Some(ExitCode::from(u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)))
}

/// One caller, the binary and the repositories.
struct Stand<'a> {
    caller: &'a Caller,
    repos: Vec<(String, TestRepo<'a>, View)>,
}

fn measure(args: &Args) -> Result<(), String> {
    let binary = pinfold_binary().map_err(|missing| missing.to_string())?;
    let big = format!("{} files, {} secrets", args.files, args.secrets);
    let mut callers = Vec::new();
    for who in As::BOTH.into_iter().filter(|who| args.callers.iter().any(|name| name == who.name())) {
        match Caller::new(who) {
            Ok(caller) => callers.push(caller),
            Err(missing) => println!("Not as {}: {missing}.", who.name()),
        }
    }
    let mut stands = Vec::new();
    for caller in &callers {
        let mut repos = Vec::new();
        for (name, files, secrets) in [(EMPTY, 0, 0), (big.as_str(), args.files, args.secrets)] {
            let repo = repository(caller, if files == 0 { "empty" } else { "big" }, files, secrets);
            let view = view_of(caller, &binary, repo.path())?;
            repos.push((name.to_owned(), repo, view));
        }
        stands.push(Stand { caller, repos });
    }
    let contestants: Vec<_> = stands.iter().flat_map(|stand| contestants(args, stand, &binary)).collect();
    println!("{}\n", machine());
    let outcomes = race::run(&contestants, args.rounds, args.seed, Duration::from_millis(args.rest))?;
    println!("{} rounds, seed {}; milliseconds until the launcher has ended.", args.rounds, args.seed);
    let mounts = stands.iter().flat_map(|stand| &stand.repos).map(|(_, _, view)| view.mounts()).max();
    println!("The view has {} mounts.\n", mounts.unwrap_or(0));
    println!("{}", times(&outcomes));
    println!("{}", goals(&outcomes, &big));
    for stand in stands.iter().filter(|_| args.only.iter().any(|only| only == "pinfold")) {
        println!("{}", held(stand, &binary)?);
    }
    Ok(())
}

fn view_of(caller: &Caller, binary: &Path, repo: &Path) -> Result<View, String> {
    let out = caller.command(binary).args(["run", "--dry-run", "--json", "--", launchers::TRUE]).cwd(repo).run();
    if out.code != 0 {
        return Err(format!("pinfold has no plan for {}: {out}", repo.display()));
    }
    let plan = serde_json::from_slice(&out.stdout).map_err(|error| format!("the plan is not JSON: {error}"))?;
    let home = caller.base().join("box-home");
    caller.command("mkdir").arg("-p").arg(&home).ok();
    View::of_plan(&plan, repo, &home)
}

/// Everybody who starts on this stand. Whoever cannot is a contestant that says why.
fn contestants<'a>(args: &'a Args, stand: &'a Stand<'_>, binary: &'a Path) -> Vec<Contestant<'a>> {
    let caller = stand.caller;
    let mut all: Vec<Contestant<'a>> = Vec::new();
    let mut add = |what: &str, ground: &str, prepare: Prepare<'a>| {
        all.push(Contestant { labels: vec![what.into(), caller.who().name().into(), ground.into()], prepare });
    };
    let mut engines = BTreeMap::new();
    let wanted = |name: &str| args.only.iter().any(|only| only == name);
    if wanted("fork") {
        add("fork and exec", "", Box::new(move || Ok(launchers::fork_and_exec(caller).into())));
    }
    for (ground, repo, view) in &stand.repos {
        if wanted("bwrap") {
            add("bwrap, same view", ground, Box::new(move || launchers::bwrap(caller, view, repo.path())));
        }
        for program in ["crun", "runc"].into_iter().filter(|program| wanted(program)) {
            add(program, ground, oci(program, caller, view, ground == EMPTY));
        }
        for name in ["docker", "podman"].into_iter().filter(|name| wanted(name)) {
            let engine = engines.entry(name).or_insert_with(|| engine(name, caller, view));
            // podman raises limits that not every root may.
            let extra = if name == "podman" {
                &["--ulimit", "nofile=999:999", "--ulimit", "nproc=999:999", "--cgroups", "disabled"][..]
            } else {
                &[]
            };
            add(&format!("{name} run"), ground, engine_run(engine.clone(), view, extra));
        }
        if wanted("pinfold") {
            add("pinfold run", ground, Box::new(move || Ok(launchers::pinfold(caller, binary, repo.path()).into())));
            if let Some(also) = &args.also {
                add(
                    "pinfold run, the other build",
                    ground,
                    Box::new(move || Ok(launchers::pinfold(caller, also, repo.path()).into())),
                );
            }
        }
    }
    all
}

type Prepare<'a> = Box<dyn Fn() -> std::io::Result<Ready> + 'a>;

/// A contestant that only says why it is none.
fn absent<'a>(why: String) -> Prepare<'a> {
    Box::new(move || Err(std::io::Error::other(why.clone())))
}

fn oci<'a>(program: &'static str, caller: &'a Caller, view: &View, empty: bool) -> Prepare<'a> {
    if let Err(missing) = need::program(program) {
        return absent(missing.to_string());
    }
    match launchers::Oci::new(program, caller, view, if empty { "empty" } else { "big" }) {
        Ok(oci) => Box::new(move || Ok(oci.command(caller).into())),
        Err(error) => absent(format!("no bundle: {error}")),
    }
}

/// A container engine serves all repositories of its caller.
fn engine(name: &str, caller: &Caller, view: &View) -> Result<Rc<Engine>, String> {
    if caller.uid() != 0 {
        return Err("measured as root only; without root it needs a set-up of the machine".into());
    }
    let make = if name == "docker" { Engine::docker } else { Engine::podman };
    make(caller.base(), view).map(Rc::new)
}

fn engine_run<'a>(engine: Result<Rc<Engine>, String>, view: &View, extra: &[&str]) -> Prepare<'a> {
    let words = launchers::container_run(view, services::IMAGE, extra);
    match engine {
        Ok(engine) => Box::new(move || {
            let mut command = engine.command();
            command.args(&words);
            Ok(command.into())
        }),
        Err(why) => absent(why),
    }
}

fn machine() -> String {
    let first = |program: &str, word: &str| -> String {
        let out = Command::new(program).arg(word).output().map(|out| out.stdout).unwrap_or_default();
        String::from_utf8_lossy(&out).lines().next().unwrap_or("none").trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let programs = [
        ("bwrap", "--version"),
        ("crun", "--version"),
        ("runc", "--version"),
        ("dockerd", "--version"),
        ("podman", "--version"),
    ];
    let versions: Vec<_> = programs.iter().map(|(program, word)| first(program, word)).collect();
    format!("{} on {cores} cores, load {load} at the start; {}.", first("uname", "-sr"), versions.join(", "))
}

fn times(outcomes: &[Outcome]) -> String {
    let mut table = Table::new(&["launcher", "caller", "repository"], &["median", "p10", "p90", "× fork and exec"]);
    let mut reasons = BTreeSet::new();
    for outcome in outcomes {
        let mut cells = outcome.labels.clone();
        match &outcome.result {
            Ok(sample) => {
                let numbers = [sample.median(), sample.percentile(10.0), sample.percentile(90.0)];
                cells.extend(numbers.map(|number| format!("{number:.2}")));
                let floor = sample_of(outcomes, "fork and exec", &outcome.labels[1], "");
                cells.push(floor.map_or_else(String::new, |floor| format!("{:.1}", sample.ratio_to(floor))));
            }
            Err(why) => {
                cells.push("none".to_owned());
                let line = format!("{} as {}: {why}\n", cells[0], cells[1]);
                reasons.insert(line);
            }
        }
        table.row(cells);
    }
    table.markdown() + "\n" + &Vec::from_iter(reasons).concat()
}

fn sample_of<'a>(outcomes: &'a [Outcome], launcher: &str, caller: &str, ground: &str) -> Option<&'a Sample> {
    outcomes.iter().find(|outcome| outcome.labels == [launcher, caller, ground])?.result.as_ref().ok()
}

/// What was promised, beside what came out.
fn goals(outcomes: &[Outcome], big: &str) -> String {
    let mut table = Table::new(&["goal", "caller", "repository"], &["wanted", "measured"]);
    for caller in As::BOTH.map(As::name) {
        for ground in [EMPTY, big] {
            let of = |launcher: &str, caller: &str, ground: &str| sample_of(outcomes, launcher, caller, ground);
            let Some(ours) = of("pinfold run", caller, ground) else { continue };
            let mut goal = |what: &str, wanted: &str, measured: String| {
                table.row(vec![what.into(), caller.into(), ground.into(), wanted.into(), measured]);
            };
            if let Some(bwrap) = of("bwrap, same view", caller, ground) {
                goal("more than bwrap with the same view", "at most 4 ms", format!("{:.1} ms", ours.more_than(bwrap)));
            }
            if let Some(docker) = of("docker run", "root", ground) {
                goal("faster than docker", "at least 30×", format!("{:.0}×", docker.ratio_to(ours)));
            }
            if let Some(empty) = of("pinfold run", caller, EMPTY).filter(|_| ground != EMPTY) {
                goal("flat in files and secrets", "1×", format!("{:.2}×", ours.ratio_to(empty)));
            }
        }
    }
    table.markdown()
}

/// The processes of a box that has just started its command, and what they hold.
fn held(stand: &Stand<'_>, binary: &Path) -> Result<String, String> {
    let mut table =
        Table::new(&["memory of a running box, KiB", "caller", "repository"], &["resident", "proportional"]);
    let moments = [("", "true"), (", git status done", "git status --short >/dev/null")];
    for ((ground, repo, _), (moment, script)) in
        stand.repos.iter().flat_map(|repo| moments.map(|moment| (repo, moment)))
    {
        let found = processes_of_a_box(stand.caller, binary, repo.path(), script)?;
        let ground = &format!("{ground}{moment}");
        let ours: Vec<&Held> = found.iter().filter(|held| held.argv.contains("pinfold")).collect();
        let (caller, proportional) = (stand.caller.who().name(), |held: &Held| held.proportional.unwrap_or(0));
        for held in &ours {
            let role = held.argv.split(' ').find(|word| word.starts_with("__")).unwrap_or("supervisor");
            let cells = [role, caller, ground].map(str::to_owned).into_iter();
            table.row(cells.chain([held.resident.to_string(), proportional(held).to_string()]).collect());
        }
        let sum = |of: &dyn Fn(&Held) -> u64| ours.iter().map(|held| of(held)).sum::<u64>().to_string();
        let cells = ["all of pinfold (goal: below 20480)", caller, ground].map(str::to_owned).into_iter();
        table.row(cells.chain([sum(&|held| held.resident), sum(&proportional)]).collect());
    }
    Ok(table.markdown())
}

fn processes_of_a_box(caller: &Caller, binary: &Path, repo: &Path, script: &str) -> Result<Vec<Held>, String> {
    let mut command = launchers::as_caller(caller, binary);
    let script = format!("{script} && echo ready; read wait");
    command.current_dir(repo).args(["run", "--", "sh", "-c", &script]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| format!("pinfold cannot be started: {error}"))?;
    let mut line = String::new();
    let out = child.stdout.take().ok_or("no standard output")?;
    BufReader::new(out).read_line(&mut line).map_err(|error| format!("the box says nothing: {error}"))?;
    std::thread::sleep(Duration::from_millis(300));
    let found = memory::tree(child.id());
    drop(child.stdin.take());
    child.wait().map_err(|error| format!("the box does not end: {error}"))?;
    if line == "ready\n" { Ok(found) } else { Err("the box did not get as far as its command".into()) }
}
