//! Which `.git` in the tree is taken for a repository, and what the box gets of it.

mod common;

use common::*;
use pinfold_handback::door::{self, DoorAsk, HostGit, Nested, NestedAsk};
use pinfold_plan::GitLayout;
use pinfold_policy::RelPath;
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn look(root: &Path, root_git: Option<&HostGit>, at: &Path) -> Option<Nested> {
    let (root, at) = (folder(root), folder(at));
    let ask = NestedAsk { root: root.as_fd(), root_git };
    door::nested(at.as_fd(), b".git", &ask).unwrap()
}

/// Builds the private copy and serves the object stores beside it, as the file system will.
fn private_copy(nested: &Nested, prefix: &str, at: &Path) -> door::DoorReport {
    let git = at.join(".git");
    if git.is_dir() {
        fs::remove_dir_all(&git).unwrap()
    } else {
        fs::remove_file(&git).unwrap()
    }
    fs::create_dir(&git).unwrap();
    for (name, store) in nested.store_names().zip(&nested.objects) {
        let path = fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(store))).unwrap();
        std::os::unix::fs::symlink(path, git.join(name)).unwrap();
    }
    let policy = policy();
    let ask = DoorAsk {
        alternates: nested.alternates(),
        identity: None,
        policy: &policy,
        prefix: RelPath::new(prefix.as_bytes()).unwrap(),
        root: None,
        present_ids: &same_ids,
        owner: None,
        excludes: b".env\n",
        hooks: true,
        person: None,
    };
    door::build(&nested.git, folder(&git).as_fd(), &ask).unwrap()
}

fn copy(from: &Path, to: &Path) -> PathBuf {
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    to.to_owned()
}

#[test]
fn a_repository_in_the_tree() {
    let temp = TempDir::new().unwrap();
    let root = repo(&temp.path().join("root"));
    let inner = repo(&root.join("vendor/inner"));
    write(&inner, ".env", "S=1\n");
    git(&inner, &["add", "-f", ".env"]);
    git(&inner, &["commit", "-q", "-m", "secret"]);
    let nested = look(&root, None, &inner).expect("a nested repository");
    assert_eq!(nested.layout, GitLayout::Main);

    let view = copy(&inner, &temp.path().join("view"));
    fs::write(view.join(".env"), "").unwrap();
    let report = private_copy(&nested, "vendor/inner", &view);
    assert_eq!(report.tracked_masked_total, 1);
    assert_eq!(report.tracked_masked[0].to_string(), ".env");
    assert_eq!(git(&view, &["status", "--porcelain", "--ignored"]), "");
    write(&view, "app.js", "x\n");
    git(&view, &["commit", "-q", "-a", "-m", "x"]);
    assert_eq!(git(&view, &["fsck"]), "");
    assert_eq!(git(&inner, &["log", "--format=%s"]), "secret\nfirst\n");
    assert!(look(&root, None, &root.join("vendor")).is_none());
}

#[test]
fn a_submodule_and_its_own_worktree() {
    let temp = TempDir::new().unwrap();
    let library = repo(&temp.path().join("library"));
    let root = repo(&temp.path().join("root"));
    let url = format!("file://{}", library.display());
    git(&root, &["-c", "protocol.file.allow=always", "submodule", "add", "-q", &url, "sub"]);
    git(&root, &["commit", "-q", "-m", "sub"]);
    let host = HostGit::open(&main_facts(&root)).unwrap();
    let nested = look(&root, Some(&host), &root.join("sub")).expect("a submodule");
    assert_eq!(nested.layout, GitLayout::Submodule);

    // The whole: the superproject's box with the submodule's private copy in it.
    let boxed = temp.path().join("box");
    box_of(&root, &main_facts(&root), &boxed);
    private_copy(&nested, "sub", &boxed.join("sub"));
    assert_eq!(git(&boxed, &["status", "--porcelain"]), "");
    assert!(git(&boxed, &["submodule", "status"]).starts_with(' '));
    git(&boxed, &["submodule", "update", "--init"]);
    git(&boxed.join("sub"), &["config", "user.name", "P"]);
    git(&boxed.join("sub"), &["config", "user.email", "p@e"]);
    write(&boxed.join("sub"), "app.js", "in sub\n");
    git(&boxed.join("sub"), &["commit", "-q", "-a", "-m", "in sub"]);
    assert_eq!(git(&boxed, &["status", "--porcelain"]), " M sub\n");
    git(&boxed, &["commit", "-q", "-a", "-m", "bump"]);
    assert_eq!(git(&boxed, &["config", "--get", "submodule.sub.url"]).trim(), url);

    // Without the workspace's own repository to vouch for it, the back pointer does.
    assert!(look(&root, None, &root.join("sub")).is_some());
    git(&root, &["config", "--file", ".git/modules/sub/config", "core.worktree", "/elsewhere"]);
    assert!(look(&root, None, &root.join("sub")).is_none());
}

