//! Repositories below the workspace, in real boxes: their commits come back to where they belong, and nowhere else.
//!
//! Needs a machine on which boxes run. Where it is not one, each test says so; with `PINFOLD_MUST_RUN=1` it fails. Started by
//! root, each runs as root and as an ordinary user.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// An ordinary user, where root tests.
const USER: u32 = 1001;

struct Person {
    _keep: tempfile::TempDir,
    home: PathBuf,
    repo: PathBuf,
    user: Option<u32>,
}

impl Person {
    fn new(user: Option<u32>) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let home = keep.path().canonicalize().unwrap().join("home");
        let repo = home.join("repo");
        fs::create_dir_all(&repo).unwrap();
        let settings = "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n[protocol \"file\"]\nallow = always\n";
        fs::write(home.join(".gitconfig"), settings).unwrap();
        if user.is_some() {
            fs::set_permissions(keep.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            for path in [&home, &repo, &home.join(".gitconfig")] {
                std::os::unix::fs::chown(path, user, user).unwrap();
            }
        }
        Person { _keep: keep, home, repo, user }
    }

    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    fn git(&self, folder: &str, args: &[&str]) -> String {
        let done = self.command("git", &self.repo.join(folder)).args(args).output().unwrap();
        assert!(done.status.success(), "git {args:?} in {folder}: {}", text(&done.stderr));
        text(&done.stdout)
    }

    /// A repository with a commit.
    fn repository(&self, folder: &str) {
        self.shell(&format!("mkdir -p {folder} && cd {folder} && git init -q && echo hello > readme && git add -A && git commit -qm start"));
    }

    /// On the host.
    fn shell(&self, script: &str) {
        let done = self.command("sh", &self.repo).args(["-ec", script]).output().unwrap();
        assert!(done.status.success(), "{script}: {}", text(&done.stderr));
    }

    /// In a box. It may take part in what happens meanwhile.
    fn sh_while(&self, script: &str, mut meanwhile: impl FnMut()) -> Output {
        let mut child = self
            .command(env!("CARGO_BIN_EXE_pinfold"), &self.repo)
            .args(["run", "--here", "--", "sh", "-c", script])
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(90);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                panic!("the box does not end: {:?}", child.wait_with_output());
            }
            meanwhile();
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().unwrap()
    }

    fn sh(&self, script: &str) -> Output {
        self.sh_while(script, || {})
    }

    fn subject(&self, folder: &str, branch: &str) -> String {
        self.git(folder, &["log", "-1", "--format=%s", branch]).trim().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whoever can run boxes on this machine; with the reason printed, if nobody can.
fn people() -> Vec<Person> {
    let root = rustix::process::geteuid().is_root();
    let all = if root { vec![None, Some(USER)] } else { vec![None] };
    let able = |user: Option<u32>| {
        let person = Person::new(user);
        let done = person.sh("true");
        if done.status.code() == Some(69) {
            let why = text(&done.stderr);
            assert!(std::env::var_os("PINFOLD_MUST_RUN").is_none(), "this machine must run boxes: {why}");
            // The harness shows it with --nocapture; there is no other way to skip.
            std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}").as_bytes()).unwrap();
            return None;
        }
        assert!(done.status.success(), "{done:?}");
        Some(person)
    };
    all.into_iter().filter_map(able).collect()
}

#[test]
fn commits_come_back_to_the_repository_they_were_made_in() {
    for person in people() {
        person.repository(".");
        person.repository("a/nested");
        person.repository("../library");
        person
            .shell("git submodule add -q ../library lib && git commit -qm lib && git worktree add -q trees/one -b one");
        let start = person.git(".", &["rev-parse", "main"]);
        let done = person.sh(
            "for at in a/nested lib trees/one; do (cd $at && echo more >> readme && git commit -qam \"in $at\"); done",
        );
        assert!(done.status.success(), "{done:?}");
        for (at, branch) in [("a/nested", "main"), ("lib", "main"), ("trees/one", "one")] {
            assert_eq!(person.subject(at, branch), format!("in {at}"), "{done:?}");
            assert_eq!(person.git(at, &["status", "--porcelain"]), "", "{at}");
            assert!(person.git(at, &["for-each-ref"]).contains("refs/pinfold/"), "{at}");
            person.git(at, &["fsck", "--strict"]);
        }
        assert_eq!(person.git(".", &["rev-parse", "main"]), start);
        assert!(!text(&done.stderr).contains("note:"), "{done:?}");
    }
}

#[test]
fn they_come_while_the_box_runs() {
    for person in people() {
        person.repository(".");
        person.repository("sub");
        let script = "cd sub && git commit -q --allow-empty -m live && \
                      for i in $(seq 300); do test -e ../seen && exit 0; sleep .1; done; exit 1";
        let mut seen = false;
        let done = person.sh_while(script, || {
            if !seen && person.subject("sub", "main") == "live" {
                seen = true;
                fs::write(person.repo.join("seen"), "").unwrap();
            }
        });
        assert!(done.status.success() && seen, "{done:?}");
    }
}

