//! Real repositories in temporary folders, driven by the real git with a cleared environment.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod back;

use pinfold_handback::door::{self, DoorAsk, DoorReport, HostGit};
use pinfold_plan::{Entry, GitFacts, GitLayout, HostPath, Seen, SeenKind};
use pinfold_policy::{Kind, PathPolicy, PolicySpec, RelPath, Verdict};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_DATE", "2024-01-01T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2024-01-01T00:00:00Z")
        .env("GIT_EDITOR", "true")
        .env("LC_ALL", "C");
    command
}

pub fn output(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().expect("git runs")
}

/// Runs git, which must succeed, and returns what it printed.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let out = output(dir, args);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "git {args:?} in {dir:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

pub fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A repository with an identity and one commit.
pub fn repo(dir: &Path) -> PathBuf {
    repo_with(dir, &[])
}

pub fn repo_with(dir: &Path, init: &[&str]) -> PathBuf {
    fs::create_dir_all(dir).unwrap();
    git(dir, &[&["init", "-q", "-b", "main"], init].concat());
    git(dir, &["config", "user.name", "Person"]);
    git(dir, &["config", "user.email", "person@example.com"]);
    write(dir, "app.js", "one\n");
    write(dir, "src/lib.rs", "fn x() {}\n");
    git(dir, &["add", "-A"]);
    git(dir, &["commit", "-q", "-m", "first"]);
    dir.to_owned()
}

pub fn facts(layout: GitLayout, git_dir: &Path, common_dir: &Path) -> GitFacts {
    let objects = common_dir.join("objects");
    let meta = fs::metadata(&objects).unwrap();
    let entry = Entry {
        path: HostPath::new(&objects),
        seen: Seen { dev: meta.dev(), ino: meta.ino(), kind: SeenKind::Folder },
        target: None,
    };
    GitFacts { layout, git_dir: HostPath::new(git_dir), common_dir: HostPath::new(common_dir), objects: vec![entry] }
}

pub fn main_facts(repo: &Path) -> GitFacts {
    facts(GitLayout::Main, &repo.join(".git"), &repo.join(".git"))
}

pub fn policy() -> PathPolicy {
    PathPolicy::new(&PolicySpec::default()).expect("the built-in policy is sound")
}

pub fn folder(path: &Path) -> fs::File {
    fs::File::open(path).unwrap()
}

pub fn same_ids(uid: u32, gid: u32) -> (u32, u32) {
    (uid, gid)
}

/// What a test may want to vary.
pub struct Ask {
    pub prefix: &'static str,
    pub excludes: &'static str,
    pub hooks: bool,
    pub ids: fn(u32, u32) -> (u32, u32),
}

impl Default for Ask {
    fn default() -> Self {
        Ask { prefix: "", excludes: ".env\n.env.local\n", hooks: true, ids: same_ids }
    }
}

/// Makes the git directory of a box at `dest` (made here) with the objects at their host path.
pub fn build(facts: &GitFacts, dest: &Path, ask: &Ask) -> Result<DoorReport, door::DoorError> {
    fs::create_dir_all(dest).unwrap();
    let host = HostGit::open(facts)?;
    let policy = policy();
    let ask = DoorAsk {
        alternates: facts.objects.iter().map(|e| e.path.as_path().as_os_str().as_bytes().to_vec()).collect(),
        identity: None,
        policy: &policy,
        prefix: RelPath::new(ask.prefix.as_bytes()).unwrap(),
        root: None,
        present_ids: &ask.ids,
        owner: None,
        excludes: ask.excludes.as_bytes(),
        hooks: ask.hooks,
        person: None,
    };
    door::build(&host, folder(dest).as_fd(), &ask)
}

/// A copy of the work tree as the box sees it: what is masked reads as empty, and `.git` is the box's own.
pub fn box_of(repo: &Path, facts: &GitFacts, at: &Path) -> DoorReport {
    let status = Command::new("cp").arg("-a").arg(repo).arg(at).status().unwrap();
    assert!(status.success());
    let git = at.join(".git");
    if git.is_dir() {
        fs::remove_dir_all(&git).unwrap()
    } else {
        fs::remove_file(&git).unwrap()
    }
    let policy = policy();
    for entry in walk(at) {
        let path = entry.strip_prefix(at).unwrap().as_os_str().as_bytes();
        let path = RelPath::new(path).unwrap();
        if policy.decide(path, Kind::File).verdict == Verdict::Mask {
            fs::write(&entry, "").unwrap();
        }
    }
    build(facts, &git, &Ask::default()).expect("the door opens")
}

pub fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() { found.extend(walk(&entry.path())) } else { found.push(entry.path()) }
    }
    found.sort();
    found
}
