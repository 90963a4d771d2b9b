//! Repositories found in the tree: nested ones, submodules, linked worktrees.
//!
//! A `.git` in the tree is only a claim about where a git directory is. A folder speaks for itself. A file is followed
//! when it leads into the workspace's own git directory (`modules/`, `worktrees/`), or to another repository of this
//! workspace that points back at it. Everything else is taken for no repository, so that no `.git` file can open a
//! repository elsewhere on the host to the box.

use super::config::Config;
use super::error::DoorError;
use super::{HostGit, Shape};
use crate::place;
use pinfold_plan::GitLayout;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const MAX_LINK_FILE: u64 = 64 << 10;
const MAX_DEPTH: usize = 256;
const MAX_ALTERNATES: usize = 32;

/// What the workspace is, to judge a claim by.
#[derive(Debug, Clone, Copy)]
pub struct NestedAsk<'a> {
    /// The top of the workspace.
    pub root: BorrowedFd<'a>,
    /// The workspace's own repository, if it is one.
    pub root_git: Option<&'a HostGit>,
}

/// A repository that may be shown to the box as a private copy.
#[derive(Debug)]
pub struct Nested {
    pub git: HostGit,
    pub layout: GitLayout,
    /// Its object store, then those it borrows from that lie in the workspace or in its git directory.
    pub objects: Vec<OwnedFd>,
    pub notes: Vec<String>,
}

impl Nested {
    /// The folder names under which the object stores are to be served beside the box's `objects`.
    pub fn store_names(&self) -> impl Iterator<Item = String> {
        (0..self.objects.len()).map(|n| if n == 0 { "pinfold-objects".into() } else { format!("pinfold-objects-{n}") })
    }

    /// The lines for the box's `objects/info/alternates`.
    pub fn alternates(&self) -> Vec<Vec<u8>> {
        self.store_names().map(|name| format!("../{name}").into_bytes()).collect()
    }
}

/// Looks at the `.git` in `folder`, under the name that it has there (a file system may not mind its case). `None`: there
/// is none, or none that the box may have.
pub fn nested(folder: BorrowedFd<'_>, name: &[u8], ask: &NestedAsk<'_>) -> Result<Option<Nested>, DoorError> {
    let found = match kind_of(folder, name)? {
        Some(FileType::Directory) => plain(folder, name, Shape::Plain),
        Some(FileType::RegularFile) => linked(folder, name, ask),
        _ => Ok(None),
    };
    match found.map_err(DoorError::read(name))? {
        Some((git, layout)) => with_objects(git, layout, ask),
        None => Ok(None),
    }
}

/// Looks at the folder `name` in `folder`. `None`: it is no bare repository.
pub fn bare(folder: BorrowedFd<'_>, name: &[u8], ask: &NestedAsk<'_>) -> Result<Option<Nested>, DoorError> {
    if kind_of(folder, name)? != Some(FileType::Directory) {
        return Ok(None);
    }
    match plain(folder, name, Shape::Bare).map_err(DoorError::read(name))? {
        Some((git, layout)) => with_objects(git, layout, ask),
        None => Ok(None),
    }
}

fn kind_of(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileType>, DoorError> {
    match fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(e) if place::is_absent(&e.into()) => Ok(None),
        Err(e) => Err(DoorError::read(name)(e.into())),
    }
}

fn plain(folder: BorrowedFd<'_>, name: &[u8], shape: Shape) -> io::Result<Option<(HostGit, GitLayout)>> {
    let git_dir = place::folder_below(folder, name)?;
    // A git directory that is a folder and still names another as its common one is nothing that git makes.
    if !looks_like_git(git_dir.as_fd()) || place::exists_in(&git_dir, b"commondir") {
        return Ok(None);
    }
    let common_dir = git_dir.try_clone()?;
    Ok(Some((HostGit::from_folders(git_dir, common_dir, shape), GitLayout::Main)))
}

fn looks_like_git(dir: BorrowedFd<'_>) -> bool {
    place::open_file_below(dir, b"HEAD").is_ok()
        && place::folder_below(dir, b"objects").is_ok()
        && place::folder_below(dir, b"refs").is_ok()
}

