//! A view over a temporary tree, driven without a mount.
#![allow(dead_code, reason = "not every test file uses every helper")]

use pinfold_maskfs::view::Found;
use pinfold_maskfs::{Admitted, GitDoor, Owners, Parts, View};
use pinfold_policy::{PathPolicy, PolicySpec, RelPath};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

pub struct Tree {
    pub view: View,
    pub root: PathBuf,
    /// On the same file system, outside of the tree.
    pub outside: PathBuf,
    _folder: tempfile::TempDir,
}

struct NoGit;

impl GitDoor for NoGit {
    fn admit(&self, _: BorrowedFd<'_>, _: RelPath<'_>, _: BorrowedFd<'_>) -> Result<Option<Admitted>, Errno> {
        Ok(None)
    }
}

impl Tree {
    #[allow(clippy::new_without_default, reason = "it makes folders")]
    pub fn new() -> Tree {
        // As the server does. These tests keep look-ups that a kernel would give back, and with them descriptors.
        let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        files.current = files.maximum;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, files).expect("a soft limit may rise");
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (root, store, outside) = (make("tree"), make("store"), make("outside"));
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let view = View::new(Parts {
            root: open(&root),
            store: open(&store),
            policy: PathPolicy::new(&PolicySpec::default()).unwrap(),
            owners: Owners { uid, gid, uid_inside: uid, gid_inside: gid, all: false },
            git_mount: false,
            door: Box::new(NoGit),
            on_event: Box::new(|_| {}),
            folder_fds: 16,
            canary: None,
        })
        .unwrap();
        Tree { view, root, outside, _folder: folder }
    }

    /// Looks a path up, name by name, and gives back all but the last look-up.
    pub fn find(&self, path: &Path) -> Result<Found, Errno> {
        let parent = self.parent(path)?;
        self.view.lookup(parent, path.file_name().unwrap().as_encoded_bytes())
    }

    /// The node of the folder that holds this path. Its look-ups are not given back: a kernel keeps them for long, too.
    pub fn parent(&self, path: &Path) -> Result<u64, Errno> {
        let mut node = 1;
        for step in path.parent().into_iter().flat_map(Path::components) {
            node = self.view.lookup(node, step.as_os_str().as_encoded_bytes())?.node;
        }
        Ok(node)
    }

    pub fn read(&self, node: u64) -> Result<Vec<u8>, Errno> {
        let handle = self.view.open(node, OFlags::RDONLY)?;
        let mut bytes = vec![0; 4096];
        let count = self.view.read(handle, 0, &mut bytes);
        self.view.release(handle);
        bytes.truncate(count?);
        Ok(bytes)
    }
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Calls `each` for everything below a folder.
pub fn walk(folder: &Path, each: &mut dyn FnMut(&Path, &std::fs::Metadata)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.path().symlink_metadata() else { continue };
        each(&entry.path(), &meta);
        if meta.is_dir() {
            walk(&entry.path(), each);
        }
    }
}

/// SplitMix64: small, and the same on every machine.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A fresh seed; failures print it.
pub fn seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
}
