//! The objects that the kernel holds on to, by number.
//!
//! One node for each object (not for each name): two hard links are one node, as in any file system. A node remembers one
//! name it was reached by, so that it can be opened again without keeping a descriptor for every file of a large tree.

use crate::host::{FileKind, Identity};
use rustix::fd::OwnedFd;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock, Weak};

/// Where a node's object lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the host's tree. Whether the box may change it, or gets a copy, is decided at each call by its path.
    Host,
    /// In the private store.
    Private,
    /// Nowhere: an empty file that stands for a masked one.
    Decoy,
    /// A host folder outside of the tree's rules, read-only: the objects that a private `.git` borrows from.
    Door,
    /// The root's `.git`, over which the box's own repository is mounted.
    GitMount,
}

/// What a node is found by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Real(Identity),
    Decoy { folder: Identity, name: Vec<u8> },
    GitMount,
}

#[derive(Debug, Clone)]
pub struct Link {
    pub parent: Arc<Node>,
    pub name: Vec<u8>,
}

#[derive(Debug)]
pub struct Node {
    pub id: u64,
    pub kind: FileKind,
    pub state: RwLock<NodeState>,
    /// An `O_PATH` descriptor, kept for folders while the budget lasts and for objects that lost their last name.
    pub fd: Mutex<Option<Arc<OwnedFd>>>,
    /// A folder whose changes the host reports.
    pub marked: AtomicBool,
    /// Open files of this node, to reach it by when its name is gone.
    pub handles: Mutex<Vec<Weak<OwnedFd>>>,
}

#[derive(Debug, Clone)]
pub struct NodeState {
    pub place: Place,
    pub key: Key,
    /// The names it was reached by that may still be its own, the latest last. Empty for the root.
    pub links: Vec<Link>,
    /// The object lost its name while in use: its descriptor must not be given back.
    pub orphan: bool,
}

#[derive(Debug)]
pub struct Nodes {
    table: Mutex<Table>,
    folder_fds: usize,
}

#[derive(Debug)]
struct Table {
    next: u64,
    by_id: HashMap<u64, Entry>,
    by_key: HashMap<Key, u64>,
    with_fd: VecDeque<Weak<Node>>,
}

#[derive(Debug)]
struct Entry {
    node: Arc<Node>,
    lookups: u64,
}

impl Node {
    fn new(id: u64, kind: FileKind, state: NodeState) -> Arc<Self> {
        Arc::new(Node {
            id,
            kind,
            state: RwLock::new(state),
            fd: Mutex::default(),
            marked: AtomicBool::new(false),
            handles: Mutex::default(),
        })
    }

    pub fn place(&self) -> Place {
        self.state.read().unwrap().place
    }

    /// The name it was last reached by.
    pub fn link(&self) -> Option<Link> {
        self.state.read().unwrap().links.last().cloned()
    }

    pub fn links(&self) -> Vec<Link> {
        self.state.read().unwrap().links.clone()
    }

    /// A name that turned out to be another object's, or nobody's.
    pub fn drop_link(&self, gone: &Link) {
        let mut state = self.state.write().unwrap();
        // The last one is kept: it is where a file without a name once stood.
        if state.links.len() > 1 {
            state.links.retain(|link| !link.same(gone));
        }
    }

    pub fn key(&self) -> Key {
        self.state.read().unwrap().key.clone()
    }

    /// A descriptor of any open file of this node.
    pub fn any_handle(&self) -> Option<Arc<OwnedFd>> {
        self.handles.lock().unwrap().iter().find_map(Weak::upgrade)
    }

    pub fn remember_handle(&self, fd: &Arc<OwnedFd>) {
        let mut handles = self.handles.lock().unwrap();
        handles.retain(|handle| handle.strong_count() > 0);
        handles.push(Arc::downgrade(fd));
    }
}

impl Link {
    fn same(&self, other: &Link) -> bool {
        self.parent.id == other.parent.id && self.name == other.name
    }
}

/// Names of one file that are remembered. The kernel may remember more; those it has to look up again.
const MAX_LINKS: usize = 64;

impl NodeState {
    fn add(&mut self, link: Link, kind: FileKind) {
        // A folder has one name; any other was its name once.
        if kind == FileKind::Folder {
            self.links.clear();
        }
        self.links.retain(|known| !known.same(&link));
        if self.links.len() >= MAX_LINKS {
            self.links.remove(0);
        }
        self.links.push(link);
    }
}

