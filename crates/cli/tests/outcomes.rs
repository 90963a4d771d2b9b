//! Whole outcomes of the command line: standard output, standard error and status, as a person would see them.
//!
//! Nothing here starts a box: these are the mistakes and the questions that are answered before one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A person with an empty home and one repository, and nothing of the machine's environment.
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
        fs::create_dir_all(repo.join("src")).unwrap();
        for folder in ["objects", "refs"] {
            fs::create_dir_all(repo.join(".git").join(folder)).unwrap();
        }
        fs::write(repo.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        Person { _keep: keep, home, repo }
    }

    fn pinfold(&self, args: &[&str]) -> String {
        self.pinfold_in(&self.repo, args, &[])
    }

    fn pinfold_in(&self, cwd: &Path, args: &[&str], env: &[(&str, &str)]) -> String {
        let done = Command::new(env!("CARGO_BIN_EXE_pinfold"))
            .args(args)
            .current_dir(cwd)
            .env_clear()
            .env("HOME", &self.home)
            .env("PATH", "/usr/bin:/bin")
            .env("TERM", "xterm")
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| self.settled(&String::from_utf8_lossy(bytes));
        format!(
            "$ pinfold {}\n{}--- stderr\n{}--- status {}\n",
            args.join(" "),
            text(&done.stdout),
            text(&done.stderr),
            done.status.code().map_or("none".into(), |code| code.to_string())
        )
    }

    /// The same on every machine: names of the temporary folder, and the key made of them, are replaced.
    fn settled(&self, text: &str) -> String {
        let base = self.home.parent().unwrap();
        let mut text = text.replace(self.home.to_str().unwrap(), "~").replace(base.to_str().unwrap(), "BASE");
        while let Some(at) = text.find("/homes/repo-") {
            let end = at + "/homes/repo-".len();
            text.replace_range(at..end + 32, "/homes/REPO");
        }
        text
    }
}

#[test]
fn mistakes_on_the_command_line() {
    let person = Person::new();
    let tried: Vec<_> = [
        &[][..],
        &["clade"],
        &["run", "--memroy", "1G", "--", "true"],
        &["run", "--memory", "lots", "--", "true"],
        &["run", "--timeout", "0", "--", "true"],
        &["run", "--env", "1BAD=x", "--", "true"],
        &["run", "--env", "NOT_SET_HERE", "--", "true"],
        &["run", "--accept", "everything", "--", "true"],
        &["run", "--pids", "1", "--", "true"],
        &["run", "--json", "--nope"],
        &["why"],
        &["completions", "tcsh"],
    ]
    .iter()
    .map(|args| person.pinfold(args))
    .collect();
    insta::assert_snapshot!(tried.join("\n"));
}

#[test]
fn places_that_are_refused() {
    let person = Person::new();
    let run = &["run", "--", "true"][..];
    let plain = person.home.join("plain");
    fs::create_dir(&plain).unwrap();
    let own = person.home.join(".local/state/pinfold");
    fs::create_dir_all(&own).unwrap();
    let mut tried = vec![
        person.pinfold_in(&plain, run, &[]),
        person.pinfold_in(&person.home, &["run", "--here", "--", "true"], &[]),
        person.pinfold_in(Path::new("/"), &["run", "--here", "--", "true"], &[]),
        person.pinfold_in(&own, &["run", "--here", "--", "true"], &[]),
        person.pinfold_in(&plain, &["run", "--json", "--", "true"], &[]),
    ];
    fs::remove_file(person.repo.join(".git/HEAD")).unwrap();
    tried.push(person.pinfold(run));
    insta::assert_snapshot!(tried.join("\n"));
}

