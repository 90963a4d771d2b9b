//! From the command line, the settings and the survey to a checked plan. Every verb that speaks about a run makes it
//! here, so that `explain` and `--dry-run` can't say anything else than what `run` does.

use crate::agents::{self, Agent};
use crate::args::BoxFlags;
use crate::exit::Trouble;
use crate::report::{Failure, Report};
use crate::{settings, streams};
use pinfold_plan::*;
use pinfold_policy::{PathPolicy, PolicySpec};
use pinfold_survey::{Ask, Found, Who};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Everything that is known and decided before anything is done.
#[derive(Debug)]
pub struct Prepared {
    pub facts: HostFacts,
    pub plan: CheckedPlan,
}

/// What is asked for: an agent with its arguments, or a command, or (with neither) a shell.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub agent: Option<&'static Agent>,
    pub argv: &'a [OsString],
    pub flags: &'a BoxFlags,
}

/// The place and its settings, for verbs that need no plan.
#[derive(Debug)]
pub struct Place {
    pub ask: Ask,
    pub who: Who,
    pub found: Found,
    pub policy: PolicySpec,
    pub env: Vec<EnvRequest>,
    pub limits: LimitsRequest,
    /// What the settings add to the agent's arguments.
    pub agent_args: Vec<OsString>,
}

pub fn place(flags: &BoxFlags, agent: Option<&'static Agent>, report: &Report) -> Result<Place, Failure> {
    let flag_env = flags.env.iter().map(env_request).collect::<Result<Vec<_>, _>>()?;
    let mut ask = Ask::of_this_process(flags.here, vec![])?;
    let who = pinfold_survey::who(&ask)?;
    let found = pinfold_survey::find(&ask, &who)?;
    let settings = settings::load(&who, &found.repository, flags, report)?;
    // A flag after the files: the last word about a name counts.
    let env: Vec<_> = settings.env.into_iter().chain(flag_env).collect();
    ask.wanted = env.iter().map(|request| request.name.clone()).collect();
    if let Some(agent) = agent {
        agents::extend_path(&mut ask, &who, agent);
    }
    let limits = LimitsRequest {
        memory: flags.memory.or(settings.limits.memory),
        pids: flags.pids.or(settings.limits.pids),
        tmp: flags.tmp.or(settings.limits.tmp),
        timeout: flags.timeout.or(settings.limits.timeout),
    };
    let agent_args =
        agent.and_then(|agent| settings.agents.get(&agent.name)).into_iter().flatten().map(OsString::from).collect();
    Ok(Place { ask, who, found, policy: settings.policy, env, limits, agent_args })
}

/// The policy of a place; its rules were each looked at before.
pub fn policy(spec: &PolicySpec) -> Result<PathPolicy, Failure> {
    PathPolicy::new(spec).map_err(|error| {
        Failure::of(Trouble::Config, &error).hint("rules are gitignore patterns; `pinfold why PATH` shows what they do")
    })
}

pub fn prepare(wanted: Wanted<'_>, report: &Report) -> Result<Prepared, Failure> {
    let Place { ask, who, found, policy: spec, mut env, limits, agent_args } =
        place(wanted.flags, wanted.agent, report)?;
    policy(&spec)?;
    let subdir = OsBytes::from(found.subdir.as_os_str());
    let mut facts = pinfold_survey::facts(&ask, who, found);
    let mut home_files = Vec::new();
    let argv = match wanted.agent {
        Some(agent) => {
            let ready = agent.ready(&mut facts, &[&agent_args[..], wanted.argv].concat())?;
            // What the person says about a variable goes before what the table says.
            env.splice(0..0, ready.env);
            home_files = ready.home_files;
            ready.argv
        }
        None if wanted.argv.is_empty() => vec![shell(&facts)],
        None => wanted.argv.iter().map(|arg| OsBytes::from(arg.as_os_str())).collect(),
    };
    let request = Request {
        run_id: run_id()?,
        argv,
        agent: wanted.agent.map(|agent| agent.name.clone()),
        subdir,
        env,
        home_files,
        streams: streams::of_this_process(),
        limits,
        policy: spec,
        accepted: wanted.flags.accept.clone(),
    };
    let plan = plan(&request, &facts)?;
    let plan = check(plan, &request, &facts)?;
    Ok(Prepared { facts, plan })
}

fn env_request(written: &OsString) -> Result<EnvRequest, Failure> {
    let bytes = written.as_bytes();
    let (name, value) = match bytes.iter().position(|b| *b == b'=') {
        Some(at) => (&bytes[..at], Some(OsBytes::new(&bytes[at + 1..]))),
        None => (bytes, None),
    };
    let name = String::from_utf8(name.to_vec()).map_err(|_| {
        let shown = OsString::from_vec(name.to_vec());
        Failure::new(Trouble::Usage, format!("--env {}: not a name", OsBytes::from(shown)))
    })?;
    Ok(EnvRequest { name, value })
}

/// The caller's shell where the box has it.
fn shell(facts: &HostFacts) -> OsBytes {
    let shell = facts.caller.shell.as_path();
    let shown = facts.system.iter().any(|entry| shell.starts_with(entry.path.as_path()));
    let is_one = !shell.ends_with("nologin") && !shell.ends_with("false") && shell.exists();
    if shown && is_one { shell.as_os_str().into() } else { "/bin/sh".into() }
}

fn run_id() -> Result<String, Failure> {
    let mut bytes = [0u8; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match got {
        Ok(16) => Ok(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        _ => Err(Failure::new(Trouble::Host, "the kernel gives no random bytes")),
    }
}
