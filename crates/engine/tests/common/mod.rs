//! Boxes to test: a plan as the planner would write it, without a workspace server, performed by the `enginebox` example.
#![allow(dead_code, reason = "not every test file uses every helper")]

use pinfold_plan::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// For one box to do what a test asks.
pub const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);

/// An ordinary user to become when the tests run as root.
const ORDINARY: u32 = 1001;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Root,
    Ordinary,
}

/// Everybody that a test can be: root is both.
pub fn everybody() -> Vec<Who> {
    if rustix::process::geteuid().is_root() {
        vec![Who::Root, Who::Ordinary]
    } else {
        must(false, "the half of this test that needs root");
        vec![Who::Ordinary]
    }
}

/// A part that can't run here says so, and fails where everything must run.
pub fn must(can: bool, what: &str) -> bool {
    if !can {
        assert!(std::env::var_os("PINFOLD_MUST_RUN").is_none(), "{what} must run and can't");
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: {what}");
    }
    can
}

pub struct TestBox {
    pub who: Who,
    pub base: tempfile::TempDir,
    pub plan: Plan,
}

fn seen(path: &Path) -> Seen {
    let stat = std::fs::symlink_metadata(path).unwrap();
    let kind = if stat.is_dir() { SeenKind::Folder } else { SeenKind::File };
    Seen { dev: stat.dev(), ino: stat.ino(), kind }
}

pub fn bind(from: &Path, at: &str, access: Access) -> Step {
    Step::Bind { from: HostPath::new(from), seen: seen(from), at: BoxPath::new(at), access, execute: true }
}

impl TestBox {
    /// A whole box, whose workspace is a plain folder of the host.
    pub fn new(who: Who, argv: &[&str]) -> TestBox {
        let base = tempfile::Builder::new().prefix("pinfold-engine-").tempdir().unwrap();
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let uid = if rustix::process::geteuid().is_root() {
            if who == Who::Root { 0 } else { ORDINARY }
        } else {
            rustix::process::geteuid().as_raw()
        };
        let gid = if uid == 0 || uid == ORDINARY { uid } else { rustix::process::getegid().as_raw() };
        let outside = if uid == 0 { NOBODY_OUTSIDE } else { uid };
        let ids = IdMap { uid_inside: uid, uid_outside: outside, gid_inside: gid, gid_outside: outside };
        for folder in ["work", "state"] {
            std::fs::create_dir(base.path().join(folder)).unwrap();
        }
        if rustix::process::geteuid().is_root() {
            chown(base.path().join("state"), Some(uid), Some(gid)).unwrap();
            chown(base.path().join("work"), Some(outside), Some(outside)).unwrap();
        }
        let plan = plan(base.path(), ids, argv);
        TestBox { who, base, plan }
    }

    pub fn shell(who: Who, script: &str) -> TestBox {
        TestBox::new(who, &["sh", "-c", script])
    }

    pub fn work(&self) -> PathBuf {
        self.base.path().join("work")
    }

    pub fn exec(&mut self) -> &mut Exec {
        self.plan.steps.iter_mut().find_map(|s| if let Step::Exec(e) = s { Some(e) } else { None }).unwrap()
    }

    pub fn without(mut self, mut gone: impl FnMut(&Step) -> bool) -> TestBox {
        self.plan.steps.retain(|step| !gone(step));
        self
    }

    pub fn before_seal(mut self, step: Step) -> TestBox {
        let at = self.plan.steps.iter().position(|s| matches!(s, Step::Seal)).unwrap();
        self.plan.steps.insert(at, step);
        self
    }

    pub fn probe(mut self, probe: Probe) -> TestBox {
        let at = self.plan.steps.len() - 1;
        self.plan.steps.insert(at, Step::Probe(probe));
        self
    }

    pub fn streams(mut self, stdin: StdStream, stdout: StdStream, stderr: StdStream) -> TestBox {
        self.exec().streams = Streams { stdin, stdout, stderr };
        self
    }

