//! Commits coming back: what is taken in, when the person's branch moves, and what a hostile box can't do.

mod common;

use common::*;
use pinfold_handback::import::{Forward, ImportAsk, ImportError, ImportReport, Importer, Limits, Offer};
use pinfold_handback::names::{BranchName, Oid};
use pinfold_plan::{GitFacts, GitLayout};
use pinfold_policy::RelPathBuf;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use tempfile::TempDir;

struct World {
    temp: TempDir,
    host: PathBuf,
    boxed: PathBuf,
    facts: GitFacts,
}

fn world() -> World {
    world_with(&[])
}

fn world_with(init: &[&str]) -> World {
    let temp = TempDir::new().unwrap();
    let host = repo_with(&temp.path().join("host"), init);
    write(&host, "config/.env", "TOKEN=real-secret\n");
    git(&host, &["add", "-A"]);
    git(&host, &["commit", "-q", "-m", "with a secret"]);
    let facts = main_facts(&host);
    let boxed = temp.path().join("box");
    box_of(&host, &facts, &boxed);
    World { temp, host, boxed, facts }
}

fn oid(dir: &Path, name: &str) -> Oid {
    Oid::parse(git(dir, &["rev-parse", name]).trim().as_bytes()).unwrap()
}

impl World {
    fn importer(&self) -> Importer {
        self.importer_with(Limits::default())
    }

    fn importer_with(&self, limits: Limits) -> Importer {
        let base = output(&self.host, &["rev-parse", "--verify", "-q", "main"]);
        let ask = ImportAsk {
            run_id: "run1".into(),
            branch: Some(BranchName::parse(b"refs/heads/main").unwrap()),
            base: Oid::parse(base.stdout.trim_ascii_end()).ok(),
            policy: Arc::new(policy()),
            prefix: RelPathBuf::root(),
            limits,
        };
        Importer::new(&self.facts, ask).unwrap()
    }

    /// Like [`World::importer`], where git refuses to speak to us about the repository.
    fn somebodys_importer(&self) -> Importer {
        let base = git(&self.host, &["-c", "safe.directory=*", "rev-parse", "main"]);
        let ask = ImportAsk {
            run_id: "run1".into(),
            branch: Some(BranchName::parse(b"refs/heads/main").unwrap()),
            base: Oid::parse(base.trim().as_bytes()).ok(),
            policy: Arc::new(policy()),
            prefix: RelPathBuf::root(),
            limits: Limits::default(),
        };
        Importer::new(&self.facts, ask).unwrap()
    }

    fn commit(&self, name: &str, text: &str) -> Oid {
        commit_in(&self.boxed, name, text)
    }

    /// Offers all branches of the box with a pack of what the host lacks.
    fn import(&self, importer: &mut Importer) -> ImportReport {
        self.try_import(importer).unwrap()
    }

    fn try_import(&self, importer: &mut Importer) -> Result<ImportReport, ImportError> {
        let listed = git(&self.boxed, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"]);
        let refs: Vec<(Vec<u8>, Vec<u8>)> =
            listed.lines().map(|l| l.split_once(' ').unwrap()).map(|(n, o)| (n.into(), o.into())).collect();
        let tips: String = refs.iter().map(|(_, o)| String::from_utf8_lossy(o).into_owned() + "\n").collect();
        let known = git(&self.host, &["rev-parse", "--all"]);
        let known: String = known.lines().map(|o| format!("^{o}\n")).collect();
        let pack = pack(&self.boxed, &["--revs", "--thin"], &(tips + &known));
        importer.import(&Offer { refs, head: Some(b"refs/heads/main".to_vec()), detached: None }, Some(stream(pack)))
    }

    /// Offers `main` at this id with a pack of exactly these objects.
    fn offer_objects(&self, importer: &mut Importer, tip: &str, objects: &[&str]) -> Result<ImportReport, ImportError> {
        let pack = pack(&self.boxed, &[], &(objects.join("\n") + "\n"));
        importer.import(&main_at(tip), Some(stream(pack)))
    }

    /// Nothing of an import is left but what a report says.
    fn host_is_untouched(&self, before: &Snapshot) {
        assert_eq!(&self.snapshot(), before);
    }

    fn snapshot(&self) -> Snapshot {
        let git_dir = self.host.join(".git");
        Snapshot {
            files: walk(&git_dir)
                .into_iter()
                .map(|f| {
                    let bytes = fs::read(&f).unwrap();
                    (f, bytes)
                })
                .collect(),
        }
    }
}

#[derive(PartialEq, Eq)]
struct Snapshot {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.files.iter().map(|(p, b)| (p, b.len()))).finish()
    }
}

fn commit_in(dir: &Path, name: &str, text: &str) -> Oid {
    write(dir, name, text);
    git(dir, &["add", "-f", "--sparse", name]);
    git(dir, &["commit", "-q", "-m", name]);
    oid(dir, "HEAD")
}

fn main_at(tip: &str) -> Offer {
    Offer { refs: vec![(b"refs/heads/main".to_vec(), tip.into())], ..Offer::default() }
}

fn pack(dir: &Path, args: &[&str], input: &str) -> Vec<u8> {
    fed(dir, &[&["pack-objects", "--stdout", "-q"], args].concat(), input.as_bytes())
}

