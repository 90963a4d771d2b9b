//! The smallest program around the engine, for its tests: `enginebox PLAN.json` performs a plan as it is, checked by nobody.
//! Its last line on standard error tells an engine error as JSON; the exit status is the command's, or 125.

use pinfold_engine::{EngineError, Event, GitAnswer, GitDoor, Repository, RunHost};
use pinfold_plan::Plan;
use pinfold_wire::{GitOffer, Oid};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arg = std::env::args_os().nth(1).unwrap_or_default();
    if arg == pinfold_wire::ROLE_INIT {
        return ExitCode::from(pinfold_engine::init::main() as u8);
    }
    if arg == pinfold_wire::ROLE_MASKFS {
        return no_file_server();
    }
    let text = std::fs::read(&arg).expect("a plan to read");
    let plan: Plan = serde_json::from_slice(&text).expect("a plan");
    if std::env::var_os("ENGINEBOX_LOSE_ITSELF").is_some() {
        std::fs::remove_file(std::env::current_exe().expect("a path")).expect("to be removed");
    }
    let mut events = |event: Event| say(&json!({"event": format!("{event:?}")}));
    let git =
        std::env::var_os("ENGINEBOX_PACKS").map(|folder| Box::new(Keep { folder, known: known() }) as Box<dyn GitDoor>);
    let host = RunHost {
        maskfs_config: std::env::var("ENGINEBOX_MASKFS").unwrap_or_default().into_bytes(),
        events: &mut events,
        git,
    };
    match pinfold_engine::perform_unchecked(&plan, host) {
        Ok(outcome) => {
            say(&json!({"outcome": format!("{:?}", outcome.end), "timed-out": outcome.timed_out}));
            ExitCode::from(outcome.exit_code())
        }
        Err(error) => {
            tell(&error);
            ExitCode::from(125)
        }
    }
}

/// Stands in for a file server: with the configuration `wait` it answers nothing until the run is over, else it ends at once.
fn no_file_server() -> ExitCode {
    let inherited = |fd| pinfold_sys::process::inherited(fd).expect("what the role is started with");
    let mut config = String::new();
    File::from(inherited(pinfold_wire::maskfs_fd::CONFIG)).read_to_string(&mut config).expect("a configuration");
    if config == "wait" {
        let control = pinfold_sys::channel::Channel::from_fd(inherited(pinfold_wire::maskfs_fd::CONTROL));
        while let Ok(Some(said)) = control.recv() {
            if let Ok(pinfold_wire::ToMaskFs::Over) = pinfold_wire::decode(&said.bytes) {
                break;
            }
        }
    }
    ExitCode::FAILURE
}

fn tell(error: &EngineError) {
    let source = std::error::Error::source(error).map(ToString::to_string);
    say(&json!({
        "kind": format!("{:?}", error.kind()), "error": error.to_string(), "source": source, "hint": error.hint(),
    }));
}

fn say(line: &serde_json::Value) {
    if std::env::var_os("ENGINEBOX_QUIET").is_none() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

fn known() -> Vec<Oid> {
    let list = std::env::var("ENGINEBOX_KNOWN").unwrap_or_default();
    list.split_whitespace().filter_map(|oid| Oid::new(oid).ok()).collect()
}

/// Keeps each offer and its pack as files.
struct Keep {
    folder: std::ffi::OsString,
    known: Vec<Oid>,
}

impl GitDoor for Keep {
    fn known(&mut self) -> Vec<Oid> {
        self.known.clone()
    }

    fn repository(&mut self, _: Repository) -> Option<Vec<Oid>> {
        None
    }

    fn take(&mut self, offer: GitOffer, mut pack: File) -> GitAnswer {
        let base = std::path::Path::new(&self.folder);
        let mut bytes = Vec::new();
        pack.read_to_end(&mut bytes).expect("a pack");
        let whole = bytes.starts_with(b"PACK");
        std::fs::write(base.join(format!("{}.pack", offer.number)), bytes).expect("room for a pack");
        let json = serde_json::to_vec(&offer).expect("an offer");
        std::fs::write(base.join(format!("{}.json", offer.number)), json).expect("room for an offer");
        let known = offer.refs.iter().filter(|_| whole).map(|tip| tip.oid.clone()).collect();
        GitAnswer { known, ..GitAnswer::default() }
    }
}
