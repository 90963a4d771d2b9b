//! The smaller things that a git directory holds: hooks, logs, the state of an operation in progress, excludes.

use super::config::Config;
use super::credentials;
use super::error::{DoorError, printable};
use super::refs::Head;
use super::{DoorAsk, HostGit};
use crate::place::{self, Dest};
use rustix::fs;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const MAX_SMALL: u64 = 1 << 20;
const MAX_EXCLUDES: u64 = 4 << 20;
const MAX_HOOK: u64 = 1 << 20;
const MAX_SHALLOW: u64 = 64 << 20;
/// Of a longer log only the end is copied.
const MAX_LOG: u64 = 256 << 10;
const MAX_STATE_FILES: usize = 2000;

/// What git runs by itself in a work tree.
const HOOKS: [&[u8]; 17] = [
    b"applypatch-msg",
    b"pre-applypatch",
    b"post-applypatch",
    b"pre-commit",
    b"pre-merge-commit",
    b"prepare-commit-msg",
    b"commit-msg",
    b"post-commit",
    b"pre-rebase",
    b"post-checkout",
    b"post-merge",
    b"pre-push",
    b"pre-auto-gc",
    b"post-rewrite",
    b"post-index-change",
    b"reference-transaction",
    b"sendemail-validate",
];

/// Files and folders of an operation in progress. `FETCH_HEAD` is not among them: it holds addresses.
const STATE: [&[u8]; 22] = [
    b"MERGE_HEAD",
    b"MERGE_MSG",
    b"MERGE_MODE",
    b"MERGE_RR",
    b"AUTO_MERGE",
    b"SQUASH_MSG",
    b"CHERRY_PICK_HEAD",
    b"REVERT_HEAD",
    b"REBASE_HEAD",
    b"ORIG_HEAD",
    b"BISECT_ANCESTORS_OK",
    b"BISECT_EXPECTED_REV",
    b"BISECT_FIRST_PARENT",
    b"BISECT_HEAD",
    b"BISECT_LOG",
    b"BISECT_NAMES",
    b"BISECT_RUN",
    b"BISECT_START",
    b"BISECT_TERMS",
    b"rebase-merge",
    b"rebase-apply",
    b"sequencer",
];

/// Copies the state of an operation in progress.
pub(super) fn state(host: &HostGit, dest: Dest<'_>, notes: &mut Vec<String>) -> Result<(), DoorError> {
    let mut left = MAX_STATE_FILES;
    for name in STATE {
        copy_tree(host.git_dir(), name, dest, &mut left, 0, notes)?;
    }
    Ok(())
}

fn copy_tree(
    from: BorrowedFd<'_>,
    path: &[u8],
    dest: Dest<'_>,
    left: &mut usize,
    depth: usize,
    notes: &mut Vec<String>,
) -> Result<(), DoorError> {
    if depth > 4 || *left == 0 {
        notes.push(format!("{} was not copied whole", printable(path)));
        return Ok(());
    }
    let folder = match place::folder_below(from, path) {
        Ok(folder) => folder,
        Err(_) => {
            *left -= 1;
            return copy_small(from, path, path, dest, notes);
        }
    };
    dest.folder(path).map_err(DoorError::write(path))?;
    for name in place::list(&folder, MAX_STATE_FILES).map_err(DoorError::read(path))? {
        let below = [path, b"/", &name.bytes].concat();
        copy_tree(from, &below, dest, left, depth + 1, notes)?;
    }
    Ok(())
}

/// Copies a small regular file. One that is odd or large is left out with a note: the box can do without.
fn copy_small(
    from: BorrowedFd<'_>,
    path: &[u8],
    to: &[u8],
    dest: Dest<'_>,
    notes: &mut Vec<String>,
) -> Result<(), DoorError> {
    match place::read_below(from, path, MAX_SMALL) {
        Ok(None) => Ok(()),
        Ok(Some(file)) => dest.file(to, 0o644, &file.bytes).map(drop).map_err(DoorError::write(to)),
        Err(e) => {
            notes.push(format!("{} was left out: {e}", printable(path)));
            Ok(())
        }
    }
}