#[test]
fn worktrees_inside_the_workspace() {
    let temp = TempDir::new().unwrap();
    let root = repo(&temp.path().join("root"));
    git(&root, &["worktree", "add", "-q", "trees/one", "-b", "one"]);
    let host = HostGit::open(&main_facts(&root)).unwrap();
    let nested = look(&root, Some(&host), &root.join("trees/one")).expect("a worktree of the workspace");
    assert_eq!(nested.layout, GitLayout::Linked);
    let view = copy(&root.join("trees/one"), &temp.path().join("view"));
    private_copy(&nested, "trees/one", &view);
    assert_eq!(git(&view, &["status", "-sb"]), "## one\n");

    let inner = repo(&root.join("inner"));
    git(&inner, &["worktree", "add", "-q", "../sibling", "-b", "two"]);
    assert!(look(&root, Some(&host), &root.join("sibling")).is_some());
    // Moved: what it belongs to does not know it here.
    fs::rename(root.join("sibling"), root.join("moved")).unwrap();
    assert!(look(&root, Some(&host), &root.join("moved")).is_none());
}

#[test]
fn a_claim_that_leads_elsewhere_is_no_repository() {
    let temp = TempDir::new().unwrap();
    let root = repo(&temp.path().join("root"));
    let other = repo(&temp.path().join("other"));
    git(&other, &["worktree", "add", "-q", "../root/planted", "-b", "x"]);
    let host = HostGit::open(&main_facts(&root)).unwrap();
    // A real worktree, of a repository that the box is not to have.
    assert!(look(&root, Some(&host), &root.join("planted")).is_none());

    let claims = [
        format!("gitdir: {}", other.join(".git").display()),
        "gitdir: ../../other/.git".into(),
        "gitdir: /proc/self/cwd".into(),
        "gitdir: ../.git".into(),
        "gitdir: ".into(),
        "gitdir:../.git/modules/x".into(),
        "\0".into(),
        "x".repeat(100_000),
    ];
    for claim in &claims {
        let at = root.join("claim");
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join(".git"), claim).unwrap();
        let looked = {
            let (root, at) = (folder(&root), folder(&at));
            door::nested(at.as_fd(), b".git", &NestedAsk { root: root.as_fd(), root_git: Some(&host) })
        };
        assert!(!matches!(looked, Ok(Some(_))), "{claim:?}");
        fs::remove_dir_all(&at).unwrap();
    }

    // A link, a fifo, a folder that is no repository, and one that names another as its common folder.
    let odd = root.join("odd");
    fs::create_dir(&odd).unwrap();
    std::os::unix::fs::symlink(other.join(".git"), odd.join(".git")).unwrap();
    assert!(look(&root, Some(&host), &odd).is_none());
    fs::remove_file(odd.join(".git")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(odd.join(".git")).status().unwrap().success());
    assert!(look(&root, Some(&host), &odd).is_none());
    fs::remove_file(odd.join(".git")).unwrap();
    fs::create_dir(odd.join(".git")).unwrap();
    assert!(look(&root, Some(&host), &odd).is_none());
    git(&odd, &["init", "-q"]);
    assert!(look(&root, Some(&host), &odd).is_some());
    fs::write(odd.join(".git/commondir"), other.join(".git").to_str().unwrap()).unwrap();
    assert!(look(&root, Some(&host), &odd).is_none());
}

