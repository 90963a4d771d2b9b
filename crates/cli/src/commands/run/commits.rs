//! The door by which a box's commits come back: the engine brings offers and packs, the hand-back decides and stores, and
//! here the one is put into the words of the other.
//!
//! It works on a thread of its own. What the person should know comes back as notes, each said once.

use crate::report::Failure;
use crate::request;
use pinfold_engine::{GitAnswer, GitDoor};
use pinfold_handback::door::{self, Head, HostGit};
use pinfold_handback::import::{Forward, ImportAsk, ImportError, ImportReport, Importer, Limits, Offer, Stored};
use pinfold_handback::names::BranchName;
use pinfold_plan::{GitFacts, Plan};
use pinfold_policy::{PathPolicy, RelPathBuf};
use pinfold_wire::{GitOffer, HostRef, Oid};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

/// Changed paths that are named one by one.
const MAX_NAMED: usize = 8;

/// The door of this plan; `None` without git.
pub fn door(plan: &Plan) -> Result<Option<Box<dyn GitDoor>>, Failure> {
    let Some(git) = plan.workspace.git.clone() else { return Ok(None) };
    let policy = Arc::new(request::policy(&plan.workspace.policy)?);
    Ok(Some(Box::new(Commits {
        git,
        policy,
        run_id: plan.run_id.clone(),
        importer: None,
        branch: None,
        heads: BTreeMap::new(),
        said: BTreeSet::new(),
    })))
}

struct Commits {
    git: GitFacts,
    policy: Arc<PathPolicy>,
    run_id: String,
    /// Made on the thread that uses it, so that no start waits for it.
    importer: Option<Importer>,
    /// The branch that the person has checked out.
    branch: Option<String>,
    /// The host's branches when they were last looked at.
    heads: BTreeMap<String, String>,
    said: BTreeSet<String>,
}

impl GitDoor for Commits {
    fn known(&mut self) -> Vec<Oid> {
        self.importer = self.open().ok();
        self.look();
        self.heads.values().filter_map(|oid| Oid::new(oid.as_str()).ok()).collect()
    }

    fn take(&mut self, offer: GitOffer, pack: File) -> GitAnswer {
        let mut notes = Vec::new();
        let known = match self.import(&offer, pack) {
            Ok(report) => {
                notes.extend(self.words(&report, offer.last));
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
        notes.retain(|note| self.said.insert(note.clone()));
        GitAnswer { known, host_refs: self.moved_by_the_host(), notes }
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
    fn open(&mut self) -> Result<Importer, ImportError> {
        let (branch, base) = match door::head(&HostGit::open(&self.git)?)? {
            Head::Branch { name, oid } => (BranchName::parse(&name).ok(), oid),
            Head::Detached(oid) => (None, Some(oid)),
        };
        self.branch = branch.as_ref().map(|branch| branch.short().to_owned());
        let ask = ImportAsk {
            run_id: self.run_id.clone(),
            branch,
            base,
            policy: Arc::clone(&self.policy),
            prefix: RelPathBuf::root(),
            limits: Limits::default(),
        };
        Importer::new(&self.git, ask)
    }

    fn import(&mut self, offer: &GitOffer, pack: File) -> Result<ImportReport, ImportError> {
        let importer = match self.importer.take() {
            Some(importer) => importer,
            // What kept it from opening at the start may have passed.
            None => self.open()?,
        };
        let importer = self.importer.insert(importer);
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
    fn moved_by_the_host(&mut self) -> Vec<HostRef> {
        let before = self.heads.clone();
        self.look();
        let moved = self.heads.iter().filter(|(branch, oid)| before.get(*branch) != Some(*oid));
        moved
            .filter_map(|(branch, oid)| Some(HostRef { branch: branch.clone(), oid: Oid::new(oid.as_str()).ok()? }))
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
