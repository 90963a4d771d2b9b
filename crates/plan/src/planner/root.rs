//! The file system of the box: what stands where, from what.
//!
//! Only the box's own root, its `/tmp` and its `/run` ever get folders and files of ours; host trees are bound whole and
//! never written into. The mount points of toolchains in the box home are the one exception, and the engine makes them.

use super::GIB;
use crate::*;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The steps so far, with the folders that they made.
#[derive(Default)]
pub(super) struct Draft {
    steps: Vec<Step>,
    made: BTreeSet<PathBuf>,
    /// Where host trees stand; nothing of ours is made below them.
    bound: Vec<PathBuf>,
}

impl Draft {
    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Whether a host tree that is shown in the box holds this path.
    pub(super) fn shows(&self, path: &Path) -> bool {
        self.bound.iter().any(|tree| path.starts_with(tree))
    }

    /// Whether the path leads into a host tree, directly or by one of the box's own links (`/bin` → `usr/bin`).
    pub(super) fn reaches(&self, path: &Path) -> bool {
        let by_link = |step: &Step| matches!(step, Step::Symlink { at, .. } if path.starts_with(at.as_path()));
        self.shows(path) || self.steps.iter().any(by_link)
    }

    /// Whether the box has something at this path or below it.
    pub(super) fn stands_at_or_below(&self, path: &Path) -> bool {
        self.made.iter().chain(&self.bound).any(|at| at.starts_with(path))
    }

    /// The folder and those above it, each once.
    pub(super) fn folder(&mut self, at: &Path, mode: u32) {
        if at == Path::new("/") || self.made.contains(at) || self.shows(at) {
            return;
        }
        if let Some(parent) = at.parent() {
            self.folder(parent, 0o755);
        }
        self.made.insert(at.to_path_buf());
        self.push(Step::Folder { at: BoxPath::new(at), mode });
    }

    fn parent(&mut self, at: &Path) {
        if let Some(parent) = at.parent() {
            self.folder(parent, 0o755);
        }
    }

    pub(super) fn file(&mut self, at: &str, content: String) {
        self.parent(Path::new(at));
        self.push(Step::File { at: BoxPath::new(at), mode: 0o444, content });
    }

    pub(super) fn symlink(&mut self, at: &Path, target: OsBytes) {
        if self.made.contains(at) || self.shows(at) {
            return;
        }
        self.parent(at);
        self.made.insert(at.to_path_buf());
        self.push(Step::Symlink { at: BoxPath::new(at), target });
    }

    /// A host tree at its own path, read-only. One that a bound tree shows already is left out.
    pub(super) fn bind(&mut self, entry: &Entry) {
        let at = entry.path.as_path();
        if self.shows(at) {
            return;
        }
        self.parent(at);
        self.bind_in_place(entry);
    }

    fn bind_in_place(&mut self, entry: &Entry) {
        let at = entry.path.as_path().to_path_buf();
        self.push(Step::Bind {
            from: entry.path.clone(),
            seen: entry.seen,
            at: BoxPath::new(&at),
            access: Access::ReadOnly,
            execute: true,
        });
        self.bound.push(at);
    }

    pub(super) fn tmpfs(&mut self, at: &str, mode: u32, bytes: u64, execute: bool) {
        self.parent(Path::new(at));
        self.made.insert(at.into());
        self.push(Step::Tmpfs { at: BoxPath::new(at), mode, bytes, execute });
    }
}

/// `/usr`, `/lib64`, the harmless parts of `/etc` …: folders and files are bound, links are made again.
pub(super) fn system(draft: &mut Draft, facts: &HostFacts) {
    for entry in &facts.system {
        if lies_in_ours(entry.path.as_path(), facts) {
            continue;
        }
        match (entry.seen.kind, &entry.target) {
            (SeenKind::Symlink, Some(target)) => draft.symlink(entry.path.as_path(), target.clone()),
            (SeenKind::File | SeenKind::Folder, _) => draft.bind(entry),
            // A device, or a link without a text, is nothing that a box is given.
            _ => {}
        }
    }
}

/// Read-only in `/proc`: switches of the kernel that a container must not turn.
const PROC_READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Hidden in `/proc`: memory, keys, addresses and hardware of the host.
const PROC_HIDDEN: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kallsyms",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// `/proc`, `/dev`, and of `/sys` two files only.
///
/// A sysfs would list the host's disks, firmware and devices, and nothing that an agent runs needs it: `nproc`, Go, Rust,
/// node and the JVM ask the scheduler. The C library and a few allocators do read the list of processors, so that is
/// written down; an empty `/sys/fs/cgroup` tells language runtimes that there is no quota to find.
pub(super) fn kernel_views(draft: &mut Draft, facts: &HostFacts, shm_bytes: u64) {
    let paths = |list: &[&str]| list.iter().map(BoxPath::new).collect();
    draft.folder(Path::new("/proc"), 0o555);
    draft.push(Step::Proc { at: BoxPath::new("/proc"), read_only: paths(PROC_READ_ONLY), hidden: paths(PROC_HIDDEN) });
    for name in ["online", "possible"] {
        draft.file(&format!("/sys/devices/system/cpu/{name}"), format!("{}\n", facts.cpus));
    }
    draft.folder(Path::new("/sys/fs/cgroup"), 0o555);
    draft.folder(Path::new("/dev"), 0o755);
    draft.push(Step::Devices { at: BoxPath::new("/dev"), shm_bytes });
}

