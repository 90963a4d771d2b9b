//! The private store: what the box made under names that never land on the host.
//!
//! A folder of the host's tree is known here by its identity, not by its path, so that private files follow a folder
//! that is renamed by either side. The layout is `<store>/<n>/<name>`, one numbered folder for each host folder that has
//! private names. Which folder is which, and what the box removed, is kept in memory: the store lives as long as the run.

use crate::host::Identity;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

#[derive(Debug)]
pub struct Store {
    base: OwnedFd,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    made: u64,
    folders: HashMap<Identity, Arc<OwnedFd>>,
    /// Private names with a host original that the box removed from its own view.
    removed: HashSet<(Identity, Vec<u8>)>,
    /// Private folders that stand for a masked folder of the host.
    decoys: HashSet<(Identity, Vec<u8>)>,
}

impl Store {
    /// `base` is an empty folder that belongs to this run alone.
    pub fn new(base: OwnedFd) -> Self {
        Store { base, state: Mutex::default() }
    }

    /// The private names below this host folder, if it has any.
    pub fn folder(&self, of: &Identity) -> Option<Arc<OwnedFd>> {
        self.state.lock().unwrap().folders.get(of).cloned()
    }

    pub fn folder_or_make(&self, of: &Identity) -> Result<Arc<OwnedFd>, Errno> {
        let mut state = self.state.lock().unwrap();
        if let Some(found) = state.folders.get(of) {
            return Ok(found.clone());
        }
        state.made += 1;
        let name = state.made.to_string();
        rustix::fs::mkdirat(&self.base, name.as_str(), Mode::RWXU)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = Arc::new(rustix::fs::openat(&self.base, name.as_str(), flags, Mode::empty())?);
        state.folders.insert(*of, fd.clone());
        Ok(fd)
    }

    /// A folder under construction, in no folder of the view yet.
    pub fn begin(&self) -> Result<Building<'_>, Errno> {
        let mut state = self.state.lock().unwrap();
        state.made += 1;
        let name = format!("building-{}", state.made);
        drop(state);
        rustix::fs::mkdirat(&self.base, name.as_str(), Mode::RWXU)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.base, name.as_str(), flags, Mode::empty())?;
        Ok(Building { base: &self.base, name, fd })
    }

    pub fn is_removed(&self, of: &Identity, name: &[u8]) -> bool {
        let state = self.state.lock().unwrap();
        !state.removed.is_empty() && state.removed.contains(&(*of, name.to_vec()))
    }

    pub fn remove(&self, of: &Identity, name: &[u8]) {
        self.state.lock().unwrap().removed.insert((*of, name.to_vec()));
    }

    pub fn is_decoy(&self, of: &Identity, name: &[u8]) -> bool {
        let state = self.state.lock().unwrap();
        !state.decoys.is_empty() && state.decoys.contains(&(*of, name.to_vec()))
    }

    /// Makes (or finds) the empty private folder that stands for a masked one.
    pub fn make_decoy(&self, of: &Identity, name: &[u8]) -> Result<Arc<OwnedFd>, Errno> {
        let folder = self.folder_or_make(of)?;
        match rustix::fs::mkdirat(&*folder, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e),
        }
        self.state.lock().unwrap().decoys.insert((*of, name.to_vec()));
        Ok(folder)
    }

    /// The host's masked folder is gone: an empty stand-in goes with it. What the box put inside stays.
    pub fn drop_decoy(&self, of: &Identity, name: &[u8]) -> bool {
        let Some(folder) = self.folder(of) else { return true };
        let gone = rustix::fs::unlinkat(&*folder, name, AtFlags::REMOVEDIR).is_ok();
        self.state.lock().unwrap().decoys.remove(&(*of, name.to_vec()));
        gone
    }

    /// The host folder itself is gone.
    pub fn forget_folder(&self, of: &Identity) {
        let mut state = self.state.lock().unwrap();
        state.folders.remove(of);
        state.removed.retain(|(folder, _)| folder != of);
        state.decoys.retain(|(folder, _)| folder != of);
    }
}

#[derive(Debug)]
pub struct Building<'s> {
    base: &'s OwnedFd,
    name: String,
    fd: OwnedFd,
}

impl Building<'_> {
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Keeps it out of the view for good.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Puts the finished folder where the view will find it. A folder that is never finished goes with the run.
    pub fn finish(self, into: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::renameat(self.base, self.name.as_str(), into, name)
    }
}