fn fed(dir: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = command(dir, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(out.status.success(), "git {args:?}");
    out.stdout
}

/// A pipe that gives these bytes, as a box would.
fn stream(bytes: Vec<u8>) -> OwnedFd {
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::thread::spawn(move || {
        // The reader may hang up at any time.
        let _ = writer.write_all(&bytes);
    });
    reader.into()
}

fn object(dir: &Path, kind: &str, bytes: &[u8]) -> String {
    String::from_utf8(fed(dir, &["hash-object", "-t", kind, "--literally", "-w", "--stdin"], bytes))
        .unwrap()
        .trim()
        .to_owned()
}

fn raw(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn tree(dir: &Path, entries: &[(&str, &[u8], &str)]) -> String {
    let bytes: Vec<u8> =
        entries.iter().flat_map(|(mode, name, id)| [mode.as_bytes(), b" ", name, b"\0", &raw(id)].concat()).collect();
    object(dir, "tree", &bytes)
}

fn commit_of(dir: &Path, tree: &str) -> String {
    let parent = git(dir, &["rev-parse", "HEAD"]);
    let who = "A <a@b> 1700000000 +0000";
    object(
        dir,
        "commit",
        format!("tree {tree}\nparent {}\nauthor {who}\ncommitter {who}\n\nx\n", parent.trim()).as_bytes(),
    )
}

fn waits(report: &ImportReport) -> &str {
    match &report.forward {
        Forward::Waits { because } => &because[0],
        other => panic!("the branch does not wait: {other:?}"),
    }
}

fn refused(result: Result<ImportReport, ImportError>) -> String {
    match result {
        Err(ImportError::Refused(why)) => why,
        other => panic!("the offer was not refused: {other:?}"),
    }
}

// ---- what works ----

#[test]
fn commits_come_back_and_the_branch_follows() {
    let reftable = TempDir::new().unwrap();
    let has_reftable = output(reftable.path(), &["init", "-q", "--ref-format=reftable"]).status.success();
    let formats = ["--object-format=sha1", "--object-format=sha256", "--ref-format=reftable"];
    for format in &formats[..if has_reftable { 3 } else { 2 }] {
        let w = world_with(&[format]);
        let mut importer = w.importer();
        let start = oid(&w.host, "main");
        // The work tree is live: what the box wrote is there already.
        write(&w.host, "new.txt", "new\n");
        let tip = w.commit("new.txt", "new\n");
        let report = w.import(&mut importer);
        assert_eq!(report.forward, Forward::Moved { from: Some(start), to: tip });
        assert_eq!(report.known, [tip]);
        assert_eq!(report.objects, 3);
        assert_eq!(report.stored[0].stored_as, "refs/pinfold/run1/heads/main");
        assert_eq!(oid(&w.host, "main"), tip);
        assert_eq!(git(&w.host, &["status", "--porcelain"]), "");
        assert!(git(&w.host, &["reflog", "-1", "main"]).contains("pinfold run1: fast-forward"));
        assert!(git(&w.host, &["reflog", "-1"]).contains("fast-forward"), "HEAD has no log of it");
        assert_eq!(git(&w.host, &["fsck"]), "");
        assert!(git(&w.host, &["ls-files", "-v"]).contains("H config/.env"));

        // Again, with what is known left out.
        w.commit("new.txt", "newer\n");
        w.commit("more.txt", "more\n");
        write(&w.host, "new.txt", "newer\n");
        let report = w.import(&mut importer);
        assert!(matches!(report.forward, Forward::Moved { .. }), "{report:?}");
        assert_eq!(git(&w.host, &["status", "--porcelain"]), " D more.txt\n");
        assert_eq!(w.import(&mut importer).forward, Forward::Nothing);
        no_traces(&w);
    }
}

fn no_traces(w: &World) {
    for file in walk(&w.host.join(".git")) {
        let name = file.to_string_lossy();
        assert!(
            !name.contains("tmp_objdir") && !name.contains("index.pinfold") && !name.ends_with("index.lock"),
            "{name}"
        );
    }
}

#[test]
fn many_commits_and_branches_at_once() {
    let w = world();
    let mut importer = w.importer();
    for n in 0..60 {
        w.commit(&format!("f{n}"), &format!("{n}\n"));
    }
    git(&w.boxed, &["branch", "topic/a"]);
    git(&w.boxed, &["checkout", "-q", "-b", "topic/b", "HEAD~3"]);
    w.commit("on-b", "b\n");
    let report = w.import(&mut importer);
    assert_eq!(report.stored.len(), 3);
    assert!(report.objects > 100, "{}", report.objects);
    assert!(matches!(report.forward, Forward::Moved { .. }));
    assert_eq!(oid(&w.host, "refs/pinfold/run1/heads/topic/b"), oid(&w.boxed, "topic/b"));
    assert_eq!(git(&w.host, &["branch", "--list"]), "* main\n");
    assert_eq!(git(&w.host, &["fsck"]), "");
    assert_eq!(git(&w.host, &["count-objects", "-v"]).lines().find(|l| l.starts_with("packs:")), Some("packs: 1"));
    no_traces(&w);
}

#[test]
fn the_first_commit_of_a_repository() {
    let temp = TempDir::new().unwrap();
    let host = temp.path().join("host");
    git(temp.path(), &["init", "-q", "-b", "main", "host"]);
    git(&host, &["config", "user.name", "P"]);
    git(&host, &["config", "user.email", "p@e"]);
    let facts = main_facts(&host);
    let boxed = temp.path().join("box");
    box_of(&host, &facts, &boxed);
    let w = World { temp, host, boxed, facts };
    let mut importer = w.importer();
    let tip = w.commit("a", "a\n");
    write(&w.host, "a", "a\n");
    assert_eq!(w.import(&mut importer).forward, Forward::Moved { from: None, to: tip });
    assert_eq!(git(&w.host, &["status", "--porcelain"]), "");
}

#[test]
fn a_linked_worktree_moves_its_own_branch() {
    let w = world();
    git(&w.host, &["worktree", "add", "-q", "../linked", "-b", "side"]);
    let linked = w.temp.path().join("linked");
    let facts = facts(GitLayout::Linked, &w.host.join(".git/worktrees/linked"), &w.host.join(".git"));
    let boxed = w.temp.path().join("linkedbox");
    box_of(&linked, &facts, &boxed);
    let ask = ImportAsk {
        run_id: "run2".into(),
        branch: Some(BranchName::parse(b"refs/heads/side").unwrap()),
        base: Some(oid(&linked, "HEAD")),
        policy: Arc::new(policy()),
        prefix: RelPathBuf::root(),
        limits: Limits::default(),
    };
    let mut importer = Importer::new(&facts, ask).unwrap();
    let tip = commit_in(&boxed, "s.txt", "s\n");
    write(&linked, "s.txt", "s\n");
    let mine = World { temp: w.temp, host: w.host, boxed, facts };
    let report = mine.import(&mut importer);
    assert_eq!(report.forward, Forward::Moved { from: Some(oid(&mine.host, "main")), to: tip });
    assert_eq!(git(&linked, &["status", "--porcelain"]), "");
    assert_eq!(git(&mine.host, &["status", "--porcelain"]), "");
}

#[test]
fn a_submodule_as_the_workspace() {
    let temp = TempDir::new().unwrap();
    let library = repo(&temp.path().join("library"));
    let top = repo(&temp.path().join("top"));
    let url = format!("file://{}", library.display());
    git(&top, &["-c", "protocol.file.allow=always", "submodule", "add", "-q", &url, "sub"]);
    let (sub, git_dir) = (top.join("sub"), top.join(".git/modules/sub"));
    assert!(!git(&sub, &["config", "core.worktree"]).is_empty());
    git(&sub, &["config", "user.name", "P"]);
    git(&sub, &["config", "user.email", "p@e"]);
    let facts = facts(GitLayout::Submodule, &git_dir, &git_dir);
    let boxed = temp.path().join("box");
    box_of(&sub, &facts, &boxed);
    let w = World { temp, host: sub, boxed, facts };
    let mut importer = w.importer();
    let tip = w.commit("x", "x\n");
    write(&w.host, "x", "x\n");
    assert!(matches!(w.import(&mut importer).forward, Forward::Moved { to, .. } if to == tip));
    assert_eq!(git(&w.host, &["status", "--porcelain"]), "");
    assert_eq!(git(&top, &["status", "--porcelain"]), "A  .gitmodules\nAM sub\n");
}

#[test]
fn root_leaves_nothing_of_its_own_in_somebody_elses_repository() {
    if !rustix::process::geteuid().is_root() {
        return pinfold_testkit::need::skip("only root can work on somebody else's repository");
    }
    const SOMEBODY: u32 = 1001;
    let w = world();
    let mut importer = w.importer();
    let mut on_small = w.commit("x", "x\n");
    let give = |path: &Path| std::os::unix::fs::lchown(path, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    fs::set_permissions(w.temp.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(std::process::Command::new("chown").args(["-R", "1001:1001"]).arg(&w.host).status().unwrap().success());
    give(&w.host);
    for round in 0..2 {
        let listed = git(&w.boxed, &["rev-list", "--objects", "--no-object-names", on_small.as_str()]);
        let bytes = pack(&w.boxed, &[], &listed);
        // The importer found out whose repository it is when it was made, so a fresh one is needed.
        if round == 0 {
            importer = w.somebodys_importer();
        }
        let report = importer.import(&main_at(on_small.as_str()), Some(stream(bytes))).unwrap();
        assert!(matches!(report.forward, Forward::Moved { .. }), "{report:?}");
        for n in 0..110 {
            write(&w.boxed, &format!("many/{n}"), &format!("{round} {n}\n"));
        }
        git(&w.boxed, &["add", "-A"]);
        git(&w.boxed, &["commit", "-q", "-m", "many"]);
        on_small = oid(&w.boxed, "HEAD");
    }
    for file in walk(&w.host) {
        let meta = fs::symlink_metadata(&file).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&meta), SOMEBODY, "{file:?}");
    }
}

#[test]
fn commits_of_the_host_are_shown_to_the_box_and_taken_in() {
    let w = world();
    let mut importer = w.importer();
    let theirs = commit_in(&w.host, "theirs", "t\n");
    assert_eq!(importer.host_heads().unwrap(), [(BranchName::parse(b"refs/heads/main").unwrap(), theirs)]);
    let mine = w.commit("mine", "m\n");
    let report = w.import(&mut importer);
    assert!(waits(&report).contains("has commits here that the box does not have"), "{report:?}");
    assert_eq!(oid(&w.host, "refs/pinfold/run1/heads/main"), mine);
    assert_eq!(oid(&w.host, "main"), theirs);

    git(&w.boxed, &["merge", "-q", "--no-edit", theirs.as_str()]);
    write(&w.host, "mine", "m\n");
    let report = w.import(&mut importer);
    assert_eq!(report.forward, Forward::Moved { from: Some(theirs), to: oid(&w.boxed, "main") });
    assert_eq!(git(&w.host, &["status", "--porcelain"]), "");
}

// ---- when the branch waits ----

#[test]
fn the_branch_waits_when_the_person_is_busy() {
    type Setup = fn(&Path);
    let cases: [(&str, Setup); 11] = [
        ("staged changes", |h| {
            write(h, "app.js", "staged\n");
            git(h, &["add", "app.js"]);
        }),
        ("no branch is checked out", |h| _ = git(h, &["checkout", "-q", "--detach"])),
        ("topic is checked out here, not main", |h| _ = git(h, &["checkout", "-q", "-b", "topic"])),
        ("holds the index", |h| fs::write(h.join(".git/index.lock"), "").unwrap()),
        ("a rebase is in progress", |h| fs::create_dir(h.join(".git/rebase-merge")).unwrap()),
        ("am` is in progress", |h| fs::create_dir(h.join(".git/rebase-apply")).unwrap()),
        ("a merge is in progress", |h| fs::write(h.join(".git/MERGE_HEAD"), "x").unwrap()),
        ("a cherry-pick is in progress", |h| fs::write(h.join(".git/CHERRY_PICK_HEAD"), "x").unwrap()),
        ("a bisection is in progress", |h| fs::write(h.join(".git/BISECT_LOG"), "x").unwrap()),
        ("main was moved here", |h| {
            git(h, &["reset", "-q", "--soft", "HEAD~1"]);
            git(h, &["reset", "-q"]);
        }),
        ("also checked out in another worktree", |h| {
            git(h, &["worktree", "add", "-q", "--force", "../second", "main"]);
        }),
    ];
    for (why, setup) in cases {
        let w = world();
        let mut importer = w.importer();
        let tip = w.commit("x", "x\n");
        setup(&w.host);
        let before = (fs::read(w.host.join(".git/index")).unwrap(), fs::read(w.host.join(".git/HEAD")).unwrap());
        let main = oid(&w.host, "main");
        let report = w.import(&mut importer);
        assert!(waits(&report).contains(why), "{why}: {report:?}");
        assert_eq!(oid(&w.host, "main"), main, "{why}");
        assert_eq!(oid(&w.host, "refs/pinfold/run1/heads/main"), tip, "{why}");
        let after = (fs::read(w.host.join(".git/index")).unwrap(), fs::read(w.host.join(".git/HEAD")).unwrap());
        assert!(before == after, "{why}: the index or HEAD changed");
    }
}

#[test]
fn work_without_a_branch_is_not_lost() {
    let w = world();
    let mut importer = w.importer();
    git(&w.boxed, &["checkout", "-q", "--detach"]);
    let start = oid(&w.boxed, "HEAD");
    let detached = |oid: Oid| Offer { detached: Some(oid.as_bytes().to_vec()), ..Offer::default() };
    assert_eq!(importer.import(&detached(start), None).unwrap().detached, None);
    let tip = w.commit("x", "x\n");
    let pack = pack(&w.boxed, &["--revs"], &format!("{tip}\n^{start}\n"));
    let report = importer.import(&detached(tip), Some(stream(pack))).unwrap();
    assert_eq!(report.detached.as_deref(), Some("refs/pinfold/run1/detached"));
    assert_eq!(report.known, [tip]);
    assert_eq!(oid(&w.host, "refs/pinfold/run1/detached"), tip);
    assert_eq!(oid(&w.host, "main"), start);
    refused(importer.import(&Offer { detached: Some(b"--all".to_vec()), ..Offer::default() }, None));
}

#[test]
fn rewritten_commits_are_kept_and_the_branch_waits() {
    let w = world();
    let mut importer = w.importer();
    w.commit("x", "x\n");
    assert!(matches!(w.import(&mut importer).forward, Forward::Moved { .. }));
    git(&w.boxed, &["commit", "-q", "--amend", "-m", "better words"]);
    let amended = oid(&w.boxed, "main");
    let report = w.import(&mut importer);
    assert!(waits(&report).contains("the box has rewritten commits that main has here already"), "{report:?}");
    assert_eq!(oid(&w.host, "refs/pinfold/run1/heads/main"), amended);
}

#[test]
fn branches_as_the_host_gave_them_are_not_stored_again() {
    let w = world();
    git(&w.host, &["branch", "same"]);
    git(&w.host, &["branch", "older"]);
    let boxed = w.temp.path().join("second");
    box_of(&w.host, &w.facts, &boxed);
    let w = World { boxed, ..w };
    let mut importer = w.importer();
    git(&w.host, &["checkout", "-q", "older"]);
    commit_in(&w.host, "newer", "n\n");
    git(&w.host, &["checkout", "-q", "main"]);
    let report = w.import(&mut importer);
    assert_eq!((report.stored.len(), report.known.len()), (0, 3), "{report:?}");
    assert_eq!(git(&w.host, &["for-each-ref", "refs/pinfold"]), "");
}

#[test]
fn a_branch_that_is_another_name_for_one_is_not_cut_loose() {
    let w = world();
    git(&w.host, &["branch", "-m", "main", "trunk"]);
    git(&w.host, &["symbolic-ref", "refs/heads/main", "refs/heads/trunk"]);
    git(&w.host, &["symbolic-ref", "HEAD", "refs/heads/main"]);
    let mut importer = w.importer();
    w.commit("x", "x\n");
    let report = w.import(&mut importer);
    assert!(waits(&report).contains("another name"), "{report:?}");
    assert_eq!(git(&w.host, &["symbolic-ref", "refs/heads/main"]), "refs/heads/trunk\n");
}

#[test]
fn the_branch_follows_once_the_person_is_done() {
    let w = world();
    let mut importer = w.importer();
    let tip = w.commit("x", "x\n");
    write(&w.host, "app.js", "staged\n");
    git(&w.host, &["add", "app.js"]);
    assert!(waits(&w.import(&mut importer)).contains("staged"));
    git(&w.host, &["reset", "-q"]);
    assert!(matches!(importer.retry_forward().unwrap().0, Forward::Moved { to, .. } if to == tip));
    // The unstaged change is still there, and is all there is besides the file that was not written here.
    assert_eq!(git(&w.host, &["status", "--porcelain"]), " M app.js\n D x\n");
}

#[test]
fn commits_that_touch_hidden_paths_wait_even_when_a_later_one_takes_it_back() {
    let w = world();
    let mut importer = w.importer();
    git(&w.boxed, &["update-index", "--no-skip-worktree", "config/.env"]);
    let clean = oid(&w.boxed, "HEAD");
    w.commit("config/.env", "");
    git(&w.boxed, &["checkout", "-q", clean.as_str(), "--", "config/.env"]);
    git(&w.boxed, &["commit", "-q", "-m", "back"]);
    assert_eq!(git(&w.boxed, &["diff", "--name-only", clean.as_str(), "HEAD"]), "");
    assert!(waits(&w.import(&mut importer)).contains("it changes config/.env (masked)"));

    let w = world();
    let mut importer = w.importer();
    w.commit("deep/.env", "MADE_IN_BOX=1\n");
    assert!(waits(&w.import(&mut importer)).contains("it changes deep/.env (masked)"));

    let w = world();
    let mut importer = w.importer();
    git(&w.boxed, &["rm", "-q", "--cached", "--sparse", "config/.env"]);
    git(&w.boxed, &["commit", "-q", "-m", "gone"]);
    assert!(waits(&w.import(&mut importer)).contains("it changes config/.env (masked)"));
    assert!(git(&w.host, &["ls-tree", "-r", "main"]).contains("config/.env"));
}

#[test]
fn a_merge_that_brings_an_old_secret_back_waits() {
    let w = world();
    git(&w.host, &["branch", "old"]);
    write(&w.host, "config/.env", "TOKEN=rotated\n");
    git(&w.host, &["commit", "-q", "-a", "-m", "rotated"]);
    let boxed = w.temp.path().join("second");
    box_of(&w.host, &w.facts, &boxed);
    let w = World { boxed, ..w };
    let mut importer = w.importer();
    // Against both parents nothing is changed: app.js is as in one of them, the secret as in the other.
    let tree = git(&w.boxed, &["rev-parse", "old^{tree}"]);
    let merge = git(&w.boxed, &["commit-tree", "-p", "main", "-p", "old", "-m", "merge", tree.trim()]);
    assert_eq!(git(&w.boxed, &["diff-tree", "-r", "-c", "--no-commit-id", merge.trim()]), "");
    git(&w.boxed, &["update-ref", "refs/heads/main", merge.trim()]);
    assert!(waits(&w.import(&mut importer)).contains("it changes config/.env (masked)"));
    assert_eq!(git(&w.host, &["show", "main:config/.env"]), "TOKEN=rotated\n");
}

#[test]
fn submodules_that_run_commands_are_refused() {
    for bad in ["update = !touch /tmp/x", "url = -u./payload", "path = ../outside"] {
        let w = world();
        let mut importer = w.importer();
        let before = w.snapshot();
        w.commit(".gitmodules", &format!("[submodule \"s\"]\n\tpath = s\n\turl = https://x/y\n\t{bad}\n"));
        if bad.starts_with("path") {
            // Git checks where a submodule is when it makes one; as a file it is inert, and the person is told.
            let report = w.import(&mut importer);
            assert_eq!(report.watched.iter().map(ToString::to_string).collect::<Vec<_>>(), [".gitmodules"]);
            continue;
        }
        refused(w.try_import(&mut importer));
        w.host_is_untouched(&before);
    }
}

#[test]
fn things_that_git_lets_pass_make_the_branch_wait() {
    let w = world();
    let mut importer = w.importer();
    std::os::unix::fs::symlink("/etc", w.boxed.join("dist")).unwrap();
    git(&w.boxed, &["add", "dist"]);
    git(&w.boxed, &["commit", "-q", "-m", "link"]);
    assert!(waits(&w.import(&mut importer)).contains("lead out of the tree: \"dist\""));

    let w = world();
    let mut importer = w.importer();
    git(&w.boxed, &["init", "-q", "--bare", "docs/b"]);
    write(&w.boxed, "docs/b/objects/keep", "");
    write(&w.boxed, "docs/b/refs/keep", "");
    git(&w.boxed, &["add", "-f", "docs/b"]);
    git(&w.boxed, &["commit", "-q", "-m", "bare"]);
    assert!(waits(&w.import(&mut importer)).contains("bare repository"));

    let w = world();
    let mut importer = w.importer();
    w.commit("esc\x1b[2J", "x");
    let report = w.import(&mut importer);
    assert!(waits(&report).contains("control characters") && !waits(&report).contains('\x1b'), "{report:?}");
}

#[test]
fn a_commit_of_the_person_at_the_same_moment_wins_or_waits() {
    let w = world();
    let mut importer = w.importer();
    for round in 0..15 {
        w.commit("race", &format!("{round}\n"));
        let host = w.host.clone();
        let person = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(round * 3));
            write(&host, "person", &format!("{round}\n"));
            output(&host, &["add", "person"]).status.success()
                && output(&host, &["commit", "-q", "-m", "person"]).status.success()
        });
        let report = w.import(&mut importer);
        let committed = person.join().unwrap();
        let head = oid(&w.host, "main");
        assert_eq!(git(&w.host, &["fsck"]), "");
        // The index belongs to the branch: nothing is staged that nobody staged.
        if committed {
            assert_eq!(git(&w.host, &["diff", "--cached", "--name-only"]), "", "round {round}: {report:?}");
            assert_eq!(git(&w.host, &["show", "main:person"]), format!("{round}\n"), "the person's commit was lost");
        }
        if let Forward::Moved { to, .. } = report.forward {
            assert!(output(&w.host, &["merge-base", "--is-ancestor", to.as_str(), head.as_str()]).status.success());
        }
        git(&w.boxed, &["merge", "-q", "--no-edit", head.as_str()]);
        git(&w.host, &["reset", "-q", "--", "person"]);
        let _ = w.import(&mut importer);
    }
}

