//! A git folder of the box, read file by file: where its branches stand, and which of its folders to watch.
//!
//! Everything in it is the box's word. Names are followed through no link and never out of it, and nothing is read that
//! could wait.

use pinfold_wire::{MAX_REF_NAME, MAX_REFS, Oid};
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, openat2};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Bytes of a file of refs that are read.
const MAX_FILE: u64 = 4 << 20;
/// Folders below `refs/heads` that are watched, and entries that are read in all of them.
const MAX_FOLDERS: usize = 256;
const MAX_ENTRIES: usize = 4096;

/// Where the branches stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tips {
    pub(super) head_ref: Option<String>,
    pub(super) head: Option<Oid>,
    pub(super) refs: BTreeMap<String, Oid>,
    pub(super) cut: bool,
}

#[derive(Debug)]
pub(super) struct GitFolder {
    folder: OwnedFd,
}

impl GitFolder {
    pub(super) fn new(folder: OwnedFd) -> GitFolder {
        GitFolder { folder }
    }

    /// Opens the one at `path` below a folder, as far as there is one without links on the way.
    pub(super) fn below(top: impl AsFd, path: &[u8]) -> rustix::io::Result<GitFolder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(GitFolder { folder: openat2(top, path, flags, Mode::empty(), BENEATH)? })
    }

    /// Watches the folders where refs live; those that are watched already stay so. Returns the watches' numbers.
    pub(super) fn watch(&self, events: BorrowedFd<'_>) -> Vec<i32> {
        // inotify takes paths only, so the folder becomes the current one. The command has its own.
        if rustix::process::fchdir(&self.folder).is_err() {
            return Vec::new();
        }
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW
            | WatchFlags::EXCL_UNLINK;
        let mut folders = vec![PathBuf::from("."), "refs".into(), "refs/heads".into()];
        let mut at = 2;
        while at < folders.len() && folders.len() < MAX_FOLDERS {
            let below = self.entries(&folders[at]).unwrap_or_default();
            let below = below.into_iter().filter(|(_, kind)| *kind == FileType::Directory);
            let parent = folders[at].clone();
            folders.extend(below.map(|(name, _)| parent.join(name)));
            at += 1;
        }
        let watched = folders.iter().take(MAX_FOLDERS).map(|folder| inotify::add_watch(events, folder, flags));
        watched.filter_map(Result::ok).collect()
    }

    fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY;
        openat2(&self.folder, path, flags, Mode::empty(), BENEATH)
    }

    fn entries(&self, folder: &Path) -> rustix::io::Result<Vec<(String, FileType)>> {
        let mut found = Vec::new();
        for entry in Dir::new(self.open(folder, OFlags::DIRECTORY)?)?.take(MAX_ENTRIES) {
            let entry = entry?;
            // A branch whose name is no text can't be offered.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name != "." && name != ".." {
                found.push((name.to_owned(), entry.file_type()));
            }
        }
        Ok(found)
    }

    /// A small regular file; anything else reads as absent.
    fn text(&self, path: &Path) -> Option<String> {
        let file = self.open(path, OFlags::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_size as u64 > MAX_FILE {
            return None;
        }
        let mut text = String::new();
        File::from(file).take(MAX_FILE).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Where HEAD and the branches stand, read from the files themselves: a loose ref counts before a packed one.
    pub(super) fn tips(&self) -> Tips {
        let mut refs = BTreeMap::new();
        for line in self.text(Path::new("packed-refs")).unwrap_or_default().lines() {
            if let Some((oid, name)) = line.split_once(' ')
                && let (Some(_), Ok(oid)) = (name.strip_prefix("refs/heads/"), Oid::new(oid))
            {
                refs.insert(name.to_owned(), oid);
            }
        }
        let mut folders = VecDeque::from([PathBuf::from("refs/heads")]);
        let mut left = MAX_FOLDERS;
        while let Some(folder) = folders.pop_front() {
            for (name, kind) in self.entries(&folder).unwrap_or_default() {
                let path = folder.join(name);
                match kind {
                    FileType::Directory if left > 0 => {
                        left -= 1;
                        folders.push_back(path);
                    }
                    FileType::RegularFile => {
                        if let (Some(text), Some(name)) = (self.text(&path), path.to_str())
                            && let Ok(oid) = Oid::new(text.trim_end())
                        {
                            refs.insert(name.to_owned(), oid);
                        }
                    }
                    _ => {}
                }
            }
        }
        let all = refs.len();
        let mut refs: BTreeMap<_, _> = refs.into_iter().filter(|(name, _)| name.len() <= MAX_REF_NAME).collect();
        while refs.len() > MAX_REFS {
            refs.pop_last();
        }
        let cut = refs.len() < all;
        let head = self.text(Path::new("HEAD")).unwrap_or_default();
        let head = head.trim_end();
        let head_ref = head.strip_prefix("ref: ").filter(|name| name.len() <= MAX_REF_NAME).map(str::to_owned);
        let head = match &head_ref {
            Some(name) => refs.get(name).cloned(),
            None => Oid::new(head).ok(),
        };
        Tips { head_ref, head, refs, cut }
    }
}

const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);
