//! The planner: every decision about a box, written down as steps.
//!
//! It takes values and gives a value. Whether a path exists was the survey's question; whether a step works is the
//! engine's. Read [`plan`] from top to bottom: its order is the order in which the box is built.

mod env;
mod etc;
mod root;

use crate::*;
pub use env::env_wanted;
use root::Draft;
use std::path::PathBuf;

/// Protections that `--accept` may give up, with what that means.
pub const ACCEPTABLE: &[(&str, &str)] = &[
    ("landlock", "the kernel's second wall against stray file access is missing"),
    ("memory", "the limit on the memory of the box is not enforced"),
];

/// Why no plan can be made from this request and these facts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("no command to run")]
    NoCommand,
    #[error("{name:?} is not a name that an environment variable can have")]
    BadEnvName { name: String },
    #[error("--env {name}: the variable is not set here, and no value was given")]
    EnvNotSet { name: String },
    #[error("--accept {name}: there is no such protection to give up")]
    BadAccept { name: String },
    #[error("this host can't keep a promise: {what}")]
    CannotKeep { accept: &'static str, what: &'static str },
    #[error("the {what} is too large: {size} bytes, the limit is {limit}")]
    TooLarge { what: &'static str, size: u64, limit: u64 },
    #[error("{what} of {size} is too small to start anything; the least is {least}")]
    TooSmall { what: &'static str, size: u64, least: u64 },
}

impl PlanError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            PlanError::NoCommand => "write it after `--`, for example `pinfold run -- make test`".into(),
            PlanError::BadEnvName { .. } => "write --env NAME or --env NAME=VALUE".into(),
            PlanError::EnvNotSet { name } => format!("write --env {name}=VALUE, or export it first"),
            PlanError::BadAccept { .. } => {
                let names: Vec<_> = ACCEPTABLE.iter().map(|(name, _)| *name).collect();
                format!("what can be given up by name: {}", names.join(", "))
            }
            PlanError::CannotKeep { accept, .. } => {
                format!("`pinfold doctor` shows what this host offers; to go on without it, add `--accept {accept}`")
            }
            PlanError::TooLarge { .. } => "pass large inputs in a file of the workspace".into(),
            PlanError::TooSmall { .. } => return None,
        })
    }
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The kernel takes an eighth of the stack limit for arguments and environment; this is safely below, and below it
/// nobody has seen a real command line.
const MAX_ARGV: u64 = MIB;
const DEFAULT_PIDS: u64 = 4096;
const OPEN_FILES: u64 = 1 << 16;
const LOCKED_MEMORY: u64 = 64 * MIB;
const MESSAGE_QUEUES: u64 = 819_200;
const LEAST_MEMORY: u64 = 16 * MIB;
const LEAST_PIDS: u64 = 4;

/// Decides everything about one run.
pub fn plan(request: &Request, facts: &HostFacts) -> Result<Plan, PlanError> {
    refuse_early(request, facts)?;
    let ids = ids(&facts.caller);
    let limits = limits(request, facts);

    let mut draft = Draft::default();
    if let Some(parent) = &facts.cgroup {
        // First: the box's process is born in it.
        draft.push(Step::Cgroup { parent: parent.clone(), memory: limits.memory, pids: limits.pids });
    }
    draft.push(Step::Namespaces(Namespaces {
        user: true,
        mount: true,
        pid: true,
        net: true,
        uts: true,
        ipc: true,
        cgroup: true,
    }));
    draft.push(Step::MapIds(ids));
    draft.push(Step::Hostname { name: etc::HOSTNAME.into() });
    draft.push(Step::Loopback);

    root::system(&mut draft, facts);
    etc::write(&mut draft, request, facts, ids);
    root::kernel_views(&mut draft, facts, limits.shm);
    root::scratch(&mut draft, ids, limits.tmp);
    root::home(&mut draft, facts);
    root::covers(&mut draft, facts);
    root::workspace(&mut draft, facts);
    let exec = env::exec(&draft, request, facts)?;

    draft.push(Step::Seal);
    narrow(&mut draft, facts, &limits);
    for probe in probes(&draft, facts) {
        draft.push(Step::Probe(probe));
    }
    draft.push(Step::Exec(exec));

    Ok(Plan {
        version: PLAN_VERSION,
        run_id: request.run_id.clone(),
        agent: request.agent.clone(),
        run_dir: facts.state_dir.join("runs").join(&request.run_id),
        home_dir: facts
            .data_dir
            .join("homes")
            .join(&facts.repository.key)
            .join(request.agent.as_deref().unwrap_or("shell")),
        home_files: request.home_files.clone(),
        workspace: Workspace {
            root: facts.repository.root.clone(),
            seen: facts.repository.seen,
            at: workspace_at(),
            policy: request.policy.clone(),
            ids,
            git: facts.repository.git.clone(),
            identity: facts.identity.clone(),
        },
        steps: draft.into_steps(),
        timeout: request.limits.timeout,
        accepted: request.accepted.clone(),
    })
}

