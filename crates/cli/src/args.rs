//! The command line. Parsing touches nothing on the machine, so that `--help` works on a broken one.
//!
//! Every row of the agents table is a verb with the same flags as `run`; what pinfold does not know there is the agent's.

use crate::agents::{self, Agent};
use crate::exit::{self, Trouble};
use crate::report::{Failure, Report};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  pinfold claude                         Claude Code on this repository, permissions skipped, in a box
  pinfold claude -p \"fix the tests\"      the same without a terminal; what follows is the agent's
  pinfold run -- make test               any command
  pinfold run                            a shell in the box
  pinfold run --timeout 600 --env CI=1 -- npm test
  pinfold explain claude                 the worst that it could do, in plain words
  pinfold why config/prod.env            what the box sees of a path, and by which rule
  pinfold doctor                         attacks the box on this machine and shows each attempt
";

#[derive(Debug, Parser)]
#[command(
    name = "pinfold",
    version,
    about = "Runs a coding agent that nobody has to trust, in a box where the worst it can do is cheap to undo.",
    long_about = "Runs a command in a box: it reads and writes this repository and its own home, reads the programs of \
                  this machine, and nothing else exists there. Files that look like secrets read as empty, at every \
                  moment. It has a .git of its own; its commits come back verified. It has no network.",
    after_long_help = help_tail(),
    after_help = "`pinfold --help` has examples and exit codes.",
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 110
)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

fn help_tail() -> String {
    format!("{EXAMPLES}\n{}", exit::help())
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a command in a box, or a shell when none is given
    Run(RunArgs),
    /// Say in plain words what a run could read, write and reach, and what is not promised
    Explain(ExplainArgs),
    /// Say what the box sees of a path, and by which rule
    Why(WhyArgs),
    /// Attack the box on this machine and show each attempt
    Doctor(DoctorArgs),
    /// List the runs that this machine knows, newest first
    Runs(RunsArgs),
    /// Let this repository's pinfold.toml widen what a box may do, as it stands now
    Trust(TrustArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page
    Man,
    /// A row of the agents table. Added by hand below; clap must not offer it.
    #[command(skip)]
    Agent(&'static Agent, RunArgs),
}

/// What shapes a box.
#[derive(Debug, Clone, Default, Args)]
pub struct BoxFlags {
    /// Take this very folder, repository or not
    #[arg(long)]
    pub here: bool,
    /// Give the box this variable, with this value or with the one it has here
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<OsString>,
    /// Hide paths like this too (gitignore syntax)
    #[arg(long, value_name = "PATTERN")]
    pub mask: Vec<String>,
    /// Show paths like this, though they look like secrets (gitignore syntax)
    #[arg(long, value_name = "PATTERN")]
    pub show: Vec<String>,
    /// Memory for the whole box, such as 8G; needs a delegated cgroup
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub memory: Option<u64>,
    /// Processes and threads in the box
    #[arg(long, value_name = "COUNT")]
    pub pids: Option<u64>,
    /// What /tmp may hold, such as 2G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub tmp: Option<u64>,
    /// Stop the box after this many seconds (or 10m, 2h)
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub timeout: Option<u64>,
    /// Go on without a protection that this machine can't give; names are in the refusal
    #[arg(long, value_name = "NAME")]
    pub accept: Vec<String>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct Output {
    /// Speak JSON: plans and reports on standard output, errors on standard error
    #[arg(long)]
    pub json: bool,
    /// Say nothing that is not an error
    #[arg(long, short)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub flags: BoxFlags,
    /// Print the plan, step by step, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: Output,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

// Where an agent's own flags may stand, what is not ours is the agent's. (A doc comment would become the verbs' help.)
#[derive(Debug, Clone, Default, Args)]
struct AgentArgs {
    #[command(flatten)]
    flags: BoxFlags,
    /// Print the plan, step by step, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print plans and errors as JSON
    #[arg(long)]
    json: bool,
    /// Say nothing that is not an error
    #[arg(long)]
    quiet: bool,
    /// The agent's own arguments; from the first that pinfold does not know, all are the agent's
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub flags: BoxFlags,
    #[command(flatten)]
    pub output: Output,
    /// A command, or the name of an agent
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct WhyArgs {
    #[command(flatten)]
    pub flags: BoxFlags,
    #[command(flatten)]
    pub output: Output,
    /// Paths, existing or not; a folder that does not exist ends in a slash
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Default, Args)]
pub struct RunsArgs {
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Default, Args)]
pub struct TrustArgs {
    /// Take the trust back
    #[arg(long)]
    pub remove: bool,
    #[command(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

/// What the command line turned out to be.
pub enum Parsed {
    Verb(Verb, Report),
    /// Help or version, asked for.
    Text(String),
    Wrong(Failure, Report),
}

/// The whole command line with its agents: what completions and the manual are made from, too.
pub fn command() -> clap::Command {
    let mut command = Cli::command();
    for agent in agents::table() {
        let verb = AgentArgs::augment_args(clap::Command::new(agent.name.as_str()));
        // After the arguments: their own words for the developer would take its place.
        let about = format!("Run {} in a box, permissions skipped", agent.title);
        command = command.subcommand(verb.about(about.clone()).long_about(about));
    }
    command
}

pub fn parse(argv: impl Iterator<Item = OsString>) -> Parsed {
    let argv: Vec<OsString> = argv.collect();
    // Before the parser has had its say, so that its own complaints come in the form that was asked for.
    let json = argv.iter().take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let report = Report::new(json, false);
    // `run` is what starts most often, and needs no row of the table.
    let command = if argv.get(1).is_some_and(|verb| verb == "run") { Cli::command() } else { command() };
    match command.try_get_matches_from(argv) {
        Ok(matches) => match verb(&matches) {
            Ok(verb) => {
                let (json, quiet) = loudness(&verb);
                Parsed::Verb(verb, Report::new(json, quiet))
            }
            Err(error) => Parsed::Wrong(misuse(&error), report),
        },
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Parsed::Text(error.render().to_string())
        }
        Err(error) => Parsed::Wrong(misuse(&error), report),
    }
}

fn verb(matches: &clap::ArgMatches) -> Result<Verb, clap::Error> {
    if let Some((name, below)) = matches.subcommand()
        && let Some(agent) = agents::find(name)
    {
        let args = AgentArgs::from_arg_matches(below)?;
        let output = Output { json: args.json, quiet: args.quiet };
        let run = RunArgs { flags: args.flags, dry_run: args.dry_run, output, command: args.arguments };
        return Ok(Verb::Agent(agent, run));
    }
    Ok(Cli::from_arg_matches(matches)?.verb)
}

fn loudness(verb: &Verb) -> (bool, bool) {
    let output = match verb {
        Verb::Run(args) | Verb::Agent(_, args) => &args.output,
        Verb::Explain(args) => &args.output,
        Verb::Why(args) => &args.output,
        Verb::Doctor(args) => &args.output,
        Verb::Runs(args) => &args.output,
        Verb::Trust(args) => &args.output,
        Verb::Completions(_) | Verb::Man => return (false, false),
    };
    (output.json, output.quiet)
}

/// clap's words in our form: what is wrong, then what to try.
fn misuse(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::new(Trouble::Usage, "no verb was given")
            .hint("`pinfold --help` lists them; `pinfold run -- COMMAND` runs one");
    }
    let mut message = Vec::new();
    let mut tips = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        match line.strip_prefix("tip: ") {
            Some(tip) => tips.push(tip.to_owned()),
            None => message.push(line.strip_prefix("error: ").unwrap_or(line).to_owned()),
        }
    }
    if tips.is_empty() {
        tips.push("`pinfold --help`, or `--help` after a verb, shows what there is".into());
    }
    Failure::new(Trouble::Usage, message.join(" ")).hint(tips.join("\n"))
}

/// `512M`, `8G`, `1T`, or bytes.
fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return Err("write a size like 512M or 8G".into()),
    };
    whole(number, factor).ok_or_else(|| "write a size like 512M or 8G".into())
}

