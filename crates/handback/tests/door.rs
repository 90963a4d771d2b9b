//! What git in the box makes of the git directory that the door built.

mod common;

use common::*;
use pinfold_handback::door::{self, DoorAsk, DoorError, Head, HostGit, Person};
use pinfold_handback::names::Oid;
use pinfold_plan::GitLayout;
use pinfold_policy::RelPath;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SECRET: &str = "TOKEN=real-secret\n";

struct World {
    _temp: TempDir,
    host: PathBuf,
    boxed: PathBuf,
}

/// A repository with a tracked `.env` that differs between two branches, an untracked one, and a box on it.
fn world() -> World {
    world_with(&[])
}

fn world_with(init: &[&str]) -> World {
    let temp = TempDir::new().unwrap();
    let host = repo_with(&temp.path().join("host"), init);
    write(&host, "config/.env", SECRET);
    write(&host, ".gitignore", "target\n");
    git(&host, &["add", "-f", "config/.env", ".gitignore"]);
    git(&host, &["commit", "-q", "-m", "with a secret"]);
    git(&host, &["checkout", "-q", "-b", "other"]);
    write(&host, "config/.env", "TOKEN=other-secret\n");
    write(&host, "app.js", "two\n");
    git(&host, &["commit", "-q", "-a", "-m", "other"]);
    git(&host, &["checkout", "-q", "main"]);
    write(&host, ".env", "UNTRACKED=secret\n");
    let boxed = temp.path().join("box");
    let report = box_of(&host, &main_facts(&host), &boxed);
    assert_eq!(report.tracked_masked_total, 1);
    assert_eq!(report.tracked_masked[0].to_string(), "config/.env");
    World { _temp: temp, host, boxed }
}

fn status(dir: &Path) -> String {
    git(dir, &["status", "--porcelain"])
}

/// Neither the decoy's empty content nor a deletion stands in any commit that the box made.
fn nothing_of_the_mask_was_committed(world: &World) {
    let known = git(&world.host, &["rev-list", "--all"]);
    for commit in git(&world.boxed, &["rev-list", "--all"]).lines().filter(|c| !known.contains(*c)) {
        let changed = git(&world.boxed, &["diff-tree", "-r", "-m", "--root", "--no-commit-id", "--name-only", commit]);
        let kept = git(&world.boxed, &["ls-tree", "-r", "--name-only", commit]);
        assert!(!kept.lines().any(|n| n == ".env"), "{commit} holds the untracked secret");
        assert!(kept.contains("config/.env"), "{commit} dropped the tracked secret");
        // A merge or rebase may carry the other branch's real blob along, never an empty one.
        let blob = git(&world.boxed, &["show", &format!("{commit}:config/.env")]);
        assert!(blob.starts_with("TOKEN="), "{commit} changed {changed}: {blob:?}");
    }
}

#[test]
fn status_is_clean_and_add_all_adds_nothing() {
    let w = world();
    assert_eq!(status(&w.boxed), "");
    git(&w.boxed, &["add", "-A"]);
    assert_eq!(git(&w.boxed, &["diff", "--cached", "--name-only"]), "");
    assert_eq!(git(&w.boxed, &["fsck"]), "");
    assert!(git(&w.boxed, &["ls-files", "-v"]).contains("S config/.env"));
}

#[test]
fn commits_record_the_work_and_nothing_of_the_mask() {
    let w = world();
    write(&w.boxed, "app.js", "changed\n");
    git(&w.boxed, &["commit", "-q", "-a", "-m", "a"]);
    write(&w.boxed, "new.txt", "new\n");
    git(&w.boxed, &["add", "-A"]);
    git(&w.boxed, &["commit", "-q", "-m", "b"]);
    assert_eq!(git(&w.boxed, &["diff", "--name-only", "HEAD~2", "HEAD"]), "app.js\nnew.txt\n");
    assert_eq!(git(&w.boxed, &["log", "-1", "--format=%an <%ae>"]), "Person <person@example.com>\n");
    assert_eq!(status(&w.boxed), "");
    nothing_of_the_mask_was_committed(&w);
}

