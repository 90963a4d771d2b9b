//! Random operations from inside and outside, against a reference that is too simple to be wrong.
//!
//! The reference looks at the host's real tree with plain calls, asks the policy about each name, finds masked inodes by
//! walking everything, and keeps the box's private files in a map. After every step, the view must agree with it about
//! every path that the alphabet can spell.
//!
//! `PINFOLD_MODEL_SECONDS=3600 cargo test -p pinfold-maskfs --release --test model` runs it for an hour; the seed is printed.

mod support;

use pinfold_maskfs::FileKind;
use pinfold_policy::{Kind, PathPolicy, PolicySpec, RelPath, Verdict};
use rustix::fs::{OFlags, RenameFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use support::{Rng, Tree};

const NAMES: [&str; 9] = ["a", "b.txt", ".env", "secrets", "HEAD", "deploy.pem", "dir", ".env.local", "cfg"];

/// What a path should look like from the box.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Absent,
    File(Vec<u8>),
    Folder,
    Symlink(Vec<u8>),
}

/// The reference.
struct Reference {
    root: PathBuf,
    policy: PathPolicy,
    /// The box's own files, by the inode of the host folder they are in, then by the path below that.
    private: HashMap<u64, BTreeMap<PathBuf, Seen>>,
    /// Private originals that the box removed: folder inode and name.
    removed: Vec<(u64, String)>,
}

impl Reference {
    fn verdict(&self, path: &Path, kind: Kind) -> Verdict {
        use std::os::unix::ffi::OsStrExt;
        self.policy.decide(RelPath::new(path.as_os_str().as_bytes()).unwrap(), kind).verdict
    }

    fn host(&self, path: &Path) -> Seen {
        let full = self.root.join(path);
        match std::fs::symlink_metadata(&full) {
            Err(_) => Seen::Absent,
            Ok(meta) if meta.is_dir() => Seen::Folder,
            Ok(meta) if meta.is_symlink() => {
                use std::os::unix::ffi::OsStringExt;
                Seen::Symlink(std::fs::read_link(&full).unwrap().into_os_string().into_vec())
            }
            Ok(_) => Seen::File(std::fs::read(&full).unwrap_or_default()),
        }
    }

    fn kind(seen: &Seen) -> Kind {
        match seen {
            Seen::Folder => Kind::Folder,
            Seen::Symlink(_) => Kind::Symlink,
            Seen::File(_) | Seen::Absent => Kind::File,
        }
    }

    fn inode(&self, path: &Path) -> Option<u64> {
        std::fs::symlink_metadata(self.root.join(path)).ok().map(|meta| meta.ino())
    }

    /// Whether any masked name in the tree is the inode at this path.
    fn has_masked_name(&self, path: &Path) -> bool {
        let meta = std::fs::symlink_metadata(self.root.join(path)).unwrap();
        let (inode, mut found) = (meta.ino(), false);
        if meta.nlink() < 2 {
            return false;
        }
        support::walk(&self.root, &mut |path, meta| {
            let relative = path.strip_prefix(&self.root).unwrap();
            if meta.is_file() && meta.ino() == inode && self.verdict(relative, Kind::File) == Verdict::Mask {
                found = true;
            }
        });
        found
    }

