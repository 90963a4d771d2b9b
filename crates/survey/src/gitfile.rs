//! git's own files, as far as the way to a repository goes through them. Everything read here is short and bounded.

use crate::SurveyError;
use crate::repository::bad;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes of the longest pointer file that is read.
const MAX_POINTER: u64 = 8 * 1024;
const MAX_ALTERNATES: u64 = 64 * 1024;
/// Folders that a search for the enclosing repository climbs.
const MAX_CLIMB: usize = 64;

pub(crate) enum Kind {
    Linked { common_dir: PathBuf },
    Submodule,
}

/// Has the files without which git itself would not take a folder for a repository.
pub(crate) fn shaped(git_dir: &Path) -> Result<(), SurveyError> {
    let is = |name: &str, folder: bool| {
        git_dir.join(name).symlink_metadata().is_ok_and(|seen| if folder { seen.is_dir() } else { seen.is_file() })
    };
    // Older gits made HEAD a symbolic link; nobody has seen one for fifteen years, and it can name any file.
    for (name, folder) in [("HEAD", false), ("objects", true), ("refs", true)] {
        if !is(name, folder) {
            return Err(bad(git_dir, format!("it has no {name}")));
        }
    }
    Ok(())
}

/// Where the `.git` file points.
pub(crate) fn target(folder: &Path, dot_git: &Path) -> Result<PathBuf, SurveyError> {
    let text = short(dot_git, MAX_POINTER)?;
    let path = text.strip_prefix(b"gitdir: ").ok_or_else(|| bad(dot_git, "it does not say `gitdir:`"))?;
    resolved(folder, path).map_err(|error| bad(dot_git, format!("what it points at: {error}")))
}

fn resolved(base: &Path, text: &[u8]) -> std::io::Result<PathBuf> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    base.join(OsStr::from_bytes(text)).canonicalize()
}

pub(crate) fn kind(folder: &Path, dot_git: &Path, git_dir: &Path, dev: u64) -> Result<Kind, SurveyError> {
    if git_dir.join("commondir").symlink_metadata().is_ok() {
        return linked(dot_git, git_dir);
    }
    shaped(git_dir)?;
    for outer in folder.ancestors().skip(1).take(MAX_CLIMB) {
        if outer.symlink_metadata().map(|seen| seen.dev()).ok() != Some(dev) {
            break;
        }
        let Some(modules) = modules_of(outer) else { continue };
        if git_dir.starts_with(&modules) && git_dir != modules {
            return Ok(Kind::Submodule);
        }
    }
    Err(bad(dot_git, "it points at a folder that no enclosing repository keeps for a submodule"))
}

/// A linked worktree: its folder below `worktrees/` of the shared one names this very `.git` file.
fn linked(dot_git: &Path, git_dir: &Path) -> Result<Kind, SurveyError> {
    let back = short(&git_dir.join("gitdir"), MAX_POINTER)?;
    let back = resolved(git_dir, &back).map_err(|error| bad(git_dir, format!("its way back: {error}")))?;
    let own = dot_git.canonicalize().map_err(|error| SurveyError::io("resolve", dot_git, error))?;
    if back != own {
        return Err(bad(dot_git, "the worktree it points at belongs to another folder"));
    }
    let common = short(&git_dir.join("commondir"), MAX_POINTER)?;
    let common = resolved(git_dir, &common).map_err(|error| bad(git_dir, format!("its shared folder: {error}")))?;
    if git_dir.parent() != Some(common.join("worktrees").as_path()) {
        return Err(bad(git_dir, "it does not lie among the worktrees of the repository that it names"));
    }
    shaped(&common)?;
    Ok(Kind::Linked { common_dir: common })
}

/// Where the repository around keeps its submodules: in its `.git`, or where its own `.git` file points.
fn modules_of(outer: &Path) -> Option<PathBuf> {
    let dot_git = outer.join(".git");
    let seen = dot_git.symlink_metadata().ok()?;
    let git_dir = if seen.is_dir() {
        dot_git.canonicalize().ok()?
    } else if seen.is_file() {
        target(outer, &dot_git).ok()?
    } else {
        return None;
    };
    Some(git_dir.join("modules"))
}

/// Looks like an object store: nothing but what git puts there.
pub(crate) fn is_store(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).symlink_metadata().is_ok_and(|seen| seen.is_dir());
    folder.file_name() == Some(OsStr::new("objects")) && (has("pack") || has("info"))
}

/// The stores that this one borrows from.
pub(crate) fn alternates(store: &Path) -> Result<Vec<PathBuf>, SurveyError> {
    let list = store.join("info/alternates");
    if list.symlink_metadata().is_err() {
        return Ok(vec![]);
    }
    let text = short(&list, MAX_ALTERNATES)?;
    let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    lines
        .map(|line| match line {
            [b'"', ..] => Err(bad(&list, "a quoted path, which pinfold does not read")),
            _ => Ok(store.join(OsStr::from_bytes(line))),
        })
        .collect()
}

/// The bytes of a small regular file; a larger one, a link or anything else is refused.
fn short(path: &Path, limit: u64) -> Result<Vec<u8>, SurveyError> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = open(path, flags, Mode::empty()).map_err(|error| bad(path, format!("it can't be opened: {error}")))?;
    let file = std::fs::File::from(file);
    let seen = file.metadata().map_err(|error| SurveyError::io("look at", path, error))?;
    if !seen.is_file() || seen.len() > limit {
        return Err(bad(path, "it is not a short plain file"));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|error| SurveyError::io("read", path, error))?;
    Ok(bytes)
}
