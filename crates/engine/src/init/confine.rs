//! The last walls, put up by the process that is about to become the command. The same code stands before every program
//! that init starts in the box.
//!
//! Order: the limits first; Landlock next, because it opens the places it names; the
//! system-call filter last, because it would refuse what the others need.

use super::config::{InitConfig, LandlockConfig};
use crate::seccomp::{assemble, rules, this_arch};
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope,
};
use pinfold_plan::{Access, LandlockRule, Limit, Resource};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource as Kernel, Rlimit, getrlimit, setrlimit};
use std::io;

/// What could not be put up.
#[derive(Debug)]
pub(super) struct Hole {
    pub(super) doing: &'static str,
    pub(super) error: io::Error,
}

/// Puts up everything that the plan says. There is no way back.
pub(super) fn confine(config: &InitConfig) -> Result<(), Hole> {
    let hole = |doing| move |error| Hole { doing, error };
    limits(&config.limits).map_err(hole("set the limits of the command"))?;
    // Init has it already, and what it starts inherits it; without it the walls below could not be put up at all.
    rustix::thread::set_no_new_privs(true).map_err(|e| hole("give up new privileges")(e.into()))?;
    if let Some(rules) = &config.landlock {
        landlock(rules).map_err(hole("enforce the Landlock rules"))?;
    }
    if let Some(profile) = &config.seccomp {
        seccomp(profile).map_err(hole("install the system-call filter"))?;
    }
    Ok(())
}

/// A limit is a ceiling: a lower one of the caller stays.
fn limits(limits: &[Limit]) -> io::Result<()> {
    for limit in limits {
        let resource = match limit.resource {
            Resource::Core => Kernel::Core,
            Resource::OpenFiles => Kernel::Nofile,
            Resource::Processes => Kernel::Nproc,
            Resource::LockedMemory => Kernel::Memlock,
            Resource::MessageQueues => Kernel::Msgqueue,
        };
        let ceiling = |own: Option<u64>| Some(own.map_or(limit.value, |own| own.min(limit.value)));
        let own = getrlimit(resource);
        let maximum = ceiling(own.maximum);
        // The soft limit of open files stays where the caller had it: programs with select() break above 1024.
        let current = if limit.resource == Resource::OpenFiles { ceiling(own.current) } else { maximum };
        setrlimit(resource, Rlimit { current, maximum })?;
    }
    Ok(())
}

/// Rights of files are taken from the newest kernel that this crate knows, and cut to what the running one has. What the
/// plan asks for by name (the scopes) must be enforced whole.
fn landlock(config: &LandlockConfig) -> io::Result<()> {
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    if !config.rules.is_empty() {
        ruleset = ruleset.handle_access(AccessFs::from_all(NEWEST)).map_err(io::Error::other)?;
    }
    let mut scopes = BitFlags::<Scope>::empty();
    if config.scope_signals {
        scopes |= Scope::Signal;
    }
    if config.scope_abstract_sockets {
        scopes |= Scope::AbstractUnixSocket;
    }
    if !scopes.is_empty() {
        ruleset = ruleset.set_compatibility(CompatLevel::HardRequirement).scope(scopes).map_err(io::Error::other)?;
        ruleset = ruleset.set_compatibility(CompatLevel::BestEffort);
    }
    let mut created = ruleset.create().map_err(io::Error::other)?;
    for rule in &config.rules {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        // With the kernel's own answer: a place that is missing says nothing against the kernel.
        let place = rustix::fs::open(rule.at.as_path(), flags, Mode::empty())?;
        created = created.add_rule(PathBeneath::new(place, rights(rule))).map_err(io::Error::other)?;
    }
    match created.restrict_self().map_err(io::Error::other)?.ruleset {
        RulesetStatus::NotEnforced => Err(io::ErrorKind::Unsupported.into()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

/// The newest rights of files that this code means: those of Linux 6.10.
const NEWEST: ABI = ABI::V5;

fn rights(rule: &LandlockRule) -> BitFlags<AccessFs> {
    let all = AccessFs::from_all(NEWEST);
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let rights = match rule.access {
        Access::ReadOnly => read,
        Access::ReadWrite => all & !AccessFs::Execute,
    };
    if rule.execute { rights | AccessFs::Execute } else { rights }
}

fn seccomp(profile: &str) -> io::Result<()> {
    let table = rules::profile(profile).ok_or(io::ErrorKind::NotFound)?;
    let arch = this_arch().ok_or(io::ErrorKind::Unsupported)?;
    pinfold_sys::seccomp::install(&assemble(table, arch))
}
