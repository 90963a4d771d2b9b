//! Which folder is the workspace, and where its git lives.
//!
//! Found by walking up from where the person stands, on the disk alone. Not asked: git, `core.worktree`, `GIT_DIR` and
//! its kin. Each of those has been used to make a launcher mount a folder that somebody else chose.

use crate::gitfile::{self, Kind};
use crate::{Ask, SurveyError, Who, entry, roots};
use pinfold_plan::*;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The workspace, and where in it the person stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub repository: Repository,
    pub subdir: PathBuf,
}

/// Object stores that one repository may borrow from, directly or by way of another.
const MAX_STORES: usize = 16;
const MAX_BORROWING: usize = 5;

pub fn find(ask: &Ask, who: &Who) -> Result<Found, SurveyError> {
    let walk = Walk::new(ask, who)?;
    let (root, git) = if ask.here { walk.here()? } else { walk.up()? };
    fit(&root, who)?;
    let seen = entry(&root).ok_or_else(|| SurveyError::NotARepository(root.clone()))?.seen;
    let subdir = ask.cwd.strip_prefix(&root).map(Path::to_path_buf).unwrap_or_default();
    let key = roots::key(&root);
    Ok(Found { repository: Repository { root: HostPath::new(root), seen, key, git }, subdir })
}

struct Walk<'a> {
    cwd: &'a Path,
    who: &'a Who,
    start: Metadata,
}

type Root = (PathBuf, Option<GitFacts>);

impl<'a> Walk<'a> {
    fn new(ask: &'a Ask, who: &'a Who) -> Result<Self, SurveyError> {
        let start = ask.cwd.symlink_metadata().map_err(|error| SurveyError::io("look at", &ask.cwd, error))?;
        if !start.is_dir() || !ask.cwd.is_absolute() {
            return Err(SurveyError::Unfit { path: ask.cwd.clone(), why: "it is no folder" });
        }
        Ok(Walk { cwd: &ask.cwd, who, start })
    }

    /// This very folder, with its git if it has one.
    fn here(&self) -> Result<Root, SurveyError> {
        self.owned(self.cwd, &self.start)?;
        let git = match git_at(self.cwd, self)? {
            GitAt::Nothing => None,
            GitAt::Found(git) => Some(git),
            GitAt::Distrusted(_) => None,
        };
        Ok((self.cwd.to_path_buf(), git))
    }

    /// The nearest folder with a `.git`, not beyond this file system and not beyond what belongs to the caller.
    fn up(&self) -> Result<Root, SurveyError> {
        for folder in self.cwd.ancestors() {
            let seen = folder.symlink_metadata().map_err(|error| SurveyError::io("look at", folder, error))?;
            if seen.dev() != self.start.dev() || self.owned(folder, &seen).is_err() {
                break;
            }
            match git_at(folder, self)? {
                GitAt::Found(git) => return Ok((folder.to_path_buf(), Some(git))),
                GitAt::Distrusted(error) => return Err(error),
                GitAt::Nothing if roots::is_remembered(&self.who.data_dir, folder) => {
                    return Err(SurveyError::GitVanished(folder.to_path_buf()));
                }
                GitAt::Nothing => {}
            }
        }
        Err(SurveyError::NotARepository(self.cwd.to_path_buf()))
    }

    /// Root may work in another user's repository, as long as all of it is that user's.
    fn owned(&self, path: &Path, seen: &Metadata) -> Result<(), SurveyError> {
        let caller = self.who.caller.uid;
        let fine = seen.uid() == caller || seen.uid() == 0 || (caller == 0 && seen.uid() == self.start.uid());
        if fine { Ok(()) } else { Err(SurveyError::Foreign { path: path.into(), owner: seen.uid() }) }
    }

    fn git_folder_owned(&self, path: &Path) -> Result<(), SurveyError> {
        let seen = path.symlink_metadata().map_err(|error| SurveyError::io("look at", path, error))?;
        self.owned(path, &seen)
    }
}

enum GitAt {
    Nothing,
    Found(GitFacts),
    /// There is something of that name, and it is no repository that pinfold will take.
    Distrusted(SurveyError),
}

fn git_at(folder: &Path, walk: &Walk<'_>) -> Result<GitAt, SurveyError> {
    let dot_git = folder.join(".git");
    let seen = match dot_git.symlink_metadata() {
        Ok(seen) => seen,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound) => return Ok(GitAt::Nothing),
        Err(error) => return Err(SurveyError::io("look at", &dot_git, error)),
    };
    let facts = if seen.is_dir() {
        walk.owned(&dot_git, &seen).and_then(|()| main_repository(&dot_git, walk))
    } else if seen.is_file() {
        walk.owned(&dot_git, &seen).and_then(|()| elsewhere(folder, &dot_git, walk))
    } else {
        Err(bad(&dot_git, "it is neither a folder nor a file"))
    };
    Ok(facts.map_or_else(GitAt::Distrusted, GitAt::Found))
}

