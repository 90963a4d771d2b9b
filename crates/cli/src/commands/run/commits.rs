//! The door by which a box's commits come back: the engine brings offers and packs, the hand-back decides and stores, and
//! here the one is put into the words of the other.
//!
//! It works on a thread of its own. What the person should know comes back as notes, each said once.

use crate::report::Failure;
use crate::request;
use pinfold_engine::{GitAnswer, GitDoor, Repository};
use pinfold_handback::door::{self, Head, HostGit, Shape};
use pinfold_handback::import::{Forward, ImportAsk, ImportError, ImportReport, Importer, Limits, Offer, Stored};
use pinfold_handback::names::BranchName;
use pinfold_handback::place;
use pinfold_plan::{GitFacts, Plan};
use pinfold_policy::{PathPolicy, RelPathBuf};
use pinfold_wire::{GitOffer, HostRef, Oid};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::{Arc, Mutex};

/// Changed paths that are named one by one.
const MAX_NAMED: usize = 8;

/// The door of this plan, and what is known of the repositories below the workspace.
pub fn door(plan: &Plan) -> Result<(Box<dyn GitDoor>, Fates), Failure> {
    let policy = Arc::new(request::policy(&plan.workspace.policy)?);
    let fates = Fates::default();
    let commits = Commits {
        git: plan.workspace.git.clone(),
        policy,
        run_id: plan.run_id.clone(),
        own: HostRepository::default(),
        found: BTreeMap::new(),
        seen: BTreeSet::new(),
        said: BTreeSet::new(),
        fates: fates.clone(),
    };
    Ok((Box::new(commits), fates))
}

/// What became of the repositories below the workspace, by their numbers, and what the box is known to have left in them.
/// That is told while the last commits are still being taken in.
#[derive(Debug, Clone, Default)]
pub struct Fates {
    fates: Arc<Mutex<BTreeMap<u32, Fate>>>,
    left: Arc<Mutex<Vec<Left>>>,
}

#[derive(Debug)]
struct Left {
    number: Option<u32>,
    at: Vec<u8>,
    tips: Vec<Oid>,
}

#[derive(Debug, Default)]
struct Fate {
    taken: BTreeSet<Oid>,
    /// Why nothing can be taken.
    why: Option<String>,
}

impl Fates {
    fn change(&self, number: u32, change: impl FnOnce(&mut Fate)) {
        change(self.fates.lock().unwrap().entry(number).or_default());
    }

    /// Branches that the box moved in the repository at `at`.
    pub fn left(&self, number: Option<u32>, at: &[u8], tips: &[Oid]) {
        self.left.lock().unwrap().push(Left { number, at: at.to_vec(), tips: tips.to_vec() });
    }

    /// What of it was not taken, for the person, when the run is over.
    pub fn words(&self) -> Vec<String> {
        let (fates, left) = (self.fates.lock().unwrap(), self.left.lock().unwrap());
        let mut words = Vec::new();
        for Left { number, at, tips } in &*left {
            let fate = number.and_then(|number| fates.get(&number));
            if fate.is_some_and(|fate| tips.iter().all(|tip| fate.taken.contains(tip))) {
                continue;
            }
            let at = if at.is_empty() { "the top of the tree".into() } else { String::from_utf8_lossy(at) };
            let why = fate.and_then(|fate| fate.why.as_ref()).map_or(String::new(), |why| format!(" ({why})"));
            words.push(format!("commits that the box made in {at} stayed in the box{why}; the files are in your tree"));
        }
        words
    }
}

struct Commits {
    /// The workspace's own, if it is a repository.
    git: Option<GitFacts>,
    policy: Arc<PathPolicy>,
    run_id: String,
    own: HostRepository,
    found: BTreeMap<u32, HostRepository>,
    /// Git directories that have a way back.
    seen: BTreeSet<(u64, u64)>,
    said: BTreeSet<String>,
    fates: Fates,
}

/// A repository of the host, and what was last seen of it.
#[derive(Default)]
struct HostRepository {
    /// Where it stood in the workspace. Empty: it is the workspace's own.
    at: String,
    /// Made on the thread that uses it, so that no start waits for it.
    importer: Option<Importer>,
    /// The branch that the person has checked out.
    branch: Option<String>,
    /// The host's branches when they were last looked at.
    heads: BTreeMap<String, String>,
}

