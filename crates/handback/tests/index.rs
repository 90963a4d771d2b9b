//! The index parser and writer against real git.

mod common;

use common::*;
use pinfold_handback::index::{self, Change, Entry};
use pinfold_handback::names::{HashKind, Oid};
use proptest::prelude::*;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;

const NAMES: [&str; 14] = [
    "plain",
    "a b",
    "tab\there",
    "new\nline",
    "\u{1f600}",
    "quote\"",
    "back\\slash",
    "-dash",
    "*star?[x]",
    "!bang",
    "#hash",
    "deep/er/and/deeper",
    "trailing ",
    ":colon",
];

/// `ls-files --stage` as git prints it, made by our parser.
fn list(bytes: &[u8], hash: HashKind) -> Vec<u8> {
    let mut out = Vec::new();
    index::scan(bytes, hash, |e: &Entry<'_>| {
        let tag = if e.skips_worktree() {
            "S"
        } else if e.stage() > 0 {
            "M"
        } else {
            "H"
        };
        let oid = Oid::from_raw(e.oid).unwrap();
        out.extend_from_slice(format!("{tag} {:06o} {oid} {}\t", e.mode, e.stage()).as_bytes());
        out.extend_from_slice(e.name);
        out.push(0);
    })
    .unwrap();
    out
}

fn gits_list(dir: &Path) -> Vec<u8> {
    output(dir, &["ls-files", "-v", "--stage", "-z"]).stdout
}

fn odd_repo(dir: &Path, init: &[&str], version: &str) -> PathBuf {
    let host = repo_with(dir, init);
    for name in NAMES {
        write(&host, name, name);
    }
    write(&host, &format!("{}x", "long/".repeat(60)), "long");
    git(&host, &["add", "-A"]);
    git(&host, &["commit", "-q", "-m", "odd"]);
    // Longer than the length field of an entry can say.
    let blob = git(&host, &["rev-parse", "HEAD:app.js"]);
    let line = format!("100644 {} 0\t{}z\n", blob.trim(), "very/".repeat(1000));
    index_info(&host, &line);
    git(&host, &["update-index", "--index-version", version]);
    host
}