impl Nodes {
    /// `folder_fds`: how many folders may keep a descriptor (a count; older ones are reopened by name when needed).
    pub fn new(root: Identity, folder_fds: usize) -> Self {
        let state = NodeState { place: Place::Host, key: Key::Real(root), links: Vec::new(), orphan: false };
        let node = Node::new(crate::abi::ROOT_ID, FileKind::Folder, state);
        let table = Table {
            next: crate::abi::ROOT_ID + 1,
            by_key: HashMap::from([(Key::Real(root), node.id)]),
            by_id: HashMap::from([(node.id, Entry { node, lookups: 1 })]),
            with_fd: VecDeque::new(),
        };
        Nodes { table: Mutex::new(table), folder_fds }
    }

    pub fn get(&self, id: u64) -> Option<Arc<Node>> {
        self.table.lock().unwrap().by_id.get(&id).map(|entry| entry.node.clone())
    }

    /// Finds or makes the node of an object, counts one look-up, and remembers the name it was reached by.
    pub fn reach(&self, key: Key, place: Place, kind: FileKind, link: Link) -> Arc<Node> {
        let mut table = self.table.lock().unwrap();
        if let Some(id) = table.by_key.get(&key).copied() {
            let entry = table.by_id.get_mut(&id).expect("both maps agree");
            entry.lookups += 1;
            let mut state = entry.node.state.write().unwrap();
            state.place = place;
            if id != crate::abi::ROOT_ID {
                state.add(link, kind);
            }
            state.orphan = false;
            return entry.node.clone();
        }
        let id = table.next;
        table.next += 1;
        let state = NodeState { place, key: key.clone(), links: vec![link], orphan: false };
        let node = Node::new(id, kind, state);
        table.by_key.insert(key, id);
        table.by_id.insert(id, Entry { node: node.clone(), lookups: 1 });
        node
    }

    /// The object behind a node became another one (a private copy was made of it).
    pub fn rekey(&self, node: &Arc<Node>, key: Key, place: Place) {
        let mut table = self.table.lock().unwrap();
        let mut state = node.state.write().unwrap();
        table.by_key.remove(&state.key);
        table.by_key.insert(key.clone(), node.id);
        state.key = key;
        state.place = place;
        drop(state);
        *node.fd.lock().unwrap() = None;
    }

    /// The node known for an object, without counting a look-up.
    pub fn known(&self, key: &Key) -> Option<Arc<Node>> {
        let table = self.table.lock().unwrap();
        let id = table.by_key.get(key)?;
        table.by_id.get(id).map(|entry| entry.node.clone())
    }

    /// An object lost its last name: a new object with the same identity must become another node.
    pub fn orphan(&self, node: &Arc<Node>, fd: OwnedFd) {
        let mut table = self.table.lock().unwrap();
        let mut state = node.state.write().unwrap();
        if table.by_key.get(&state.key) == Some(&node.id) {
            table.by_key.remove(&state.key);
        }
        state.orphan = true;
        drop(state);
        *node.fd.lock().unwrap() = Some(Arc::new(fd));
    }

    pub fn relink(&self, node: &Arc<Node>, link: Link) {
        if node.id != crate::abi::ROOT_ID {
            node.state.write().unwrap().add(link, node.kind);
        }
    }

    pub fn forget(&self, id: u64, count: u64) {
        let mut table = self.table.lock().unwrap();
        let Some(entry) = table.by_id.get_mut(&id) else { return };
        entry.lookups = entry.lookups.saturating_sub(count);
        if entry.lookups > 0 || id == crate::abi::ROOT_ID {
            return;
        }
        let entry = table.by_id.remove(&id).expect("found above");
        let key = entry.node.key();
        if table.by_key.get(&key) == Some(&id) {
            table.by_key.remove(&key);
        }
        // The node may be the last holder of a long chain of parents: let it go outside the lock.
        drop(table);
        drop(entry);
    }

    /// Keeps a folder's descriptor, and lets the oldest go when the budget is spent.
    pub fn keep_fd(&self, node: &Arc<Node>, fd: Arc<OwnedFd>) {
        *node.fd.lock().unwrap() = Some(fd);
        let mut table = self.table.lock().unwrap();
        table.with_fd.push_back(Arc::downgrade(node));
        while table.with_fd.len() > self.folder_fds {
            let Some(oldest) = table.with_fd.pop_front().and_then(|old| old.upgrade()) else { continue };
            if !oldest.state.read().unwrap().orphan {
                *oldest.fd.lock().unwrap() = None;
            }
        }
    }

    /// Every node there is.
    pub fn all(&self) -> Vec<Arc<Node>> {
        self.table.lock().unwrap().by_id.values().map(|entry| entry.node.clone()).collect()
    }

    pub fn count(&self) -> usize {
        self.table.lock().unwrap().by_id.len()
    }
}