// ---- attacks ----

/// What a plain `git fetch` from the box would do, for comparison.
fn fetched(w: &World) -> std::process::Output {
    output(
        &w.host,
        &["-c", "protocol.file.allow=always", "fetch", "-q", w.boxed.to_str().unwrap(), "main:refs/review/main"],
    )
}

#[test]
fn a_tag_named_like_the_branch_does_not_come_along() {
    let w = world();
    w.commit("evil", "evil\n");
    git(&w.boxed, &["tag", "main"]);
    let baseline = world();
    baseline.commit("evil", "evil\n");
    git(&baseline.boxed, &["tag", "review-me"]);
    assert!(fetched(&baseline).status.success());
    assert_eq!(git(&baseline.host, &["tag"]), "review-me\n", "the baseline does not follow tags");

    let mut importer = w.importer();
    let tip = git(&w.boxed, &["rev-parse", "refs/heads/main"]);
    let tip = tip.trim();
    let pack = pack(&w.boxed, &["--revs"], &format!("{tip}\n"));
    let refs = [("refs/tags/main", tip), ("refs/heads/main", tip), ("refs/remotes/origin/main", tip), ("HEAD", tip)];
    let refs = refs.map(|(n, o)| (n.as_bytes().to_vec(), o.as_bytes().to_vec())).to_vec();
    let report = importer.import(&Offer { refs, ..Offer::default() }, Some(stream(pack))).unwrap();
    assert_eq!(report.refused.len(), 3);
    assert_eq!(report.stored.len(), 1);
    assert_eq!(git(&w.host, &["tag"]), "");
}

