//! The path policy: from a path to a verdict with its reason.
//!
//! A path gets the narrowest verdict among its own and those of every folder above it. Each of those is found the same
//! way: flags speak before the user's file, that before a trusted project's, that before pinfold's own tables; a project
//! that is not trusted is heard last and only where it narrows. Git's own names stand above all rules.

use crate::fold::{Lower, unsplit};
use crate::names::{self, Hit, Place, Subject};
use crate::pattern::Pattern;
use crate::{Decision, Kind, PolicyError, PolicySpec, RelPath, RuleSource, UserRule, Verdict};

/// Every look-up asks every rule, so there is a most.
pub const MAX_RULES: usize = 4096;

/// The rules of one run, ready to be asked. Cheap to make when there are no user rules; never changes.
#[derive(Debug, Clone, Default)]
pub struct PathPolicy {
    /// Most trusted first: flags, user, trusted project.
    masters: [Vec<Rule>; 3],
    project: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    written: UserRule,
}

/// What a folder says of everything in it. Asking for many names of one folder is faster through this than by
/// [`PathPolicy::decide`], and gives the same answers.
#[derive(Debug, Clone, Copy)]
pub struct Folder<'p> {
    decision: Decision<'p>,
    place: Place,
    /// Inside git's own: private to the last byte, whatever the names below are.
    git: bool,
}

/// Which names of a path are still to be judged.
#[derive(Debug, Clone, Copy)]
enum Names {
    All,
    Last,
}

impl Names {
    fn from(self, path: &[u8]) -> usize {
        match self {
            Names::All => 0,
            Names::Last => path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1),
        }
    }
}

static BUILTIN: RuleSource = RuleSource::Builtin;

const NOTHING_SAID: Decision<'static> =
    Decision { verdict: Verdict::Share, rule: None, source: &BUILTIN, reason: "no rule speaks of it" };

impl PathPolicy {
    pub fn new(spec: &PolicySpec) -> Result<Self, PolicyError> {
        if spec.rules.len() > MAX_RULES {
            return Err(PolicyError::TooMany { count: spec.rules.len(), limit: MAX_RULES });
        }
        let mut policy = PathPolicy::default();
        for written in &spec.rules {
            let rule = Rule::new(written)?;
            match written.source {
                RuleSource::Flag => policy.masters[0].push(rule),
                RuleSource::User { .. } => policy.masters[1].push(rule),
                RuleSource::Trusted { .. } => policy.masters[2].push(rule),
                RuleSource::Project { .. } => policy.project.push(rule),
                RuleSource::Builtin => return Err(PolicyError::NotBuiltin { pattern: written.pattern.clone() }),
            }
        }
        Ok(policy)
    }

    /// What the box gets of `path`, which is a `kind`. All its ancestors are folders.
    pub fn decide(&self, path: RelPath<'_>, kind: Kind) -> Decision<'_> {
        self.walk(self.root(), path, Names::All, kind).decision
    }

    /// The workspace's root, to ask [`PathPolicy::decide_in`] with.
    pub fn root(&self) -> Folder<'_> {
        Folder { decision: NOTHING_SAID, place: Place::default(), git: false }
    }

