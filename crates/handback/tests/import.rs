//! Commits coming back: what is taken in, and when the person's branch moves.

mod common;

use common::back::*;
use common::*;
use pinfold_handback::import::{Forward, ImportAsk, Importer, Limits, Offer};
use pinfold_handback::names::{BranchName, Oid};
use pinfold_plan::GitLayout;
use pinfold_policy::RelPathBuf;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

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

#[test]
fn the_hosts_branches_are_as_git_names_them() {
    let probe = TempDir::new().unwrap();
    let has_reftable = output(probe.path(), &["init", "-q", "--ref-format=reftable"]).status.success();
    let formats = ["--object-format=sha1", "--object-format=sha256", "--ref-format=reftable"];
    for format in &formats[..if has_reftable { 3 } else { 2 }] {
        let w = world_with(&[format]);
        for name in ["plain", "deep/er/name", "packed", "gone"] {
            git(&w.host, &["branch", name]);
        }
        git(&w.host, &["pack-refs", "--all"]);
        commit_in(&w.host, "more", "m\n");
        git(&w.host, &["branch", "-f", "plain"]);
        git(&w.host, &["branch", "-D", "gone"]);
        git(&w.host, &["tag", "-a", "-m", "no branch", "tag"]);
        git(&w.host, &["symbolic-ref", "refs/heads/other-name", "refs/heads/packed"]);
        let said = git(&w.host, &["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/"]);
        let heads = w.importer().host_heads().unwrap();
        let seen: Vec<_> = heads.iter().map(|(name, oid)| format!("{oid} refs/heads/{}", name.short())).collect();
        assert_eq!(seen, said.lines().collect::<Vec<_>>(), "{format}");
    }
}
