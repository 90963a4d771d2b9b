//! The workspace is a file system: public suites for file systems run in a real box, on the live mount.
//!
//! `pjdfstest` asks for what POSIX says of each call, `fsx` compares random reads, writes, truncations and mappings of one
//! file with its own memory. Both come from their registry and are built once. Nothing of what applies to an ordinary user
//! may fail but what is listed here with its reason; what is skipped wants root or a second file system.

use pinfold_e2e::agent::target_dir;
use pinfold_testkit::need::Missing;
use pinfold_testkit::{As, Caller, Launcher, Output, TestRepo, require};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SUITES: [(&str, &str); 2] = [("pjdfstest", "0.2.2"), ("fsx", "0.3.2")];
/// What may fail, and why.
const KNOWN: [(&str, &str); 1] = [(
    "::enametoolong_path",
    "a path that just fits PATH_MAX in the box is longer than it on the host, where the kernel can't name it: refused",
)];
const PATIENCE: Duration = Duration::from_secs(300);

/// Builds a suite if it is not there, and copies it into the repository, where the box can run it.
fn suite(name: &str, repo: &TestRepo<'_>) -> Result<(), Missing> {
    let built = build(name)?;
    let bytes = std::fs::read(&built).map_err(|e| Missing::new(format!("cannot read {}: {e}", built.display())))?;
    repo.write(Path::new("target").join(name), bytes);
    repo.sh(&format!("chmod 755 target/{name}"));
    Ok(())
}

fn build(name: &str) -> Result<PathBuf, Missing> {
    // Two tests of one process must not build at once.
    static BUILDING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = BUILDING.lock();
    let root = target_dir().join("suites");
    let binary = root.join("bin").join(name);
    if binary.is_file() {
        return Ok(binary);
    }
    let version = SUITES.iter().find(|suite| suite.0 == name).expect("it is in the table").1;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut install = Command::new(cargo);
    install.args(["install", "--quiet", "--locked", "--version", version, "--root"]).arg(&root).arg(name);
    let out = install.output().map_err(|e| Missing::new(format!("cannot run cargo: {e}")))?;
    if !out.status.success() {
        let said = String::from_utf8_lossy(&out.stderr);
        return Err(Missing::new(format!("{name} {version} cannot be had from its registry:\n{said}")));
    }
    Ok(binary)
}

fn in_box(caller: &Caller, repo: &TestRepo<'_>, script: &str) -> Result<Output, Missing> {
    let mut cmd = Launcher::pinfold()?.command(caller, repo.path(), ["sh", "-c", script]);
    Ok(cmd.deadline(PATIENCE).run())
}

/// The number before a word in the summary line.
fn count(summary: &str, word: &str) -> usize {
    let before = summary.split(word).next().unwrap_or_default();
    before.split_whitespace().next_back().and_then(|n| n.parse().ok()).unwrap_or(usize::MAX)
}

#[test]
fn nothing_of_pjdfstest_fails_for_an_ordinary_user() {
    let caller = require!(Caller::new(As::User));
    let repo = TestRepo::new(&caller, "repo");
    require!(suite("pjdfstest", &repo));
    // The suite wants to know other users; it has no right to become one, and skips those tests.
    let users = r#"entries = [["nobody","nogroup"],["nobody","nogroup"],["nobody","nogroup"]]"#;
    let config = format!("[features]\n[settings]\nnaptime = 0.01\nallow_remount = false\n[dummy_auth]\n{users}\n");
    repo.write("target/pjdfstest.toml", config);
    let script = "umask 022; mkdir target/posix && cd target/posix && ../pjdfstest -c ../pjdfstest.toml -p \"$PWD\"";
    let out = require!(in_box(&caller, &repo, script));
    let text = out.text();
    let summary = text.lines().find(|line| line.starts_with("Summary:")).unwrap_or_else(|| panic!("no summary: {out}"));
    let failed: Vec<&str> = text.lines().filter_map(|line| line.strip_suffix("FAILED")).map(str::trim_end).collect();
    let (known, new): (Vec<&str>, Vec<&str>) =
        failed.iter().partition(|name| KNOWN.iter().any(|(tail, _)| name.ends_with(tail)));
    assert!(new.is_empty(), "{summary}\n{}", new.join("\n"));
    assert!(count(summary, "passed") > 200, "the suite hardly ran: {summary}");
    assert_eq!(out.code == 0, known.is_empty(), "{out}");
}

#[test]
fn fsx_agrees_with_its_own_memory() {
    for who in As::BOTH {
        let caller = require!(Caller::new(who));
        let repo = TestRepo::new(&caller, "repo");
        require!(suite("fsx", &repo));
        let out = require!(in_box(&caller, &repo, "target/fsx -S 7 -N 4000 target/fsx.bin"));
        assert_eq!(out.code, 0, "as {}: {out}", who.name());
    }
}
