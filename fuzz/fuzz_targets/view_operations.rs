//! A plan of operations from both sides: whatever the order, no secret is read through the view.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pinfold_maskfs::{Admitted, GitDoor, Owners, Parts, View};
use pinfold_policy::{Kind, PathPolicy, RelPath, Verdict};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RenameFlags};

const NAMES: [&str; 8] = ["a", ".env", "secrets", "HEAD", "d", "x.pem", ".git", "d.git"];

#[derive(Debug, Arbitrary)]
enum Step {
    HostWrite(u8),
    HostRemove(u8),
    HostFolder(u8),
    HostRename(u8, u8),
    Lookup(u8, u8),
    Create(u8, u8),
    Folder(u8, u8),
    Open(u8),
    Read(u8),
    Write(u8),
    Unlink(u8, u8),
    Rmdir(u8, u8),
    Rename(u8, u8, u8, u8, u8),
    Link(u8, u8, u8),
    List(u8),
    Forget(u8),
}

struct NoGit;

impl GitDoor for NoGit {
    fn admit(&self, _: BorrowedFd<'_>, _: RelPath<'_>, _: BorrowedFd<'_>) -> rustix::io::Result<Option<Admitted>> {
        Ok(None)
    }
}

fn name(index: u8) -> &'static str {
    NAMES[usize::from(index) % NAMES.len()]
}

fn open(path: &std::path::Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("made above")
}

fuzz_target!(|steps: Vec<Step>| {
    let folder = tempfile::tempdir().expect("a folder");
    let (root, store) = (folder.path().join("tree"), folder.path().join("store"));
    std::fs::create_dir(&root).expect("a folder");
    std::fs::create_dir(&store).expect("a folder");
    let policy = PathPolicy::default();
    let masked = |name: &str| policy.decide(RelPath::new(name.as_bytes()).expect("a name"), Kind::File).verdict == Verdict::Mask;
    let view = View::new(Parts {
        root: open(&root),
        store: open(&store),
        policy: PathPolicy::default(),
        owners: Owners { uid: 0, gid: 0, uid_inside: 0, gid_inside: 0, all: true },
        git_mount: false,
        door: Box::new(NoGit),
        on_event: Box::new(|_| {}),
        folder_fds: 4,
        canary: None,
    })
    .expect("a view");
    let (mut nodes, mut handles) = (vec![1u64], Vec::new());
    for step in steps.into_iter().take(64) {
        let node = |index: u8, nodes: &[u64]| nodes[usize::from(index) % nodes.len()];
        match step {
            Step::HostWrite(n) => drop(std::fs::write(root.join(name(n)), if masked(name(n)) { "SECRET" } else { "plain" })),
            Step::HostRemove(n) => drop(std::fs::remove_file(root.join(name(n)))),
            Step::HostFolder(n) => drop(std::fs::create_dir(root.join(name(n)))),
            // A secret never gets a public name here.
            Step::HostRename(n, m) if !masked(name(n)) => drop(std::fs::rename(root.join(name(n)), root.join(name(m)))),
            Step::HostRename(..) => {}
            Step::Lookup(p, n) => nodes.extend(view.lookup(node(p, &nodes), name(n).as_bytes()).map(|found| found.node)),
            Step::Create(p, n) => {
                if let Ok((found, handle)) = view.create(node(p, &nodes), name(n).as_bytes(), 0o4755, OFlags::RDWR) {
                    nodes.push(found.node);
                    handles.push(handle);
                }
            }
            Step::Folder(p, n) => nodes.extend(view.mkdir(node(p, &nodes), name(n).as_bytes(), 0o755).map(|found| found.node)),
            Step::Open(n) => handles.extend(view.open(node(n, &nodes), OFlags::RDWR).or_else(|_| view.open(node(n, &nodes), OFlags::RDONLY))),
            Step::Read(h) if !handles.is_empty() => {
                let mut bytes = [0; 32];
                if let Ok(count) = view.read(handles[usize::from(h) % handles.len()], 0, &mut bytes) {
                    assert!(!bytes[..count].starts_with(b"SECRET"));
                }
            }
            Step::Write(h) if !handles.is_empty() => {
                view.write(handles[usize::from(h) % handles.len()], 0, b"box", true).ok();
            }
            Step::Read(_) | Step::Write(_) => {}
            Step::Unlink(p, n) => drop(view.unlink(node(p, &nodes), name(n).as_bytes())),
            Step::Rmdir(p, n) => drop(view.rmdir(node(p, &nodes), name(n).as_bytes())),
            Step::Rename(p, n, q, m, flag) => {
                let flags = [RenameFlags::empty(), RenameFlags::EXCHANGE, RenameFlags::NOREPLACE][usize::from(flag) % 3];
                let (from, to) = ((node(p, &nodes), name(n).as_bytes()), (node(q, &nodes), name(m).as_bytes()));
                view.rename(from, to, flags).ok();
            }
            Step::Link(o, p, n) => nodes.extend(view.link(node(o, &nodes), node(p, &nodes), name(n).as_bytes()).map(|found| found.node)),
            Step::List(n) => {
                if let Ok((handle, _)) = view.opendir(node(n, &nodes)) {
                    view.readdir(handle, 0, 100).ok();
                    view.release(handle);
                }
            }
            Step::Forget(n) => view.forget(node(n, &nodes), 1),
        }
    }
    // The host's masked files are as the host left them.
    for name in NAMES.iter().filter(|name| masked(name)) {
        if let Ok(text) = std::fs::read_to_string(root.join(name)) {
            assert!(text != "box", "the box wrote through a mask");
        }
    }
});
