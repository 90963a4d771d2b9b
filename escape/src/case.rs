//! What a case is: the words that the files in `cases/` are written with.
//!
//! Scripts are `sh`. On the host they run in the repository as the caller, with `$S1` to `$S6` (secrets that can be recognised),
//! `$TRIALS` (how often a race is tried), `$MARK` (a file that must never come to be), `$OUT` (a directory of the caller's outside of
//! the repository) and `$REPO`. In the box they run in `/workspace` with none of these: the words `@MARK@`, `@OUT@`, `@REPO@`, `@NAP@`
//! (a number of seconds that is unique to the trial) and `@ROUND@` stand for themselves and are replaced before the box starts, and
//! the helpers of `prelude.sh` are there.

use std::path::Path;

use pinfold_testkit::{As, Baseline};
use serde::Deserialize;

/// One attack.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique; `C…` as in the seed of the corpus, `F…` from the field's reports, `X…` our own.
    pub id: String,
    /// The promise that it attacks, P1 to P10.
    pub promise: String,
    /// One line: what is tried.
    pub title: String,
    /// Makes one case of each of these words, which stand for `@EACH@` in every script and sign.
    #[serde(default)]
    pub each: Vec<String>,
    /// Which callers it is tried as.
    #[serde(default = "both")]
    pub who: Vec<Who>,
    /// Where it is first shown to work: `decoys`, `bind`, `open`, or `none` with a reason in `no_baseline`.
    #[serde(default = "decoys")]
    pub baseline: String,
    /// Why it works on no baseline that we have.
    pub no_baseline: Option<String>,
    /// Host, before the launch.
    #[serde(default)]
    pub setup: String,
    /// Host, in the shell that becomes the launcher: descriptors, limits, environment.
    #[serde(default)]
    pub wrap: String,
    /// Where the launcher is started, below the repository.
    #[serde(default)]
    pub start_in: String,
    /// The attack.
    pub inside: String,
    /// Host, each when the box has said `ready` once more; then the box goes on.
    #[serde(default)]
    pub host: Vec<String>,
    /// A second box, after the first has ended.
    #[serde(default)]
    pub again: String,
    /// Where the second box is started, beside the repository; in the same one if not said.
    pub again_in: Option<String>,
    /// Host, at the end. What it prints is held against `after_says` and `after_never`.
    #[serde(default)]
    pub after: String,

    /// The box must print this; else the case did not run as meant.
    #[serde(default)]
    pub says: Vec<String>,
    /// The box must not print a line that begins so: a sign of success.
    #[serde(default)]
    pub never: Vec<String>,
    /// Bytes that must not come out of the launcher at all.
    #[serde(default)]
    pub never_bytes: Vec<String>,
    /// The last script must print this: it went wrong otherwise, and the attack did it.
    #[serde(default)]
    pub after_says: Vec<String>,
    #[serde(default)]
    pub after_never: Vec<String>,
    /// Secrets that may be seen, by name (`S3`): those that stand for ordinary content.
    #[serde(default)]
    pub seen: Vec<String>,
    /// Paths that must be exactly as they were, down to inode and time; by default every file that holds a secret, unless the host
    /// acts during the run.
    pub keep: Option<Vec<String>>,
    /// The host's `.git` must be as it was, apart from what came back as commits. By default so, unless the host acts.
    pub keep_git: Option<bool>,
    /// Paths that must exist on the host at the end, and that must not.
    #[serde(default)]
    pub landed: Vec<String>,
    #[serde(default)]
    pub absent: Vec<String>,
    /// False when the attack ends its own shell.
    #[serde(default = "yes")]
    pub ends: bool,
    /// The launcher has to refuse, with this in its message.
    pub refuses: Option<String>,
    /// Seconds.
    #[serde(default = "time_limit")]
    pub time_limit: u64,
    /// It works on pinfold, and we know: why, and what we do about it. A case that is open and holds is an error too.
    pub open: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    User,
    Root,
}

