//! The built-in rules: what a name alone says.
//!
//! Most rules are rows of a table (`secrets.rs`, `runs.rs`, `kinds.rs`), found by one hash of the whole name and one of
//! its extension (`index.rs`). What no row can say (`.env` and its kin, backup copies, words inside a name) is a
//! function in `families.rs`. A name never proves that a file holds a secret; the tables choose the mistake that
//! costs less, which is to hide too much. `docs/decisions/0002-names-that-are-masked.md` tells which mistakes those are.

mod families;
mod index;
mod kinds;
mod runs;
mod secrets;

use crate::{Kind, Verdict};
use index::{Found, extensions, names};

/// Rows that say the same thing for the same reason.
#[derive(Debug)]
pub(crate) struct Group {
    pub says: Says,
    pub only: Only,
    /// In plain words, without a full stop.
    pub reason: &'static str,
    /// Lower case. `name`, `folder/name` (the last folders of the path), or `*.extension`.
    pub names: &'static [&'static str],
}

/// What a row says of a name: a verdict, or something that other rules want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Verdict(Verdict),
    /// Masked, and a private key at that: no template of it is harmless.
    Key,
    /// Private, and no rule may share it.
    Git,
    /// A folder below which names like `credentials` are the names of source folders.
    CodeFolder,
    /// A folder of texts for people (translations, schemas), where `password.json` holds words.
    TextFolder,
    /// A folder of programs, where a file without extension is a script.
    ProgramFolder,
    /// A folder of Helm or mail templates.
    TemplateFolder,
    /// An extension of source code or prose.
    Code,
    /// An extension of configuration and data.
    Data,
    /// Says which installation a file is for: `.production`, `.local`.
    Stage,
    /// Says that the file is a model to fill in.
    Template,
    /// A copy of the file whose name stands before it.
    Copy,
    /// OpenPGP armour and the like: public keys mostly.
    Armour,
}

/// Where a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Only {
    Always,
    Folders,
    /// Files and symbolic links.
    Files,
    /// Folders and symbolic links.
    NotFiles,
    /// Anything, but not below a source folder.
    OutsideCode,
    /// Folders, but not below a source folder.
    FoldersOutsideCode,
    /// Not below a folder of texts for people.
    OutsideTexts,
    /// At the workspace's root.
    Root,
}

/// What the folders above say to the names in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub code: bool,
    pub texts: bool,
    /// Of the nearest folder only.
    pub programs: bool,
    pub templates: bool,
}

/// A built-in rule that speaks of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub verdict: Verdict,
    pub rule: &'static str,
    pub reason: &'static str,
    /// A private key: not even its template is shown.
    pub key: bool,
    /// Never lifted by a rule.
    pub git: bool,
}

impl Hit {
    const fn new(verdict: Verdict, rule: &'static str, reason: &'static str) -> Self {
        Hit { verdict, rule, reason, key: false, git: false }
    }

    const fn mask(rule: &'static str, reason: &'static str) -> Self {
        Hit::new(Verdict::Mask, rule, reason)
    }

    fn of(found: Found) -> Option<Self> {
        let (verdict, key, git) = match found.group.says {
            Says::Verdict(verdict) => (verdict, false, false),
            Says::Key => (Verdict::Mask, true, false),
            Says::Git => (Verdict::Private, false, true),
            _ => return None,
        };
        Some(Hit { verdict, rule: found.pattern, reason: found.group.reason, key, git })
    }
}

/// One name with all that its rules may look at. Everything is in lower case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    /// The path down to the name, from the workspace's root.
    pub path: &'a [u8],
    pub name_at: usize,
    pub kind: Kind,
    pub place: Place,
}

impl<'a> Subject<'a> {
    fn name(&self) -> &'a [u8] {
        &self.path[self.name_at..]
    }
}

/// What the tables say of the name, and what a folder of that name says to what is below it.
#[inline]
pub(crate) fn judge(subject: &Subject<'_>) -> (Option<Hit>, Place) {
    let name = subject.name();
    let mut inside = Place { code: subject.place.code, texts: subject.place.texts, ..Place::default() };
    let mut best: Option<Hit> = None;
    for found in names().find(name) {
        match found.group.says {
            Says::CodeFolder => inside.code = true,
            Says::TextFolder => inside.texts = true,
            Says::ProgramFolder => inside.programs = true,
            Says::TemplateFolder => inside.templates = true,
            _ if !holds(&found, subject) => {}
            _ => best = narrower(best, Hit::of(found)),
        }
    }
    if best.is_none() {
        best = families::judge(subject, name, 0);
    }
    (best, inside)
}

/// A row of the built-in tables that gives a verdict, for help texts and documentation.
#[derive(Debug, Clone, Copy)]
pub struct BuiltinRule {
    pub verdict: Verdict,
    pub pattern: &'static str,
    pub reason: &'static str,
}

/// Every row that gives a verdict. The families of `families.rs` (`.env*`, copies, words) are not rows.
pub fn builtin_rules() -> impl Iterator<Item = BuiltinRule> {
    groups().flat_map(|group| {
        group.names.iter().filter_map(move |pattern| {
            let hit = Hit::of(Found { group, pattern })?;
            Some(BuiltinRule { verdict: hit.verdict, pattern, reason: hit.reason })
        })
    })
}

/// All tables.
fn groups() -> impl Iterator<Item = &'static Group> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The order is the one that `index.rs` numbers the groups by.
static TABLES: [&[Group]; 3] = [secrets::GROUPS, runs::GROUPS, kinds::GROUPS];

fn narrower(a: Option<Hit>, b: Option<Hit>) -> Option<Hit> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.verdict > a.verdict { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Whether the row's place and kind fit, and the folders that its pattern names stand above the name.
fn holds(found: &Found, subject: &Subject<'_>) -> bool {
    let folder = subject.kind == Kind::Folder;
    let fits = match found.group.only {
        Only::Always => true,
        Only::Folders => folder,
        Only::Files => !folder,
        Only::NotFiles => subject.kind != Kind::File,
        Only::OutsideCode => !subject.place.code,
        Only::FoldersOutsideCode => folder && !subject.place.code,
        Only::OutsideTexts => !subject.place.texts,
        Only::Root => subject.name_at == 0,
    };
    fits && ends_with_path(subject.path, found.pattern.as_bytes())
}

fn ends_with_path(path: &[u8], tail: &[u8]) -> bool {
    path.strip_suffix(tail).is_some_and(|head| head.is_empty() || head.ends_with(b"/"))
}
