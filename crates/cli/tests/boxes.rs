//! Real boxes, started by the command line: what comes out, what comes back, and what is left.
//!
//! Needs a machine on which boxes run. Where it is not one, each test says so; with `PINFOLD_MUST_RUN=1` it fails.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

struct Person {
    _keep: tempfile::TempDir,
    home: PathBuf,
    repo: PathBuf,
}

impl Person {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let home = keep.path().canonicalize().unwrap().join("home");
        let repo = home.join("repo");
        fs::create_dir_all(&repo).unwrap();
        fs::write(
            home.join(".gitconfig"),
            "[user]\nname = Ada\nemail = ada@example.org\n[init]\ndefaultBranch = main\n",
        )
        .unwrap();
        fs::write(repo.join("readme"), "hello\n").unwrap();
        fs::write(repo.join(".env"), "KEY=hunter2\n").unwrap();
        let person = Person { _keep: keep, home, repo };
        person.git(&["init", "-q"]);
        person.git(&["add", "readme"]);
        person.git(&["commit", "-q", "-m", "start"]);
        person
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.repo)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null());
        command
    }

    fn git(&self, args: &[&str]) -> String {
        let done = self.command("git").args(args).output().unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn pinfold(&self, args: &[&str]) -> Output {
        let mut child = self
            .command(env!("CARGO_BIN_EXE_pinfold"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                child.kill().unwrap();
                panic!("pinfold {args:?} does not end: {:?}", child.wait_with_output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait_with_output().unwrap()
    }

    fn sh(&self, script: &str) -> Output {
        self.pinfold(&["run", "--", "sh", "-c", script])
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A person on a machine that can run boxes, or `None` with the reason printed.
fn person() -> Option<Person> {
    let person = Person::new();
    let done = person.pinfold(&["run", "--", "true"]);
    if done.status.code() == Some(69) {
        let why = text(&done.stderr);
        assert!(std::env::var_os("PINFOLD_MUST_RUN").is_none(), "this machine must run boxes: {why}");
        // The harness shows it with --nocapture; there is no other way to skip.
        std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}").as_bytes()).unwrap();
        return None;
    }
    assert!(done.status.success(), "{done:?}");
    Some(person)
}

#[test]
fn output_and_codes_pass_through() {
    let Some(person) = person() else { return };
    let done = person.sh("printf 'a\\0b'; printf e >&2; exit 42");
    assert_eq!((done.status.code(), &done.stdout[..], &done.stderr[..]), (Some(42), &b"a\0b"[..], &b"e"[..]));
    assert_eq!(person.sh("kill -TERM $$").status.code(), Some(143));
}

#[test]
fn a_command_that_can_not_start_has_its_own_code() {
    let Some(person) = person() else { return };
    let missing = person.pinfold(&["run", "--", "no-such-command"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(
        text(&missing.stderr).starts_with("no such command: the box has no command no-such-command\nhint: "),
        "{missing:?}"
    );
    let plain = person.pinfold(&["run", "--", "./readme"]);
    assert_eq!(plain.status.code(), Some(126), "{plain:?}");
}

#[test]
fn time_runs_out() {
    let Some(person) = person() else { return };
    let start = Instant::now();
    let done = person.pinfold(&["run", "--timeout", "1", "--", "sleep", "50"]);
    assert_eq!(done.status.code(), Some(124), "{done:?}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_secret_is_masked_and_a_flag_can_show_it() {
    let Some(person) = person() else { return };
    assert_eq!(text(&person.sh("cat .env; echo end").stdout), "end\n");
    let shown = person.pinfold(&["run", "--show", ".env", "--mask", "readme", "--", "cat", ".env", "readme"]);
    assert_eq!(text(&shown.stdout), "KEY=hunter2\n");
    assert_eq!(fs::read_to_string(person.repo.join(".env")).unwrap(), "KEY=hunter2\n");
}

#[test]
fn commits_come_back_and_the_branch_moves() {
    let Some(person) = person() else { return };
    let done = person.sh(
        "echo more >> readme && git commit -qam more && git checkout -qb side && git commit -q --allow-empty -m side",
    );
    assert!(done.status.success(), "{done:?}");
    assert_eq!(person.git(&["log", "--format=%s %an", "main"]), "more Ada\nstart Ada\n");
    assert_eq!(person.git(&["status", "--porcelain"]), "?? .env\n");
    let refs = person.git(&["for-each-ref", "--format=%(refname)"]);
    assert!(refs.contains("/heads/side") && !refs.contains("refs/heads/side"), "{refs}");
    assert!(text(&done.stderr).contains("note: the box's branch side is in refs/pinfold/"), "{done:?}");
}

#[test]
fn the_environment_and_the_place_are_the_plans() {
    let Some(person) = person() else { return };
    fs::create_dir(person.repo.join("src")).unwrap();
    let done = person
        .command(env!("CARGO_BIN_EXE_pinfold"))
        .current_dir(person.repo.join("src"))
        .args(["run", "--env", "CI=1", "--", "sh", "-c", "pwd; env | cut -d= -f1 | sort"])
        .envs([("AWS_SECRET_ACCESS_KEY", "x"), ("SSH_AUTH_SOCK", "/x"), ("GIT_DIR", "/x")])
        .output()
        .unwrap();
    let said = text(&done.stdout);
    let names = "CI\nHOME\nLOGNAME\nPATH\nPINFOLD\nPWD\nSHELL\nTMPDIR\nUSER\nXDG_RUNTIME_DIR\n";
    // Root's tools may need no more either: an adapter adds variables, `run` does not.
    assert_eq!(said, format!("/workspace/src\n{names}"));
}

#[test]
fn runs_are_listed() {
    let Some(person) = person() else { return };
    person.sh("exit 3");
    let listed = text(&person.pinfold(&["runs"]).stdout);
    let first = listed.lines().next().unwrap();
    assert!(first.contains("ended 3") && first.ends_with("sh -c exit 3"), "{listed}");
    let json = text(&person.pinfold(&["runs", "--json"]).stdout);
    let run: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((run["code"].as_u64(), run["alive"].as_bool()), (Some(3), Some(false)));
}

#[test]
fn a_root_without_spare_users_is_told_so() {
    let Some(person) = person() else { return };
    let pinfold = env!("CARGO_BIN_EXE_pinfold");
    let done = person.command("unshare").args(["-Ur", pinfold, "run", "--", "true"]).output().unwrap();
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(69), "{said}");
    assert!(said.contains("few ids") && said.contains("as an ordinary user"), "{said}");
}

#[test]
fn doctor_finds_this_machine_sound() {
    let Some(person) = person() else { return };
    let done = person.pinfold(&["doctor"]);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}{}", text(&done.stderr));
    assert!(said.contains("held") && !said.contains("BROKEN") && !said.contains("hunter2"), "{said}");
}

#[test]
fn doctor_shows_a_broken_protection_as_broken() {
    let Some(person) = person() else { return };
    let config = person.home.join(".config/pinfold");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("config.toml"), "[secrets]\nshow = [\"server.pem\"]\n").unwrap();
    let done = person.pinfold(&["doctor"]);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(76), "{said}{}", text(&done.stderr));
    assert!(said.contains("BROKEN     read .env, a key and a folder of secrets"), "{said}");
    assert!(said.contains("the secret was read") && said.contains("held       read .env by"), "{said}");
    let json = text(&person.pinfold(&["doctor", "--json"]).stdout);
    let findings: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    let of = |outcome: &str| findings.iter().filter(|finding| finding["outcome"] == outcome).count();
    assert!(of("held") >= 40 && of("broken") >= 1, "{json}");
}