    /// The command that performs the plan.
    pub fn command(&self) -> Command {
        let plan = self.base.path().join("plan.json");
        std::fs::write(&plan, serde_json::to_vec(&self.plan).unwrap()).unwrap();
        let mut command = if rustix::process::geteuid().is_root() && self.who == Who::Ordinary {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "1001", "--regid", "1001", "--clear-groups"]).arg(program());
            command
        } else {
            Command::new(program())
        };
        command.arg(plan).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self) -> Ran {
        Ran::of(&mut self.command())
    }

    /// Every process whose arguments hold this word, as the host sees them.
    pub fn alive(word: &str) -> Vec<i32> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if pid != std::process::id() as i32 && String::from_utf8_lossy(&line).contains(word) {
                found.push(pid);
            }
        }
        found
    }

    /// Waits until something holds.
    pub fn soon(what: &str, mut holds: impl FnMut() -> bool) {
        let start = std::time::Instant::now();
        while !holds() {
            assert!(start.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Runs to the end, or is killed at the deadline.
    pub fn of(command: &mut Command) -> Ran {
        let child = command.spawn().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        let (done, told) = std::sync::mpsc::channel();
        let watch = std::thread::spawn(move || {
            if told.recv_timeout(DEADLINE).is_err() {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        let in_time = done.send(()).is_ok();
        watch.join().unwrap();
        assert!(in_time, "it hung: {}", String::from_utf8_lossy(&output.stderr));
        Ran::from(output)
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }

    /// It was refused, with this kind of error.
    #[track_caller]
    pub fn refused(self, kind: &str) -> String {
        assert_eq!(self.code, Some(125), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        assert!(self.stderr.contains(&format!("\"kind\":\"{kind}\"")), "{}", self.stderr);
        self.stderr
    }
}

pub fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples/enginebox")
}

fn plan(base: &Path, ids: IdMap, argv: &[&str]) -> Plan {
    let state = base.join("state");
    let at = |path: &str| BoxPath::new(path);
    let mut steps = vec![
        Step::Namespaces(Namespaces {
            user: true,
            mount: true,
            pid: true,
            net: true,
            uts: true,
            ipc: true,
            cgroup: true,
        }),
        Step::MapIds(ids),
        Step::Hostname { name: "box".into() },
        Step::Loopback,
        bind(Path::new("/usr"), "/usr", Access::ReadOnly),
    ];
    for name in ["bin", "sbin", "lib", "lib64"] {
        if let Ok(target) = std::fs::read_link(Path::new("/").join(name)) {
            let target = target.into_os_string().into();
            steps.push(Step::Symlink { at: at(&format!("/{name}")), target });
        }
    }
    let passwd = format!("user:x:{}:{}::/home/user:/bin/sh\n", ids.uid_inside, ids.gid_inside);
    steps.extend([
        Step::Folder { at: at("/etc"), mode: 0o755 },
        Step::File { at: at("/etc/passwd"), mode: 0o444, content: passwd },
        Step::File { at: at("/etc/hosts"), mode: 0o444, content: "127.0.0.1 localhost\n".into() },
        Step::Proc {
            at: at("/proc"),
            read_only: vec![at("/proc/sys"), at("/proc/irq"), at("/proc/bus"), at("/proc/fs")],
            hidden: vec![
                at("/proc/kcore"),
                at("/proc/keys"),
                at("/proc/timer_list"),
                at("/proc/scsi"),
                at("/proc/acpi"),
            ],
        },
        Step::Devices { at: at("/dev"), shm_bytes: 16 << 20 },
        Step::Tmpfs { at: at("/tmp"), mode: 0o1777, bytes: 64 << 20, execute: true },
        Step::Tmpfs { at: at("/run"), mode: 0o755, bytes: 8 << 20, execute: false },
        Step::Folder { at: at("/home/user"), mode: 0o755 },
        Step::Home { at: at("/home/user") },
        Step::Folder { at: at("/workspace"), mode: 0o755 },
        bind(&base.join("work"), "/workspace", Access::ReadWrite),
        Step::Seal,
        Step::Limit(Limit { resource: Resource::Core, value: 0 }),
        Step::Limit(Limit { resource: Resource::Processes, value: 200 }),
        Step::DropPrivileges,
        Step::Landlock {
            rules: [("/", Access::ReadOnly, true)]
                .into_iter()
                .chain(["/workspace", "/home/user", "/tmp", "/run"].map(|p| (p, Access::ReadWrite, true)))
                .chain(["/dev", "/proc"].map(|p| (p, Access::ReadWrite, false)))
                .map(|(p, access, execute)| LandlockRule { at: at(p), access, execute })
                .collect(),
            scope_signals: true,
            scope_abstract_sockets: true,
        },
        Step::Seccomp { profile: "default".into() },
        Step::Probe(Probe::HostPathAbsent { path: at("/etc/shadow") }),
        Step::Probe(Probe::SyscallRefused { name: "mount".into() }),
        Step::Probe(Probe::SyscallRefused { name: "unshare".into() }),
        Step::Probe(Probe::SyscallRefused { name: "keyctl".into() }),
        Step::Probe(Probe::SyscallRefused { name: "bpf".into() }),
        Step::Probe(Probe::SyscallRefused { name: "io_uring_setup".into() }),
        Step::Probe(Probe::NoInheritedDescriptors),
        Step::Probe(Probe::NoPrivileges),
        Step::Exec(Exec {
            argv: argv.iter().map(|arg| OsBytes::from(*arg)).collect(),
            env: vec![("HOME".into(), OsBytes::from("/home/user")), ("PATH".into(), OsBytes::from("/usr/bin:/bin"))],
            cwd: at("/workspace"),
            streams: Streams { stdin: StdStream::Null, stdout: StdStream::Pipe, stderr: StdStream::Pipe },
        }),
    ]);
    Plan {
        version: PLAN_VERSION,
        run_id: "0123456789abcdef0123456789abcdef".into(),
        agent: None,
        run_dir: HostPath::new(state.join("runs/0123456789abcdef0123456789abcdef")),
        home_dir: HostPath::new(state.join("homes/key/shell")),
        home_files: vec![],
        workspace: Workspace {
            root: HostPath::new(base.join("work")),
            seen: seen(&base.join("work")),
            at: at("/workspace"),
            policy: Default::default(),
            ids,
            git: None,
            identity: None,
        },
        steps,
        timeout: None,
        accepted: vec![],
    }
}