fn linked(folder: BorrowedFd<'_>, name: &[u8], ask: &NestedAsk<'_>) -> io::Result<Option<(HostGit, GitLayout)>> {
    let Some(file) = place::read_below(folder, name, MAX_LINK_FILE)? else { return Ok(None) };
    let Some(path) = parse_gitdir_file(&file.bytes) else { return Ok(None) };
    let Ok(git_dir) = open_claimed(folder, path) else { return Ok(None) };
    let Some(common) = common_of(git_dir.as_fd())? else { return Ok(None) };
    let (common_dir, is_worktree) = match common {
        Some(dir) => (dir, true),
        None => (git_dir.try_clone()?, false),
    };
    if !looks_like_git(common_dir.as_fd()) || place::open_file_below(&git_dir, b"HEAD").is_err() {
        return Ok(None);
    }
    let trusted = in_own_git_dir(git_dir.as_fd(), ask)?
        || (in_a_git_dir_of(ask.root, git_dir.as_fd())? && points_back(git_dir.as_fd(), folder, is_worktree)?);
    if !trusted {
        return Ok(None);
    }
    let (layout, shape) = match is_worktree {
        true => (GitLayout::Linked, Shape::Linked),
        false => (GitLayout::Submodule, Shape::Plain),
    };
    Ok(Some((HostGit::from_folders(git_dir, common_dir, shape), layout)))
}

/// The path in a `.git` file.
pub fn parse_gitdir_file(bytes: &[u8]) -> Option<&[u8]> {
    let path = bytes.strip_prefix(b"gitdir: ")?;
    let end = path.iter().rposition(|b| !b"\r\n".contains(b)).map_or(0, |at| at + 1);
    let path = &path[..end];
    (!path.is_empty() && !path.contains(&0) && !path.contains(&b'\n')).then_some(path)
}

/// Opens a folder by a path that a file claims. Links above it are followed, since a home may be one; where it really
/// lies is judged afterwards, from the descriptor.
fn open_claimed(from: BorrowedFd<'_>, path: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat2(from, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?)
}

/// `Some(None)`: it is its own common folder. `None`: it names one that is no folder above it.
#[allow(clippy::option_option, reason = "two different absences, told apart where they are used, ten lines above")]
fn common_of(git_dir: BorrowedFd<'_>) -> io::Result<Option<Option<OwnedFd>>> {
    let Some(file) = place::read_below(git_dir, b"commondir", MAX_LINK_FILE)? else { return Ok(Some(None)) };
    let Ok(common) = open_claimed(git_dir, file.bytes.trim_ascii_end()) else { return Ok(None) };
    let wanted = place::identity(&common)?;
    let above = climb(git_dir, |dir, _| Ok(place::identity(dir)? == wanted))?;
    Ok(above.then_some(Some(common)))
}

/// Whether `dir` lies below the workspace repository's own `modules/` or `worktrees/`.
fn in_own_git_dir(dir: BorrowedFd<'_>, ask: &NestedAsk<'_>) -> io::Result<bool> {
    let Some(git) = ask.root_git else { return Ok(false) };
    let mut anchors = Vec::new();
    for (base, name) in [
        (git.git_dir(), &b"modules"[..]),
        (git.git_dir(), b"worktrees"),
        (git.common_dir(), b"modules"),
        (git.common_dir(), b"worktrees"),
    ] {
        if let Ok(anchor) = place::folder_below(base, name) {
            anchors.push(place::identity(&anchor)?);
        }
    }
    climb(dir, |above, _| Ok(anchors.contains(&place::identity(above)?)))
}

/// Whether `dir` lies in a folder named `.git` below `root`. The box can't write there.
fn in_a_git_dir_of(root: BorrowedFd<'_>, dir: BorrowedFd<'_>) -> io::Result<bool> {
    let root = place::identity(root)?;
    let mut passed = false;
    climb(dir, |above, below| {
        let named = fs::statat(above, ".git", AtFlags::SYMLINK_NOFOLLOW);
        passed |= named.is_ok_and(|s| (s.st_dev, s.st_ino) == below);
        Ok(passed && place::identity(above)? == root)
    })
}