fn index_info(host: &Path, lines: &str) {
    let mut child = command(host, &["update-index", "--index-info"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_version_reads_as_git_reads_it() {
    for format in ["sha1", "sha256"] {
        for version in ["2", "3", "4"] {
            let temp = TempDir::new().unwrap();
            let host = odd_repo(&temp.path().join("h"), &[&format!("--object-format={format}")], version);
            let hash = if format == "sha1" { HashKind::Sha1 } else { HashKind::Sha256 };
            check(&host, hash);
            git(&host, &["update-index", "--skip-worktree", "plain"]);
            write(&host, "intended", "x");
            git(&host, &["add", "-N", "intended"]);
            check(&host, hash);
        }
    }
}

/// Parse as git does; then mark every second entry and let git read the result.
fn check(host: &Path, hash: HashKind) {
    let path = host.join(".git/index");
    let bytes = fs::read(&path).unwrap();
    assert_eq!(list(&bytes, hash), gits_list(host));
    assert_eq!(index::rewrite(&bytes, hash, |_| Change::default()).unwrap(), None);

    let marked =
        index::rewrite(&bytes, hash, |e| Change { skip: e.number % 2 == 0 && e.stage() == 0, ids: Some((7, 8)) })
            .unwrap()
            .unwrap();
    let mut number = 0;
    index::scan(&marked, hash, |e| {
        assert!(e.skips_worktree() || number % 2 == 1 || e.stage() > 0);
        assert_eq!((e.uid, e.gid), (7, 8));
        number += 1;
    })
    .unwrap();
    fs::write(&path, &marked).unwrap();
    assert_eq!(list(&marked, hash), gits_list(host));
    let fsck = output(host, &["fsck", "--no-dangling"]);
    assert!(fsck.status.success() && fsck.stderr.is_empty(), "{fsck:?}");
    // Git can write on from there.
    git(host, &["update-index", "--no-skip-worktree", "src/lib.rs"]);
    fs::write(&path, &bytes).unwrap();
}

#[test]
fn a_split_index_is_made_whole() {
    let temp = TempDir::new().unwrap();
    let host = odd_repo(&temp.path().join("h"), &[], "2");
    git(&host, &["config", "splitIndex.maxPercentChange", "100"]);
    git(&host, &["config", "core.splitIndex", "true"]);
    git(&host, &["update-index", "--split-index"]);
    write(&host, "app.js", "replaced\n");
    write(&host, "added", "added\n");
    write(&host, "src/added", "added\n");
    git(&host, &["add", "app.js", "added", "src/added"]);
    git(&host, &["rm", "-q", "--cached", "plain", "a b"]);
    git(&host, &["update-index", "--skip-worktree", "src/lib.rs"]);
    let top = fs::read(host.join(".git/index")).unwrap();
    let layout = index::scan(&top, HashKind::Sha1, |_| {}).unwrap();
    let base = index::shared_base(&top, &layout).unwrap().expect("the index is split");
    let base = fs::read(host.join(format!(".git/sharedindex.{base}"))).unwrap();
    let whole = index::flatten(&top, &base, HashKind::Sha1).unwrap();
    assert_eq!(list(&whole, HashKind::Sha1), gits_list(&host));
    assert!(list(&whole, HashKind::Sha1).len() > list(&top, HashKind::Sha1).len());

    let boxed = temp.path().join("box");
    box_of(&host, &main_facts(&host), &boxed);
    assert_eq!(gits_list(&boxed), gits_list(&host));
}

#[test]
fn caches_that_name_the_host_are_left_out() {
    let temp = TempDir::new().unwrap();
    let host = odd_repo(&temp.path().join("h"), &[], "2");
    git(&host, &["update-index", "--force-untracked-cache"]);
    git(&host, &["status"]);
    let bytes = fs::read(host.join(".git/index")).unwrap();
    let layout = index::scan(&bytes, HashKind::Sha1, |_| {}).unwrap();
    assert!(layout.extension(b"UNTR").is_some(), "the set-up failed");
    let copy = index::rewrite(&bytes, HashKind::Sha1, |_| Change::default()).unwrap().expect("a changed copy");
    let layout = index::scan(&copy, HashKind::Sha1, |_| {}).unwrap();
    assert!(layout.extension(b"UNTR").is_none() && layout.extension(b"TREE").is_some());
}

#[test]
fn conflicts_keep_their_sides() {
    let temp = TempDir::new().unwrap();
    let host = repo(&temp.path().join("h"));
    git(&host, &["checkout", "-q", "-b", "b"]);
    write(&host, "app.js", "b\n");
    git(&host, &["commit", "-q", "-a", "-m", "b"]);
    git(&host, &["checkout", "-q", "main"]);
    write(&host, "app.js", "m\n");
    git(&host, &["commit", "-q", "-a", "-m", "m"]);
    assert!(!output(&host, &["merge", "b"]).status.success());
    check(&host, HashKind::Sha1);
}

#[test]
fn a_sparse_index_stays_sparse() {
    let temp = TempDir::new().unwrap();
    let host = repo(&temp.path().join("h"));
    write(&host, "in/a", "a");
    write(&host, "out/b", "b");
    git(&host, &["add", "-A"]);
    git(&host, &["commit", "-q", "-m", "x"]);
    git(&host, &["sparse-checkout", "set", "--cone", "--sparse-index", "in"]);
    let bytes = fs::read(host.join(".git/index")).unwrap();
    let layout = index::scan(&bytes, HashKind::Sha1, |_| {}).unwrap();
    assert!(layout.extension(b"sdir").is_some(), "the set-up failed");
    let boxed = temp.path().join("box");
    box_of(&host, &main_facts(&host), &boxed);
    assert_eq!(git(&boxed, &["status", "--porcelain"]), "");
    assert_eq!(gits_list(&boxed), gits_list(&host));

    write(&host, "in/.env", "S=1\n");
    git(&host, &["add", "-f", "in/.env"]);
    git(&host, &["commit", "-q", "-m", "tracked"]);
    let boxed = temp.path().join("box2");
    let report = box_of(&host, &main_facts(&host), &boxed);
    assert_eq!(report.tracked_masked_total, 1);
    assert_eq!(git(&boxed, &["status", "--porcelain"]), "");
    write(&boxed, "in/a", "changed");
    git(&boxed, &["commit", "-q", "-a", "-m", "y"]);
    assert_eq!(git(&boxed, &["diff", "--name-only", "HEAD~", "HEAD"]), "in/a\n");
    assert_eq!(git(&boxed, &["status", "--porcelain"]), "");
}

#[test]
fn a_hundred_thousand_entries() {
    let temp = TempDir::new().unwrap();
    let host = repo(&temp.path().join("h"));
    let blob = git(&host, &["rev-parse", "HEAD:app.js"]);
    let mut lines = String::new();
    for n in 0..100_000 {
        let name = if n % 1000 == 0 { format!("d{}/{n}/.env", n / 100) } else { format!("d{}/file-{n}.rs", n / 100) };
        lines += &format!("100644 {} 0\t{name}\n", blob.trim());
    }
    index_info(&host, &lines);
    for version in ["2", "4"] {
        git(&host, &["update-index", "--index-version", version]);
        check(&host, HashKind::Sha1);
        let dest = temp.path().join(format!("d{version}"));
        let report = build(&main_facts(&host), &dest, &Ask::default()).unwrap();
        assert_eq!(report.tracked_masked_total, 100);
        assert_eq!(report.tracked_masked.len(), 100);
    }
}

proptest! {
    #[test]
    fn mutated_indexes_never_panic(
        version in 2u8..5,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        sha256: bool,
    ) {
        let hash = if sha256 { HashKind::Sha256 } else { HashKind::Sha1 };
        let mut bytes = small_index(version, hash);
        for (at, byte) in &edits {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(Some(copy)) = index::rewrite(&bytes, hash, |e| Change { skip: e.number == 1, ids: Some((1, 2)) }) {
            index::scan(&copy, hash, |_| {}).expect("what was written reads back");
        }
        let _ = index::flatten(&bytes, &small_index(2, hash), hash);
    }
}

/// Three entries, the middle one with a second flag word, and a link to a base with two bitmaps.
fn small_index(version: u8, hash: HashKind) -> Vec<u8> {
    let mut out = vec![b'D', b'I', b'R', b'C', 0, 0, 0, version, 0, 0, 0, 3];
    for (number, name) in ["a", "ab/c", "ab/d"].into_iter().enumerate() {
        let start = out.len();
        out.extend_from_slice(&[0; 40]);
        out.resize(out.len() + hash.raw_len(), 7);
        let extended = version > 2 && number == 1;
        out.extend_from_slice(&[if extended { 0x40 } else { 0 }, name.len() as u8]);
        if extended {
            out.extend_from_slice(&[0x20, 0]);
        }
        if version == 4 {
            let (drop, suffix) = [(0, "a"), (0, "b/c"), (1, "d")][number];
            out.push(drop);
            out.extend_from_slice(suffix.as_bytes());
            out.push(0);
        } else {
            out.extend_from_slice(name.as_bytes());
            out.resize(start + ((out.len() - start + 8) & !7), 0);
        }
    }
    let mut link = vec![9; hash.raw_len()];
    for bits in [1u8, 4] {
        link.extend_from_slice(&[
            0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bits, 0, 0, 0, 0,
        ]);
    }
    out.extend_from_slice(b"link");
    out.extend_from_slice(&(link.len() as u32).to_be_bytes());
    out.extend_from_slice(&link);
    out.resize(out.len() + hash.raw_len(), 0);
    out
}
