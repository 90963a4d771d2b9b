//! The server's own cage, put on after everything is open and before the first request of the box is answered.
//!
//! Stage 1, at the start: it is the caller, with the caller's rights. It should open the workspace, the store and the host's
//! git folders; it must not yet read a byte that the box chose.
//! Stage 2, from [`confine`] on: it may change the workspace and the run's own folder, read the git folders, and nothing
//! else of the file system; it may execute nothing and open no connection. The box's bytes are parsed in this stage.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, RestrictionStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::fd::BorrowedFd;

/// The newest interface this was written for; an older kernel enforces what it has.
const NEWEST: ABI = ABI::V6;

/// Confines the calling thread and the threads it starts from now on. Says how much the kernel enforces.
pub fn confine(change: &[BorrowedFd<'_>], read: &[BorrowedFd<'_>]) -> Result<RestrictionStatus, RulesetError> {
    let everything = AccessFs::from_all(NEWEST);
    let changes = everything & !AccessFs::Execute;
    let reads = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(everything)?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for folder in change {
        rules = rules.add_rule(PathBeneath::new(folder, changes))?;
    }
    for folder in read {
        rules = rules.add_rule(PathBeneath::new(folder, reads))?;
    }
    rules.restrict_self()
}