impl GitDoor for Commits {
    fn known(&mut self) -> Vec<Oid> {
        // What keeps it from opening now may have passed when there is something to take.
        let _ = self.open_own();
        self.own.known()
    }

    fn repository(&mut self, found: Repository) -> Option<Vec<Oid>> {
        let number = found.number;
        match self.open_found(found) {
            Ok(mut repository) => {
                let known = repository.known();
                self.fates.change(number, |fate| fate.taken.extend(known.iter().cloned()));
                self.found.insert(number, repository);
                Some(known)
            }
            Err(error) => {
                self.fates.change(number, |fate| fate.why = Some(why(&error)));
                None
            }
        }
    }

    fn take(&mut self, offer: GitOffer, pack: File) -> GitAnswer {
        let number = offer.repository;
        let mut notes = Vec::new();
        if number == 0
            && self.own.importer.is_none()
            && let Err(error) = self.open_own()
        {
            notes.push(format!("commits of the box were not taken: {error}{}", causes(&error)));
        }
        let repository = if number == 0 { Some(&mut self.own) } else { self.found.get_mut(&number) };
        let Some(repository) = repository.filter(|repository| repository.importer.is_some()) else {
            notes.retain(|note| self.said.insert(note.clone()));
            return GitAnswer { notes, ..GitAnswer::default() };
        };
        let known: Vec<Oid> = match repository.import(&offer, pack) {
            Ok(report) => {
                notes.extend(repository.words(&report, offer.last));
                report.known.iter().filter_map(|oid| Oid::new(oid.to_string()).ok()).collect()
            }
            Err(error) => {
                notes.push(format!("commits of the box were not taken: {error}{}", causes(&error)));
                Vec::new()
            }
        };
        if offer.cut {
            notes.push("the box has more branches than are brought back at once; some were left out".into());
        }
        if !repository.at.is_empty() {
            notes = notes.into_iter().map(|note| format!("in {}: {note}", repository.at)).collect();
        }
        self.fates.change(number, |fate| fate.taken.extend(known.iter().cloned()));
        notes.retain(|note| self.said.insert(note.clone()));
        GitAnswer { known, host_refs: repository.moved_by_the_host(number), notes }
    }
}