/// Copies `shallow`, which says where history was cut. It must be whole or git takes the cut for damage.
pub(super) fn shallow(host: &HostGit, dest: Dest<'_>) -> Result<(), DoorError> {
    match place::read_below(host.common_dir(), b"shallow", MAX_SHALLOW).map_err(DoorError::read("shallow"))? {
        Some(file) => dest.file(b"shallow", 0o644, &file.bytes).map(drop).map_err(DoorError::write("shallow")),
        None => Ok(()),
    }
}

/// Writes `info/exclude` and copies `info/attributes`.
pub(super) fn info(
    host: &HostGit,
    dest: Dest<'_>,
    ask: &DoorAsk<'_>,
    config: &Config,
    notes: &mut Vec<String>,
) -> Result<(), DoorError> {
    let own = place::read_below(host.common_dir(), b"info/exclude", MAX_EXCLUDES);
    let own = own.map_err(DoorError::read("info/exclude"))?.map(|f| f.bytes).unwrap_or_default();
    // Later lines win: ours are for what nobody else speaks of, and the person's own come in git's order.
    let persons = ask.person.map(|p| p.excludes(config)).unwrap_or_default();
    let mut text = Vec::new();
    for part in [ask.excludes, &persons, &own] {
        text.extend_from_slice(part);
        if !text.is_empty() && !text.ends_with(b"\n") {
            text.push(b'\n');
        }
    }
    dest.file(b"info/exclude", 0o644, &text).map_err(DoorError::write("info/exclude"))?;
    copy_small(host.common_dir(), b"info/attributes", b"info/attributes", dest, notes)
}

/// Copies the ends of the logs that people look at: of `HEAD`, of the branch, of the stash.
pub(super) fn logs(host: &HostGit, dest: Dest<'_>, head: &Head, notes: &mut Vec<String>) -> Result<(), DoorError> {
    let branch = match head {
        Head::Branch { name, .. } => Some([b"logs/", &name[..]].concat()),
        Head::Detached(_) => None,
    };
    let sources = [
        (host.git_dir(), Some(b"logs/HEAD".to_vec())),
        (host.common_dir(), branch),
        (host.common_dir(), Some(b"logs/refs/stash".to_vec())),
    ];
    for (dir, path) in sources {
        let Some(path) = path else { continue };
        match log_end(dir, &path) {
            Ok(None) => {}
            Ok(Some(text)) => {
                dest.folders_above(&path).map_err(DoorError::write(&path))?;
                let text = credentials::without_user_info(&text);
                dest.file(&path, 0o644, &text).map_err(DoorError::write(&path))?;
            }
            Err(e) => notes.push(format!("{} was left out: {e}", printable(&path))),
        }
    }
    Ok(())
}