    /// What the box should see at a path.
    fn expected(&self, path: &Path) -> Seen {
        let Some(parent) = path.parent() else { return Seen::Folder };
        // Walk down: the first private or masked step decides for everything below it.
        if !parent.as_os_str().is_empty() {
            match self.expected(parent) {
                Seen::Folder => {}
                _ => return Seen::Absent,
            }
        }
        if let Some((base, below)) = self.private_base(path) {
            if let Some(seen) = self.private_at(base, &below) {
                return seen;
            }
            if below.components().count() > 1 {
                return Seen::Absent;
            }
        }
        let host = self.host(path);
        let kind = Self::kind(&host);
        if host == Seen::Absent {
            return Seen::Absent;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match self.verdict(path, kind) {
            Verdict::Mask if host == Seen::Folder => Seen::Folder,
            Verdict::Mask => Seen::File(Vec::new()),
            Verdict::Private if self.removed.contains(&(self.inode(parent_of(path)).unwrap(), name)) => Seen::Absent,
            _ => match &host {
                Seen::File(_) if self.has_masked_name(path) => Seen::File(Vec::new()),
                _ => host,
            },
        }
    }

    /// What the box has of its own there. A folder that stands for a masked one lasts while the box has something in it.
    fn private_at(&self, base: u64, below: &Path) -> Option<Seen> {
        let map = self.private.get(&base)?;
        let holds = map.keys().any(|key| key != below && key.starts_with(below));
        map.get(below).cloned().or(holds.then_some(Seen::Folder))
    }

    /// The host folder that a private path hangs from, and the path below it: the deepest existing host folder whose
    /// next step is private.
    fn private_base(&self, path: &Path) -> Option<(u64, PathBuf)> {
        let mut base = PathBuf::new();
        let mut parts = path.components().peekable();
        loop {
            let inode = self.inode(&base)?;
            let rest: PathBuf = parts.clone().collect();
            let step = PathBuf::from(parts.next()?.as_os_str());
            let next = base.join(&step);
            let host = self.host(&next);
            let is_private = self.private_at(inode, &step).is_some();
            let masked_folder = host == Seen::Folder && self.verdict(&next, Kind::Folder) == Verdict::Mask;
            if is_private || masked_folder || parts.peek().is_none() {
                return Some((inode, rest));
            }
            if host != Seen::Folder {
                return None;
            }
            base = next;
        }
    }
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

fn all_paths() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = NAMES.iter().map(PathBuf::from).collect();
    for folder in ["secrets", "dir", "cfg"] {
        for name in NAMES {
            paths.push(Path::new(folder).join(name));
        }
    }
    paths
}

/// What the view answers, by the same measure.
fn seen(tree: &Tree, path: &Path) -> Seen {
    let Ok(found) = tree.find(path) else { return Seen::Absent };
    let mode = found.attr.mode & 0o170_000;
    let seen = match mode {
        0o040_000 => Seen::Folder,
        0o120_000 => Seen::Symlink(tree.view.readlink(found.node).unwrap()),
        _ => match tree.read(found.node) {
            Ok(bytes) => {
                assert_eq!(bytes.len() as u64, found.attr.size, "size and bytes of {path:?} disagree");
                Seen::File(bytes)
            }
            Err(e) => panic!("{path:?} was found and can't be read: {e}"),
        },
    };
    tree.view.forget(found.node, 1);
    seen
}

#[test]
fn the_view_agrees_with_a_simple_reference() {
    let seconds = std::env::var("PINFOLD_MODEL_SECONDS").ok().and_then(|text| text.parse().ok());
    let budget = Duration::from_secs(seconds.unwrap_or(12));
    let seed =
        std::env::var("PINFOLD_MODEL_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(support::seed);
    let started = Instant::now();
    let mut round = 0;
    while started.elapsed() < budget {
        one_history(seed.wrapping_add(round));
        round += 1;
    }
    assert!(round > 0);
}

fn one_history(seed: u64) {
    let tree = Tree::new();
    let mut reference = Reference {
        root: tree.root.clone(),
        policy: PathPolicy::new(&PolicySpec::default()).unwrap(),
        private: HashMap::new(),
        removed: Vec::new(),
    };
    let mut rng = Rng::new(seed);
    let paths = all_paths();
    let mut history = Vec::new();
    for step in 0..60 {
        let what = if rng.below(2) == 0 {
            outside(&tree, &mut rng, &paths, &mut reference)
        } else {
            inside(&tree, &mut rng, &paths, &mut reference)
        };
        history.push(what);
        for path in &paths {
            let (want, got) = (reference.expected(path), seen(&tree, path));
            assert_eq!(got, want, "seed {seed}, step {step}, at {path:?}, after:\n{}", history.join("\n"));
            if let Seen::File(bytes) = &got {
                let secret = bytes.windows(6).any(|window| window == b"SECRET");
                assert!(!secret, "seed {seed}: a secret at {path:?} after:\n{}", history.join("\n"));
            }
        }
    }
}

/// Any path, though more often one that exists: calls that fail teach little.
fn some_path(tree: &Tree, rng: &mut Rng, paths: &[PathBuf]) -> PathBuf {
    let mut existing = Vec::new();
    support::walk(&tree.root, &mut |path, _| existing.push(path.strip_prefix(&tree.root).unwrap().to_owned()));
    if existing.is_empty() || rng.below(3) == 0 { rng.pick(paths).clone() } else { rng.pick(&existing).clone() }
}

/// One call of the host. Bytes under masked names are secrets; a secret is overwritten before its name becomes public.
fn outside(tree: &Tree, rng: &mut Rng, paths: &[PathBuf], reference: &mut Reference) -> String {
    let path = some_path(tree, rng, paths);
    let full = tree.root.join(&path);
    let content = |path: &Path| -> &[u8] {
        if reference.verdict(path, Kind::File) == Verdict::Mask { b"SECRET of the host" } else { b"plain of the host" }
    };
    // A masked name that goes leaves its inode to its other names: then its bytes must not be secret any more.
    let release = |path: &Path| {
        let full = tree.root.join(path);
        if full.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.nlink() > 1) {
            std::fs::write(&full, b"no longer a secret").unwrap();
        }
    };
    match rng.below(7) {
        0 | 1 => {
            // In place. Through a hard link this may put a secret under a public name's inode, which masks both.
            let done = std::fs::write(&full, content(&path));
            format!("host writes {path:?}: {done:?}")
        }
        2 => {
            if full.is_dir() {
                return "nothing".into();
            }
            let temporary = tree.outside.join("replacement");
            std::fs::write(&temporary, content(&path)).unwrap();
            release(&path);
            let done = std::fs::rename(&temporary, &full);
            format!("host replaces {path:?}: {done:?}")
        }
        3 => {
            release(&path);
            let done = std::fs::remove_file(&full).or_else(|_| std::fs::remove_dir(&full));
            format!("host removes {path:?}: {done:?}")
        }
        4 => {
            let done = std::fs::create_dir(&full);
            format!("host makes folder {path:?}: {done:?}")
        }
        5 => {
            let to = rng.pick(paths).clone();
            let masked = |path: &Path| reference.verdict(path, Kind::File) == Verdict::Mask;
            if full.is_file() && masked(&path) && !masked(&to) {
                std::fs::write(&full, b"no longer a secret").unwrap();
            }
            if full.is_dir() && !masked(&to.join("x")) {
                return "nothing".into();
            }
            release(&to);
            let done = std::fs::rename(&full, tree.root.join(&to));
            format!("host renames {path:?} to {to:?}: {done:?}")
        }
        _ => {
            let to = rng.pick(paths).clone();
            let done = std::fs::hard_link(&full, tree.root.join(&to));
            format!("host links {path:?} to {to:?}: {done:?}")
        }
    }
}

/// One call of the box; the reference's private side moves along when the call succeeds.
fn inside(tree: &Tree, rng: &mut Rng, paths: &[PathBuf], reference: &mut Reference) -> String {
    let path = some_path(tree, rng, paths);
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let before = reference.expected(&path);
    match rng.below(5) {
        0 | 1 => {
            let text = b"made by the box";
            let done = write(tree, &path, text);
            check_write(&path, &before, &done, reference);
            if done.is_ok() && is_private(reference, &path, Kind::File) {
                put(reference, &path, Seen::File(text.to_vec()));
            }
            format!("box writes {path:?}: {done:?}")
        }
        2 => {
            let done = tree.parent(&path).and_then(|parent| tree.view.mkdir(parent, name.as_bytes(), 0o755));
            if done.is_ok() && is_private(reference, &path, Kind::Folder) {
                put(reference, &path, Seen::Folder);
            }
            format!("box makes folder {path:?}: {:?}", done.map(|_| ()))
        }
        3 => {
            let private = is_private(reference, &path, Reference::kind(&before));
            let done = tree.parent(&path).and_then(|parent| match before {
                Seen::Folder => tree.view.rmdir(parent, name.as_bytes()),
                _ => tree.view.unlink(parent, name.as_bytes()),
            });
            if done.is_ok() && private {
                take(reference, &path);
            }
            let original = reference.host(&path) != Seen::Absent;
            if done.is_ok() && original && reference.verdict(&path, Kind::File) == Verdict::Private {
                let folder = reference.inode(parent_of(&path));
                reference.removed.extend(folder.map(|folder| (folder, name.clone())));
            }
            format!("box removes {path:?}: {done:?}")
        }
        _ => {
            let to = rng.pick(paths).clone();
            let to_name = to.file_name().unwrap().to_str().unwrap().to_owned();
            // Only files: what a folder's rename may carry is the escape corpus's business.
            if !matches!(before, Seen::File(_)) || to == path {
                return "nothing".into();
            }
            let (from_private, target) = (is_private(reference, &path, Kind::File), reference.expected(&to));
            let to_private = is_private(reference, &to, Kind::File);
            let same_inode = !from_private && !to_private && reference.inode(&path) == reference.inode(&to);
            let done = tree.parent(&path).and_then(|parent| {
                let to_parent = tree.parent(&to)?;
                let (from, into) = ((parent, name.as_bytes()), (to_parent, to_name.as_bytes()));
                tree.view.rename(from, into, RenameFlags::empty())
            });
            if done.is_ok() && !same_inode {
                assert_ne!(target, Seen::Folder, "a file replaced a folder");
                if from_private {
                    take(reference, &path);
                    if reference.verdict(&path, Kind::File) == Verdict::Private && reference.host(&path) != Seen::Absent
                    {
                        let folder = reference.inode(parent_of(&path)).unwrap();
                        reference.removed.push((folder, name.clone()));
                    }
                }
                if to_private {
                    put(reference, &to, before);
                }
            }
            format!("box renames {path:?} to {to:?}: {done:?}")
        }
    }
}

/// A decoy refuses with "Read-only file system", and nothing else does.
fn check_write(path: &Path, before: &Seen, done: &Result<(), Errno>, reference: &Reference) {
    let host = reference.host(path);
    let decoy = matches!(before, Seen::File(_))
        && host != Seen::Absent
        && !is_private_now(reference, path)
        && (reference.verdict(path, Kind::File) == Verdict::Mask
            || matches!(host, Seen::File(_)) && reference.has_masked_name(path));
    assert_eq!(decoy, *done == Err(Errno::ROFS), "writing {path:?} gave {done:?}");
}

fn is_private_now(reference: &Reference, path: &Path) -> bool {
    reference.private_base(path).is_some_and(|(base, below)| reference.private_at(base, &below).is_some())
}

/// Whether what the box makes at this path stays in the box.
fn is_private(reference: &Reference, path: &Path, kind: Kind) -> bool {
    is_private_now(reference, path) || matches!(reference.verdict(path, kind), Verdict::Mask | Verdict::Private)
}

fn put(reference: &mut Reference, path: &Path, seen: Seen) {
    let Some((base, below)) = reference.private_base(path) else { return };
    reference.private.entry(base).or_default().insert(below, seen);
}

fn take(reference: &mut Reference, path: &Path) {
    let Some((base, below)) = reference.private_base(path) else { return };
    if let Some(map) = reference.private.get_mut(&base) {
        map.remove(&below);
    }
}

fn write(tree: &Tree, path: &Path, text: &[u8]) -> Result<(), Errno> {
    let parent = tree.parent(path)?;
    let name = path.file_name().unwrap().to_str().unwrap().as_bytes();
    let handle = match tree.view.lookup(parent, name) {
        Ok(found) => {
            let opened = tree.view.open(found.node, OFlags::WRONLY);
            let truncated = opened.and_then(|handle| {
                let change = pinfold_maskfs::view::Change { size: Some(0), ..Default::default() };
                tree.view.setattr(found.node, Some(handle), &change).map(|_| handle)
            });
            tree.view.forget(found.node, 1);
            truncated?
        }
        Err(Errno::NOENT) => tree.view.create(parent, name, 0o644, OFlags::WRONLY)?.1,
        Err(e) => return Err(e),
    };
    let done = tree.view.write(handle, 0, text, false);
    tree.view.release(handle);
    done.map(|_| ())
}

#[test]
fn no_secret_is_read_while_host_and_box_act_at_once() {
    let seconds = std::env::var("PINFOLD_MODEL_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let until = Instant::now() + Duration::from_secs(seconds);
    let tree = Tree::new();
    let policy = PathPolicy::new(&PolicySpec::default()).unwrap();
    let paths = all_paths();
    let seed = support::seed();
    let masked = |path: &Path| {
        use std::os::unix::ffi::OsStrExt;
        policy.decide(RelPath::new(path.as_os_str().as_bytes()).unwrap(), Kind::File).verdict == Verdict::Mask
    };
    let reads = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        // Two hands of the host. They never give a secret a public name; everything else goes.
        for hand in 0..2 {
            let (tree, paths, masked) = (&tree, &paths, &masked);
            scope.spawn(move || {
                let mut rng = Rng::new(seed.wrapping_add(hand));
                while Instant::now() < until {
                    let (path, to) = (rng.pick(paths), rng.pick(paths));
                    let (full, full_to) = (tree.root.join(path), tree.root.join(to));
                    let text: &[u8] = if masked(path) { b"SECRET" } else { b"plain" };
                    let temporary = tree.outside.join(format!("replacement-{hand}"));
                    match rng.below(6) {
                        0 => drop(std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, &full))),
                        1 => drop(std::fs::remove_file(&full)),
                        2 => drop(std::fs::create_dir(&full)),
                        3 => drop(std::fs::remove_dir(&full)),
                        4 if !masked(path) && !full.is_dir() => drop(std::fs::rename(&full, &full_to)),
                        // A second name for a masked file: it is a secret under that name too while both stand.
                        5 if masked(path) && masked(to) => drop(std::fs::hard_link(&full, &full_to)),
                        _ => {}
                    }
                }
            });
        }
        for reader in 0..3 {
            let (tree, paths, reads) = (&tree, &paths, &reads);
            scope.spawn(move || {
                let mut rng = Rng::new(seed.wrapping_add(100 + reader));
                let mut held = Vec::new();
                while Instant::now() < until {
                    let path = rng.pick(paths);
                    if let Ok(found) = tree.find(path) {
                        if let Ok(handle) = tree.view.open(found.node, OFlags::RDONLY) {
                            held.push(handle);
                        }
                        tree.view.forget(found.node, 1);
                    }
                    if held.len() > 20 {
                        tree.view.release(held.swap_remove(rng.below(20) as usize));
                    }
                    for handle in &held {
                        let mut bytes = [0; 64];
                        if let Ok(count) = tree.view.read(*handle, 0, &mut bytes) {
                            reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            assert!(!bytes[..count].starts_with(b"SECRET"), "seed {seed}: {path:?}");
                        }
                    }
                }
            });
        }
        let (tree, paths) = (&tree, &paths);
        scope.spawn(move || {
            let mut rng = Rng::new(seed.wrapping_add(200));
            while Instant::now() < until {
                let path = rng.pick(paths);
                write(tree, path, b"made by the box").ok();
                if let Ok(parent) = tree.parent(path) {
                    let name = path.file_name().unwrap().to_str().unwrap().as_bytes();
                    let to = rng.pick(paths);
                    if let Ok(to_parent) = tree.parent(to) {
                        let to_name = to.file_name().unwrap().to_str().unwrap().as_bytes();
                        tree.view.rename((parent, name), (to_parent, to_name), RenameFlags::empty()).ok();
                    }
                    tree.view.unlink(parent, name).ok();
                }
            }
        });
    });
    let reads = reads.into_inner();
    assert!(reads > 1000, "only {reads} reads: the readers hardly ran");
}

#[test]
fn listed_names_are_those_that_the_box_has() {
    let tree = Tree::new();
    std::fs::write(tree.root.join("a"), "x").unwrap();
    std::fs::write(tree.root.join(".env"), "SECRET").unwrap();
    std::fs::create_dir(tree.root.join("secrets")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, tree.root.join("pipe"), rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    write(&tree, Path::new(".env.local"), b"mine").unwrap();
    let (root, _) = tree.view.opendir(1).unwrap();
    let names: Vec<_> = tree.view.readdir(root, 0, 100).unwrap();
    let mut shown: Vec<_> = names.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect();
    shown.sort();
    assert_eq!(shown, [".", "..", ".env.local", "a"]);
    assert!(names.iter().any(|entry| entry.name == b"a" && entry.kind == FileKind::File));
    assert_eq!(tree.find(Path::new("pipe")).unwrap_err(), Errno::NOENT);
}