/// `90`, `90s`, `10m`, `2h`.
fn seconds(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write a time like 90, 10m or 2h".into()),
    };
    whole(number, factor).filter(|&seconds| seconds > 0).ok_or_else(|| "write a time like 90, 10m or 2h".into())
}

fn split_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn whole(number: &str, factor: u64) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Verb {
        match parse(line.split(' ').map(OsString::from)) {
            Parsed::Verb(verb, _) => verb,
            Parsed::Text(text) => panic!("{text}"),
            Parsed::Wrong(failure, _) => panic!("{}", failure.message),
        }
    }

    #[test]
    fn the_tables_hold() {
        command().debug_assert();
    }

    #[test]
    fn what_follows_the_command_is_its_own() {
        for line in ["pinfold run --here -- make -j4 --here", "pinfold run --here make -j4 --here"] {
            let Verb::Run(run) = parsed(line) else { panic!() };
            assert_eq!(run.command, ["make", "-j4", "--here"]);
            assert!(run.flags.here);
        }
    }

    #[test]
    fn an_agent_keeps_its_own_flags() {
        let Verb::Agent(agent, run) = parsed("pinfold claude --here -p hi --timeout 3 --json") else { panic!() };
        assert_eq!(agent.name, "claude");
        assert_eq!(run.command, ["-p", "hi", "--timeout", "3", "--json"]);
        assert!(run.flags.here && run.flags.timeout.is_none() && !run.output.json);
        let Verb::Agent(_, run) = parsed("pinfold claude --timeout 3 --resume x") else { panic!() };
        assert_eq!((run.command, run.flags.timeout), (vec!["--resume".into(), "x".into()], Some(3)));
        let Verb::Agent(_, run) = parsed("pinfold codex -- --help") else { panic!() };
        assert_eq!(run.command, ["--help"]);
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(size("8G"), Ok(8 << 30));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert_eq!(size("7"), Ok(7));
        assert_eq!(seconds("10m"), Ok(600));
        for bad in ["", "G", "1X", "-1", "99999999999T", "1.5G"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        for bad in ["0", "", "1d", "m"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