/// Goes up from `dir` until `found` says yes. It is given each folder above, and the identity of the one just left.
fn climb(
    dir: BorrowedFd<'_>,
    mut found: impl FnMut(BorrowedFd<'_>, (u64, u64)) -> io::Result<bool>,
) -> io::Result<bool> {
    let mut here = place::identity(dir)?;
    let mut at: Option<OwnedFd> = None;
    for _ in 0..MAX_DEPTH {
        let from = at.as_ref().map_or(dir, |fd| fd.as_fd());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(above) = fs::openat(from, "..", flags, Mode::empty()) else { return Ok(false) };
        let identity = place::identity(&above)?;
        if identity == here {
            return Ok(false);
        }
        if found(above.as_fd(), here)? {
            return Ok(true);
        }
        here = identity;
        at = Some(above);
    }
    Ok(false)
}

/// Whether the git directory names this work tree as its own.
fn points_back(git_dir: BorrowedFd<'_>, folder: BorrowedFd<'_>, is_worktree: bool) -> io::Result<bool> {
    let claimed = if is_worktree {
        let Some(file) = place::read_below(git_dir, b"gitdir", MAX_LINK_FILE)? else { return Ok(false) };
        // It names the `.git` file; its folder is the work tree.
        let path = file.bytes.trim_ascii_end();
        let Some(top) = path.strip_suffix(b"/.git") else { return Ok(false) };
        open_claimed(git_dir, top)
    } else {
        let mut config = Config::default();
        config.add_file(git_dir, b"config", &mut Vec::new())?;
        let Some(path) = config.text("core", "worktree") else { return Ok(false) };
        open_claimed(git_dir, path.as_bytes())
    };
    match claimed {
        Ok(top) => Ok(place::identity(&top)? == place::identity(folder)?),
        Err(_) => Ok(false),
    }
}

fn with_objects(git: HostGit, layout: GitLayout, ask: &NestedAsk<'_>) -> Result<Option<Nested>, DoorError> {
    let own = place::folder_below(git.common_dir(), b"objects").map_err(DoorError::read("objects"))?;
    let mut notes = Vec::new();
    let mut objects = vec![own];
    let mut next = 0;
    while next < objects.len() && objects.len() < MAX_ALTERNATES {
        let more = borrowed(objects[next].as_fd(), &git, ask, &mut notes)
            .map_err(DoorError::read("objects/info/alternates"))?;
        objects.extend(more);
        next += 1;
    }
    Ok(Some(Nested { git, layout, objects, notes }))
}

/// The stores that a store borrows from, as far as they lie where the box may read anyway.
fn borrowed(
    store: BorrowedFd<'_>,
    git: &HostGit,
    ask: &NestedAsk<'_>,
    notes: &mut Vec<String>,
) -> io::Result<Vec<OwnedFd>> {
    let Some(file) = place::read_below(store, b"info/alternates", MAX_LINK_FILE)? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let lines = file.bytes.split(|&b| b == b'\n').filter(|l| !l.is_empty() && !l.starts_with(b"#"));
    for line in lines.take(MAX_ALTERNATES) {
        match open_claimed(store, line) {
            Ok(other) if allowed_store(other.as_fd(), git, ask)? => found.push(other),
            _ => notes.push("it borrows objects from outside the workspace, which the box does not get".into()),
        }
    }
    Ok(found)
}

fn allowed_store(store: BorrowedFd<'_>, git: &HostGit, ask: &NestedAsk<'_>) -> io::Result<bool> {
    let mut anchors = vec![place::identity(git.common_dir())?];
    if let Some(root_git) = ask.root_git {
        anchors.push(place::identity(root_git.common_dir())?);
    }
    let below_known = climb(store, |above, _| Ok(anchors.contains(&place::identity(above)?)))?;
    Ok(below_known || in_a_git_dir_of(ask.root, store)?)
}