/// `/tmp`, `/run` and the names that lead there.
pub(super) fn scratch(draft: &mut Draft, ids: IdMap, tmp_bytes: u64) {
    draft.tmpfs("/tmp", 0o1777, tmp_bytes, true);
    draft.tmpfs("/run", 0o755, (tmp_bytes / 8).clamp(1 << 20, GIB), true);
    draft.folder(&runtime_dir(ids), 0o700);
    draft.folder(Path::new("/run/lock"), 0o755);
    draft.symlink(Path::new("/var/run"), OsBytes::from("/run"));
    draft.symlink(Path::new("/var/lock"), OsBytes::from("/run/lock"));
    // One scratch space with one limit, under both names.
    draft.symlink(Path::new("/var/tmp"), OsBytes::from("/tmp"));
}

pub(super) fn runtime_dir(ids: IdMap) -> PathBuf {
    format!("/run/user/{}", ids.uid_inside).into()
}

/// The box home at the caller's own home path, so that toolchains below it work at the paths they were built with.
pub(super) fn home(draft: &mut Draft, facts: &HostFacts) {
    let home = facts.caller.home.as_path();
    draft.folder(home, 0o755);
    draft.push(Step::Home { at: BoxPath::new(home) });
    for tool in &facts.toolchains {
        let at = tool.entry.path.as_path();
        if !matches!(tool.entry.seen.kind, SeenKind::File | SeenKind::Folder) || holds_what_is_ours(at, facts) {
            continue;
        }
        if draft.shows(at) {
            continue;
        }
        if at.starts_with(home) { draft.bind_in_place(&tool.entry) } else { draft.bind(&tool.entry) }
    }
}

/// A tree that is, holds or lies in the workspace, its git folder, or pinfold's own folders is no toolchain: bound, it
/// would show past the mask what the mask hides.
fn holds_what_is_ours(tree: &Path, facts: &HostFacts) -> bool {
    let holds = ours(facts).iter().any(|own| own.starts_with(tree));
    holds || lies_in_ours(tree, facts) || facts.caller.home.as_path().starts_with(tree)
}

fn lies_in_ours(tree: &Path, facts: &HostFacts) -> bool {
    ours(facts).iter().any(|own| tree.starts_with(own))
}

fn ours(facts: &HostFacts) -> Vec<PathBuf> {
    let mut own =
        vec![facts.repository.root.to_path_buf(), facts.state_dir.to_path_buf(), facts.data_dir.to_path_buf()];
    if let Some(git) = &facts.repository.git {
        own.extend([git.git_dir.to_path_buf(), git.common_dir.to_path_buf()]);
    }
    own
}

/// A repository below a system folder (`/usr/src/app` is where many images keep it) would be visible there without its
/// mask. An empty folder stands over it, and over pinfold's own folders likewise.
pub(super) fn covers(draft: &mut Draft, facts: &HostFacts) {
    let mut covered: Vec<PathBuf> = Vec::new();
    for own in ours(facts) {
        let under_home = own.starts_with(facts.caller.home.as_path());
        let done = covered.iter().any(|cover| own.starts_with(cover));
        if draft.shows(&own) && !under_home && !done {
            draft.push(Step::Tmpfs { at: BoxPath::new(&own), mode: 0o555, bytes: 1 << 16, execute: false });
            covered.push(own);
        }
    }
}

/// The workspace, the box's own `.git` over it, and the host's objects for that to borrow from.
pub(super) fn workspace(draft: &mut Draft, facts: &HostFacts) {
    let at = workspace_at();
    draft.folder(at.as_path(), 0o755);
    draft.push(Step::Workspace { at: at.clone() });
    let Some(git) = &facts.repository.git else { return };
    draft.push(Step::BoxGit { at: at.join(".git") });
    for (n, store) in git.objects.iter().enumerate() {
        let at = PathBuf::from(format!("/run/pinfold/objects/{n}"));
        draft.folder(&at, 0o755);
        draft.push(Step::Objects { from: store.path.clone(), seen: store.seen, at: BoxPath::new(at) });
    }
}
