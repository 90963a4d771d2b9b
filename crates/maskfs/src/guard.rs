//! Hard links: an inode that has a masked name is masked under all its names, and one that has a name where the box may
//! not write (outside of the tree, in a `.git`) is not written in place.
//!
//! Only files with more than one name are ever asked about, and files that lost the name by which they were opened, so a
//! tree without hard links pays nothing. The first question
//! walks the tree once and puts a fanotify mark on every folder *before* listing it. From then on a question first drains
//! the queue and lists again what changed: an event stands in the queue before the call that caused it has returned, so
//! the answer is never older than the question. Where marks can't be had, every question walks.

use crate::host::{FileKind, HostRoot, PATH_FLAGS, kind_of, open_child, stat_child, stat_fd};
use crate::view::for_each_name;
use pinfold_policy::{Kind, PathPolicy, RelPathBuf, Verdict};
use pinfold_sys::watch::{FileHandle, FolderEvent, Interest, Watch, file_handle};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, Statx};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

/// A tree deeper than this is not looked through, so nothing with a second name is readable then. The box can't make one
/// so deep.
const MAX_DEPTH: usize = 4096;

/// Device and inode number.
type Inode = (u64, u64);

#[derive(Debug)]
pub struct LinkGuard {
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    folders: HashMap<RelPathBuf, Folder>,
    by_handle: HashMap<FileHandle, RelPathBuf>,
    /// How many masked names each masked inode has.
    masked: HashMap<Inode, u32>,
    /// How many names each inode has under which the box may change it.
    shared: HashMap<Inode, u32>,
    /// `None` before the first question, and where the kernel gives none.
    watch: Option<Watch>,
    walked: bool,
    /// A mark was refused: nothing can be trusted to be fresh.
    blind: bool,
}

#[derive(Debug, Default)]
struct Folder {
    masked: Vec<Inode>,
    shared: Vec<Inode>,
    children: HashSet<Vec<u8>>,
    handle: Option<FileHandle>,
}

impl LinkGuard {
    pub fn new() -> Self {
        LinkGuard { index: Mutex::default() }
    }

    /// Whether this inode has a masked name anywhere in the tree, now.
    pub fn is_masked(&self, host: &HostRoot, policy: &PathPolicy, stat: &Statx) -> bool {
        let mut index = self.index.lock().unwrap();
        // What can't be listed can't be vouched for: an error masks.
        if index.refresh(host, policy).is_err() {
            return true;
        }
        index.masked.contains_key(&inode(stat))
    }

    /// How many names this inode has in the tree under which the box may change it, now. Fewer than its links: it has a
    /// name elsewhere.
    pub fn shared_names(&self, host: &HostRoot, policy: &PathPolicy, stat: &Statx) -> u32 {
        let mut index = self.index.lock().unwrap();
        if index.refresh(host, policy).is_err() {
            return 0;
        }
        index.shared.get(&inode(stat)).copied().unwrap_or(0)
    }
}

fn inode(stat: &Statx) -> Inode {
    (u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor), stat.stx_ino)
}

