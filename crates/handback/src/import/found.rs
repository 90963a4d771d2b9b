//! Repositories below the workspace: how git gets to the very folder that was opened.
//!
//! The box can rename, replace and link the folders above such a repository while git runs. So git is given a descriptor
//! for a path, or a path of which no component below the workspace's own git directory can be touched by a box. What fits
//! neither is refused with its reason, and its commits stay in the box.

use super::error::ImportError;
use super::{ImportAsk, Importer};
use crate::door::{HostGit, RefStorage, Settings, Shape};
use crate::git::Git;
use crate::place;
use pinfold_plan::GitFacts;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

pub(super) fn importer(found: HostGit, root: Option<&GitFacts>, ask: ImportAsk) -> Result<Importer, ImportError> {
    match found.shape() {
        Shape::Plain => pinned(found, ask),
        Shape::Linked => linked(found, root, ask),
        Shape::Bare => Err(ImportError::refused("it has no work tree")),
    }
}

/// A git directory that is its own common one holds all that git needs below one descriptor.
fn pinned(found: HostGit, ask: ImportAsk) -> Result<Importer, ImportError> {
    let looking = || ImportError::host("look at the repository");
    let same = place::identity(found.git_dir()).map_err(looking())?
        == place::identity(found.common_dir()).map_err(looking())?;
    if !same || place::exists_in(found.git_dir(), b"commondir") {
        return Err(ImportError::refused("its git directory is not whole"));
    }
    // Git would resolve what these name to paths from the root.
    if place::read_below(found.git_dir(), b"objects/info/alternates", MAX_ALTERNATES).map_err(looking())?.is_some() {
        return Err(ImportError::refused("it borrows objects from another repository"));
    }
    if place::exists_in(found.git_dir(), b"worktrees") {
        return Err(ImportError::refused("it has linked worktrees of its own"));
    }
    let settings = Settings::read(found.git_dir(), found.common_dir(), &mut Vec::new())?;
    if settings.ref_storage != RefStorage::Files {
        return Err(ImportError::refused("its refs are kept as a reftable"));
    }
    let git = Git::pinned(found.git_dir().try_clone_to_owned().map_err(looking())?)?;
    let objects = git.git_dir().join("objects");
    Importer::on(found, git, objects, ask)
}

const MAX_ALTERNATES: u64 = 1 << 20;

/// A linked worktree of the workspace's own repository. Its git directory lies in that repository's common one, which
/// no box can write and whose path leads through nothing that one can.
fn linked(found: HostGit, root: Option<&GitFacts>, ask: ImportAsk) -> Result<Importer, ImportError> {
    let elsewhere = || ImportError::refused("it is a linked worktree of another repository than the workspace's");
    let common = root.ok_or_else(elsewhere)?.common_dir.as_path();
    let path = path_of(found.git_dir()).map_err(ImportError::host("find the worktree"))?;
    let below = common.canonicalize().map_err(ImportError::host("find the repository"))?;
    if path.parent() != Some(&below.join("worktrees")) {
        return Err(elsewhere());
    }
    let same =
        |path: &Path, fd| Ok::<_, io::Error>(place::identity(place::open_folder(path)?)? == place::identity(fd)?);
    let still = same(&path, found.git_dir()).and_then(|git| Ok(git && same(common, found.common_dir())?));
    if !still.map_err(ImportError::host("look at the worktree"))? {
        return Err(elsewhere());
    }
    let git = Git::new(&path)?;
    Importer::on(found, git, common.join("objects"), ask)
}

/// The kernel's name for an open folder.
fn path_of(fd: impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}