#[test]
fn names_that_mislead_are_left_out() {
    let w = world();
    let mut importer = w.importer();
    let tip = w.commit("x", "x\n").to_string();
    let names = [
        "refs/heads/../../config",
        "refs/heads/-x",
        "refs/heads/HEAD",
        "refs/heads/a\x1b[2J",
        "refs/pinfold/other/heads/main",
        "../x",
        "refs/heads/x.lock",
    ];
    let refs = names.iter().map(|n| (n.as_bytes().to_vec(), tip.clone().into())).collect();
    let pack = pack(&w.boxed, &["--revs"], &format!("{tip}\n"));
    let before = git(&w.host, &["for-each-ref"]);
    let report = importer.import(&Offer { refs, ..Offer::default() }, Some(stream(pack))).unwrap();
    assert_eq!((report.stored.len(), report.refused.len()), (0, names.len()));
    assert!(report.refused.iter().all(|(name, _)| !name.contains('\x1b')));
    assert_eq!(git(&w.host, &["for-each-ref"]), before);
}

#[test]
fn ids_that_are_not_ids_spoil_the_offer() {
    let w = world();
    let before = w.snapshot();
    let mut importer = w.importer();
    for id in ["--all", "HEAD", "main", &"0".repeat(40), &"A".repeat(40), &"a".repeat(64), ""] {
        refused(importer.import(&main_at(id), None));
    }
    refused(importer.import(&main_at(&"a".repeat(40)), None));
    let blob = git(&w.host, &["rev-parse", "HEAD:app.js"]);
    refused(importer.import(&main_at(blob.trim()), None));
    let refs = (0..1001).map(|n| (format!("refs/heads/b{n}").into(), "a".repeat(40).into())).collect();
    refused(importer.import(&Offer { refs, ..Offer::default() }, None));
    w.host_is_untouched(&before);
}