#[test]
fn a_folder_of_repositories_need_not_be_one() {
    for person in people() {
        person.repository("one");
        person.repository("two");
        let done = person.sh("cd two && echo more >> readme && git commit -qam more && git checkout -qb side && git commit -q --allow-empty -m side");
        assert!(done.status.success(), "{done:?}");
        assert_eq!((person.subject("one", "main"), person.subject("two", "main")), ("start".into(), "more".into()));
        assert!(text(&done.stderr).contains("note: in two: the box's branch side is in refs/pinfold/"), "{done:?}");
    }
}

#[test]
fn what_the_host_has_not_or_can_not_take_stays_and_is_said() {
    for person in people() {
        person.repository(".");
        person.repository("a");
        person.shell("git clone -q --shared a borrower");
        let done = person
            .sh("git init -q new && cd new && git -c user.name=x -c user.email=x@y commit -q --allow-empty -m new && \
             cd ../borrower && git commit -q --allow-empty -m borrowed && cd .. && git init -q empty");
        assert!(done.status.success(), "{done:?}");
        let said = text(&done.stderr);
        assert!(said.contains("note: commits that the box made in new stayed in the box; the files"), "{said}");
        let borrower = "commits that the box made in borrower stayed in the box (it borrows objects";
        assert!(said.contains(borrower) && !said.contains("in empty") && !said.contains("in a "), "{said}");
        assert_eq!(person.subject("borrower", "main"), "start");
        assert!(!person.repo.join("new/.git").exists());
    }
}

#[test]
fn a_look_alone_brings_nothing() {
    for person in people() {
        person.repository(".");
        person.repository("sub");
        let before = person.git("sub", &["for-each-ref"]);
        let done = person.sh("git -C sub status && git -C sub log && git status");
        assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
        assert_eq!(person.git("sub", &["for-each-ref"]), before);
    }
}

/// The box commits in one repository and puts a link to another in its place that it may not even read.
#[test]
fn repositories_that_change_places_are_not_confused() {
    for person in people() {
        person.repository(".");
        person.repository("a/inner");
        person.repository("../outside/inner");
        person.shell("cd ../outside/inner && echo other > readme && git commit -qam other");
        let other = || {
            let refs = person.git("../outside/inner", &["for-each-ref"]);
            (refs, person.git("../outside/inner", &["count-objects", "-v"]), person.git("../outside/inner", &["fsck"]))
        };
        let before = other();
        let done = person.sh(
            "cd a/inner; (cd ../..; while :; do mv a aside; ln -s ../outside a; rm a; mv aside a; done) 2>/dev/null & \
             for i in $(seq 40); do git commit -q --allow-empty -m $i; sleep .1; done 2>/dev/null; true",
        );
        assert!(done.status.success(), "{done:?}");
        assert_eq!(other(), before, "{done:?}");
        person.shell("if test -e aside; then rm -f a; mv aside a; fi");
        person.git("a/inner", &["fsck", "--strict"]);

        // For good: what stands at the path in the end is the other one.
        let done =
            person.sh("cd a/inner && git commit -q --allow-empty -m last && cd ../.. && mv a c && ln -s ../outside a");
        assert!(done.status.success(), "{done:?}");
        assert!(person.repo.join("a/inner/.git").exists(), "the link does not lead to the other repository");
        assert_eq!(other(), before, "{done:?}");
        let came = person.subject("c/inner", "main") == "last";
        assert!(came || text(&done.stderr).contains("stayed in the box"), "{done:?}");
    }
}

#[test]
fn one_repository_under_two_names_comes_back_once() {
    for person in people() {
        person.repository(".");
        person.repository("../library");
        person.shell("git submodule add -q ../library lib && git commit -qm lib && mkdir twin && cp -a lib/. twin/");
        let done = person.sh(
            "cd lib && git commit -q --allow-empty -m first && cd ../twin && git commit -q --allow-empty -m second",
        );
        assert!(done.status.success(), "{done:?}");
        assert_eq!(person.subject("lib", "main"), "first");
        assert!(text(&done.stderr).contains("made in twin stayed in the box (the box has this repository"), "{done:?}");
    }
}

/// A store that borrows names paths of the host, and git complains of what it does not find there.
#[test]
fn borrowed_objects_are_read_without_complaint() {
    for person in people() {
        person.repository("../library");
        person.shell("cd ..; rm -r repo/.[a-z]* || true; git clone -q --shared library repo");
        person.repository("a");
        person.shell("git clone -q --shared a b");
        for at in [".", "b"] {
            let done = person.sh(&format!(
                "cd {at} && git log -p | grep -c hello && git fsck --connectivity-only && git commit -q --allow-empty -m x && \
                 git count-objects -v | grep -c pinfold"
            ));
            assert!(done.status.success(), "{done:?}");
            let said = text(&done.stderr);
            assert!(!said.contains("error:") && !said.contains("alternate"), "{said}");
        }
        assert_eq!(person.subject(".", "main"), "x");
    }
}
