//! The second pair of eyes. It reads a finished plan and asks whether it is a box, sharing no helper with the planner:
//! a mistake there has to get past code that was thought out apart from it.
//!
//! Each rule is a function in [`RULES`] and knows nothing of the others. A rule says what must hold of any plan, not how
//! the planner happens to write it.

use crate::*;
use std::fmt;
use std::ops::Deref;
use std::path::{Component, Path};

/// A plan that every rule has passed. Only [`check`] makes one, and the engine takes nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedPlan(Plan);

impl Deref for CheckedPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.0
    }
}

/// One thing that is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub rule: &'static str,
    pub what: String,
}

/// The plan is not a box. This is always a bug of pinfold, never of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckError(pub Vec<Finding>);

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the plan of this box breaks its own rules")?;
        for finding in &self.0 {
            write!(f, "\n  {}: {}", finding.rule, finding.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for CheckError {}

/// What a rule may look at.
struct Sight<'a> {
    plan: &'a Plan,
    request: &'a Request,
    facts: &'a HostFacts,
}

type Rule = fn(&Sight<'_>, &mut dyn FnMut(String));

const RULES: &[(&str, Rule)] = &[
    ("format", format),
    ("phases", phases),
    ("once", once),
    ("namespaces", namespaces),
    ("ids", identities),
    ("binds", binds),
    ("bind sources", bind_sources),
    ("nothing of ours in a host tree", own_things),
    ("no mount hides another", shadows),
    ("workspace", workspace),
    ("proc", proc),
    ("limits", limits),
    ("second wall", second_wall),
    ("filter", filter),
    ("probes", probes),
    ("environment", environment),
    ("command", command),
];

/// Holds the plan against every rule.
pub fn check(plan: Plan, request: &Request, facts: &HostFacts) -> Result<CheckedPlan, CheckError> {
    let sight = Sight { plan: &plan, request, facts };
    let mut findings = Vec::new();
    for (rule, holds) in RULES {
        holds(&sight, &mut |what| findings.push(Finding { rule, what }));
    }
    if findings.is_empty() { Ok(CheckedPlan(plan)) } else { Err(CheckError(findings)) }
}

fn format(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let plan = on.plan;
    if plan.version != 1 {
        wrong(format!("version {} is not this one", plan.version));
    }
    if plan.run_id != on.request.run_id
        || plan.run_id.len() != 32
        || !plan.run_id.bytes().all(|b| b.is_ascii_hexdigit())
    {
        wrong(format!("run id {:?} is not the request's, in 32 hex digits", plan.run_id));
    }
    let run_dir = plan.run_dir.as_path();
    if run_dir.parent() != Some(on.facts.state_dir.as_path().join("runs").as_path())
        || run_dir.file_name() != Some(plan.run_id.as_ref())
    {
        wrong(format!("the run's folder {} is not below the state folder", plan.run_dir));
    }
    let homes = on.facts.data_dir.as_path().join("homes");
    let below: Vec<_> = match plan.home_dir.as_path().strip_prefix(&homes) {
        Ok(below) => below.components().collect(),
        Err(_) => vec![],
    };
    if below.len() != 2 || !below.iter().all(|part| matches!(part, Component::Normal(_))) {
        wrong(format!("the box home {} is not <data>/homes/<repository>/<agent>", plan.home_dir));
    }
    for (path, content) in &plan.home_files {
        let safe = !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !safe || content.len() > 1 << 16 {
            wrong(format!("home file {path:?} leaves the home or is too large"));
        }
    }
    if plan.timeout != on.request.limits.timeout || plan.accepted != on.request.accepted {
        wrong("time-out or given-up protections are not what was asked for".into());
    }
}

/// Where in the life of a box a step belongs.
fn phase(step: &Step) -> u8 {
    match step {
        Step::Cgroup { .. } => 0,
        Step::Namespaces(_) => 1,
        Step::MapIds(_) => 2,
        Step::Hostname { .. } | Step::Loopback => 3,
        Step::Folder { .. }
        | Step::Symlink { .. }
        | Step::File { .. }
        | Step::Bind { .. }
        | Step::Tmpfs { .. }
        | Step::Devices { .. }
        | Step::Proc { .. }
        | Step::Home { .. }
        | Step::Workspace { .. }
        | Step::BoxGit { .. }
        | Step::Objects { .. } => 4,
        Step::Seal => 5,
        Step::Limit(_) => 6,
        Step::DropPrivileges => 7,
        Step::Landlock { .. } => 8,
        Step::Seccomp { .. } => 9,
        Step::Probe(_) => 10,
        Step::Exec(_) => 11,
    }
}

fn phases(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    for pair in on.plan.steps.windows(2) {
        if phase(&pair[0]) > phase(&pair[1]) {
            wrong(format!("{:?} comes after {:?}", pair[1], pair[0]));
        }
    }
    if !matches!(on.plan.steps.last(), Some(Step::Exec(_))) {
        wrong("the last step does not start the command".into());
    }
}

fn once(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let count = |is: fn(&Step) -> bool| on.plan.steps.iter().filter(|step| is(step)).count();
    let git = usize::from(on.facts.repository.git.is_some());
    let landlock = usize::from(!on.plan.accepted.iter().any(|name| name == "landlock") || on.facts.landlock_abi > 0);
    let stores = on.facts.repository.git.as_ref().map_or(0, |git| git.objects.len());
    for (name, is, wanted) in [
        ("namespaces", (|s| matches!(s, Step::Namespaces(_))) as fn(&Step) -> bool, 1),
        ("id map", |s| matches!(s, Step::MapIds(_)), 1),
        ("host name", |s| matches!(s, Step::Hostname { .. }), 1),
        ("loopback", |s| matches!(s, Step::Loopback), 1),
        ("/proc", |s| matches!(s, Step::Proc { .. }), 1),
        ("/dev", |s| matches!(s, Step::Devices { .. }), 1),
        ("home", |s| matches!(s, Step::Home { .. }), 1),
        ("workspace", |s| matches!(s, Step::Workspace { .. }), 1),
        ("box git", |s| matches!(s, Step::BoxGit { .. }), git),
        ("object stores", |s| matches!(s, Step::Objects { .. }), stores),
        ("seal", |s| matches!(s, Step::Seal), 1),
        ("drop of privileges", |s| matches!(s, Step::DropPrivileges), 1),
        ("Landlock", |s| matches!(s, Step::Landlock { .. }), landlock),
        ("system-call filter", |s| matches!(s, Step::Seccomp { .. }), 1),
        ("command", |s| matches!(s, Step::Exec(_)), 1),
        ("cgroup", |s| matches!(s, Step::Cgroup { .. }), usize::from(on.facts.cgroup.is_some())),
    ] {
        let found = count(is);
        if found != wanted {
            wrong(format!("{found} steps for {name}, {wanted} wanted"));
        }
    }
}

fn namespaces(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    for step in &on.plan.steps {
        if let Step::Namespaces(of) = step
            && !(of.user && of.mount && of.pid && of.net && of.uts && of.ipc && of.cgroup)
        {
            wrong(format!("one is shared with the host: {of:?}"));
        }
    }
}

fn identities(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let ids = on.plan.workspace.ids;
    let caller = &on.facts.caller;
    if on.plan.steps.iter().any(|step| matches!(step, Step::MapIds(map) if *map != ids)) {
        wrong("the map of the box is not the map of the workspace".into());
    }
    if ids.uid_outside == 0 || (caller.uid == 0 && (ids.gid_outside == 0 || ids.uid_outside < 1 << 30)) {
        wrong(format!("the box would be root on the host: {ids:?}"));
    }
    if ids.uid_inside != caller.uid || ids.gid_inside != caller.gid {
        wrong("inside, the caller is somebody else".into());
    }
    if caller.uid != 0 && (ids.uid_outside != caller.uid || ids.gid_outside != caller.gid) {
        wrong("outside, the box is somebody else than the caller".into());
    }
}

fn binds(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    for step in &on.plan.steps {
        let Step::Bind { from, at, access, .. } = step else { continue };
        if *access != Access::ReadOnly {
            wrong(format!("{from} could be written"));
        }
        if from.as_path() != at.as_path() {
            wrong(format!("{from} would stand at another place: {at}"));
        }
        let plain = |path: &Path| path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
        if !plain(at.as_path()) {
            wrong(format!("{at} is not a plain path"));
        }
    }
}

/// Never shown, whole or as a part of something larger.
const NEVER: &[&str] = &["/boot", "/dev", "/media", "/mnt", "/proc", "/sys"];
/// Never shown whole; what of them is shown has its own line in the survey's table.
const NEVER_WHOLE: &[&str] =
    &["/", "/etc", "/home", "/nix", "/root", "/run", "/srv", "/tmp", "/var", "/var/lib", "/opt"];
/// Never a part of a shown path.
const NEVER_NAMED: &[&str] = &[
    ".aws",
    ".azure",
    ".config",
    ".docker",
    ".gnupg",
    ".kube",
    ".netrc",
    ".npmrc",
    ".password-store",
    ".pgpass",
    ".pki",
    ".ssh",
    "credentials.toml",
    "docker.sock",
    "gshadow",
    "keyrings",
    "shadow",
    "sudoers",
];

fn bind_sources(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let facts = on.facts;
    let known: Vec<&Entry> = facts.system.iter().chain(facts.toolchains.iter().map(|tool| &tool.entry)).collect();
    for (n, step) in on.plan.steps.iter().enumerate() {
        let Step::Bind { from, seen, .. } = step else { continue };
        let path = from.as_path();
        if !known.iter().any(|entry| entry.path == *from && entry.seen == *seen) {
            wrong(format!("the survey did not see {from} like that"));
        }
        if !matches!(seen.kind, SeenKind::File | SeenKind::Folder) {
            wrong(format!("{from} is neither a file nor a folder"));
        }
        if NEVER.iter().any(|never| path.starts_with(never)) || NEVER_WHOLE.iter().any(|never| path == Path::new(never))
        {
            wrong(format!("{from} is never shown"));
        }
        if path.iter().any(|name| NEVER_NAMED.iter().any(|never| name == *never)) {
            wrong(format!("{from} is where credentials are kept"));
        }
        if facts.caller.home.as_path().starts_with(path) && !path.starts_with("/usr") {
            wrong(format!("{from} holds the caller's home"));
        }
        for own in private_places(facts) {
            if path.starts_with(own) {
                wrong(format!("{from} lies in {}", own.display()));
            }
            if own.starts_with(path) && !covered(&on.plan.steps[n..], path, own) {
                wrong(format!("{from} holds {} and nothing stands over it", own.display()));
            }
        }
    }
}

/// The workspace, its git folder and pinfold's own folders: the box has them as MaskFs and the engine give them, or not
/// at all.
fn private_places(facts: &HostFacts) -> Vec<&Path> {
    let repository = &facts.repository;
    let git = repository.git.iter().flat_map(|git| [git.git_dir.as_path(), git.common_dir.as_path()]);
    [repository.root.as_path(), facts.state_dir.as_path(), facts.data_dir.as_path()].into_iter().chain(git).collect()
}

/// Whether something of the box's own is put over a place in a bound tree, after that tree.
fn covered(later: &[Step], tree: &Path, place: &Path) -> bool {
    later.iter().any(|step| match step {
        Step::Tmpfs { at, .. } | Step::Home { at } => place.starts_with(at.as_path()) && at.as_path().starts_with(tree),
        _ => false,
    })
}

/// Where a step puts something, and whether it brings a tree that is not ours to write into.
fn place(step: &Step) -> Option<(&BoxPath, bool)> {
    match step {
        Step::Folder { at, .. } | Step::Symlink { at, .. } | Step::File { at, .. } => Some((at, false)),
        Step::Tmpfs { at, .. } | Step::Devices { at, .. } => Some((at, false)),
        Step::Bind { at, .. }
        | Step::Proc { at, .. }
        | Step::Home { at }
        | Step::Workspace { at }
        | Step::BoxGit { at }
        | Step::Objects { at, .. } => Some((at, true)),
        _ => None,
    }
}

/// Making a folder or file below a bound tree would make it on the host.
fn own_things(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let mut foreign: Vec<&Path> = Vec::new();
    for step in &on.plan.steps {
        let Some((at, brings)) = place(step) else { continue };
        let made = matches!(step, Step::Folder { .. } | Step::Symlink { .. } | Step::File { .. });
        if made && foreign.iter().any(|tree| at.as_path().starts_with(tree)) {
            wrong(format!("{at} would be made in a tree of the host"));
        }
        if let Step::File { content, .. } = step
            && content.len() > 1 << 16
        {
            wrong(format!("{at} is too large for a written file"));
        }
        if brings {
            foreign.push(at.as_path());
        }
    }
}

fn shadows(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let mut placed: Vec<(&Path, bool)> = Vec::new();
    for step in &on.plan.steps {
        let Some((at, _)) = place(step) else { continue };
        let at = at.as_path();
        let mounts = !matches!(step, Step::Folder { .. } | Step::Symlink { .. } | Step::File { .. });
        for (earlier, mounted) in &placed {
            let own_mount_point = *earlier == at && mounts != *mounted;
            if earlier.starts_with(at) && (mounts || *earlier == at) && !own_mount_point {
                wrong(format!("{} hides {}", at.display(), earlier.display()));
            }
        }
        placed.push((at, mounts));
    }
}

fn workspace(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let (plan, repository) = (on.plan, &on.facts.repository);
    let work = &plan.workspace;
    if work.root != repository.root || work.seen != repository.seen || work.git != repository.git {
        wrong("it is not the folder that the survey saw".into());
    }
    if work.policy != on.request.policy {
        wrong("its policy is not the one that was asked for".into());
    }
    for step in &plan.steps {
        let expected = match step {
            Step::Workspace { at } => (at, Path::new("/workspace")),
            Step::BoxGit { at } => (at, Path::new("/workspace/.git")),
            _ => continue,
        };
        if expected.0.as_path() != expected.1 || work.at.as_path() != Path::new("/workspace") {
            wrong(format!("{} is not at {}", expected.0, expected.1.display()));
        }
    }
    let position = |is: fn(&Step) -> bool| plan.steps.iter().position(is);
    let tree = position(|step| matches!(step, Step::Workspace { .. }));
    let git = position(|step| matches!(step, Step::BoxGit { .. }));
    if git.is_some() && git < tree {
        wrong("the box's git is mounted before the tree that it lies over".into());
    }
    for step in &plan.steps {
        let Step::Objects { from, seen, at } = step else { continue };
        let stores = repository.git.iter().flat_map(|git| &git.objects);
        if !stores.clone().any(|store| store.path == *from && store.seen == *seen) {
            wrong(format!("{from} is no object store of this repository"));
        }
        if !at.as_path().starts_with("/run/pinfold/objects") {
            wrong(format!("the object store {from} is at {at}"));
        }
    }
}

fn proc(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    for step in &on.plan.steps {
        let Step::Proc { at, read_only, hidden } = step else { continue };
        let lists = |list: &[BoxPath], path: &str| list.iter().any(|it| it.as_path() == Path::new(path));
        if at.as_path() != Path::new("/proc") {
            wrong(format!("it is at {at}"));
        }
        for path in ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"] {
            if !lists(read_only, path) {
                wrong(format!("{path} could be written"));
            }
        }
        for path in ["/proc/kcore", "/proc/keys", "/proc/kallsyms", "/proc/timer_list"] {
            if !lists(hidden, path) {
                wrong(format!("{path} could be read"));
            }
        }
    }
}

fn limits(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let value = |wanted: Resource| {
        on.plan.steps.iter().find_map(|step| match step {
            Step::Limit(limit) if limit.resource == wanted => Some(limit.value),
            _ => None,
        })
    };
    if value(Resource::Core) != Some(0) {
        wrong("core dumps would land in the workspace".into());
    }
    if value(Resource::OpenFiles).is_none_or(|files| files == 0 || files > on.facts.nofile_hard) {
        wrong("open files are not limited within the caller's own limit".into());
    }
    if value(Resource::Processes).is_none_or(|processes| processes == 0 || processes > 1 << 22) {
        wrong("processes are not limited".into());
    }
    if let Some(asked) = on.request.limits.pids
        && value(Resource::Processes) != Some(asked)
    {
        wrong("the limit of processes is not the one that was asked for".into());
    }
    for step in &on.plan.steps {
        match step {
            Step::Tmpfs { at, bytes: 0, .. } | Step::Devices { at, shm_bytes: 0 } => {
                wrong(format!("{at} has no size limit"))
            }
            Step::Cgroup { memory, pids, .. } if *memory == 0 || *pids == 0 => wrong("an empty cgroup limit".into()),
            Step::Cgroup { memory, .. } if on.request.limits.memory.is_some_and(|asked| asked != *memory) => {
                wrong("the memory limit is not the one that was asked for".into());
            }
            _ => {}
        }
    }
}

fn second_wall(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let home = on.facts.caller.home.as_path();
    let writable = ["/workspace", "/tmp", "/run", "/dev", "/proc"].map(Path::new);
    for step in &on.plan.steps {
        let Step::Landlock { rules, scope_signals, scope_abstract_sockets } = step else { continue };
        for rule in rules.iter().filter(|rule| rule.access == Access::ReadWrite) {
            if rule.at.as_path() != home && !writable.contains(&rule.at.as_path()) {
                wrong(format!("{} could be written", rule.at));
            }
        }
        if on.facts.landlock_abi >= 6 && !(*scope_signals && *scope_abstract_sockets) {
            wrong("signals or abstract sockets reach out of it".into());
        }
    }
}

fn filter(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    for step in &on.plan.steps {
        if let Step::Seccomp { profile } = step
            && profile != "default"
        {
            wrong(format!("there is no profile {profile:?}"));
        }
    }
}

fn probes(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let any = |is: &dyn Fn(&Probe) -> bool| on.plan.steps.iter().any(|step| matches!(step, Step::Probe(p) if is(p)));
    let absent =
        |path: &str| any(&|p| matches!(p, Probe::HostPathAbsent { path: at } if at.as_path() == Path::new(path)));
    let refused = |call: &str| any(&|p| matches!(p, Probe::SyscallRefused { name } if name == call));
    for (holds, what) in [
        (any(&|p| *p == Probe::CanaryMask), "a masked canary"),
        (absent("/etc/shadow"), "/etc/shadow"),
        (refused("mount") && refused("unshare"), "the calls that build boxes"),
        (any(&|p| *p == Probe::NoInheritedDescriptors), "inherited descriptors"),
        (any(&|p| *p == Probe::NoPrivileges), "capabilities"),
    ] {
        if !holds {
            wrong(format!("nothing probes {what} before the start"));
        }
    }
}

/// Parts of names that programs give to secrets.
const SECRET_NAMES: &[&str] = &[
    "AUTH",
    "COOKIE",
    "CREDENTIAL",
    "KEY",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PRIVATE",
    "SECRET",
    "SESSION",
    "TOKEN",
];
/// Names by which the caller's session would be reached, or code loaded into every program.
const DOORS: &[&str] = &[
    "BASH_ENV",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "DOCKER_HOST",
    "ENV",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GPG_AGENT_INFO",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "SSH_AUTH_SOCK",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
];

fn environment(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let Some(Step::Exec(exec)) = on.plan.steps.last() else { return };
    let asked = |name: &str| on.request.env.iter().any(|request| request.name == name);
    if !exec.env.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        wrong("it is not sorted, or a name stands twice".into());
    }
    for (name, value) in &exec.env {
        let bad = name.is_empty() || name.contains(['=', '\0']) || value.as_bytes().contains(&0);
        if bad {
            wrong(format!("{name:?} can't be a variable"));
        }
        if asked(name) {
            continue;
        }
        if DOORS.contains(&name.as_str()) || SECRET_NAMES.iter().any(|part| name.to_ascii_uppercase().contains(part)) {
            wrong(format!("{name} was not asked for and may open something"));
        }
    }
    let home = exec.env.iter().find(|(name, _)| name == "HOME").map(|(_, value)| value.as_os_str());
    let stands =
        on.plan.steps.iter().any(|step| matches!(step, Step::Home { at } if Some(at.as_path().as_os_str()) == home));
    if !stands && !asked("HOME") {
        wrong("HOME is not where the box home stands".into());
    }
    let path = exec.env.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_bytes()).unwrap_or_default();
    if !asked("PATH") && !path.split(|b| *b == b':').all(|folder| folder.starts_with(b"/")) {
        wrong("PATH has an entry that is not absolute".into());
    }
}

fn command(on: &Sight<'_>, wrong: &mut dyn FnMut(String)) {
    let Some(Step::Exec(exec)) = on.plan.steps.last() else { return };
    if exec.argv != on.request.argv || exec.argv.is_empty() {
        wrong("it is not the one that was asked for".into());
    }
    if exec.argv.iter().any(|arg| arg.as_bytes().contains(&0)) {
        wrong("an argument holds a NUL".into());
    }
    if exec.streams != on.request.streams {
        wrong("its streams are not the caller's".into());
    }
    let cwd = exec.cwd.as_path();
    if !cwd.starts_with("/workspace") || cwd.components().any(|part| matches!(part, Component::ParentDir)) {
        wrong(format!("it would start in {}, outside the workspace", exec.cwd));
    }
    let bytes: usize = exec.argv.iter().map(|arg| arg.as_bytes().len() + 1).sum();
    let env: usize = exec.env.iter().map(|(name, value)| name.len() + value.as_bytes().len() + 2).sum();
    if bytes + env > 2 << 20 {
        wrong("arguments and environment are too large".into());
    }
}