impl Index {
    fn refresh(&mut self, host: &HostRoot, policy: &PathPolicy) -> Result<(), Errno> {
        if !self.walked || self.blind {
            return self.walk_all(host, policy);
        }
        let events = self.watch.as_ref().ok_or(Errno::INVAL)?.drain()?;
        if events.contains(&FolderEvent::Overflow) {
            return self.walk_all(host, policy);
        }
        let changed: HashSet<FileHandle> = events
            .into_iter()
            .filter_map(|event| match event {
                FolderEvent::Changed(change) => Some(change.folder),
                FolderEvent::Overflow => None,
            })
            .collect();
        for handle in changed {
            let Some(path) = self.by_handle.get(&handle).cloned() else { continue };
            match open_folder(host, &path) {
                Ok(fd) => self.list(host, policy, &path, &fd, Depth::Changed)?,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => self.drop_tree(&path),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn walk_all(&mut self, host: &HostRoot, policy: &PathPolicy) -> Result<(), Errno> {
        *self = Index { watch: Watch::new().ok(), ..Index::default() };
        self.blind = self.watch.is_none();
        let root = rustix::fs::openat(host.fd(), c".", PATH_FLAGS | OFlags::DIRECTORY, Mode::empty())?;
        self.list(host, policy, &RelPathBuf::root(), &root, Depth::Whole)?;
        self.walked = true;
        Ok(())
    }

    /// Lists one folder again, and what is new below it.
    fn list(
        &mut self,
        host: &HostRoot,
        policy: &PathPolicy,
        path: &RelPathBuf,
        fd: &OwnedFd,
        depth: Depth,
    ) -> Result<(), Errno> {
        let handle = self.mark(fd);
        let old = self.folders.remove(path).unwrap_or_default();
        self.uncount(&old);
        // The numbers in a list are of the folder's own file system: a mount would be a folder.
        let (device, _) = inode(&stat_fd(fd.as_fd())?);
        let mut folder = Folder { handle: handle.clone(), ..Folder::default() };
        let mut below = Vec::new();
        let folder_masked =
            !path.as_path().is_root() && policy.decide(path.as_path(), Kind::Folder).verdict == Verdict::Mask;
        let verdict = |at: &RelPathBuf| match folder_masked {
            true => Verdict::Mask,
            false => policy.decide(at.as_path(), Kind::File).verdict,
        };
        let listed = for_each_name(fd.as_fd(), |entry| {
            let Ok(at) = path.as_path().join(&entry.name) else { return };
            match entry.kind {
                FileKind::Folder => {
                    folder.children.insert(entry.name);
                    below.push(at);
                }
                FileKind::File => match verdict(&at) {
                    Verdict::Mask => {
                        if let Ok(stat) = stat_child(fd.as_fd(), &entry.name)
                            && kind_of(&stat) == FileKind::File
                        {
                            folder.masked.push(inode(&stat));
                        }
                    }
                    Verdict::Share | Verdict::Watch => folder.shared.push((device, entry.ino)),
                    Verdict::Private => {}
                },
                FileKind::Symlink | FileKind::Special => {}
            }
        });
        match listed {
            // The box runs as the same user: what we can't list, it can't link from.
            Err(Errno::ACCESS) => {}
            listed => listed?,
        }
        for inode in &folder.masked {
            *self.masked.entry(*inode).or_default() += 1;
        }
        for inode in &folder.shared {
            *self.shared.entry(*inode).or_default() += 1;
        }
        for gone in old.children.difference(&folder.children) {
            if let Ok(at) = path.as_path().join(gone) {
                self.drop_tree(&at);
            }
        }
        if let Some(handle) = handle {
            self.by_handle.insert(handle, path.clone());
        }
        self.folders.insert(path.clone(), folder);
        self.list_below(host, policy, fd, below, depth)
    }

    fn list_below(
        &mut self,
        host: &HostRoot,
        policy: &PathPolicy,
        fd: &OwnedFd,
        below: Vec<RelPathBuf>,
        depth: Depth,
    ) -> Result<(), Errno> {
        if path_depth(below.first()) > MAX_DEPTH {
            return Err(Errno::LOOP);
        }
        for at in below {
            let name = at.as_path().name().unwrap_or_default();
            let child = match open_child(fd.as_fd(), name, PATH_FLAGS | OFlags::DIRECTORY, Mode::empty()) {
                Ok(child) => child,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => continue,
                Err(e) => return Err(e),
            };
            // A folder of the same name that is another object (two swapped, say) is a new one.
            let known = self.folders.get(&at).and_then(|folder| folder.handle.clone());
            let same = known.is_some() && file_handle(child.as_fd()).ok() == known;
            if depth == Depth::Whole || !same {
                self.drop_tree(&at);
                self.list(host, policy, &at, &child, Depth::Whole)?;
            }
        }
        Ok(())
    }

    /// Marks a folder and returns the handle that its events will carry.
    fn mark(&mut self, fd: &OwnedFd) -> Option<FileHandle> {
        let marked = self.watch.as_ref().map(|watch| watch.mark_folder(fd.as_fd(), Interest::Names));
        match (marked, file_handle(fd.as_fd())) {
            (Some(Ok(())), Ok(handle)) => Some(handle),
            _ => {
                self.blind = true;
                None
            }
        }
    }

    fn uncount(&mut self, folder: &Folder) {
        for (names, counts) in [(&folder.masked, &mut self.masked), (&folder.shared, &mut self.shared)] {
            for inode in names {
                if let Some(count) = counts.get_mut(inode) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(inode);
                    }
                }
            }
        }
    }

    fn drop_tree(&mut self, path: &RelPathBuf) {
        let Some(folder) = self.folders.remove(path) else { return };
        self.uncount(&folder);
        if let Some(handle) = &folder.handle
            && self.by_handle.get(handle) == Some(path)
        {
            self.by_handle.remove(handle);
        }
        for child in folder.children {
            if let Ok(at) = path.as_path().join(&child) {
                self.drop_tree(&at);
            }
        }
    }
}

fn path_depth(path: Option<&RelPathBuf>) -> usize {
    path.map_or(0, |path| path.as_path().as_bytes().iter().filter(|&&b| b == b'/').count())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// Everything below, whether it is known or not.
    Whole,
    /// Only what is not known yet.
    Changed,
}

fn open_folder(host: &HostRoot, path: &RelPathBuf) -> Result<OwnedFd, Errno> {
    let flags = PATH_FLAGS | OFlags::DIRECTORY;
    let resolve = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
    let bytes = path.as_path().as_bytes();
    rustix::fs::openat2(host.fd(), if bytes.is_empty() { b"." } else { bytes }, flags, Mode::empty(), resolve)
}