fn refuse_early(request: &Request, facts: &HostFacts) -> Result<(), PlanError> {
    if request.argv.first().is_none_or(|name| name.as_bytes().is_empty()) {
        return Err(PlanError::NoCommand);
    }
    let size: u64 = request.argv.iter().map(|arg| arg.as_bytes().len() as u64 + 1).sum();
    if size > MAX_ARGV {
        return Err(PlanError::TooLarge { what: "command line", size, limit: MAX_ARGV });
    }
    if let Some(name) = request.accepted.iter().find(|name| !ACCEPTABLE.iter().any(|(known, _)| known == name)) {
        return Err(PlanError::BadAccept { name: name.clone() });
    }
    let accepted = |name: &str| request.accepted.iter().any(|it| it == name);
    if facts.landlock_abi < 1 && !accepted("landlock") {
        return Err(PlanError::CannotKeep { accept: "landlock", what: "its kernel has no Landlock" });
    }
    let asked = &request.limits;
    if asked.memory.is_some() && facts.cgroup.is_none() && !accepted("memory") {
        let what = "a memory limit was asked for, and no cgroup with memory control is delegated to you";
        return Err(PlanError::CannotKeep { accept: "memory", what });
    }
    for (what, size, least) in [
        ("a memory limit", asked.memory, LEAST_MEMORY),
        ("a limit of processes", asked.pids, LEAST_PIDS),
        ("/tmp", asked.tmp, MIB),
    ] {
        if let Some(size) = size.filter(|&size| size < least) {
            return Err(PlanError::TooSmall { what, size, least });
        }
    }
    Ok(())
}

/// An ordinary caller keeps the own ids, so that the owner of every file looks right. Root is root in the box only.
fn ids(caller: &Caller) -> IdMap {
    let outside = |id: u32| if caller.uid == 0 { NOBODY_OUTSIDE } else { id };
    IdMap {
        uid_inside: caller.uid,
        uid_outside: outside(caller.uid),
        gid_inside: caller.gid,
        gid_outside: outside(caller.gid),
    }
}

/// The limits that hold, all decided.
struct Limits {
    memory: u64,
    pids: u64,
    tmp: u64,
    shm: u64,
}

fn limits(request: &Request, facts: &HostFacts) -> Limits {
    let asked = &request.limits;
    let half = (facts.memory / 2).max(64 * MIB);
    Limits {
        // A quarter stays with the person, who has an editor and a browser to keep alive.
        memory: asked.memory.unwrap_or(facts.memory / 4 * 3).max(LEAST_MEMORY),
        pids: asked.pids.unwrap_or(DEFAULT_PIDS),
        tmp: asked.tmp.unwrap_or(half.min(8 * GIB)),
        shm: half.min(2 * GIB),
    }
}

/// Everything the box gives up after its root is sealed, the system-call filter last: the steps before it need calls
/// that it refuses.
fn narrow(draft: &mut Draft, facts: &HostFacts, limits: &Limits) {
    for (resource, value) in [
        // A core dump would land in the workspace, that is on the host.
        (Resource::Core, 0),
        (Resource::OpenFiles, OPEN_FILES.min(facts.nofile_hard)),
        (Resource::Processes, limits.pids),
        (Resource::LockedMemory, LOCKED_MEMORY),
        (Resource::MessageQueues, MESSAGE_QUEUES),
    ] {
        draft.push(Step::Limit(Limit { resource, value }));
    }
    draft.push(Step::DropPrivileges);
    if facts.landlock_abi >= 1 {
        draft.push(landlock(facts));
    }
    draft.push(Step::Seccomp { profile: "default".into() });
}

/// The second wall. It repeats what the mounts say already, so that one mistake there is not yet a way out.
fn landlock(facts: &HostFacts) -> Step {
    let rule = |at: BoxPath, access, execute| LandlockRule { at, access, execute };
    let read_write = |at: &str, execute| rule(BoxPath::new(at), Access::ReadWrite, execute);
    Step::Landlock {
        rules: vec![
            rule(BoxPath::new("/"), Access::ReadOnly, true),
            rule(workspace_at(), Access::ReadWrite, true),
            rule(BoxPath::new(facts.caller.home.as_path()), Access::ReadWrite, true),
            read_write("/tmp", true),
            read_write("/run", true),
            read_write("/dev", false),
            // Programs adjust themselves there: oom_score_adj, the timer slack, their own name.
            read_write("/proc", false),
        ],
        scope_signals: facts.landlock_abi >= 6,
        scope_abstract_sockets: facts.landlock_abi >= 6,
    }
}

/// What must fail in the finished box, or the command does not start.
fn probes(draft: &Draft, facts: &HostFacts) -> Vec<Probe> {
    let absent = |path: PathBuf| Probe::HostPathAbsent { path: BoxPath::new(path) };
    let refused = |name: &str| Probe::SyscallRefused { name: name.into() };
    let mut probes = vec![Probe::CanaryMask, absent("/etc/shadow".into())];
    // Whatever the box could have made itself says nothing by its absence, and would refuse for ever by its presence.
    let (root, home) = (facts.repository.root.as_path(), facts.caller.home.as_path());
    let makeable = [home, "/tmp".as_ref(), "/run".as_ref(), "/workspace".as_ref()];
    for path in ["/var/lib".as_ref(), root] {
        if !draft.stands_at_or_below(path) && !draft.shows(path) && !makeable.iter().any(|at| path.starts_with(at)) {
            probes.push(absent(path.to_path_buf()));
        }
    }
    probes.extend([refused("mount"), refused("unshare"), refused("keyctl"), refused("bpf"), refused("io_uring_setup")]);
    probes.extend([Probe::NoInheritedDescriptors, Probe::NoPrivileges]);
    probes
}
