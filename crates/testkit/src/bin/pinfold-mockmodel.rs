//! A scripted model server for tests of real agents, alone or around a command.
//!
//! ```text
//! pinfold-mockmodel --script FILE|JSON [--log FILE] [--listen ADDR:PORT|unix:PATH]… [--require 'HEADER: VALUE'] [--ready FILE]
//! pinfold-mockmodel --script FILE|JSON [--log FILE] -- COMMAND [ARGS]…
//! ```
//!
//! With a command it serves on a free port of loopback, tells the command where by the variables that agents know, and ends with the
//! command and its exit code. In an argument of the command `@URL@` is the server's address. That is how an agent gets a model in a
//! box without a network.

#![forbid(unsafe_code)]

use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use pinfold_testkit::mock::{Listen, Options, Script, Server};

const USAGE: &str = "usage: pinfold-mockmodel --script FILE|JSON [--log FILE] [--listen ADDR:PORT|unix:PATH]… \
                     [--require 'HEADER: VALUE'] [--ready FILE] [-- COMMAND [ARGS]…]";

#[derive(Debug, Default)]
struct Args {
    script: String,
    log: Option<String>,
    listen: Vec<String>,
    require: Option<(String, String)>,
    ready: Option<String>,
    command: Vec<String>,
}

#[expect(clippy::print_stderr, reason = "a program's own error")]
fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pinfold-mockmodel: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let args = parse(std::env::args().skip(1))?;
    let text = match args.script.trim_start().starts_with(['[', '{']) {
        true => args.script.clone(),
        false => {
            std::fs::read_to_string(&args.script).map_err(|error| format!("cannot read {}: {error}", args.script))?
        }
    };
    let log = args.log.as_ref().map(|path| {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        opened.map_err(|error| format!("cannot open {path}: {error}"))
    });
    let options = Options { script: Script::from_text(&text)?, log: log.transpose()?, require: args.require.clone() };
    let mut places = args.listen.iter().map(|place| place_of(place)).collect::<Result<Vec<_>, _>>()?;
    if places.is_empty() {
        places.push(Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    }
    let server = Server::start(&places, options).map_err(|error| format!("cannot listen: {error}"))?;
    if let Some(path) = &args.ready {
        let address = server.address().map(|address| address.to_string()).unwrap_or_default();
        std::fs::write(path, address).map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    if args.command.is_empty() {
        loop {
            std::thread::park();
        }
    }
    let address = server.address().ok_or("a command needs a TCP address to talk to")?;
    around(&args.command, &format!("http://{address}"))
}

/// Runs the command with the server's address in every variable that an agent may look at.
fn around(command: &[String], url: &str) -> Result<ExitCode, String> {
    let words: Vec<_> = command.iter().map(|word| word.replace("@URL@", url)).collect();
    let status = Command::new(&words[0])
        .args(&words[1..])
        .env("ANTHROPIC_BASE_URL", url)
        .env("ANTHROPIC_API_KEY", "placeholder")
        .env("OPENAI_BASE_URL", format!("{url}/v1"))
        .env("OPENAI_API_KEY", "placeholder")
        .env("GOOGLE_GEMINI_BASE_URL", url)
        .env("GEMINI_API_KEY", "placeholder")
        .status()
        .map_err(|error| format!("cannot run {}: {error}", words[0]))?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(125);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(125)))
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut args = Args::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n{USAGE}"));
        match word.as_str() {
            "--script" => args.script = value()?,
            "--log" => args.log = Some(value()?),
            "--listen" => args.listen.push(value()?),
            "--ready" => args.ready = Some(value()?),
            "--require" => {
                let header = value()?;
                let (name, value) = header.split_once(':').ok_or("--require wants 'HEADER: VALUE'")?;
                args.require = Some((name.trim().to_owned(), value.trim().to_owned()));
            }
            "--" => {
                args.command = words.by_ref().collect();
                break;
            }
            _ => return Err(format!("what is {word}?\n{USAGE}")),
        }
    }
    if args.script.is_empty() {
        return Err(USAGE.to_owned());
    }
    Ok(args)
}

fn place_of(place: &str) -> Result<Listen, String> {
    match place.strip_prefix("unix:") {
        Some(path) => Ok(Listen::Unix(path.into())),
        None => place.parse().map(Listen::Tcp).map_err(|_| format!("cannot listen at {place}")),
    }
}