#[test]
fn stash_pop_clean_and_reset_leave_the_mask_alone() {
    let w = world();
    write(&w.boxed, "app.js", "changed\n");
    write(&w.boxed, "untracked.txt", "x\n");
    git(&w.boxed, &["stash", "-u"]);
    assert_eq!(status(&w.boxed), "");
    git(&w.boxed, &["stash", "pop"]);
    assert_eq!(status(&w.boxed), " M app.js\n?? untracked.txt\n");
    git(&w.boxed, &["reset", "-q", "--hard"]);
    git(&w.boxed, &["clean", "-fdq"]);
    assert_eq!(status(&w.boxed), "");
    assert_eq!(fs::read_to_string(w.boxed.join("config/.env")).unwrap(), "");
    assert!(git(&w.boxed, &["ls-files", "-v"]).contains("S config/.env"));
    nothing_of_the_mask_was_committed(&w);
}

#[test]
fn branches_in_which_the_masked_file_differs() {
    let w = world();
    git(&w.boxed, &["checkout", "-q", "other"]);
    assert_eq!(fs::read_to_string(w.boxed.join("app.js")).unwrap(), "two\n");
    assert_eq!(fs::read_to_string(w.boxed.join("config/.env")).unwrap(), "");
    assert_eq!(status(&w.boxed), "");
    git(&w.boxed, &["checkout", "-q", "-"]);
    assert_eq!(status(&w.boxed), "");
    write(&w.boxed, "work.txt", "w\n");
    git(&w.boxed, &["add", "-A"]);
    git(&w.boxed, &["commit", "-q", "-m", "work"]);
    git(&w.boxed, &["rebase", "-q", "other"]);
    assert_eq!(status(&w.boxed), "");
    git(&w.boxed, &["reset", "-q", "--hard", "HEAD~2"]);
    write(&w.boxed, "more.txt", "m\n");
    git(&w.boxed, &["add", "-A"]);
    git(&w.boxed, &["commit", "-q", "-m", "more"]);
    git(&w.boxed, &["merge", "-q", "--no-edit", "other"]);
    assert_eq!(status(&w.boxed), "");
    assert_eq!(fs::read_to_string(w.boxed.join("config/.env")).unwrap(), "");
    nothing_of_the_mask_was_committed(&w);
}

#[test]
fn masked_names_that_patterns_can_not_spell() {
    const NAMES: [&str; 13] = [
        "star*.pem",
        "ques?tion.pem",
        "[x].pem",
        "!bang.pem",
        "#hash.pem",
        ".env.back\\slash",
        "new\nline.pem",
        "sp ace.pem",
        " lead.pem",
        "deep/st*r/[y].pem",
        "secrets/plain",
        "secrets/deep/er",
        "ümlaut.pem",
    ];
    let temp = TempDir::new().unwrap();
    let host = repo(&temp.path().join("host"));
    for name in NAMES {
        write(&host, name, "SECRET\n");
    }
    // Names that a careless pattern would hit too.
    for name in ["starred.txt", "newXline.txt", "x.txt", "hash.txt", "deep/star/y.txt"] {
        write(&host, name, "open\n");
    }
    git(&host, &["add", "-A", "-f"]);
    git(&host, &["commit", "-q", "-m", "secrets"]);
    git(&host, &["checkout", "-q", "-b", "other"]);
    for name in NAMES {
        write(&host, name, "OTHER\n");
    }
    write(&host, "app.js", "other\n");
    git(&host, &["commit", "-q", "-a", "-m", "other"]);
    git(&host, &["checkout", "-q", "main"]);
    let boxed = temp.path().join("box");
    let report = box_of(&host, &main_facts(&host), &boxed);
    assert_eq!(report.tracked_masked_total, NAMES.len(), "{:?}", report.tracked_masked);
    let skipped = |dir: &Path| git(dir, &["ls-files", "-v"]).lines().filter(|l| l.starts_with("S ")).count();
    let check = |what: &str| {
        assert_eq!(status(&boxed), "", "{what}");
        assert_eq!(skipped(&boxed), NAMES.len(), "{what}");
        for name in NAMES {
            assert_eq!(fs::read_to_string(boxed.join(name)).unwrap(), "", "{what}: {name:?} was written");
        }
    };
    check("at the start");
    git(&boxed, &["checkout", "-q", "other"]);
    check("on the other branch");
    assert_eq!(fs::read_to_string(boxed.join("app.js")).unwrap(), "other\n");
    git(&boxed, &["reset", "-q", "--hard", "main"]);
    check("after a reset");
    git(&boxed, &["checkout", "-q", "main"]);
    for name in ["starred.txt", "newXline.txt", "x.txt", "hash.txt", "deep/star/y.txt"] {
        write(&boxed, name, "changed\n");
    }
    git(&boxed, &["commit", "-q", "-a", "-m", "open files"]);
    assert_eq!(git(&boxed, &["diff", "--name-only", "HEAD~", "HEAD"]).lines().count(), 5);
    git(&boxed, &["stash", "-q", "-u"]);
    git(&boxed, &["rebase", "-q", "other"]);
    check("after a rebase");
    git(&boxed, &["checkout", "-q", "other"]);
    git(&boxed, &["cherry-pick", "main"]);
    check("after a cherry-pick");
}