#[test]
fn trees_with_a_git_directory_are_refused() {
    let w = world();
    let blob = object(&w.boxed, "blob", b"[core]\n\tfsmonitor = evil\n");
    let inner = tree(&w.boxed, &[("100644", b"config", &blob)]);
    let good = git(&w.boxed, &["rev-parse", "HEAD^{tree}"]);
    for name in [&b".git"[..], b".GIT", b"git~1", b".git.", ".g\u{200c}it".as_bytes(), b"..", b"."] {
        let bad = tree(&w.boxed, &[("40000", name, &inner)]);
        let tip = commit_of(&w.boxed, &bad);
        let before = w.snapshot();
        let mut importer = w.importer();
        refused(w.offer_objects(&mut importer, &tip, &[&tip, &bad, &inner, &blob]));
        w.host_is_untouched(&before);
    }
    // The baseline takes the first of them without a word.
    let bad = tree(&w.boxed, &[("40000", b".git", &inner)]);
    let tip = commit_of(&w.boxed, &bad);
    git(&w.boxed, &["update-ref", "refs/heads/main", &tip]);
    assert!(fetched(&w).status.success(), "the baseline refuses .git entries by itself");
    let _ = good;
}

#[test]
fn odd_modes_and_duplicate_entries_are_refused() {
    let w = world();
    let blob = object(&w.boxed, "blob", b"x");
    let trees = [
        tree(&w.boxed, &[("100777", b"x", &blob)]),
        tree(&w.boxed, &[("100644", b"x", &blob), ("100755", b"x", &blob)]),
        tree(&w.boxed, &[("100644", b"z", &blob), ("100644", b"a", &blob)]),
        tree(&w.boxed, &[("0100644", b"x", &blob)]),
    ];
    for bad in trees {
        let tip = commit_of(&w.boxed, &bad);
        let before = w.snapshot();
        let mut importer = w.importer();
        refused(w.offer_objects(&mut importer, &tip, &[&tip, &bad, &blob]));
        w.host_is_untouched(&before);
    }
}

