//! Gone means gone: however pinfold ends, nothing of the box is left. No process, no mount, no private file.
//!
//! `PINFOLD_KILLS=1000` kills more often than CI does.

use std::path::Path;
use std::time::{Duration, Instant};

use pinfold_escape::trial::processes_naming;
use pinfold_testkit::{As, Baseline, Caller, Launcher, Session, Stdin, TestRepo, require};
use rustix::process::Signal;

/// How many times pinfold is killed in its start, at moments that are spread over it.
const KILLS: u32 = 25;
/// A start takes less than this, so that kills hit every part of it.
const START: Duration = Duration::from_millis(90);
const GRACE: Duration = Duration::from_secs(3);

/// Daemons of every kind, then a command that stays. Not a shell: a dash that is told SIGINT in the wrong moment waits for its child first.
const STUBBORN: &str = "
setsid sleep 86399 > /dev/null 2>&1 < /dev/null &
(trap '' TERM INT HUP QUIT; while :; do sleep 86399; done) > /dev/null 2>&1 < /dev/null &
echo KEY=private > .env; exec perl -e '$| = 1; print chr(64), qq(ready\\n); sleep 86399'";

/// What is left of a run, in words.
fn remains(caller: &Caller) -> Vec<String> {
    let base = caller.base().to_string_lossy().into_owned();
    let until = Instant::now() + GRACE;
    loop {
        let mut left: Vec<_> =
            processes_naming(&[&base]).into_iter().map(|(pid, line)| format!("process {pid} `{line}`")).collect();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        left.extend(mounts.lines().filter(|line| line.contains(&base)).map(|line| format!("mount `{line}`")));
        let runs = std::fs::read_dir(caller.pinfold_state().join("runs")).into_iter().flatten().flatten();
        let private = runs.flat_map(|run| ["git", "private"].map(|name| run.path().join(name)));
        left.extend(private.filter(|path| path.exists()).map(|path| path.display().to_string()));
        if left.is_empty() || Instant::now() > until {
            return left;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn start(launcher: &Launcher, caller: &Caller, repo: &Path) -> Session {
    let mut cmd = launcher.command(caller, repo, ["sh", "-c", STUBBORN]);
    cmd.stdin(Stdin::Pipe);
    Session::start(&cmd)
}

fn kill_what_is_left(caller: &Caller) {
    for (pid, _) in processes_naming(&[&caller.base().to_string_lossy()]) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// A launcher that is killed leaves its agent running: so the look for remains can find some.
#[test]
fn an_ordinary_launcher_leaves_things_behind() {
    require!(Baseline::available());
    let caller = require!(Caller::new(As::User));
    let repo = TestRepo::new(&caller, "repo");
    let mut session = start(&Launcher::Baseline(Baseline::Open), &caller, repo.path());
    assert!(session.wait_for("@ready", 1));
    session.signal(Signal::KILL);
    session.finish();
    let left = remains(&caller);
    kill_what_is_left(&caller);
    assert!(!left.is_empty(), "the test sees nothing where something is");
}

fn killed_at_random_moments(who: As) {
    let launcher = require!(Launcher::pinfold());
    let caller = require!(Caller::new(who));
    let repo = TestRepo::new(&caller, "repo");
    let kills = std::env::var("PINFOLD_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let (mut ready, mut traces) = (0, Vec::<String>::new());
    for kill in 0..kills {
        let session = start(&launcher, &caller, repo.path());
        std::thread::sleep(START * (kill % KILLS) / KILLS);
        ready += u32::from(!session.so_far().is_empty());
        session.signal(Signal::KILL);
        session.finish();
        let left = remains(&caller);
        kill_what_is_left(&caller);
        if !left.is_empty() {
            traces.push(format!("{:?} after its start: {left:?}", START * (kill % KILLS) / KILLS));
            // Each kill is judged by what it leaves itself.
            let _ = std::fs::remove_dir_all(caller.pinfold_state().join("runs"));
        }
    }
    assert!(traces.is_empty(), "{} of {kills} kills leave traces:\n{}", traces.len(), traces.join("\n"));
    assert!(ready > 0, "no box was ready before it was killed: the moments are too early");
    assert!(!repo.path().join(".env").exists(), "a private file came to be on the host");
    repo.git(["fsck"]);
}

#[test]
fn killed_at_random_moments_as_an_ordinary_user() {
    killed_at_random_moments(As::User);
}

#[test]
fn killed_at_random_moments_as_root() {
    killed_at_random_moments(As::Root);
}

fn told_to_end(who: As) {
    let launcher = require!(Launcher::pinfold());
    let caller = require!(Caller::new(who));
    let repo = TestRepo::new(&caller, "repo");
    for (signal, code) in
        [(Signal::TERM, 128 + 15), (Signal::INT, 128 + 2), (Signal::HUP, 128 + 1), (Signal::QUIT, 128 + 3)]
    {
        let mut session = start(&launcher, &caller, repo.path());
        assert!(session.wait_for("@ready", 1), "{}", session.finish());
        session.signal(signal);
        let out = session.finish();
        assert!(!out.timed_out, "{signal:?} does not end pinfold: {out}");
        assert_eq!(out.code, code, "{signal:?}: {out}");
        let left = remains(&caller);
        kill_what_is_left(&caller);
        assert!(left.is_empty(), "ended by {signal:?}, pinfold leaves {left:#?}");
    }
}

#[test]
fn told_to_end_as_an_ordinary_user() {
    told_to_end(As::User);
}

#[test]
fn told_to_end_as_root() {
    told_to_end(As::Root);
}

/// The server of the workspace is killed under a running box: the box ends, and the person is told.
#[test]
fn the_mask_server_dies() {
    let launcher = require!(Launcher::pinfold());
    let caller = require!(Caller::new(As::User));
    let repo = TestRepo::new(&caller, "repo");
    let mut session = start(&launcher, &caller, repo.path());
    assert!(session.wait_for("@ready", 1), "{}", session.finish());
    let parent = session.pid();
    let child_of_pinfold = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.split_whitespace().eq(["PPid:", &parent.to_string()]))
    };
    let is_server = |line: &str| line.contains("__maskfs");
    let servers: Vec<_> =
        all_processes().into_iter().filter(|(pid, line)| is_server(line) && child_of_pinfold(*pid)).collect();
    assert_eq!(servers.len(), 1, "which of these is the server? {servers:?}");
    let pid = rustix::process::Pid::from_raw(servers[0].0).expect("a process id is positive");
    rustix::process::kill_process(pid, Signal::KILL).expect("the test may signal what it started");
    let out = session.finish();
    assert!(!out.timed_out, "the box goes on without its workspace: {out}");
    assert_ne!(out.code, 0, "{out}");
    let left = remains(&caller);
    kill_what_is_left(&caller);
    assert!(left.is_empty(), "{left:#?}");
}

fn all_processes() -> Vec<(i32, String)> {
    processes_naming(&[""])
}

/// The repository goes away under a running box.
#[test]
fn the_repository_vanishes() {
    let launcher = require!(Launcher::pinfold());
    let caller = require!(Caller::new(As::User));
    let repo = TestRepo::new(&caller, "repo");
    let script = "echo @ready; read x; ls; cat README.md; echo new > new; git status; exit 3";
    let mut cmd = launcher.command(&caller, repo.path(), ["sh", "-c", script]);
    cmd.stdin(Stdin::Pipe);
    let mut session = Session::start(&cmd);
    assert!(session.wait_for("@ready", 1), "{}", session.finish());
    repo.sh("cd ..; mv repo moved; rm -rf moved");
    session.send("go\n");
    let out = session.finish();
    assert!(!out.timed_out, "{out}");
    assert!(!repo.path().exists(), "pinfold made the repository's folder anew");
    assert!(remains(&caller).is_empty(), "{:#?}", remains(&caller));
}

/// Two boxes on one repository at once: neither sees the other's private files, both commit, nothing is lost.
#[test]
fn two_boxes_at_once() {
    let launcher = require!(Launcher::pinfold());
    let caller = require!(Caller::new(As::User));
    let repo = TestRepo::new(&caller, "repo");
    let script = |name: &str| {
        format!(
            "echo {name} > .env; git checkout -q -b {name}; echo {name} > {name}.txt; git add {name}.txt; git commit -qm {name}; \
             echo @ready; read x; cat .env; git log --format=%s -1; ls *.txt | tr '\\n' ' '"
        )
    };
    let mut sessions: Vec<_> = ["one", "two"]
        .iter()
        .map(|name| {
            let mut cmd = launcher.command(&caller, repo.path(), ["sh", "-c", &script(name)]);
            cmd.stdin(Stdin::Pipe);
            Session::start(&cmd)
        })
        .collect();
    for session in &mut sessions {
        assert!(session.wait_for("@ready", 1));
    }
    for session in &mut sessions {
        session.send("go\n");
    }
    let texts: Vec<_> = sessions.into_iter().map(|session| session.finish().text()).collect();
    for (name, text) in ["one", "two"].iter().zip(&texts) {
        assert_eq!(
            text,
            &format!("@ready\n{name}\n{name}\none.txt two.txt "),
            "edits are shared, private files and git are not"
        );
    }
    let subjects = repo.git(["log", "--all", "--format=%s"]);
    assert!(subjects.contains("one") && subjects.contains("two"), "{subjects}");
    assert!(remains(&caller).is_empty());
}
