//! From the host's git configuration to the box's: neutral, and written fresh.
//!
//! What decides how bytes in the work tree compare with bytes in the index is carried over, as plain booleans and words
//! from a table; else `git status` in the box would differ from the host's. What names a program, a file, a credential or
//! a place to push to is not.

use super::config::{Config, Item, Writer};
use super::credentials::without_credentials;
use super::error::{DoorError, printable};
use crate::names::HashKind;
use pinfold_plan::Identity;
use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

/// What the host's configuration says of the repository's format, and everything else for later questions.
#[derive(Debug)]
pub(crate) struct Settings {
    pub config: Config,
    pub hash: HashKind,
    pub ref_storage: RefStorage,
    promisor: Option<Vec<u8>>,
}

/// What the box's configuration depends on besides the host's.
#[derive(Debug)]
pub(super) struct Make<'a> {
    pub identity: Option<&'a Identity>,
    /// The person's own settings, which count where the repository has none.
    pub person: Option<&'a Config>,
    /// Some tracked paths are marked as not checked out.
    pub masked: bool,
    /// Relative to the top of the work tree.
    pub hooks_path: Option<Vec<u8>>,
    pub bare: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefStorage {
    Files,
    Reftable,
}

/// Extensions that change nothing for a reader of what we copy.
const HARMLESS_EXTENSIONS: [&str; 4] = ["noop", "noop-v1", "preciousobjects", "relativeworktrees"];

enum Kind {
    Truth,
    /// One of these words, or a boolean.
    Word(&'static [&'static str]),
    Number,
}

/// `section`, `name` as git documents it, what its value may be.
const CARRIED: [(&str, &str, Kind); 22] = [
    ("core", "fileMode", Kind::Truth),
    ("core", "symlinks", Kind::Truth),
    ("core", "ignoreCase", Kind::Truth),
    ("core", "precomposeUnicode", Kind::Truth),
    ("core", "protectNTFS", Kind::Truth),
    ("core", "protectHFS", Kind::Truth),
    ("core", "trustctime", Kind::Truth),
    ("core", "checkStat", Kind::Word(&["default", "minimal"])),
    ("core", "autocrlf", Kind::Word(&["input"])),
    ("core", "eol", Kind::Word(&["lf", "crlf", "native"])),
    ("core", "safecrlf", Kind::Word(&["warn"])),
    ("core", "bigFileThreshold", Kind::Number),
    ("core", "quotePath", Kind::Truth),
    ("index", "version", Kind::Number),
    ("index", "skipHash", Kind::Truth),
    ("pull", "rebase", Kind::Word(&["merges", "interactive"])),
    ("pull", "ff", Kind::Word(&["only"])),
    ("merge", "ff", Kind::Word(&["only"])),
    ("merge", "conflictStyle", Kind::Word(&["merge", "diff3", "zdiff3"])),
    ("rebase", "autoSquash", Kind::Truth),
    ("diff", "algorithm", Kind::Word(&["default", "myers", "minimal", "patience", "histogram"])),
    ("commit", "verbose", Kind::Truth),
];

impl Settings {
    pub(crate) fn read(
        git_dir: BorrowedFd<'_>,
        common_dir: BorrowedFd<'_>,
        notes: &mut Vec<String>,
    ) -> Result<Self, DoorError> {
        let mut config = Config::default();
        config.add_file(common_dir, b"config", notes).map_err(DoorError::read("config"))?;
        if config.truth("extensions", "worktreeconfig") == Some(true) {
            config.add_file(git_dir, b"config.worktree", notes).map_err(DoorError::read("config.worktree"))?;
        }
        if config.items.iter().any(|i| i.section == "include" || i.section == "includeif") {
            notes.push("the repository's configuration includes other files; the box does without them".into());
        }
        let mut settings = Settings { config, hash: HashKind::Sha1, ref_storage: RefStorage::Files, promisor: None };
        settings.extensions()?;
        Ok(settings)
    }

