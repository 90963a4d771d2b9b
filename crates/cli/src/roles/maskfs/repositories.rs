//! Repositories below the workspace, as MaskFs meets them: it gives the box a private copy, tells the supervisor of it with
//! what it opened on the host, and says at the end which branches the box has moved.

use super::{EXCLUDES, owners, say};
use pinfold_handback::door::{self, DoorAsk, HostGit, Nested, NestedAsk, Person};
use pinfold_handback::place;
use pinfold_maskfs::{Admitted, GitDoor, Owners};
use pinfold_plan::Workspace;
use pinfold_policy::{PathPolicy, RelPath, RelPathBuf};
use pinfold_sys::channel::Channel;
use pinfold_wire::{FromMaskFs, MAX_REPOSITORIES, Oid};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

/// Branches of one repository that are looked at in the end.
const MAX_TIPS: usize = 256;
/// Repositories that the box made itself, and that are looked at in the end.
const MAX_MADE: usize = 256;

/// The private repositories of this run.
#[derive(Debug, Default)]
pub struct Repositories {
    copied: Mutex<Vec<Private>>,
    made: Mutex<Vec<Private>>,
}

#[derive(Debug)]
struct Private {
    /// As the supervisor knows it; `None` if it does not.
    number: Option<u32>,
    /// Its `.git`.
    at: RelPathBuf,
    git_dir: OwnedFd,
}

impl Private {
    /// Branches that the box moved. What was copied is in packed refs, so a loose one is the box's.
    fn tips(&self) -> Vec<Oid> {
        let mut tips = Vec::new();
        let mut left = MAX_TIPS;
        let mut folders = VecDeque::from([b"refs/heads".to_vec()]);
        while let Some(folder) = folders.pop_front() {
            for name in place::list_below(&self.git_dir, &folder, left).unwrap_or_default() {
                left = left.saturating_sub(1);
                let path = [&folder[..], b"/", &name.bytes].concat();
                if name.kind == FileType::Directory {
                    folders.push_back(path);
                } else if let Ok(Some(file)) = place::read_below(&self.git_dir, &path, 256) {
                    let text = String::from_utf8_lossy(&file.bytes);
                    tips.extend(Oid::new(text.trim_end()).ok());
                }
            }
        }
        tips
    }

    fn tell(&self, control: &Channel) {
        let tips = self.tips();
        if !tips.is_empty() {
            let at = self.at.as_path().parent().unwrap_or(RelPath::ROOT).as_bytes().to_vec();
            say(control, &FromMaskFs::Stays { number: self.number, at, tips });
        }
    }
}

impl Repositories {
    /// Not lost silently. The files themselves are in the tree.
    pub fn tell_what_stays(&self, control: &Channel) {
        self.copied.lock().unwrap().iter().for_each(|repository| repository.tell(control));
        self.made.lock().unwrap().iter().for_each(|repository| repository.tell(control));
    }

    /// The next number, for one that the supervisor is told of.
    fn add(&self, at: RelPathBuf, git_dir: OwnedFd, offered: bool) -> Option<u32> {
        let mut copied = self.copied.lock().unwrap();
        let count = copied.iter().filter(|repository| repository.number.is_some()).count();
        // 0 is the workspace's own.
        let number = (offered && count < MAX_REPOSITORIES).then_some(count as u32 + 1);
        copied.push(Private { number, at, git_dir });
        number
    }
}

/// Gives the file system private copies of the repositories in the tree.
pub struct Door {
    policy: PathPolicy,
    root: OwnedFd,
    root_git: Option<HostGit>,
    workspace: Workspace,
    owners: Owners,
    person: Option<Person>,
    repositories: Arc<Repositories>,
    control: Arc<Channel>,
}

impl Door {
    pub fn new(
        workspace: &Workspace,
        policy: PathPolicy,
        root: &OwnedFd,
        person: Option<Person>,
        repositories: Arc<Repositories>,
        control: Arc<Channel>,
    ) -> io::Result<Self> {
        let root_git = workspace.git.as_ref().and_then(|facts| HostGit::open(facts).ok());
        let (root, owners, workspace) = (root.try_clone()?, owners(workspace), workspace.clone());
        Ok(Door { policy, root, root_git, workspace, owners, person, repositories, control })
    }

    fn find(&self, worktree: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Nested>, Errno> {
        let ask = NestedAsk { root: self.root.as_fd(), root_git: self.root_git.as_ref() };
        let found =
            if is_dot_git(name) { door::nested(worktree, name, &ask) } else { door::bare(worktree, name, &ask) };
        found.map_err(|_| Errno::IO)
    }

    /// The supervisor hears of it before the box sees it.
    fn tell(&self, at: RelPath<'_>, git: &HostGit, copy: OwnedFd) {
        let has_tree = at.name().is_some_and(is_dot_git);
        let Some(number) = self.repositories.add(at.to_owned(), copy, has_tree) else { return };
        let message = FromMaskFs::Repository { number, at: at.as_bytes().to_vec() };
        if let Ok(bytes) = pinfold_wire::encode(&message) {
            // When the supervisor is gone, so is everything else in a moment.
            self.control.send(&bytes, &[git.git_dir(), git.common_dir()]).ok();
        }
    }
}

fn is_dot_git(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b".git")
}

impl GitDoor for Door {
    fn admit(
        &self,
        worktree: BorrowedFd<'_>,
        at: RelPath<'_>,
        dest: BorrowedFd<'_>,
    ) -> Result<Option<Admitted>, Errno> {
        let Some(nested) = self.find(worktree, at.name().unwrap_or_default())? else { return Ok(None) };
        let build = DoorAsk {
            alternates: nested.alternates(),
            identity: self.workspace.identity.as_ref(),
            policy: &self.policy,
            prefix: at.parent().unwrap_or(RelPath::ROOT),
            root: None,
            present_ids: &|uid, gid| self.owners.present(uid, gid),
            owner: None,
            excludes: EXCLUDES,
            hooks: true,
            person: self.person.as_ref(),
        };
        door::build(&nested.git, dest, &build).map_err(|_| Errno::IO)?;
        let copy = dest.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        self.tell(at, &nested.git, copy);
        let names: Vec<_> = nested.store_names().map(String::into_bytes).collect();
        Ok(Some(Admitted { doors: names.into_iter().zip(nested.objects).collect() }))
    }

    fn made(&self, at: RelPath<'_>, git_dir: OwnedFd) {
        let mut made = self.repositories.made.lock().unwrap();
        if made.len() < MAX_MADE {
            made.push(Private { number: None, at: at.to_owned(), git_dir });
        }
    }
}
