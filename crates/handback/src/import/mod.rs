//! Takes a box's commits into the host's repository.
//!
//! Everything that comes from the box is a claim: ref names, ids, the bytes of the pack. [`Importer::import`] takes them
//! into a quarantine, has git and then itself check every object, stores what is sound under `refs/pinfold/<run>/heads/`,
//! and moves the person's branch where [`Forward`] says that this is safe. Tags do not come back.
//!
//! It never opens a folder that a box can write, and it does not know how the bytes travelled.

mod error;
mod forward;
mod found;
mod inspect;
mod limits;
mod quarantine;
mod trees;

pub use error::ImportError;
pub use forward::Forward;
pub use limits::Limits;
pub use trees::{TreeFindings, check_tree, is_dot_git, leads_out};

use crate::door::{self, HostGit, RefStorage, Settings, printable};
use crate::git::{Call, Git, GitError, Input};
use crate::names::{BadName, BranchName, HashKind, Oid};
use forward::Mover;
use inspect::Concerns;
use pinfold_plan::GitFacts;
use pinfold_policy::{PathPolicy, RelPathBuf};
use quarantine::Quarantine;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

const MAX_HEADS: usize = 10_000;

/// What a box says it has. Nothing of it is checked yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Full ref name and hexadecimal id of each branch.
    pub refs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The ref that is checked out in the box, if any.
    pub head: Option<Vec<u8>>,
    /// Hexadecimal id of the commit that is checked out, when no branch is.
    pub detached: Option<Vec<u8>>,
}

/// A branch that is now in the host's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub branch: BranchName,
    pub oid: Oid,
    /// The host's ref.
    pub stored_as: String,
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    pub stored: Vec<Stored>,
    /// Refs that were not taken, harmless to print, and why.
    pub refused: Vec<(String, String)>,
    /// What became of the branch that the person has checked out.
    pub forward: Forward,
    /// What is checked out in the box now, if it is one of the branches.
    pub head: Option<BranchName>,
    /// The host's ref that holds what is checked out in the box without a branch, if the host did not have it.
    pub detached: Option<String>,
    /// The host has everything that these reach; a next pack can leave it out.
    pub known: Vec<Oid>,
    /// Objects that were new to the host.
    pub objects: usize,
    /// Paths changed on the person's branch that the host may run later.
    pub watched: Vec<RelPathBuf>,
}

/// What the importer needs to know of a run.
#[derive(Debug)]
pub struct ImportAsk {
    pub run_id: String,
    /// The branch that was checked out when the box started; `None` if none was.
    pub branch: Option<BranchName>,
    /// Where that branch was; `None` before its first commit.
    pub base: Option<Oid>,
    pub policy: Arc<PathPolicy>,
    /// Where the repository stands in the workspace.
    pub prefix: RelPathBuf,
    pub limits: Limits,
}

/// Takes in the commits of one run.
#[derive(Debug)]
pub struct Importer {
    host: HostGit,
    git: Git,
    objects: PathBuf,
    hash: HashKind,
    storage: RefStorage,
    ask: ImportAsk,
    /// Where the branch was at the start, or where we put it since.
    last: Option<Oid>,
}

impl Importer {
    pub fn new(facts: &GitFacts, ask: ImportAsk) -> Result<Self, ImportError> {
        let git = Git::new(facts.git_dir.as_path())?;
        Self::on(HostGit::open(facts)?, git, facts.common_dir.join("objects").to_path_buf(), ask)
    }

    /// For a repository below the workspace, whose folders a box can move: it is what was opened, never what stands at a
    /// path. `root` is the workspace's own.
    pub fn of_found(found: HostGit, root: Option<&GitFacts>, ask: ImportAsk) -> Result<Self, ImportError> {
        found::importer(found, root, ask)
    }