pub(crate) fn bad(path: &Path, why: impl Into<String>) -> SurveyError {
    SurveyError::BadGit { path: path.into(), why: why.into() }
}

fn main_repository(git_dir: &Path, walk: &Walk<'_>) -> Result<GitFacts, SurveyError> {
    gitfile::shaped(git_dir)?;
    git_facts(GitLayout::Main, git_dir, git_dir, walk)
}

/// A `.git` file is only a pointer, and anybody can write one. It counts where what it points at points back.
fn elsewhere(folder: &Path, dot_git: &Path, walk: &Walk<'_>) -> Result<GitFacts, SurveyError> {
    let git_dir = gitfile::target(folder, dot_git)?;
    walk.git_folder_owned(&git_dir)?;
    match gitfile::kind(folder, dot_git, &git_dir, walk.start.dev())? {
        Kind::Linked { common_dir } => {
            walk.git_folder_owned(&common_dir)?;
            git_facts(GitLayout::Linked, &git_dir, &common_dir, walk)
        }
        Kind::Submodule => git_facts(GitLayout::Submodule, &git_dir, &git_dir, walk),
    }
}

fn git_facts(layout: GitLayout, git_dir: &Path, common_dir: &Path, walk: &Walk<'_>) -> Result<GitFacts, SurveyError> {
    let objects = stores(&common_dir.join("objects"), walk)?;
    Ok(GitFacts { layout, git_dir: HostPath::new(git_dir), common_dir: HostPath::new(common_dir), objects })
}

/// The object store and those it borrows from. All are the caller's: a store that is somebody else's, or is none, is
/// refused, or a repository from the internet could name any folder for the box to read.
fn stores(first: &Path, walk: &Walk<'_>) -> Result<Vec<Entry>, SurveyError> {
    let mut found: Vec<Entry> = Vec::new();
    let mut level = vec![first.to_path_buf()];
    for depth in 0..=MAX_BORROWING {
        let mut next = Vec::new();
        for store in level {
            let store = store.canonicalize().map_err(|error| bad(&store, format!("its objects: {error}")))?;
            if found.iter().any(|known| known.path.as_path() == store) {
                continue;
            }
            let seen = entry(&store).filter(|seen| seen.seen.kind == SeenKind::Folder);
            let seen = seen.ok_or_else(|| bad(&store, "it is no object store"))?;
            walk.git_folder_owned(&store)?;
            if depth > 0 && !gitfile::is_store(&store) {
                return Err(bad(&store, "objects are borrowed from it, and it is no object store"));
            }
            next.extend(gitfile::alternates(&store)?);
            found.push(seen);
            if found.len() > MAX_STORES {
                return Err(bad(first, format!("it borrows from more than {MAX_STORES} object stores")));
            }
        }
        if next.is_empty() {
            return Ok(found);
        }
        level = next;
    }
    Err(bad(first, format!("its objects are borrowed over more than {MAX_BORROWING} steps")))
}

/// Folders that are the system's, whole and in all their parts.
const SYSTEM: &[&str] =
    &["/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/nix/store", "/proc", "/sbin", "/sys"];
/// Folders that hold many people's things: not whole, but what is below is fine.
const SHARED: &[&str] = &[
    "/",
    "/home",
    "/media",
    "/mnt",
    "/nix",
    "/opt",
    "/root",
    "/srv",
    "/tmp",
    "/usr/local",
    "/usr/local/src",
    "/usr/src",
    "/var",
    "/var/lib",
    "/var/tmp",
    "/var/www",
];
/// Below the system's folders, and yet a place where people work.
const WORKED_IN: &[&str] = &["/run/media", "/run/user", "/usr/local", "/usr/src"];

fn fit(root: &Path, who: &Who) -> Result<(), SurveyError> {
    let unfit = |why| Err(SurveyError::Unfit { path: root.into(), why });
    let home = who.caller.home.as_path();
    if root == home {
        return unfit("it is your home folder, with every key and history in it");
    }
    if home.starts_with(root) {
        return unfit("your home folder lies in it");
    }
    if SHARED.iter().any(|shared| root == Path::new(shared)) {
        return unfit("it holds more than one project");
    }
    let below = |list: &[&str]| list.iter().any(|folder| root.starts_with(folder));
    if below(SYSTEM) || (below(&["/usr", "/run"]) && !below(WORKED_IN)) {
        return unfit("it belongs to the system");
    }
    for own in [&who.state_dir, &who.data_dir, &who.config_dir] {
        if root.starts_with(own) || own.starts_with(root) {
            return unfit("pinfold keeps its own state there");
        }
    }
    Ok(())
}
