//! Toolchains outside the system's own folders: found from where `PATH` really leads, shown read-only, and never with
//! the credentials that lie beside them.
//!
//! A version manager that the table knows is shown by the parts that hold programs. Any other folder in `PATH` is shown
//! as that one folder, and what its links point at as single files or as the package folder around them.

mod layouts;

use crate::{Ask, Who, entry};
use layouts::{LAYOUTS, Layout, Parts};
use pinfold_plan::{Entry, Repository, SeenKind, Toolchain};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Entries of `PATH` that are looked at.
const MAX_PATH: usize = 128;
/// Names in one folder whose links are followed.
const MAX_LINKS: usize = 512;
/// Trees that a box is shown at most: each costs a mount.
const MAX_TREES: usize = 96;

/// The caller's `PATH` as real folders, each once. A relative entry would mean another folder at every `cd`, and one
/// that does not exist means nothing.
pub(crate) fn search_path(ask: &Ask) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let text = ask.var("PATH").map(|path| path.as_bytes()).unwrap_or_default();
    for written in text.split(|b| *b == b':').map(|part| Path::new(OsStr::from_bytes(part))).take(MAX_PATH) {
        let Some(real) = written.is_absolute().then(|| written.canonicalize().ok()).flatten() else { continue };
        if !found.contains(&real) {
            found.push(real);
        }
    }
    found
}

pub(crate) fn find(
    ask: &Ask,
    who: &Who,
    repository: &Repository,
    system: &[Entry],
    path: &[PathBuf],
) -> Vec<Toolchain> {
    let mut search = Search { ask, who, repository, system, found: vec![] };
    for folder in path {
        search.folder(folder);
    }
    let terminfo = who.caller.home.as_path().join(".terminfo");
    search.add("terminfo", &terminfo);
    // Outer trees first, so that what they hold needs no mount of its own.
    search.found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    search.found.truncate(MAX_TREES);
    search.found
}

struct Search<'a> {
    ask: &'a Ask,
    who: &'a Who,
    repository: &'a Repository,
    system: &'a [Entry],
    found: Vec<Toolchain>,
}