#[test]
fn huge_files_and_huge_packs_are_refused() {
    let w = world();
    let limits = Limits { blob_bytes: 1 << 20, ..Limits::default() };
    w.commit("big", &"0".repeat(2 << 20));
    let before = w.snapshot();
    assert!(refused(w.try_import(&mut w.importer_with(limits))).contains("bytes"));
    w.host_is_untouched(&before);
    assert!(fetched(&w).status.success(), "the baseline has a limit by itself");

    let w = world();
    let mut noise = String::new();
    let mut state = 1u64;
    while noise.len() < 200_000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        noise += &format!("{state:x}");
    }
    w.commit("noise", &noise);
    let before = w.snapshot();
    refused(w.try_import(&mut w.importer_with(Limits { pack_bytes: 10_000, ..Limits::default() })));
    refused(w.try_import(&mut w.importer_with(Limits { objects: 2, ..Limits::default() })));
    w.host_is_untouched(&before);
}

#[test]
fn bytes_that_are_no_pack_are_refused() {
    let w = world();
    w.commit("x", "x\n");
    let tip = oid(&w.boxed, "main").to_string();
    let good = pack(&w.boxed, &["--revs"], &format!("{tip}\n"));
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let mut counted = good.clone();
    counted[8..12].copy_from_slice(&0xffff_ffffu32.to_be_bytes());
    let mut more = good.clone();
    more[11] += 1;
    let bombs = [
        Vec::new(),
        b"PACK".to_vec(),
        b"GIF89a--------------".to_vec(),
        good[..good.len() - 21].to_vec(),
        flipped,
        counted,
        more,
    ];
    let before = w.snapshot();
    for bytes in bombs {
        refused(w.importer().import(&main_at(&tip), Some(stream(bytes))));
        w.host_is_untouched(&before);
    }
}