    fn on(host: HostGit, git: Git, objects: PathBuf, ask: ImportAsk) -> Result<Self, ImportError> {
        if ask.run_id.is_empty() || !ask.run_id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(ImportError::refused("the run has an id that can't be part of a ref name"));
        }
        let settings = Settings::read(host.git_dir(), host.common_dir(), &mut Vec::new())?;
        Ok(Importer { git, objects, hash: settings.hash, storage: settings.ref_storage, host, last: ask.base, ask })
    }

    /// Takes in what the box offers. `pack` holds the objects that the host may lack; without it, it must have them all.
    pub fn import(&mut self, offer: &Offer, pack: Option<OwnedFd>) -> Result<ImportReport, ImportError> {
        let (wanted, mut refused) = self.parse(offer)?;
        let loose = self.loose_head(offer, &wanted)?;
        let known: Vec<Oid> = wanted.iter().map(|(_, oid)| *oid).chain(loose).collect();
        let news = self.without_the_hosts_own(wanted)?;
        let tips: Vec<Oid> = news.iter().map(|(_, oid)| *oid).chain(loose).collect();
        let objects = self.take_in(&tips, pack)?;
        let stored = self.store(news, &mut refused)?;
        let detached = self.store_loose(loose, objects)?;
        let own = stored.iter().find(|s| Some(&s.branch) == self.ask.branch.as_ref()).map(|s| s.oid);
        let (forward, watched) = match own {
            Some(new) => self.forward(new)?,
            None => (Forward::Nothing, Vec::new()),
        };
        let head = offer.head.as_deref().and_then(|name| BranchName::parse(name).ok());
        Ok(ImportReport { stored, refused, forward, head, detached, known, objects, watched })
    }

    /// Tries again to move the person's branch to what was stored earlier.
    pub fn retry_forward(&mut self) -> Result<(Forward, Vec<RelPathBuf>), ImportError> {
        let Some(branch) = &self.ask.branch else { return Ok((Forward::Nothing, Vec::new())) };
        let name = self.stored_name(branch);
        match self.git.id(Call::new(["rev-parse", "--verify", "--quiet", "--end-of-options", &name]))? {
            Some(new) => self.forward(new),
            None => Ok((Forward::Nothing, Vec::new())),
        }
    }

    /// The host's branches now, for the box to learn of.
    pub fn host_heads(&self) -> Result<Vec<(BranchName, Oid)>, ImportError> {
        let heads = door::branches(&self.host, self.storage, self.hash)?;
        let named = heads.into_iter().filter_map(|(name, oid)| Some((BranchName::parse(&name).ok()?, oid)));
        Ok(named.take(MAX_HEADS).collect())
    }

    /// Leaves out the branches that the box has as the host gave them to it: the host's own branch of that name holds
    /// them already.
    fn without_the_hosts_own(&self, wanted: Vec<(BranchName, Oid)>) -> Result<Vec<(BranchName, Oid)>, ImportError> {
        let heads: HashMap<BranchName, Oid> = self.host_heads()?.into_iter().collect();
        let mut news = Vec::new();
        for (branch, oid) in wanted {
            let held = match heads.get(&branch) {
                Some(at) if *at == oid => true,
                Some(at) => inspect::is_ancestor(&self.git, oid, *at)?,
                None => false,
            };
            if !held {
                news.push((branch, oid));
            }
        }
        Ok(news)
    }

    /// The commit that the box has checked out without a branch, unless a branch holds it anyway.
    fn loose_head(&self, offer: &Offer, wanted: &[(BranchName, Oid)]) -> Result<Option<Oid>, ImportError> {
        match &offer.detached {
            Some(id) if offer.head.is_none() => {
                let oid = self.parse_id(id)?;
                Ok((!wanted.iter().any(|(_, held)| *held == oid)).then_some(oid))
            }
            _ => Ok(None),
        }
    }

    /// Keeps it from being lost. What is no news to the host needs no ref.
    fn store_loose(&self, loose: Option<Oid>, objects: usize) -> Result<Option<String>, ImportError> {
        let Some(oid) = loose.filter(|_| objects > 0) else { return Ok(None) };
        let name = format!("refs/pinfold/{}/detached", self.ask.run_id);
        self.update(&[(&name, oid)])?;
        Ok(Some(name))
    }

    fn parse_id(&self, id: &[u8]) -> Result<Oid, ImportError> {
        let oid = Oid::parse(id).map_err(|e| ImportError::refused(format!("an id makes no sense: {e}")))?;
        if oid.kind() != self.hash || oid.is_null() {
            return Err(ImportError::refused("an id is not of this repository's kind"));
        }
        Ok(oid)
    }

    fn stored_name(&self, branch: &BranchName) -> String {
        format!("refs/pinfold/{}/heads/{}", self.ask.run_id, branch.short())
    }

    /// Claims to typed values. A bad name is left out with its reason; a bad id spoils the whole offer.
    #[allow(clippy::type_complexity, reason = "both halves are used once, by name, in the caller")]
    fn parse(&self, offer: &Offer) -> Result<(Vec<(BranchName, Oid)>, Vec<(String, String)>), ImportError> {
        if offer.refs.len() > self.ask.limits.refs {
            let (count, most) = (offer.refs.len(), self.ask.limits.refs);
            return Err(ImportError::refused(format!("it has {count} refs; {most} are allowed")));
        }
        let (mut wanted, mut refused) = (Vec::new(), Vec::new());
        for (name, id) in &offer.refs {
            let oid = self.parse_id(id)?;
            match BranchName::parse(name) {
                Ok(branch) if wanted.iter().any(|(b, _)| *b == branch) => {
                    refused.push((printable(name), "it is offered twice".into()));
                }
                Ok(branch) => wanted.push((branch, oid)),
                // Remote-tracking refs and tags are the box's own affair.
                Err(BadName::NotABranch) => refused.push((printable(name), "only branches come back".into())),
                Err(e) => refused.push((printable(name), e.to_string())),
            }
        }
        Ok((wanted, refused))
    }

    /// Brings the objects into the host's store, checked. Returns how many were new.
    fn take_in(&self, tips: &[Oid], pack: Option<OwnedFd>) -> Result<usize, ImportError> {
        if tips.is_empty() {
            return Ok(0);
        }
        let limits = &self.ask.limits;
        let Some(pack) = pack else {
            inspect::must_be_commits(&self.git, tips)?;
            inspect::new_objects(&self.git, tips, &[], limits)?;
            return Ok(0);
        };
        let quarantine = Quarantine::new(&self.objects, &self.git, &self.ask.run_id)?;
        quarantine.receive(pack, limits)?;
        inspect::must_be_commits(&quarantine.git, tips)?;
        let new = inspect::new_objects(&quarantine.git, tips, &[], limits)?;
        // Structure is checked here for every folder; what is only a reason to wait is weighed again for the branch.
        new.look_into_folders(&quarantine.git, self.hash, limits, &mut Concerns::default())?;
        quarantine.release(&self.git, &self.objects, &new.all, limits)?;
        Ok(new.all.len())
    }

    /// Points refs of our own at the tips. All at once; if that fails, one by one, so that one bad name costs only itself.
    fn store(
        &self,
        wanted: Vec<(BranchName, Oid)>,
        refused: &mut Vec<(String, String)>,
    ) -> Result<Vec<Stored>, ImportError> {
        let all: Vec<Stored> = wanted
            .into_iter()
            .map(|(branch, oid)| Stored { stored_as: self.stored_name(&branch), branch, oid })
            .collect();
        let updates: Vec<_> = all.iter().map(|s| (s.stored_as.as_str(), s.oid)).collect();
        if all.is_empty() || self.update(&updates).is_ok() {
            return Ok(all);
        }
        let mut stored = Vec::new();
        for one in all {
            match self.update(&[(&one.stored_as, one.oid)]) {
                Ok(()) => stored.push(one),
                Err(GitError::Failed { said, .. }) => refused.push((one.branch.to_string(), said)),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(stored)
    }

    fn update(&self, refs: &[(&str, Oid)]) -> Result<(), GitError> {
        let mut input = Vec::new();
        for (name, oid) in refs {
            // No old value: the ref is ours alone, and its log keeps what it was.
            input.extend_from_slice(format!("update {name}\0{oid}\0\0").as_bytes());
        }
        let call = Call::new(["update-ref", "--create-reflog", "-m"])
            .arg(format!("pinfold {}: from the box", self.ask.run_id))
            .args(["--stdin", "-z"])
            .input(Input::Bytes(input));
        self.git.run(call).map(drop)
    }

    fn forward(&mut self, new: Oid) -> Result<(Forward, Vec<RelPathBuf>), ImportError> {
        let Some(branch) = &self.ask.branch else { return Ok((Forward::Nothing, Vec::new())) };
        let mover = Mover {
            git: &self.git,
            git_dir: self.host.git_dir(),
            common_dir: self.host.common_dir(),
            git_dir_path: self.git.git_dir(),
            linked: self.host.is_linked(),
            hash: self.hash,
            storage: self.storage,
            branch,
            last: self.last,
            run_id: &self.ask.run_id,
            policy: &self.ask.policy,
            prefix: self.ask.prefix.as_path(),
            limits: &self.ask.limits,
        };
        let (forward, watched) = mover.forward(new)?;
        if let Forward::Moved { to, .. } = forward {
            self.last = Some(to);
        }
        Ok((forward, watched))
    }
}