    fn extensions(&mut self) -> Result<(), DoorError> {
        let version = self.config.text("core", "repositoryformatversion").unwrap_or("0");
        if !matches!(version, "0" | "1") {
            return Err(unsupported(format!("repository format {}", printable(version.as_bytes()))));
        }
        // In format 0 git heeds only a few historical extensions.
        let all = version == "1";
        for item in self.config.items.iter().filter(|i| i.section == "extensions" && i.subsection.is_none()) {
            let value = item.value.as_deref().unwrap_or(b"true").to_ascii_lowercase();
            match (item.name.as_str(), value.as_slice()) {
                ("partialclone", _) => self.promisor = item.value.clone(),
                ("worktreeconfig", _) => {}
                _ if !all || HARMLESS_EXTENSIONS.contains(&item.name.as_str()) => {}
                ("objectformat", b"sha1") => self.hash = HashKind::Sha1,
                ("objectformat", b"sha256") => self.hash = HashKind::Sha256,
                ("refstorage", b"files") => self.ref_storage = RefStorage::Files,
                ("refstorage", b"reftable") => self.ref_storage = RefStorage::Reftable,
                (name, value) => {
                    return Err(unsupported(format!("the extension {name}={}", printable(value))));
                }
            }
        }
        Ok(())
    }

    /// Whether the host itself checks out only a part.
    pub(super) fn host_is_sparse(&self) -> bool {
        self.config.truth("core", "sparsecheckout") == Some(true)
    }

    /// The configuration file of the box.
    pub(super) fn neutral(&self, make: &Make<'_>) -> Vec<u8> {
        let mut out = Writer::default();
        self.core(&mut out, make);
        for section in ["index", "pull", "merge", "rebase", "diff", "commit"] {
            let mut opened = false;
            self.carried(&mut out, section, make.person, &mut opened);
        }
        out.section("gc");
        out.value("auto", "0");
        out.section("maintenance");
        out.value("auto", "false");
        self.user(&mut out, make.identity);
        self.remotes(&mut out);
        self.branches(&mut out);
        self.submodules(&mut out);
        self.filters(&mut out, make.person);
        out.into_bytes()
    }

    fn core(&self, out: &mut Writer, make: &Make<'_>) {
        let masked = make.masked;
        let extended = self.hash == HashKind::Sha256 || self.promisor.is_some();
        let mut opened = false;
        self.carried(out, "core", make.person, &mut opened);
        if !opened {
            out.section("core");
        }
        out.value("repositoryformatversion", if extended { "1" } else { "0" });
        out.value("bare", if make.bare { "true" } else { "false" });
        out.value("logallrefupdates", "true");
        out.value("fsmonitor", "false");
        out.value("untrackedCache", "false");
        out.value("splitIndex", "false");
        if let Some(path) = &make.hooks_path {
            out.value("hooksPath", path);
        }
        if masked || self.host_is_sparse() {
            let cone = !masked && self.config.truth("core", "sparsecheckoutcone") == Some(true);
            out.value("sparseCheckout", "true");
            out.value("sparseCheckoutCone", if cone { "true" } else { "false" });
        }
        if masked {
            // Without it git takes the bit back as soon as it sees that the file is there.
            out.section("sparse");
            out.value("expectFilesOutsideOfPatterns", "true");
        } else if self.host_is_sparse() && self.config.truth("index", "sparse") == Some(true) {
            out.section("index");
            out.value("sparse", "true");
        }
        if extended {
            out.section("extensions");
            if self.hash == HashKind::Sha256 {
                out.value("objectFormat", "sha256");
            }
            if let Some(remote) = &self.promisor {
                out.value("partialClone", remote);
            }
        }
    }

    fn carried(&self, out: &mut Writer, section: &str, person: Option<&Config>, opened: &mut bool) {
        for (_, name, kind) in CARRIED.iter().filter(|(s, ..)| *s == section) {
            let lower = name.to_ascii_lowercase();
            let own = self.config.get(section, &lower).or_else(|| person?.get(section, &lower));
            let Some(item) = own else { continue };
            let Some(value) = carried_value(item, kind) else { continue };
            if !*opened {
                out.section(section);
                *opened = true;
            }
            out.value(name, value);
        }
    }

    /// The repository's own identity goes before the person's global one, as in git.
    fn user(&self, out: &mut Writer, identity: Option<&Identity>) {
        let name = self.config.text("user", "name").or(identity.map(|i| i.name.as_str()));
        let email = self.config.text("user", "email").or(identity.map(|i| i.email.as_str()));
        if name.is_none() && email.is_none() {
            return;
        }
        out.section("user");
        for (key, value) in [("name", name), ("email", email)] {
            if let Some(value) = value {
                out.value(key, value);
            }
        }
    }