#[test]
fn a_box_that_sends_nothing_is_not_waited_for() {
    let w = world();
    let tip = w.commit("x", "x\n").to_string();
    let (reader, writer) = std::io::pipe().unwrap();
    let limits = Limits { time: std::time::Duration::from_millis(300), ..Limits::default() };
    assert!(refused(w.importer_with(limits).import(&main_at(&tip), Some(reader.into()))).contains("in time"));
    // Starts, then stops.
    let good = pack(&w.boxed, &["--revs"], &format!("{tip}\n"));
    let (reader, mut writer2) = std::io::pipe().unwrap();
    writer2.write_all(&good[..40]).unwrap();
    assert!(refused(w.importer_with(limits).import(&main_at(&tip), Some(reader.into()))).contains("longer than"));
    no_traces(&w);
    drop((writer, writer2));
}

#[test]
fn history_with_holes_is_refused() {
    let w = world();
    let tip = w.commit("x", "x\n").to_string();
    let tree = git(&w.boxed, &["rev-parse", "HEAD^{tree}"]);
    let before = w.snapshot();
    // The commit without its folder; the folder without its file; a tip that was not sent at all.
    refused(w.offer_objects(&mut w.importer(), &tip, &[&tip]));
    refused(w.offer_objects(&mut w.importer(), &tip, &[&tip, tree.trim()]));
    refused(w.offer_objects(&mut w.importer(), &tip, &[tree.trim()]));
    // A thin pack whose base the host does not have.
    let base = "line\n".repeat(4000);
    w.commit("delta", &base);
    let tip = w.commit("delta", &(base + "one more\n")).to_string();
    let thin = pack(&w.boxed, &["--revs", "--thin"], &format!("{tip}\n^{tip}~1\n"));
    refused(w.importer().import(&main_at(&tip), Some(stream(thin))));
    w.host_is_untouched(&before);
}

#[test]
fn objects_nobody_asked_for_do_not_come_along() {
    let w = world();
    let mut importer = w.importer();
    let tip = w.commit("x", "x\n").to_string();
    let stowaway = object(&w.boxed, "blob", b"stowaway");
    let tree = git(&w.boxed, &["rev-parse", "HEAD^{tree}"]);
    let blob = git(&w.boxed, &["rev-parse", "HEAD:x"]);
    w.offer_objects(&mut importer, &tip, &[&tip, tree.trim(), blob.trim(), &stowaway]).unwrap();
    assert!(!output(&w.host, &["cat-file", "-e", &stowaway]).status.success());
}