impl Search<'_> {
    /// One folder of `PATH`.
    fn folder(&mut self, folder: &Path) {
        let in_system = self.in_system(folder);
        // /usr/bin holds a thousand links, all within the system; what people install by hand is in these.
        let by_hand = folder.starts_with("/usr/local") || folder.starts_with("/opt");
        if in_system && !by_hand {
            return;
        }
        if !in_system && (self.by_layout(folder) || self.package(folder) || self.prefix(folder)) {
            // A manager's folder may link to what is elsewhere; only its own table entry says so.
        } else if !in_system {
            self.add("PATH", folder);
        }
        self.links(folder);
    }

    /// What the links in a folder lead to.
    fn links(&mut self, folder: &Path) {
        let Ok(listing) = folder.read_dir() else { return };
        let links = listing.take(MAX_LINKS).flatten().filter(|child| child.file_type().is_ok_and(|of| of.is_symlink()));
        for link in links.map(|child| child.path()).collect::<Vec<_>>() {
            // A bare name points into this very folder: `cargo` at `rustup`.
            if link.read_link().is_ok_and(|text| !text.as_os_str().as_bytes().contains(&b'/')) {
                continue;
            }
            let Ok(target) = link.canonicalize() else { continue };
            if target.starts_with(folder) || self.in_system(&target) || self.shown(&target) {
                continue;
            }
            if !self.by_layout(&target) && !self.package(&target) && target.is_file() {
                self.add("PATH", &target);
            }
        }
    }

    /// The parts of the version manager that owns this path.
    fn by_layout(&mut self, path: &Path) -> bool {
        let Some((layout, root)) = LAYOUTS.iter().find_map(|layout| {
            let root = self.root_of(layout)?;
            path.starts_with(&root).then_some((layout, root))
        }) else {
            return false;
        };
        match layout.parts {
            Parts::Whole => self.add(layout.name, &root),
            Parts::Of(parts) => parts.iter().for_each(|part| self.add(layout.name, &root.join(part))),
            Parts::Prefix => drop(self.prefix(path)),
        }
        for other in LAYOUTS.iter().filter(|other| layout.with.contains(&other.name)) {
            if let (Some(root), Parts::Whole) = (self.root_of(other), &other.parts) {
                self.add(other.name, &root);
            }
        }
        true
    }

    fn root_of(&self, layout: &Layout) -> Option<PathBuf> {
        let home = self.who.caller.home.as_path();
        let named = layout.var.and_then(|var| self.ask.path_var(var)).and_then(|path| path.canonicalize().ok());
        // A variable that names the home or what holds it says nothing.
        let named = named.filter(|path| !home.starts_with(path));
        Some(named.unwrap_or_else(|| if layout.at.starts_with('/') { layout.at.into() } else { home.join(layout.at) }))
    }

    /// `…/node_modules/.bin` and files in packages: the outermost `node_modules` that holds them.
    fn package(&mut self, path: &Path) -> bool {
        let mut outermost = None;
        for above in path.ancestors().filter(|above| above.file_name() == Some(OsStr::new("node_modules"))) {
            outermost = Some(above);
        }
        if let Some(folder) = outermost {
            self.add("node_modules", folder);
        }
        outermost.is_some()
    }

    /// `P/bin` of an installation prefix: programs find their libraries by going one up.
    fn prefix(&mut self, folder: &Path) -> bool {
        const PARTS: &[&str] = &["bin", "lib", "lib64", "libexec", "include", "share"];
        let Some(prefix) = bin_prefix(folder) else { return false };
        let home = self.who.caller.home.as_path();
        // ~/bin is not a prefix, nor is ~/.local: its share/ holds what every program keeps for this person.
        if home.starts_with(prefix) || prefix == home.join(".local") || !prefix.join("lib").is_dir() {
            return false;
        }
        if prefix.join(".git").symlink_metadata().is_ok() {
            return false;
        }
        PARTS.iter().for_each(|part| self.add("prefix", &prefix.join(part)));
        true
    }

    fn in_system(&self, path: &Path) -> bool {
        self.system.iter().any(|entry| entry.seen.kind == SeenKind::Folder && path.starts_with(entry.path.as_path()))
    }

    fn shown(&self, path: &Path) -> bool {
        self.found.iter().any(|tool| path.starts_with(tool.entry.path.as_path()))
    }

    fn add(&mut self, name: &str, tree: &Path) {
        if self.shown(tree) || self.in_system(tree) {
            return;
        }
        let Some(entry) = tree.canonicalize().ok().filter(|real| real == tree).and_then(|_| entry(tree)) else {
            return;
        };
        if self.fit(&entry) {
            self.found.retain(|tool| !tool.entry.path.as_path().starts_with(tree));
            self.found.push(Toolchain { name: name.into(), entry });
        }
    }

    /// Whether this may be shown at all. What is not is left out without a word: `explain` lists what is shown.
    fn fit(&self, entry: &Entry) -> bool {
        let (path, who) = (entry.path.as_path(), self.who);
        let Ok(seen) = path.symlink_metadata() else { return false };
        let plain = matches!(entry.seen.kind, SeenKind::File | SeenKind::Folder);
        let trusted = (seen.uid() == 0 || seen.uid() == who.caller.uid) && seen.mode() & 0o002 == 0;
        plain && trusted && !self.private(path) && !who.caller.home.as_path().starts_with(path) && !is_secret(path)
    }

    /// The workspace, its git and pinfold's own folders, what holds them and what they hold.
    fn private(&self, path: &Path) -> bool {
        let git = self.repository.git.iter().flat_map(|git| [git.git_dir.as_path(), git.common_dir.as_path()]);
        let own = [self.repository.root.as_path(), &self.who.state_dir, &self.who.data_dir, &self.who.config_dir];
        own.into_iter().chain(git).any(|own| own.starts_with(path) || path.starts_with(own))
    }
}

fn bin_prefix(folder: &Path) -> Option<&Path> {
    // Also for a program in it: the link of ~/bin/node leads to …/v22/bin/node.
    let bin = if folder.file_name() == Some(OsStr::new("bin")) { folder } else { folder.parent()? };
    (bin.file_name() == Some(OsStr::new("bin"))).then(|| bin.parent()).flatten()
}

/// Folders in which programs keep what logs people in, wherever somebody put them into `PATH`.
fn is_secret(path: &Path) -> bool {
    const NAMES: &[&str] = &[
        ".aws",
        ".azure",
        ".config",
        ".docker",
        ".gnupg",
        ".kube",
        ".mozilla",
        ".netrc",
        ".npmrc",
        ".password-store",
        ".pgpass",
        ".pki",
        ".ssh",
        "credentials",
        "credentials.toml",
        "keyrings",
        "secrets",
    ];
    const TREES: &[&str] = &["/boot", "/dev", "/etc", "/media", "/mnt", "/proc", "/run", "/sys", "/var"];
    path.iter().any(|name| NAMES.iter().any(|secret| name == *secret))
        || TREES.iter().any(|tree| path.starts_with(tree))
        || path.components().count() < 3
}