impl From<Who> for As {
    fn from(who: Who) -> As {
        match who {
            Who::User => As::User,
            Who::Root => As::Root,
        }
    }
}

/// A file of cases.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// What they have in common.
    pub about: String,
    /// Comes before the set-up of each case.
    #[serde(default)]
    pub setup: String,
    /// The last script of each case that has none.
    #[serde(default)]
    pub after: String,
    #[serde(rename = "case")]
    pub cases: Vec<Case>,
}

fn both() -> Vec<Who> {
    vec![Who::User, Who::Root]
}

fn decoys() -> String {
    Baseline::Decoys.name().to_owned()
}

fn yes() -> bool {
    true
}

fn time_limit() -> u64 {
    20
}

impl Case {
    /// The baseline, or `None` when there is a reason for having none.
    pub fn baseline(&self) -> Result<Option<Baseline>, String> {
        match (self.baseline.as_str(), &self.no_baseline) {
            ("none", Some(_)) => Ok(None),
            ("none", None) => {
                Err(format!("{}: says `baseline = \"none\"` without saying why in `no_baseline`", self.id))
            }
            (name, None) => {
                Baseline::named(name).map(Some).ok_or_else(|| format!("{}: there is no baseline `{name}`", self.id))
            }
            (_, Some(_)) => Err(format!("{}: `no_baseline` is for `baseline = \"none\"`", self.id)),
        }
    }
}

impl Class {
    /// The cases, with what they have in common put into each, and one for each word of `each`.
    fn spread(mut self) -> Class {
        let cases = std::mem::take(&mut self.cases);
        for mut case in cases {
            case.setup = format!("{}\n{}", self.setup, case.setup).trim().to_owned();
            if case.after.is_empty() {
                case.after.clone_from(&self.after);
            }
            if case.each.is_empty() {
                self.cases.push(case);
            } else {
                self.cases.extend(case.each.iter().map(|word| case.with(word)));
            }
        }
        self
    }
}

impl Case {
    fn with(&self, word: &str) -> Case {
        let mut case = self.clone();
        let put = |text: &mut String| *text = text.replace("@EACH@", word);
        case.id = format!("{}/{word}", case.id);
        [&mut case.title, &mut case.setup, &mut case.wrap, &mut case.inside, &mut case.again, &mut case.after]
            .into_iter()
            .for_each(put);
        for list in [&mut case.host, &mut case.says, &mut case.never, &mut case.after_says, &mut case.after_never] {
            list.iter_mut().for_each(put);
        }
        for list in [&mut case.landed, &mut case.absent] {
            list.iter_mut().for_each(put);
        }
        case.keep.iter_mut().flatten().for_each(put);
        case
    }
}

/// All classes in a directory, by file name, checked: ids are unique, baselines exist.
pub fn load(dir: &Path) -> Result<Vec<(String, Class)>, String> {
    let mut classes = Vec::new();
    let entries = std::fs::read_dir(dir).map_err(|error| format!("cannot list {}: {error}", dir.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|ext| ext == "toml")) {
        let path = entry.path();
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let class: Class = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        classes.push((name, class.spread()));
    }
    classes.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut seen = std::collections::BTreeSet::new();
    for case in classes.iter().flat_map(|(_, class)| &class.cases) {
        case.baseline()?;
        if !seen.insert(case.id.as_str()) {
            return Err(format!("two cases are called {}", case.id));
        }
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_needs_a_baseline_or_a_reason() {
        let case = |more: &str| -> Case {
            toml::from_str(&format!("id = 'X'\npromise = 'P1'\ntitle = 't'\ninside = ''\n{more}"))
                .expect("the case parses")
        };
        assert_eq!(case("").baseline(), Ok(Some(Baseline::Decoys)));
        assert!(case("baseline = 'none'").baseline().is_err());
        assert_eq!(case("baseline = 'none'\nno_baseline = 'it has none'").baseline(), Ok(None));
        assert!(case("baseline = 'other'").baseline().is_err());
    }
}
