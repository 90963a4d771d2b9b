//! Our patterns against git's own `check-ignore`, on the same lists and the same paths.

use pinfold_policy::{Kind, PathPolicy, Pattern, PolicySpec, RelPath, RuleSource, UserRule, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Hosts and people's git configuration must not matter.
fn git(repo: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(repo).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", repo);
    git
}

fn new_repo() -> Option<tempfile::TempDir> {
    let repo = tempfile::tempdir().expect("a temporary folder");
    match git(repo.path()).args(["init", "-q"]).status() {
        Ok(status) if status.success() => Some(repo),
        outcome => {
            assert!(std::env::var_os("PINFOLD_MUST_RUN").is_none(), "git init: {outcome:?}");
            skip(&format!("git can't make a repository here: {outcome:?}"));
            None
        }
    }
}

fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// Which of `paths` git ignores, by a `.gitignore` of these lines.
fn ignored_by_git(repo: &Path, lines: &[String], paths: &BTreeSet<String>) -> BTreeSet<String> {
    // A comment in a file, a name in a list.
    let text: Vec<String> =
        lines.iter().map(|line| if line.starts_with('#') { format!("\\{line}") } else { line.clone() }).collect();
    std::fs::write(repo.join(".git/info/exclude"), text.join("\n") + "\n").unwrap();
    let mut child = git(repo)
        .args(["-c", "core.ignorecase=true", "check-ignore", "--no-index", "-z", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = paths.iter().flat_map(|path| path.bytes().chain([0])).collect::<Vec<u8>>();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        stdin.write_all(&input).unwrap();
        input.clear();
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    output.stdout.split(|b| *b == 0).filter(|p| !p.is_empty()).map(|p| String::from_utf8(p.to_vec()).unwrap()).collect()
}

/// The same by our rules: paths without a built-in meaning are masked exactly when the list says so.
fn ignored_by_us(lines: &[String], paths: &BTreeSet<String>) -> BTreeSet<String> {
    let rule = |line: &String| UserRule { pattern: line.clone(), verdict: Verdict::Mask, source: RuleSource::Flag };
    let policy = PathPolicy::new(&PolicySpec { rules: lines.iter().map(rule).collect() }).unwrap();
    let masked = |path: &&String| {
        let (path, kind) = match path.strip_suffix('/') {
            Some(path) => (path, Kind::Folder),
            None => (path.as_str(), Kind::File),
        };
        policy.decide(RelPath::new(path.as_bytes()).unwrap(), kind).verdict == Verdict::Mask
    };
    paths.iter().filter(masked).cloned().collect()
}

fn compare(repo: &Path, lines: &[String], paths: &BTreeSet<String>) {
    let (git, us) = (ignored_by_git(repo, lines, paths), ignored_by_us(lines, paths));
    let more: Vec<_> = us.difference(&git).collect();
    let less: Vec<_> = git.difference(&us).collect();
    assert!(more.is_empty() && less.is_empty(), "lines {lines:?}\n  only we: {more:?}\n  only git: {less:?}");
}

/// `check-ignore` judges what does not exist as a file, so folders are made.
fn with_folders(repo: &Path, paths: &[&str]) -> BTreeSet<String> {
    for path in paths.iter().filter(|path| path.ends_with('/')) {
        std::fs::create_dir_all(repo.join(path)).unwrap();
    }
    paths.iter().map(|path| path.to_string()).collect()
}

/// Without names that a file system could take for others (`a ` for `a`): there we mask more than git ignores.
const PATHS: [&str; 40] = [
    "a",
    "b",
    "ab",
    "abc",
    "A",
    "Ab",
    "x.c",
    "x.C",
    "x.ca",
    ".c",
    "a/b",
    "a/c",
    "a/b/c",
    "a/b/c/d",
    "b/a",
    "b/a/c",
    "b/b/b",
    "c/a/b/d",
    "q/a",
    "q/a.c",
    "q/r/a.c",
    "q/r/s/a.c",
    "q/x",
    "d1",
    "d2",
    "a-c",
    "[a]",
    "a*b",
    "a?b",
    "z y",
    "#a",
    "!a",
    "z  y",
    "\u{e9}t\u{e9}",
    "dir/",
    "dir/a",
    "dir/sub/",
    "dir/sub/a",
    "deep/dir/",
    "deep/dir/x",
];

#[test]
fn chosen_lists() {
    let Some(repo) = new_repo() else { return };
    let paths = with_folders(repo.path(), &PATHS);
    let lists: [&[&str]; 44] = [
        &["a"],
        &["/a"],
        &["a/"],
        &["/a/"],
        &["a/b"],
        &["/a/b"],
        &["a/*"],
        &["*/a"],
        &["*"],
        &["**"],
        &["/**"],
        &["**/"],
        &["/*"],
        &["*/"],
        &["**/a"],
        &["**/a/b"],
        &["a/**"],
        &["a/**/c"],
        &["a/**/b"],
        &["**/b/**"],
        &["q/**/a.c"],
        &["q**a.c"],
        &["q/**a.c"],
        &["*.c"],
        &["*.?"],
        &["?"],
        &["[ab]"],
        &["[!ab]"],
        &["[^ab]*"],
        &["d[0-9]"],
        &["d[[:digit:]]"],
        &["[[:alpha:]]"],
        &["[]a]"],
        &["[a-]-c"],
        &["\\[a\\]"],
        &["a\\*b"],
        &["\\#a"],
        &["\\!a"],
        &["z\\ y"],
        &["dir/"],
        &["deep/dir/"],
        &["*", "!a"],
        &["*", "!a/", "!*.c"],
        &["/q/*", "!/q/r/", "/q/r/*", "!a.c"],
    ];
    for list in lists {
        let lines: Vec<String> = list.iter().map(|line| line.to_string()).collect();
        compare(repo.path(), &lines, &paths);
    }
}

#[test]
fn random_lists() {
    let Some(repo) = new_repo() else { return };
    let paths = with_folders(repo.path(), &PATHS);
    let atom = prop::sample::select(vec![
        "a", "b", "c", "*", "**", "?", "/", "/", "[ab]", "[!a]", "[a-c]", ".c", "d", "\\*", "q", "r", "dir", "sub",
    ]);
    let line = (prop::bool::weighted(0.3), prop::collection::vec(atom, 1..7))
        .prop_map(|(not, atoms)| (if not { "!" } else { "" }).to_owned() + &atoms.concat());
    let list = prop::collection::vec(line, 1..5);
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let mut compared = 0;
    for _ in 0..400 {
        let lines: Vec<String> = list.new_tree(&mut runner).unwrap().current();
        // What git would silently never match is an error here.
        let lines: Vec<String> = lines.into_iter().filter(|line| Pattern::new(line).is_ok()).collect();
        if !lines.is_empty() {
            compare(repo.path(), &lines, &paths);
            compared += 1;
        }
    }
    assert!(compared > 300, "only {compared} lists were comparable");
}