#[test]
fn files_that_are_not_understood() {
    let person = Person::new();
    let file = person.repo.join("pinfold.toml");
    let mut tried = Vec::new();
    for text in ["[secrets]\nmask = [\n", "[secrets]\nmsak = [\"x\"]\n", "[secrets]\nmask = [\"\"]\n"] {
        fs::write(&file, text).unwrap();
        tried.push(person.pinfold(&["run", "--", "true"]));
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    tried.push(person.pinfold(&["run", "--", "true"]));
    fs::remove_dir(&file).unwrap();
    fs::write(&file, b"\xff").unwrap();
    tried.push(person.pinfold(&["run", "--", "true"]));
    insta::assert_snapshot!(tried.join("\n"));
}

#[test]
fn what_a_project_may_not_say_until_it_is_trusted() {
    let person = Person::new();
    let file = person.repo.join("pinfold.toml");
    let asks = "[secrets]\nmask = [\"notes.txt\"]\nshow = [\".env\"]\n";
    fs::write(&file, asks).unwrap();
    let why = &["why", ".env", "notes.txt"][..];
    let mut tried = vec![person.pinfold(why), person.pinfold(&["trust"]), person.pinfold(why)];
    fs::write(&file, asks.replace(".env", "*")).unwrap();
    tried.push(person.pinfold(why));
    tried.push(person.pinfold(&["trust", "--remove"]));
    tried.push(person.pinfold(why));
    tried.push(person.pinfold(&["trust", "--remove"]));
    fs::remove_file(&file).unwrap();
    tried.push(person.pinfold(&["trust"]));
    insta::assert_snapshot!(tried.join("\n"));
}

#[test]
fn why_names_the_rule() {
    let person = Person::new();
    let tried = [
        person.pinfold(&["why", "src/main.c", ".env", "src/../.ENV", "/workspace/.env", "id_rsa.pub", "secrets/"]),
        person.pinfold(&["why", "--mask", "*.c", "--show", ".env", "src/main.c", ".env"]),
        person.pinfold(&["why", "/etc/shadow", "/usr/bin/env", "."]),
        person.pinfold(&["why", "--json", ".env"]),
        person.pinfold_in(&person.repo.join("src"), &["why", "../.env", "main.c"], &[]),
    ];
    insta::assert_snapshot!(tried.join("\n"));
}

#[test]
fn a_hostile_name_can_not_steer_the_terminal() {
    let person = Person::new();
    let evil = person.home.join("\x1b[2Jevil\nname\u{202e}");
    fs::create_dir(&evil).unwrap();
    let shown = person.pinfold_in(&evil, &["run", "--", "true"], &[]);
    assert!(!shown.contains('\x1b') && !shown.contains('\u{202e}'), "{shown}");
    assert!(shown.contains("evil"), "{shown}");
}

/// The plan without the lines that tell this machine from another.
fn settled_plan(text: &str) -> String {
    let machine = |line: &str| {
        let path = line.split_whitespace().nth(1).unwrap_or_default();
        let word = line.split_whitespace().next().unwrap_or_default();
        let system =
            ["/usr", "/bin", "/sbin", "/lib", "/opt", "/etc", "/nix"].iter().any(|tree| path.starts_with(tree));
        (matches!(word, "bind" | "symlink" | "folder") && system)
            || matches!(word, "cgroup" | "run")
            || (word == "map" || line.starts_with("file        /sys") || line.starts_with("file        /etc"))
            || line.starts_with("limit       open files")
            || path.starts_with("PATH=")
            || path.starts_with("/run/user")
            || path.starts_with("XDG_RUNTIME_DIR=")
            || path.starts_with("USER=")
            || path.starts_with("LOGNAME=")
            || path.starts_with("SHELL=")
            || path.starts_with("IS_SANDBOX=")
            || line.starts_with("run folder")
            || line.starts_with("tmpfs")
            || line.starts_with("devices")
            || line.starts_with("landlock")
            || line.starts_with("probe       /")
    };
    text.lines().filter(|line| !machine(line)).map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn a_plan_is_printed_and_nothing_is_done() {
    let person = Person::new();
    let shown = person.pinfold_in(
        &person.repo.join("src"),
        &["run", "--dry-run", "--env", "CI=1", "--timeout", "10m", "--mask", "*.c", "--", "make", "a b"],
        &[("SECRET_TOKEN", "hunter2"), ("GIT_DIR", "/elsewhere"), ("LANG", "C.UTF-8")],
    );
    assert!(!shown.contains("hunter2"));
    insta::assert_snapshot!(settled_plan(&shown));
    assert!(!person.home.join(".local").exists(), "a dry run leaves nothing behind");
}

#[test]
fn an_agent_is_found_behind_its_link_and_gets_its_flags() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let person = Person::new();
    let missing = person.pinfold(&["claude", "-p", "hi"]);
    let program = person.home.join(".local/share/claude/versions/2.1.0");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, b"\x7fELF").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(person.home.join(".local/bin")).unwrap();
    symlink(&program, person.home.join(".local/bin/claude")).unwrap();
    let found = person.pinfold(&["claude", "--dry-run", "-p", "hi", "--json"]);
    // One in the repository could be a former box's work.
    let planted = person.repo.join("bin/codex");
    fs::create_dir(planted.parent().unwrap()).unwrap();
    fs::write(&planted, b"\x7fELF").unwrap();
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin", planted.parent().unwrap().display());
    let refused = person.pinfold_in(&person.repo, &["codex"], &[("PATH", &path)]);
    insta::assert_snapshot!(format!("{missing}\n{}\n{refused}", settled_plan(&found)));
}

#[test]
fn a_plan_as_json_is_one_document() {
    let person = Person::new();
    let shown = person.pinfold(&["run", "--dry-run", "--json", "--", "true"]);
    let line = shown.lines().nth(1).unwrap();
    let plan: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(plan["version"], 1);
    assert_eq!(plan["steps"].as_array().unwrap().last().unwrap()["step"], "exec");
}

#[test]
fn help_works_without_anything() {
    let done = Command::new(env!("CARGO_BIN_EXE_pinfold")).arg("--help").env_clear().current_dir("/").output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success());
    for word in ["Examples:", "Exit codes:", "claude", "codex", "gemini", "opencode", " 127 ", "  64 "] {
        assert!(text.contains(word), "{word} is missing:\n{text}");
    }
}

#[test]
fn completions_and_the_manual_know_the_agents() {
    let person = Person::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = person.pinfold(&["completions", shell]);
        assert!(text.contains("opencode") && text.contains("dry-run") && text.ends_with("--- status 0\n"), "{shell}");
    }
    assert!(person.pinfold(&["man"]).contains("opencode"));
}