fn log_end(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<Option<Vec<u8>>> {
    // Reading a file of any size is bounded by starting near its end.
    let Some(size) = size_below(dir, path)? else { return Ok(None) };
    if size <= MAX_LOG {
        return Ok(place::read_below(dir, path, MAX_LOG * 2)?.map(|f| f.bytes));
    }
    let Some(file) = open_regular(dir, path)? else { return Ok(None) };
    let mut tail = vec![0; MAX_LOG as usize];
    let got = std::os::unix::fs::FileExt::read_at(&file, &mut tail, size - MAX_LOG)?;
    tail.truncate(got);
    let first = tail.iter().position(|&b| b == b'\n').map_or(tail.len(), |at| at + 1);
    Ok(Some(tail.split_off(first)))
}

fn open_regular(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<Option<File>> {
    match place::open_file_below(dir, path) {
        Err(e) if place::is_absent(&e) => Ok(None),
        other => other.map(Some),
    }
}

fn size_below(dir: BorrowedFd<'_>, path: &[u8]) -> io::Result<Option<u64>> {
    let Some(file) = open_regular(dir, path)? else { return Ok(None) };
    Ok(Some(u64::try_from(fs::fstat(&file)?.st_size).unwrap_or(0)))
}

/// Copies the person's hooks. Returns the value for `core.hooksPath` where the host keeps them in the work tree.
pub(super) fn hooks(
    host: &HostGit,
    dest: Dest<'_>,
    ask: &DoorAsk<'_>,
    config: &Config,
    notes: &mut Vec<String>,
) -> Result<Option<Vec<u8>>, DoorError> {
    dest.folder(b"hooks").map_err(DoorError::write("hooks"))?;
    if !ask.hooks {
        return Ok(None);
    }
    let configured = config.get("core", "hookspath").and_then(|i| i.value.as_deref());
    let folder = match configured.map(|path| hooks_place(path, ask.root)) {
        Some(HooksPlace::InTree(path)) => return Ok(Some(path)),
        Some(HooksPlace::InGitDir(path)) => place::folder_below(host.common_dir(), &path),
        Some(HooksPlace::Outside(path)) => place::open_folder(Path::new(std::ffi::OsStr::from_bytes(&path))),
        Some(HooksPlace::Unknown) => {
            notes.push("core.hooksPath is not understood; the box has no hooks".into());
            return Ok(None);
        }
        None => place::folder_below(host.common_dir(), b"hooks"),
    };
    match folder {
        Ok(folder) => copy_hooks(&folder, dest, notes)?,
        Err(e) if place::is_absent(&e) => {}
        Err(e) => notes.push(format!("the hooks could not be read: {e}")),
    }
    Ok(None)
}

#[derive(Debug, PartialEq, Eq)]
enum HooksPlace {
    /// Relative to the top of the work tree.
    InTree(Vec<u8>),
    /// Relative to the git directory.
    InGitDir(Vec<u8>),
    Outside(Vec<u8>),
    Unknown,
}

fn hooks_place(path: &[u8], root: Option<&Path>) -> HooksPlace {
    let root = root.map(|r| [r.as_os_str().as_bytes(), b"/"].concat());
    let inside = root.and_then(|root| path.strip_prefix(&root[..]));
    let relative = match inside {
        Some(rest) => rest,
        None if path.starts_with(b"/") => return HooksPlace::Outside(path.to_vec()),
        None => path,
    };
    let relative = relative.strip_prefix(b"./").unwrap_or(relative);
    let names: Vec<&[u8]> = relative.split(|&b| b == b'/').filter(|name| !name.is_empty()).collect();
    if names.is_empty() || names.iter().any(|n| *n == b"." || *n == b"..") || names[0].starts_with(b"~") {
        return HooksPlace::Unknown;
    }
    let joined = names.join(&b'/');
    match joined.strip_prefix(b".git/") {
        Some(below) => HooksPlace::InGitDir(below.to_vec()),
        None => HooksPlace::InTree(joined),
    }
}

fn copy_hooks(folder: &OwnedFd, dest: Dest<'_>, notes: &mut Vec<String>) -> Result<(), DoorError> {
    for name in HOOKS {
        let to = [b"hooks/", name].concat();
        match fs::readlinkat(folder, name, Vec::new()) {
            // A link into the tree works in the box as it does outside. Any other is no use there.
            Ok(target) if !target.as_bytes().starts_with(b"/") => {
                dest.symlink(&to, target.as_bytes()).map_err(DoorError::write(&to))?;
                continue;
            }
            Ok(_) => {
                notes.push(format!("hook {} is a link to another place and was left out", printable(name)));
                continue;
            }
            Err(_) => {}
        }
        match place::read_below(folder.as_fd(), name, MAX_HOOK) {
            Ok(Some(hook)) if credentials::seem_to_be_in(&hook.bytes) => {
                notes.push(format!("hook {} seems to hold a credential and was left out", printable(name)));
            }
            Ok(Some(hook)) if hook.stat.st_mode & 0o111 != 0 => {
                dest.file(&to, 0o755, &hook.bytes).map_err(DoorError::write(&to))?;
            }
            Ok(_) => {}
            Err(e) => notes.push(format!("hook {} was left out: {e}", printable(name))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_hooks_are() {
        use HooksPlace::*;
        let root = Some(Path::new("/home/me/repo"));
        let cases = [
            (".husky/_", InTree(b".husky/_".to_vec())),
            ("./.githooks/", InTree(b".githooks".to_vec())),
            ("/home/me/repo/tools/hooks", InTree(b"tools/hooks".to_vec())),
            ("/home/me/repo-other/hooks", Outside(b"/home/me/repo-other/hooks".to_vec())),
            (".git/hooks", InGitDir(b"hooks".to_vec())),
            ("../hooks", Unknown),
            ("a/../../b", Unknown),
            ("~/hooks", Unknown),
            ("", Unknown),
        ];
        for (path, want) in cases {
            assert_eq!(hooks_place(path.as_bytes(), root), want, "{path}");
        }
    }
}
