//! The view: what the box sees of the workspace, call by call.
//!
//! It knows paths, objects and verdicts, and no FUSE type: other fronts (a microVM's virtio-fs) can stand on it, and tests
//! drive it without a mount. The rules it keeps are written down in `docs/mask-semantics.md`.
//!
//! - `resolve`: from a folder and a name to what is there, and to whom it belongs.
//! - `read`: look-ups, attributes, open files, folders.
//! - `standing`: whether an object may be read, and whether it may be changed in place.
//! - `change`: everything that makes, moves or removes.

mod change;
mod read;
mod rename;
mod resolve;
mod standing;

pub use change::Change;
pub(crate) use read::for_each_name;
pub use read::{Attr, Found, Handle, Listed, PASSING};

use crate::guard::LinkGuard;
use crate::host::{HostRoot, Identity, identity, stat_child, stat_fd};
use crate::nodes::{Node, Nodes};
use crate::store::Store;
use crate::watcher::{Stale, Watcher};
use pinfold_policy::{PathPolicy, RelPath, RelPathBuf};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

/// How a private copy of a `.git` that the box meets in the tree is made. The view doesn't know git.
pub trait GitDoor: Send + Sync {
    /// Fills `dest`, an empty private folder, with a neutral repository that stands for the `.git` in `worktree`, whose
    /// path in the workspace is `at`. `Ok(None)`: what stands there is no repository.
    fn admit(&self, worktree: BorrowedFd<'_>, at: RelPath<'_>, dest: BorrowedFd<'_>)
    -> Result<Option<Admitted>, Errno>;

    /// The box has made a folder called `.git` itself, where the host has none; it is empty and private.
    fn made(&self, _at: RelPath<'_>, _git_dir: OwnedFd) {}
}

/// A private `.git` was made.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Folders of the host's objects, each shown read-only inside the private `.git` under its name. Names start with
    /// [`DOOR_PREFIX`].
    pub doors: Vec<(Vec<u8>, OwnedFd)>,
}

/// How the names begin under which a private `.git` shows the objects it borrows.
pub const DOOR_PREFIX: &[u8] = b"pinfold-objects";

/// A store that is shown in a `.git` seems to borrow from no other: what this file names are paths of the host, and the
/// stores that the box may have are shown beside it.
const NOT_SHOWN: &[u8] = b"alternates";

/// What the kernel must not remember any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forget {
    /// What a name in a folder stands for.
    Name { folder: u64, name: Vec<u8> },
    /// An object's attributes and cached contents.
    Object { node: u64 },
}

/// Something worth a line in the run's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A change to a masked or protected name was refused.
    Refused { what: &'static str, path: RelPathBuf },
    /// The box made a file under a name that stays in the box.
    Private { path: RelPathBuf },
    /// A file with a name elsewhere was replaced by a copy, before the box changed it.
    Apart { path: RelPathBuf },
    /// Something could not be done as promised and was done the safe way.
    Note { text: String },
}

/// Which numbers the box sees for owners. One user exists in it.
#[derive(Debug, Clone, Copy)]
pub struct Owners {
    /// The host ids that are shown as the box's own.
    pub uid: u32,
    pub gid: u32,
    /// What they are shown as.
    pub uid_inside: u32,
    pub gid_inside: u32,
    /// Show every file as the box's own (the caller is root, who may act on all of them).
    pub all: bool,
}

impl Owners {
    /// Owner and group as the box sees them. A stranger's file keeps a number that does not exist in the box, so that
    /// the kernel refuses what the host would refuse.
    pub fn present(&self, uid: u32, gid: u32) -> (u32, u32) {
        const NOBODY: u32 = 65534;
        let mine = self.all || uid == self.uid;
        let shown_uid = if mine { self.uid_inside } else { NOBODY };
        // A file of one's own whose group isn't in the box would be unwritable there: it is shown with the own group.
        let shown_gid = if mine || gid == self.gid { self.gid_inside } else { NOBODY };
        (shown_uid, shown_gid)
    }
}

/// What a view is made of.
#[allow(missing_debug_implementations, reason = "it holds closures and lives for one call")]
pub struct Parts {
    pub root: OwnedFd,
    pub store: OwnedFd,
    pub policy: PathPolicy,
    pub owners: Owners,
    /// The box's own `.git` is mounted over the root's.
    pub git_mount: bool,
    pub door: Box<dyn GitDoor>,
    pub on_event: Box<dyn Fn(Event) + Send + Sync>,
    /// How many folders may keep a descriptor.
    pub folder_fds: usize,
    /// A masked name in the root, and the planted bytes that stand for a secret of the host under it. The box's start
    /// reads it as a probe; it must come out empty.
    pub canary: Option<Canary>,
}

/// See [`Parts::canary`].
#[derive(Debug, Clone)]
pub struct Canary {
    pub name: Vec<u8>,
    pub bytes: Vec<u8>,
}

/// Objects that a private `.git` borrows, by the folder and the name under which it shows them.
type Doors = HashMap<(Identity, Vec<u8>), Arc<OwnedFd>>;