#[test]
fn worktrees_and_clones_made_in_the_box() {
    let w = world();
    git(&w.boxed, &["worktree", "add", "-q", "../tree", "-b", "topic"]);
    let tree = w.boxed.parent().unwrap().join("tree");
    write(&tree, "t.txt", "t\n");
    git(&tree, &["add", "-A"]);
    git(&tree, &["commit", "-q", "-m", "topic"]);
    assert_eq!(git(&w.boxed, &["log", "-1", "--format=%s", "topic"]), "topic\n");
    assert_eq!(status(&w.boxed), "");
    nothing_of_the_mask_was_committed(&w);
}

#[test]
fn pushing_says_at_once_that_it_is_not_needed() {
    let w = world();
    git(&w.host, &["remote", "add", "origin", "https://user:t0ken@example.com/x.git"]);
    git(&w.host, &["config", "branch.main.remote", "origin"]);
    git(&w.host, &["config", "branch.main.merge", "refs/heads/main"]);
    git(&w.host, &["config", "http.extraHeader", "Authorization: h3ader"]);
    git(&w.host, &["config", "credential.helper", "!cat /t0ken"]);
    git(&w.host, &["config", "core.fsmonitor", "/bin/evil"]);
    let log = fs::read_to_string(w.host.join(".git/logs/HEAD")).unwrap();
    let line = log.lines().last().unwrap().split('\t').next().unwrap();
    write(&w.host, ".git/logs/HEAD", &format!("{log}{line}\tpull https://u:t0ken@h/x: Fast-forward\n"));
    for name in ["COMMIT_EDITMSG", "FETCH_HEAD", "lfs/objects/x", "modules/sub/config", "description", "hooks/notes"] {
        write(&w.host, &format!(".git/{name}"), "t0ken\n");
    }
    git(&w.host, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    git(&w.host, &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    let dest = w.host.parent().unwrap().join("again");
    build(&main_facts(&w.host), &dest, &Ask::default()).unwrap();
    for file in walk(&dest) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        for planted in ["t0ken", "h3ader", "evil", "real-secret"] {
            assert!(!text.contains(planted), "{file:?} holds {planted}");
        }
    }
    fs::remove_dir_all(w.boxed.join(".git")).unwrap();
    fs::rename(&dest, w.boxed.join(".git")).unwrap();
    assert!(git(&w.boxed, &["status"]).contains("up to date with 'origin/main'"));
    assert_eq!(git(&w.boxed, &["rev-parse", "origin/HEAD"]), git(&w.host, &["rev-parse", "main"]));
    let push = output(&w.boxed, &["push"]);
    assert!(!push.status.success());
    assert!(String::from_utf8_lossy(&push.stderr).contains("pinfold-brings-commits-out"), "{push:?}");
}

#[test]
fn refs_tags_stash_and_state_are_the_hosts() {
    let w = world();
    git(&w.host, &["tag", "light"]);
    git(&w.host, &["tag", "-a", "heavy", "-m", "h"]);
    git(&w.host, &["pack-refs", "--all"]);
    git(&w.host, &["tag", "-a", "heavier", "-m", "h"]);
    git(&w.host, &["branch", "feature/deep/er"]);
    git(&w.host, &["update-ref", "refs/pinfold/old/heads/main", "HEAD"]);
    write(&w.host, "app.js", "stashed\n");
    git(&w.host, &["stash"]);
    let dest = w.host.parent().unwrap().join("again");
    let report = box_of(&w.host, &main_facts(&w.host), &dest);
    assert!(matches!(report.head, Head::Branch { ref name, oid: Some(_) } if name == b"refs/heads/main"));
    let refs = |dir: &Path| git(dir, &["for-each-ref", "--format=%(refname) %(objectname) %(*objectname)"]);
    let theirs =
        refs(&w.host).lines().filter(|l| !l.contains("refs/pinfold/")).fold(String::new(), |t, l| t + l + "\n");
    assert_eq!(refs(&dest), theirs);
    assert_eq!(git(&dest, &["reflog"]), git(&w.host, &["reflog"]));
    assert_eq!(git(&dest, &["stash", "list"]), git(&w.host, &["stash", "list"]));
    assert_eq!(git(&dest, &["show-ref", "-d"]).lines().filter(|l| l.ends_with("^{}")).count(), 2);
}

#[test]
fn hooks_are_copied_as_they_are_meant() {
    let w = world();
    let hooks = w.host.join(".git/hooks");
    let hook = |name: &str, mode: u32| {
        fs::write(hooks.join(name), "#!/bin/sh\necho ran >> hook.log\n").unwrap();
        fs::set_permissions(hooks.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    hook("pre-commit", 0o755);
    hook("commit-msg", 0o644);
    hook("not-a-hook", 0o755);
    hook("post-merge", 0o755);
    fs::write(hooks.join("post-merge"), "curl -H \"Authorization: Bearer_0123456789\" https://x\n").unwrap();
    std::os::unix::fs::symlink("../../tools/push.sh", hooks.join("pre-push")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", hooks.join("post-commit")).unwrap();
    let dest = w.host.parent().unwrap().join("again");
    let report = build(&main_facts(&w.host), &dest, &Ask::default()).unwrap();
    let names: Vec<_> =
        fs::read_dir(dest.join("hooks")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let mut names = names;
    names.sort();
    assert_eq!(names, ["pre-commit", "pre-push"]);
    assert!(report.notes.iter().any(|n| n.contains("post-commit")), "{:?}", report.notes);

    git(&w.host, &["config", "core.hooksPath", ".husky"]);
    let dest = w.host.parent().unwrap().join("husky");
    build(&main_facts(&w.host), &dest, &Ask::default()).unwrap();
    assert_eq!(git(&dest, &["config", "core.hooksPath"]), ".husky\n");
}

#[test]
fn a_merge_in_progress_goes_on_in_the_box() {
    let w = world();
    write(&w.host, "app.js", "mine\n");
    git(&w.host, &["commit", "-q", "-a", "-m", "mine"]);
    assert!(!output(&w.host, &["merge", "other"]).status.success());
    let boxed = w.host.parent().unwrap().join("merging");
    box_of(&w.host, &main_facts(&w.host), &boxed);
    assert!(git(&boxed, &["status"]).contains("You have unmerged paths"));
    write(&boxed, "app.js", "both\n");
    git(&boxed, &["commit", "-q", "-a", "--no-edit"]);
    assert_eq!(git(&boxed, &["rev-list", "--parents", "-1", "HEAD"]).split_whitespace().count(), 3);
}

#[test]
fn a_linked_worktree_becomes_a_plain_repository() {
    let w = world();
    git(&w.host, &["worktree", "add", "-q", "../linked", "-b", "linked"]);
    let linked = w.host.parent().unwrap().join("linked");
    write(&linked, "l.txt", "l\n");
    git(&linked, &["add", "l.txt"]);
    let facts = facts(GitLayout::Linked, &w.host.join(".git/worktrees/linked"), &w.host.join(".git"));
    let boxed = w.host.parent().unwrap().join("linkedbox");
    let report = box_of(&linked, &facts, &boxed);
    assert!(matches!(report.head, Head::Branch { ref name, .. } if name == b"refs/heads/linked"));
    assert_eq!(status(&boxed), "A  l.txt\n");
    assert_eq!(git(&boxed, &["rev-parse", "--git-common-dir"]), ".git\n");
    git(&boxed, &["commit", "-q", "-m", "l"]);
    git(&boxed, &["checkout", "-q", "main"]);
    assert_eq!(status(&boxed), "");
}

#[test]
fn sha256_shallow_detached_and_unborn() {
    let w = world_with(&["--object-format=sha256"]);
    assert_eq!(git(&w.boxed, &["rev-parse", "HEAD"]).trim().len(), 64);
    write(&w.boxed, "app.js", "x\n");
    git(&w.boxed, &["commit", "-q", "-a", "-m", "x"]);
    nothing_of_the_mask_was_committed(&w);

    let w = world();
    let shallow = w.host.parent().unwrap().join("shallow");
    let url = format!("file://{}", w.host.display());
    git(w.host.parent().unwrap(), &["clone", "-q", "--depth", "1", &url, "shallow"]);
    git(&shallow, &["checkout", "-q", "--detach"]);
    let boxed = w.host.parent().unwrap().join("shallowbox");
    let report = box_of(&shallow, &main_facts(&shallow), &boxed);
    assert!(matches!(report.head, Head::Detached(_)));
    assert_eq!(git(&boxed, &["log", "--oneline"]).lines().count(), 1);
    assert_eq!(git(&boxed, &["fsck"]), "");

    let unborn = w.host.parent().unwrap().join("unborn");
    git(w.host.parent().unwrap(), &["init", "-q", "-b", "trunk", "unborn"]);
    let boxed = w.host.parent().unwrap().join("unbornbox");
    let report = box_of(&unborn, &main_facts(&unborn), &boxed);
    assert_eq!(report.head, Head::Branch { name: b"refs/heads/trunk".to_vec(), oid: None });
    assert_eq!(status(&boxed), "");
}

#[test]
fn the_persons_own_settings_count_where_they_decide_what_is_clean() {
    let w = world();
    let home = w.host.parent().unwrap().join("home");
    write(
        &home,
        ".gitconfig",
        "[core]\n autocrlf = input\n fsmonitor = evil\n[user]\n name = No\n[filter \"lfs\"]\n process = evil\n[filter \"crypt\"]\n clean = evil\n required\n[pull]\n rebase = true\n",
    );
    write(&home, "dotfiles/ignore", ".idea/\n*.swp");
    fs::create_dir_all(home.join(".config/git")).unwrap();
    std::os::unix::fs::symlink("../../dotfiles/ignore", home.join(".config/git/ignore")).unwrap();
    let dest = w.host.parent().unwrap().join("again");
    fs::create_dir(&dest).unwrap();
    let person = Person::read(&home, &home.join(".config"));
    let policy = policy();
    let ask = DoorAsk {
        alternates: vec![w.host.join(".git/objects").into_os_string().into_encoded_bytes()],
        identity: None,
        policy: &policy,
        prefix: RelPath::ROOT,
        root: None,
        present_ids: &same_ids,
        owner: None,
        excludes: b"*.made\n!*.swp",
        hooks: true,
        person: Some(&person),
    };
    door::build(&HostGit::open(&main_facts(&w.host)).unwrap(), folder(&dest).as_fd(), &ask).unwrap();
    let config = |name: &str| git(&dest, &["config", name]);
    assert_eq!(config("core.autocrlf"), "input\n");
    assert_eq!(config("pull.rebase"), "true\n");
    assert_eq!(config("user.name"), "Person\n");
    assert_eq!(config("filter.crypt.clean"), "false\n");
    assert_eq!(config("filter.lfs.required"), "false\n");
    assert!(!fs::read_to_string(dest.join("config")).unwrap().contains("evil"));
    fs::remove_dir_all(w.boxed.join(".git")).unwrap();
    fs::rename(&dest, w.boxed.join(".git")).unwrap();
    for name in [".idea/x", "a.swp", "a.made", "shown"] {
        write(&w.boxed, name, "x");
    }
    assert!(status(&w.boxed).ends_with("?? shown\n") && !status(&w.boxed).contains(".idea"), "{}", status(&w.boxed));
    assert!(!status(&w.boxed).contains("swp") && !status(&w.boxed).contains("made"));
}

#[test]
fn where_the_head_is() {
    let w = world();
    let facts = main_facts(&w.host);
    let head = || door::head(&HostGit::open(&facts).unwrap()).unwrap();
    let main = Oid::parse(git(&w.host, &["rev-parse", "HEAD"]).trim().as_bytes()).unwrap();
    let on = |name: &str, oid| Head::Branch { name: name.into(), oid };
    assert_eq!(head(), on("refs/heads/main", Some(main)));
    git(&w.host, &["pack-refs", "--all"]);
    assert_eq!(head(), on("refs/heads/main", Some(main)));
    git(&w.host, &["symbolic-ref", "refs/heads/alias", "refs/heads/main"]);
    git(&w.host, &["symbolic-ref", "HEAD", "refs/heads/alias"]);
    assert_eq!(head(), on("refs/heads/alias", Some(main)));
    git(&w.host, &["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    assert_eq!(head(), on("refs/heads/unborn", None));
    fs::write(w.host.join(".git/HEAD"), format!("{main}\n")).unwrap();
    assert_eq!(head(), Head::Detached(main));
    fs::write(w.host.join(".git/HEAD"), "ref: refs/../../x\n").unwrap();
    assert!(door::head(&HostGit::open(&facts).unwrap()).is_err());
}

#[test]
fn refs_kept_as_reftable() {
    let temp = TempDir::new().unwrap();
    let host = temp.path().join("host");
    fs::create_dir(&host).unwrap();
    if !output(&host, &["init", "-q", "--ref-format=reftable"]).status.success() {
        return pinfold_testkit::need::skip("this git has no reftable");
    }
    for format in ["sha1", "sha256"] {
        let host = repo_with(&temp.path().join(format), &["--ref-format=reftable", "--object-format", format]);
        for n in 0..500 {
            git(&host, &["update-ref", &format!("refs/heads/many/branch-{n}"), "HEAD"]);
        }
        git(&host, &["tag", "-a", "heavy", "-m", "h"]);
        git(&host, &["tag", "light"]);
        git(&host, &["branch", "-D", "-q", "many/branch-7"]);
        git(&host, &["update-ref", "refs/pinfold/old/heads/x", "HEAD"]);
        git(&host, &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/heads/main"]);
        git(&host, &["worktree", "add", "-q", "../linked", "-b", "linked"]);
        let linked = temp.path().join("linked");
        git(&linked, &["update-ref", "refs/worktree/own", "HEAD"]);
        let refs = |dir: &Path| {
            let listed = git(dir, &["for-each-ref", "--format=%(refname) %(objectname) %(*objectname)"]);
            listed.lines().filter(|l| !l.contains("refs/pinfold/")).fold(String::new(), |t, l| t + l + "\n")
        };
        let boxed = temp.path().join("box");
        let report = box_of(&host, &main_facts(&host), &boxed);
        assert!(matches!(report.head, Head::Branch { ref name, oid: Some(_) } if name == b"refs/heads/main"));
        assert_eq!(refs(&boxed), refs(&host));
        assert!(refs(&boxed).lines().count() > 500);
        assert_eq!(status(&boxed), "");
        git(&host, &["pack-refs"]);
        let boxed2 = temp.path().join("box2");
        box_of(&host, &main_facts(&host), &boxed2);
        assert_eq!(refs(&boxed2), refs(&host));
        let linkedbox = temp.path().join("linkedbox");
        let facts = facts(GitLayout::Linked, &host.join(".git/worktrees/linked"), &host.join(".git"));
        let report = box_of(&linked, &facts, &linkedbox);
        assert!(matches!(report.head, Head::Branch { ref name, .. } if name == b"refs/heads/linked"));
        assert_eq!(refs(&linkedbox), refs(&linked));
        for used in [boxed, boxed2, linked, linkedbox] {
            fs::remove_dir_all(used).unwrap();
        }
    }
}

#[test]
fn what_can_not_be_shown_is_refused_with_its_name() {
    let temp = TempDir::new().unwrap();
    let host = repo(&temp.path().join("host"));
    git(&host, &["config", "core.repositoryformatversion", "1"]);
    git(&host, &["config", "extensions.fancy", "new"]);
    let error = build(&main_facts(&host), &temp.path().join("d"), &Ask::default()).unwrap_err();
    assert!(matches!(&error, DoorError::Unsupported { feature, .. } if feature.contains("fancy")), "{error}");

    git(temp.path(), &["config", "--file", "host/.git/config", "--unset", "extensions.fancy"]);
    fs::write(host.join(".git/index"), b"DIRC\0\0\0\x07\0\0\0\0garbage garbage garbage").unwrap();
    let error = build(&main_facts(&host), &temp.path().join("e"), &Ask::default()).unwrap_err();
    assert!(matches!(error, DoorError::Index(_)), "{error}");
}

#[test]
fn a_link_in_the_git_directory_leads_nowhere() {
    let temp = TempDir::new().unwrap();
    let host = repo(&temp.path().join("host"));
    write(temp.path(), "outside", "outside-secret\n");
    for name in ["info/exclude", "MERGE_MSG"] {
        let _ = fs::remove_file(host.join(".git").join(name));
        std::os::unix::fs::symlink(temp.path().join("outside"), host.join(".git").join(name)).unwrap();
    }
    let dest = temp.path().join("d");
    match build(&main_facts(&host), &dest, &Ask::default()) {
        Err(error) => assert!(matches!(error, DoorError::Read { .. }), "{error}"),
        Ok(_) => panic!("a link as info/exclude was followed or passed over in silence"),
    }
    for file in walk(&dest) {
        assert!(!String::from_utf8_lossy(&fs::read(&file).unwrap()).contains("outside-secret"), "{file:?}");
    }
}

#[test]
fn filters_that_encrypt_never_let_plain_text_through() {
    let w = world();
    git(&w.host, &["config", "filter.crypt.clean", "tr a-z b-za"]);
    git(&w.host, &["config", "filter.crypt.smudge", "tr b-za a-z"]);
    git(&w.host, &["config", "filter.crypt.required", "true"]);
    write(&w.host, ".gitattributes", "*.crypt filter=crypt\n");
    write(&w.host, "x.crypt", "plain\n");
    git(&w.host, &["add", "-A", "--", ".gitattributes", "x.crypt"]);
    git(&w.host, &["commit", "-q", "-m", "crypt"]);
    let boxed = w.host.parent().unwrap().join("cryptbox");
    box_of(&w.host, &main_facts(&w.host), &boxed);
    write(&boxed, "x.crypt", "plain changed\n");
    assert!(!output(&boxed, &["commit", "-q", "-a", "-m", "leak"]).status.success());
}

#[test]
fn the_copy_is_not_younger_than_the_original() {
    let w = world();
    let time = |p: PathBuf| fs::metadata(p).unwrap().modified().unwrap();
    assert_eq!(time(w.host.join(".git/index")), time(w.boxed.join(".git/index")));
}