#[test]
fn a_forged_git_directory_in_the_tree_opens_nothing() {
    // What a box can make in the tree: folders and files, but no `.git`. Even with a `.git` file of the person's that
    // leads to it, it must not be able to name a common folder elsewhere.
    let temp = TempDir::new().unwrap();
    let root = repo(&temp.path().join("root"));
    let other = repo(&temp.path().join("other"));
    let forged = root.join("forged");
    write(&forged, "HEAD", "ref: refs/heads/main\n");
    write(&forged, "commondir", other.join(".git").to_str().unwrap());
    write(&forged, "gitdir", root.join("claim/.git").to_str().unwrap());
    write(&root, "claim/.git", "gitdir: ../forged\n");
    assert!(look(&root, None, &root.join("claim")).is_none());
    fs::remove_file(forged.join("commondir")).unwrap();
    fs::create_dir(forged.join("refs")).unwrap();
    std::os::unix::fs::symlink(other.join(".git/objects"), forged.join("objects")).unwrap();
    assert!(look(&root, None, &root.join("claim")).is_none());
}

#[test]
fn borrowed_objects_only_from_within() {
    let temp = TempDir::new().unwrap();
    let root = repo(&temp.path().join("root"));
    let other = repo(&temp.path().join("other"));
    git(&root, &["clone", "-q", "--shared", other.to_str().unwrap(), "borrower"]);
    git(&root, &["clone", "-q", "--shared", ".", "friend"]);
    let host = HostGit::open(&main_facts(&root)).unwrap();
    let borrower = look(&root, Some(&host), &root.join("borrower")).unwrap();
    assert_eq!(borrower.objects.len(), 1);
    assert_eq!(borrower.notes.len(), 1);
    let friend = look(&root, Some(&host), &root.join("friend")).unwrap();
    assert_eq!(friend.objects.len(), 2);
    assert_eq!(friend.alternates(), [b"../pinfold-objects".to_vec(), b"../pinfold-objects-1".to_vec()]);
    let view = copy(&root.join("friend"), &temp.path().join("view"));
    private_copy(&friend, "friend", &view);
    assert_eq!(git(&view, &["log", "--format=%s"]), "first\n");
}

#[test]
fn bare_repositories_stay_bare() {
    let temp = TempDir::new().unwrap();
    let root = repo(&temp.path().join("root"));
    git(&root, &["clone", "-q", "--bare", ".", "fixtures/x.git"]);
    git(&root, &["config", "--file", "fixtures/x.git/config", "core.fsmonitor", "evil"]);
    let (top, at) = (folder(&root), folder(&root.join("fixtures")));
    let ask = NestedAsk { root: top.as_fd(), root_git: None };
    let bare = door::bare(at.as_fd(), b"x.git", &ask).unwrap().expect("a bare repository");
    assert!(door::bare(at.as_fd(), b"absent.git", &ask).unwrap().is_none());
    let dest = temp.path().join("y.git");
    fs::create_dir(&dest).unwrap();
    let policy = policy();
    let build = DoorAsk {
        alternates: vec![root.join("fixtures/x.git/objects").into_os_string().into_encoded_bytes()],
        identity: None,
        policy: &policy,
        prefix: RelPath::new(b"fixtures").unwrap(),
        root: None,
        present_ids: &same_ids,
        owner: None,
        excludes: b"",
        hooks: false,
        person: None,
    };
    door::build(&bare.git, folder(&dest).as_fd(), &build).unwrap();
    assert_eq!(git(&dest, &["rev-parse", "--is-bare-repository"]), "true\n");
    assert_eq!(git(&dest, &["log", "--format=%s"]), "first\n");
    assert!(!fs::read_to_string(dest.join("config")).unwrap().contains("evil"));
}