    /// The folder at `path`.
    pub fn folder(&self, path: RelPath<'_>) -> Folder<'_> {
        self.walk(self.root(), path, Names::All, Kind::Folder)
    }

    /// The folder at `path`, whose parent is `parent`.
    pub fn folder_in<'p>(&'p self, parent: &Folder<'p>, path: RelPath<'_>) -> Folder<'p> {
        self.walk(*parent, path, Names::Last, Kind::Folder)
    }

    /// [`PathPolicy::decide`] for a path whose folder is known already.
    pub fn decide_in<'p>(&'p self, parent: &Folder<'p>, path: RelPath<'_>, kind: Kind) -> Decision<'p> {
        self.walk(*parent, path, Names::Last, kind).decision
    }

    /// From `start` down to `path`: all the way from the root, or only the last name.
    fn walk<'p>(&'p self, start: Folder<'p>, path: RelPath<'_>, names: Names, kind: Kind) -> Folder<'p> {
        if path.is_root() || start.settled() {
            return start;
        }
        let lower = Lower::new(path.as_bytes());
        match lower.alias() {
            None => self.descend(start, lower.bytes(), names, kind, None),
            Some(alias) => self.descend(start, &alias, names, kind, Some(lower.bytes())),
        }
    }

    /// `path` is what the tables see; `plain` is the path as it is, where that differs: rules are asked about both.
    fn descend<'p>(
        &'p self,
        start: Folder<'p>,
        path: &[u8],
        names: Names,
        kind: Kind,
        plain: Option<&[u8]>,
    ) -> Folder<'p> {
        let mut here = start;
        let mut at = names.from(path);
        let mut plain_at = plain.map_or(0, |plain| names.from(plain));
        loop {
            let end = next_slash(path, at);
            let last = end == path.len();
            let kind = if last { kind } else { Kind::Folder };
            let subject = Subject { path: &path[..end], name_at: at, kind, place: here.place };
            let plain = plain.map(|plain| {
                let end = next_slash(plain, plain_at);
                let asked = (&plain[..end], plain_at);
                plain_at = end + 1;
                asked
            });
            here = self.step(here, &subject, plain, last);
            if last || here.settled() {
                return here;
            }
            at = end + 1;
        }
    }

    /// One name further down.
    #[inline]
    fn step<'p>(
        &'p self,
        above: Folder<'p>,
        subject: &Subject<'_>,
        plain: Option<(&[u8], usize)>,
        last: bool,
    ) -> Folder<'p> {
        let judged = names::judge(subject);
        // A name with an alias is judged under both, and the narrower word counts: `x:y.pem` is a key as it is written.
        let unsplit = plain.and_then(|(path, _)| unsplit(path));
        let plainly = unsplit.as_deref().map(|path| {
            let name_at = path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
            names::judge(&Subject { path, name_at, kind: subject.kind, place: subject.place })
        });
        let verdict = |hit: &Option<Hit>| hit.map_or(Verdict::Share, |hit| hit.verdict);
        let (hit, place) = plainly.filter(|(hit, _)| verdict(hit) > verdict(&judged.0)).unwrap_or(judged);
        let builtin = hit.map_or(NOTHING_SAID, |hit| Decision {
            verdict: hit.verdict,
            rule: Some(hit.rule),
            source: &BUILTIN,
            reason: hit.reason,
        });
        let git = hit.is_some_and(|hit| hit.git);
        let own = if self.is_empty() { builtin } else { self.with_rules(builtin, hit, subject, plain) };
        let narrower = own.verdict > above.decision.verdict;
        // A shared folder says nothing of what is in it, so the path itself may explain why it is shared.
        let explains = last && own.verdict == Verdict::Share && above.decision.verdict == Verdict::Share;
        Folder {
            decision: if narrower || explains { own } else { above.decision },
            place,
            git: git && own.verdict == Verdict::Private,
        }
    }

    fn is_empty(&self) -> bool {
        self.project.is_empty() && self.masters.iter().all(Vec::is_empty)
    }

    fn with_rules<'p>(
        &'p self,
        builtin: Decision<'p>,
        hit: Option<Hit>,
        subject: &Subject<'_>,
        plain: Option<(&[u8], usize)>,
    ) -> Decision<'p> {
        let folder = subject.kind == Kind::Folder;
        let (path, name_at) = plain.unwrap_or((subject.path, subject.name_at));
        let find = |rules: &'p [Rule]| {
            let exact = last_match(rules, path, name_at, folder);
            // An alias may hide a name, never show it.
            exact.or_else(|| {
                plain?;
                last_match(rules, subject.path, subject.name_at, folder)
                    .filter(|rule| rule.written.verdict != Verdict::Share)
            })
        };
        let git = hit.is_some_and(|hit| hit.git);
        let said = self.masters.iter().find_map(|rules| find(rules)).map_or(builtin, Rule::decision);
        let said = match find(&self.project).map(Rule::decision) {
            // A user's word stands; the project is heard where pinfold's tables would be, and only to narrow.
            Some(project) if *said.source == BUILTIN && project.verdict > said.verdict => project,
            _ => said,
        };
        // Git's names and our own: rules can hide them and no more, and at the root not even that.
        let fixed = git && (said.verdict <= builtin.verdict || matches!(subject.path, b".git" | b"pinfold.toml"));
        if fixed { builtin } else { said }
    }
}

impl<'p> Folder<'p> {
    /// The verdict on the folder itself.
    pub fn decision(&self) -> Decision<'p> {
        self.decision
    }

    /// Nothing below can change the verdict.
    fn settled(&self) -> bool {
        self.git || self.decision.verdict == Verdict::Mask
    }
}

impl Rule {
    fn new(written: &UserRule) -> Result<Self, PolicyError> {
        let pattern = Pattern::new(&written.pattern).map_err(|why| PolicyError::Pattern {
            pattern: written.pattern.clone(),
            source_of_rule: written.source.clone(),
            why,
        })?;
        Ok(Rule { pattern, written: written.clone() })
    }

    fn decision(&self) -> Decision<'_> {
        let reason = match (&self.written.source, self.written.verdict) {
            (RuleSource::Flag, _) => "a flag of this command says so",
            (RuleSource::User { .. }, _) => "your configuration says so",
            (RuleSource::Trusted { .. }, _) => "the project's pinfold.toml, which you trust, says so",
            _ => "the project's pinfold.toml asks for it",
        };
        Decision {
            verdict: self.written.verdict,
            rule: Some(&self.written.pattern),
            source: &self.written.source,
            reason,
        }
    }
}

/// The last rule that matches; none when that one takes the others back.
fn last_match<'p>(rules: &'p [Rule], path: &[u8], name_at: usize, folder: bool) -> Option<&'p Rule> {
    let rule = rules.iter().rev().find(|rule| rule.pattern.matches(path, name_at, folder))?;
    (!rule.pattern.negated()).then_some(rule)
}

fn next_slash(path: &[u8], from: usize) -> usize {
    path[from..].iter().position(|&b| b == b'/').map_or(path.len(), |at| from + at)
}