/// Why a repository could not be opened, in one line.
fn why(error: &ImportError) -> String {
    match error {
        // Nothing was offered yet.
        ImportError::Refused(why) => why.clone(),
        error => format!("{error}{}", causes(error)),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

impl Commits {
    fn open_own(&mut self) -> Result<(), ImportError> {
        let Some(facts) = &self.git else { return Ok(()) };
        let host = HostGit::open(facts)?;
        self.seen.extend(place::identity(host.git_dir()).ok());
        let ask = self.ask(&host, RelPathBuf::root(), self.run_id.clone())?;
        self.own.branch = ask.branch.as_ref().map(|branch| branch.short().to_owned());
        self.own.importer = Some(Importer::new(facts, ask)?);
        Ok(())
    }

    fn open_found(&mut self, found: Repository) -> Result<HostRepository, ImportError> {
        let identity = |fd| place::identity(fd).map_err(|error| ImportError::Refused(error.to_string()));
        let git_dir = identity(&found.git_dir)?;
        let linked = git_dir != identity(&found.common_dir)?;
        // The box would be heard twice, and the one would take back what the other has brought.
        if self.seen.contains(&git_dir) {
            return Err(ImportError::Refused("the box has this repository under another path too".into()));
        }
        let at = RelPathBuf::new(found.at).map_err(|error| ImportError::Refused(error.to_string()))?;
        let prefix = at.as_path().parent().unwrap_or(pinfold_policy::RelPath::ROOT).to_owned();
        let shape = if linked { Shape::Linked } else { Shape::Plain };
        let host = HostGit::from_folders(found.git_dir, found.common_dir, shape);
        // The worktrees of one repository have its refs together.
        let run_id = if linked { format!("{}-{}", self.run_id, found.number) } else { self.run_id.clone() };
        let name = prefix.to_string();
        let ask = self.ask(&host, prefix, run_id)?;
        let branch = ask.branch.as_ref().map(|branch| branch.short().to_owned());
        let importer = Importer::of_found(host, self.git.as_ref(), ask)?;
        self.seen.insert(git_dir);
        Ok(HostRepository { at: name, importer: Some(importer), branch, heads: BTreeMap::new() })
    }

    fn ask(&self, host: &HostGit, prefix: RelPathBuf, run_id: String) -> Result<ImportAsk, ImportError> {
        let (branch, base) = match door::head(host)? {
            Head::Branch { name, oid } => (BranchName::parse(&name).ok(), oid),
            Head::Detached(oid) => (None, Some(oid)),
        };
        let policy = Arc::clone(&self.policy);
        Ok(ImportAsk { run_id, branch, base, policy, prefix, limits: Limits::default() })
    }
}

impl HostRepository {
    /// The host's branches.
    fn known(&mut self) -> Vec<Oid> {
        self.look();
        self.heads.values().filter_map(|oid| Oid::new(oid.as_str()).ok()).collect()
    }

    fn import(&mut self, offer: &GitOffer, pack: File) -> Result<ImportReport, ImportError> {
        let Some(importer) = &mut self.importer else { return Err(ImportError::Refused("it is not open".into())) };
        let refs = offer.refs.iter().map(|tip| (tip.name.clone().into_bytes(), tip.oid.as_str().as_bytes().to_vec()));
        let claim = Offer {
            refs: refs.collect(),
            head: offer.head_ref.clone().map(String::into_bytes),
            detached: offer.head.as_ref().map(|oid| oid.as_str().as_bytes().to_vec()),
        };
        importer.import(&claim, Some(pack.into()))
    }

    /// What the person should know of an import.
    fn words(&self, report: &ImportReport, last: bool) -> Vec<String> {
        let mut notes = Vec::new();
        for (name, why) in &report.refused {
            notes.push(format!("the box's {name} was not taken: {why}"));
        }
        match &report.forward {
            Forward::Nothing | Forward::Moved { .. } => {}
            Forward::Waits { because } => {
                let kept =
                    report.stored.iter().map(|stored| stored.stored_as.as_str()).next().unwrap_or("refs/pinfold");
                notes.push(format!("your branch waits: {}; the commits are safe in {kept}", because.join("; ")));
            }
        }
        if last {
            // What the host has under the same name already needs no word, and the person's own branch has had its.
            let own = |branch: &BranchName| Some(branch.short()) == self.branch.as_deref();
            let same = |stored: &&Stored| self.heads.get(stored.branch.short()) == Some(&stored.oid.to_string());
            let others = report.stored.iter().filter(|stored| !own(&stored.branch) && !same(stored));
            for stored in others.take(MAX_NAMED) {
                notes.push(format!("the box's branch {} is in {}", stored.branch.short(), stored.stored_as));
            }
        }
        if let (true, Some(name)) = (last, &report.detached) {
            notes.push(format!("what the box committed without a branch is in {name}"));
        }
        if !report.watched.is_empty() {
            let named: Vec<_> = report.watched.iter().take(MAX_NAMED).map(ToString::to_string).collect();
            let more = report.watched.len().saturating_sub(MAX_NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            notes.push(format!(
                "look before you run things: your machine runs these by itself or on a habit: {}{more}",
                named.join(", ")
            ));
        }
        notes
    }

    /// Branches that the person moved since the last look, for the box to see.
    fn moved_by_the_host(&mut self, repository: u32) -> Vec<HostRef> {
        let before = self.heads.clone();
        self.look();
        let moved = self.heads.iter().filter(|(branch, oid)| before.get(*branch) != Some(*oid));
        moved
            .filter_map(|(branch, oid)| {
                let oid = Oid::new(oid.as_str()).ok()?;
                Some(HostRef { repository, branch: branch.clone(), oid })
            })
            .collect()
    }

    fn look(&mut self) {
        if let Some(importer) = &self.importer
            && let Ok(heads) = importer.host_heads()
        {
            self.heads = heads.into_iter().map(|(branch, oid)| (branch.short().to_owned(), oid.to_string())).collect();
        }
    }
}