#[test]
fn replaced_objects_and_the_boxes_settings_do_not_matter() {
    let w = world();
    let mut importer = w.importer();
    let real = w.commit("x", "x\n");
    let evil = commit_of(&w.boxed, git(&w.boxed, &["rev-parse", "HEAD~1^{tree}"]).trim());
    git(&w.boxed, &["replace", real.as_str(), &evil]);
    // Whatever stands in the box's git directory is never read by the host.
    let marker = w.temp.path().join("marker");
    let run = format!("touch {}", marker.display());
    git(&w.boxed, &["config", "core.fsmonitor", &run]);
    git(&w.boxed, &["config", "core.hooksPath", "."]);
    let listed = format!("{real}\n");
    let mut child = command(&w.boxed, &["-c", "core.fsmonitor=", "pack-objects", "--stdout", "-q", "--revs"]);
    let mut child =
        child.env("GIT_NO_REPLACE_OBJECTS", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(listed.as_bytes()).unwrap();
    let pack = child.wait_with_output().unwrap().stdout;
    let report = importer.import(&main_at(real.as_str()), Some(stream(pack))).unwrap();
    assert!(matches!(report.forward, Forward::Moved { to, .. } if to == real));
    assert!(!marker.exists());
}

#[test]
fn hooks_and_monitors_of_the_host_do_not_run_either() {
    let w = world();
    let marker = w.temp.path().join("marker");
    let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
    for hook in ["reference-transaction", "post-index-change", "update", "post-update"] {
        let path = w.host.join(".git/hooks").join(hook);
        fs::write(&path, &script).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    git(&w.host, &["config", "core.alternateRefsCommand", &format!("touch {}", marker.display())]);
    let _ = fs::remove_file(&marker);
    let mut importer = w.importer();
    w.commit("x", "x\n");
    assert!(matches!(w.import(&mut importer).forward, Forward::Moved { .. }));
    assert!(!marker.exists());
    // The baseline runs them.
    git(&w.host, &["update-ref", "refs/heads/y", "HEAD"]);
    assert!(marker.exists());
}

#[test]
fn a_small_pack_that_unpacks_to_much_is_refused() {
    let w = world();
    w.commit("bomb", &"\0".repeat(150 << 20));
    let before = w.snapshot();
    assert!(refused(w.try_import(&mut w.importer())).contains("bytes"));
    w.host_is_untouched(&before);
}

/// `size` in the seven-bit groups of a delta.
fn delta_size(mut size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while size >= 128 {
        out.push(size as u8 | 128);
        size >>= 7;
    }
    out.push(size as u8);
    out
}

fn zlib_stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 1];
    let chunks: Vec<&[u8]> = bytes.chunks(0xffff).collect();
    for (at, chunk) in chunks.iter().enumerate() {
        out.push(u8::from(at + 1 == chunks.len()));
        out.extend_from_slice(&(chunk.len() as u16).to_le_bytes());
        out.extend_from_slice(&(!(chunk.len() as u16)).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in bytes {
        a = (a + u32::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend_from_slice(&(b << 16 | a).to_be_bytes());
    out
}

fn pack_entry(kind: u8, size: usize) -> Vec<u8> {
    let mut out = vec![kind << 4 | (size & 15) as u8];
    let mut rest = size >> 4;
    while rest > 0 {
        *out.last_mut().unwrap() |= 128;
        out.push((rest & 127) as u8);
        rest >>= 7;
    }
    out
}

#[test]
fn a_delta_that_copies_itself_to_gigabytes_is_refused() {
    const MIB: usize = 1 << 20;
    const TIMES: usize = 8192;
    let base = vec![b'x'; MIB];
    let mut delta = [delta_size(MIB as u64), delta_size((MIB * TIMES) as u64)].concat();
    for _ in 0..TIMES {
        // Copy from offset 0, a size of three bytes.
        delta.extend_from_slice(&[0x80 | 0x70, 0, 0, 0x10]);
    }
    let base_id = raw(&object_id("blob", &base));
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
    pack.extend_from_slice(&pack_entry(3, base.len()));
    pack.extend_from_slice(&zlib_stored(&base));
    pack.extend_from_slice(&pack_entry(7, delta.len()));
    pack.extend_from_slice(&base_id);
    pack.extend_from_slice(&zlib_stored(&delta));
    let sum = <sha1::Sha1 as sha1::Digest>::digest(&pack);
    pack.extend_from_slice(&sum);
    assert!(pack.len() < 2 * MIB);

    let w = world();
    let before = w.snapshot();
    let tip = w.commit("x", "x\n").to_string();
    let started = std::time::Instant::now();
    let why = refused(w.importer().import(&main_at(&tip), Some(stream(pack))));
    assert!(why.contains("memory"), "{why}");
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
    w.host_is_untouched(&before);
}

fn object_id(kind: &str, bytes: &[u8]) -> String {
    let whole = [format!("{kind} {}\0", bytes.len()).as_bytes(), bytes].concat();
    <sha1::Sha1 as sha1::Digest>::digest(&whole).iter().map(|b| format!("{b:02x}")).collect()
}