pub struct View {
    host: HostRoot,
    policy: PathPolicy,
    store: Store,
    nodes: Nodes,
    owners: Owners,
    git_mount: bool,
    door: Box<dyn GitDoor>,
    /// Private `.git` folders with the objects they borrow, by name.
    doors: RwLock<Doors>,
    guard: LinkGuard,
    watcher: Watcher,
    /// Folders whose lists left a passing name out, and when they must be listed anew.
    relist: Mutex<Vec<(Instant, u64)>>,
    /// The canary's name and the folder of the store that holds its file.
    canary: Option<(Vec<u8>, Arc<OwnedFd>)>,
    /// Held while a private `.git` is made; lists those that could not be.
    admissions: Mutex<HashSet<(Identity, Vec<u8>)>>,
    on_event: Box<dyn Fn(Event) + Send + Sync>,
    /// Paths that were reported once; a loop in the box must not flood the log.
    reported: Mutex<HashSet<Vec<u8>>>,
    handles: RwLock<HashMap<u64, Arc<Handle>>>,
    next_handle: AtomicU64,
    /// The moment of the start, shown as the time of everything that exists only in the view.
    started: (i64, u32),
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").field("nodes", &self.nodes.count()).finish_non_exhaustive()
    }
}

/// Writes the canary into a folder of the store that no folder of the tree owns.
fn plant(store: &Store, canary: &Canary) -> Result<Arc<OwnedFd>, Errno> {
    let building = store.begin()?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = crate::host::open_child(building.fd(), &canary.name, flags, Mode::RUSR)?;
    rustix::io::write(&file, &canary.bytes)?;
    Ok(Arc::new(building.into_fd()))
}

/// How often lists that left something out are looked at.
const RELIST: Duration = Duration::from_millis(200);

/// Reports of one run; more would only be the same attack again.
const MAX_REPORTED: usize = 10_000;

impl View {
    pub fn new(parts: Parts) -> Result<Self, Errno> {
        let host = HostRoot::new(parts.root)?;
        let root = identity(&stat_fd(host.fd())?);
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let store = Store::new(parts.store);
        let canary =
            parts.canary.map(|canary| Ok::<_, Errno>((canary.name.clone(), plant(&store, &canary)?))).transpose()?;
        Ok(View {
            canary,
            guard: LinkGuard::new(),
            watcher: Watcher::new(),
            relist: Mutex::default(),
            admissions: Mutex::default(),
            nodes: Nodes::new(root, parts.folder_fds),
            host,
            policy: parts.policy,
            store,
            owners: parts.owners,
            git_mount: parts.git_mount,
            door: parts.door,
            doors: RwLock::default(),
            on_event: parts.on_event,
            reported: Mutex::default(),
            handles: RwLock::default(),
            next_handle: AtomicU64::new(1),
            started: (now.tv_sec, now.tv_nsec as u32),
        })
    }

    pub fn has_git_mount(&self) -> bool {
        self.git_mount
    }

    /// Lets the kernel remember nothing of the host for this long: what is done sooner ends sooner.
    pub fn rest(&self, time: Duration) {
        self.watcher.rest(time);
    }

    pub fn forget(&self, node: u64, count: u64) {
        self.nodes.forget(node, count);
    }

    /// Waits until the host changed something that the kernel may remember, not longer than `patience`, and says what to
    /// forget. `None`: nothing will ever come.
    pub fn wait_stale(&self, patience: Option<Duration>) -> Option<Vec<Forget>> {
        // Whether a list needs another look is checked every so often while there is such a list, and only then.
        let relisting = !self.relist.lock().unwrap().is_empty();
        let patience = if relisting { Some(patience.map_or(RELIST, |time| time.min(RELIST))) } else { patience };
        let stale = self.watcher.wait(patience)?;
        if self.watcher.was_refused() {
            let text =
                "this machine watches no more folders for us (fs.fanotify.max_user_marks); the box works on, slower";
            self.report(Event::Note { text: text.into() });
        }
        let mut forget = self.due_lists();
        for stale in stale {
            match stale {
                Stale::All => return Some(self.forget_all()),
                Stale::Folder(node) => forget.push(Forget::Object { node: node.id }),
                Stale::Name { folder, name, names } => self.forget_name(&folder, name, names, &mut forget),
            }
        }
        Some(forget)
    }

    fn due_lists(&self) -> Vec<Forget> {
        let now = Instant::now();
        let mut due = Vec::new();
        self.relist.lock().unwrap().retain(|(when, node)| {
            let later = *when > now;
            if !later {
                due.push(Forget::Object { node: *node });
            }
            later
        });
        due
    }

    fn forget_name(&self, folder: &Arc<Node>, name: Vec<u8>, names: bool, forget: &mut Vec<Forget>) {
        let object = self.object_fd(folder).ok().and_then(|fd| stat_child(fd.as_fd(), &name).ok());
        if let Some(node) = object.and_then(|stat| self.nodes.known(&View::key_of(&stat))) {
            forget.push(Forget::Object { node: node.id });
        }
        if names {
            forget.push(Forget::Name { folder: folder.id, name });
            forget.push(Forget::Object { node: folder.id });
        }
    }

    fn forget_all(&self) -> Vec<Forget> {
        self.watcher.sweep();
        let mut forget = Vec::new();
        for node in self.nodes.all() {
            forget.push(Forget::Object { node: node.id });
            let names = node.links().into_iter();
            forget.extend(names.map(|link| Forget::Name { folder: link.parent.id, name: link.name }));
        }
        forget
    }

    fn report(&self, event: Event) {
        let (tag, path) = match &event {
            Event::Refused { path, .. } => (b'r', path.as_path().as_bytes()),
            Event::Private { path } => (b'p', path.as_path().as_bytes()),
            Event::Apart { path } => (b'a', path.as_path().as_bytes()),
            Event::Note { text } => (b'n', text.as_bytes()),
        };
        let mut key = vec![tag];
        key.extend_from_slice(path);
        let mut reported = self.reported.lock().unwrap();
        if reported.len() < MAX_REPORTED && reported.insert(key) {
            drop(reported);
            (self.on_event)(event);
        }
    }
}