    fn remotes(&self, out: &mut Writer) {
        for remote in self.config.subsections("remote") {
            if !out.subsection("remote", remote) {
                continue;
            }
            let url = self.config.all("remote", remote, "url").find_map(|i| i.value.as_deref());
            // A remote without an address would be taken for a path of that name.
            let url = url.and_then(without_credentials).unwrap_or_else(|| NOWHERE.to_vec());
            out.value("url", url);
            out.value("pushurl", NOWHERE);
            for fetch in self.config.all("remote", remote, "fetch").filter_map(|i| i.value.as_deref()) {
                out.value("fetch", fetch);
            }
            if self.config.all("remote", remote, "promisor").last().and_then(Item::truth) == Some(true) {
                out.value("promisor", "true");
            }
        }
    }

    fn branches(&self, out: &mut Writer) {
        for branch in self.config.subsections("branch") {
            let wanted = ["remote", "merge", "rebase"];
            if !wanted.iter().any(|name| self.config.all("branch", branch, name).next().is_some()) {
                continue;
            }
            if !out.subsection("branch", branch) {
                continue;
            }
            for name in wanted {
                for value in self.config.all("branch", branch, name).filter_map(|i| i.value.as_deref()) {
                    out.value(name, value);
                }
            }
        }
    }

    fn submodules(&self, out: &mut Writer) {
        for module in self.config.subsections("submodule") {
            let url = self.config.all("submodule", module, "url").find_map(|i| i.value.as_deref());
            let active = self.config.all("submodule", module, "active").last().and_then(Item::truth);
            if (url.is_none() && active.is_none()) || !out.subsection("submodule", module) {
                continue;
            }
            if let Some(url) = url {
                out.value("url", without_credentials(url).unwrap_or_else(|| NOWHERE.to_vec()));
            }
            if let Some(active) = active {
                out.value("active", if active { "true" } else { "false" });
            }
        }
    }

    /// A filter is a program, so the host's are not taken over. Git LFS is known and harmless without its downloads. Any
    /// other that the host *requires* fails here: encrypting filters would otherwise let plain text into a commit.
    fn filters(&self, out: &mut Writer, person: Option<&Config>) {
        let of_person = person.into_iter().flat_map(|p| p.subsections("filter"));
        let all: BTreeSet<&[u8]> = self.config.subsections("filter").into_iter().chain(of_person).collect();
        for filter in all {
            if filter == b"lfs" {
                if out.subsection("filter", filter) {
                    out.value("clean", "git-lfs clean -- %f");
                    out.value("smudge", "git-lfs smudge --skip -- %f");
                    out.value("required", "false");
                }
                continue;
            }
            let required = |config: &Config| config.all("filter", filter, "required").last().and_then(Item::truth);
            let required = required(&self.config).or_else(|| required(person?)) == Some(true);
            if required && out.subsection("filter", filter) {
                out.value("clean", "false");
                out.value("smudge", "false");
                out.value("required", "true");
            }
        }
    }
}

/// An address for which git has no transport. Pushing fails at once, with this text in the message.
const NOWHERE: &[u8] = b"pinfold-brings-commits-out://by-itself";

fn unsupported(feature: String) -> DoorError {
    DoorError::Unsupported { feature, hint: "open the folder with --here to do without git" }
}

fn carried_value(item: &Item, kind: &Kind) -> Option<String> {
    let boolean = || item.truth().map(|t| t.to_string());
    let text = || std::str::from_utf8(item.value.as_deref()?).ok().map(str::to_ascii_lowercase);
    match kind {
        Kind::Truth => boolean(),
        Kind::Word(words) => boolean().or_else(|| text().filter(|t| words.contains(&t.as_str()))),
        Kind::Number => text().filter(|t| {
            let digits = t.strip_suffix(['k', 'm', 'g']).unwrap_or(t);
            !digits.is_empty() && digits.len() < 10 && digits.bytes().all(|b| b.is_ascii_digit())
        }),
    }
}
