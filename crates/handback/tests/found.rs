//! Commits that come back to repositories below the workspace, while the box moves the folders above them.

mod common;

use common::back::*;
use common::*;
use pinfold_handback::door::{HostGit, NestedAsk, nested};
use pinfold_handback::import::{Forward, ImportAsk, ImportError, Importer, Limits};
use pinfold_handback::names::BranchName;
use pinfold_plan::GitFacts;
use pinfold_policy::RelPathBuf;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// The way back to the repository that the `.git` in `folder` leads to.
fn way_back(root: &Path, root_facts: Option<&GitFacts>, folder: &Path, branch: &str) -> Result<Importer, ImportError> {
    let root_git = root_facts.map(|facts| HostGit::open(facts).unwrap());
    let (top, below) = (common::folder(root), common::folder(folder));
    let ask = NestedAsk { root: top.as_fd(), root_git: root_git.as_ref() };
    let found = nested(below.as_fd(), b".git", &ask).unwrap().expect("a repository");
    let ask = ImportAsk {
        run_id: "run1".into(),
        branch: Some(BranchName::parse(format!("refs/heads/{branch}").as_bytes()).unwrap()),
        base: Some(oid(folder, branch)),
        policy: Arc::new(policy()),
        prefix: RelPathBuf::new(folder.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec()).unwrap(),
        limits: Limits::default(),
    };
    Importer::of_found(found.git, root_facts, ask)
}

/// A world whose host repository lies below a workspace that is no repository.
fn below(name: &str) -> (World, std::path::PathBuf) {
    let temp = TempDir::new().unwrap();
    let root = temp.path().join("root");
    let host = repo(&root.join(name));
    let facts = main_facts(&host);
    let boxed = temp.path().join("box");
    box_of(&host, &facts, &boxed);
    (World { temp, host, boxed, facts }, root)
}

#[test]
fn by_descriptor_all_works_as_by_path() {
    let (w, root) = below("a/inner");
    git(&w.host, &["repack", "-q", "-a", "-d"]);
    commit_in(&w.host, "loose.txt", "a loose object beside the pack\n");
    git(&w.boxed, &["fetch", "-q", &w.host.display().to_string(), "main"]);
    git(&w.boxed, &["reset", "-q", "--hard", "FETCH_HEAD"]);
    let mut importer = way_back(&root, None, &w.host, "main").unwrap();
    for round in 0..3 {
        write(&w.host, "new.txt", &format!("{round}\n"));
        let tip = w.commit("new.txt", &format!("{round}\n"));
        // More than git unpacks: the second round moves a pack.
        if round == 1 {
            for file in 0..120 {
                write(&w.host, &format!("many/{file}"), &format!("{file}\n"));
                write(&w.boxed, &format!("many/{file}"), &format!("{file}\n"));
            }
            git(&w.boxed, &["add", "many"]);
            git(&w.boxed, &["commit", "-q", "--amend", "-m", "many"]);
        }
        let tip = if round == 1 { oid(&w.boxed, "main") } else { tip };
        let report = w.import(&mut importer);
        assert!(matches!(report.forward, Forward::Moved { to, .. } if to == tip), "{report:?}");
        assert_eq!(report.stored[0].stored_as, "refs/pinfold/run1/heads/main");
        assert_eq!(oid(&w.host, "main"), tip);
        assert_eq!(git(&w.host, &["status", "--porcelain"]), "");
        assert_eq!(git(&w.host, &["fsck"]), "");
        no_traces(&w);
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The folder above is replaced by a link to another repository, all the time. Never may the other one be touched, and
/// all of the work arrives where it belongs.
#[test]
fn a_folder_that_changes_places_confuses_nobody() {
    let (w, root) = below("a/inner");
    let other = repo(&root.join("b/inner"));
    let before = walk(&other.join(".git")).into_iter().map(|f| (fs::read(&f).unwrap(), f)).collect::<Vec<_>>();
    // The box's git would look for the borrowed objects by path.
    git(&w.boxed, &["repack", "-q", "-a", "-d"]);
    fs::remove_file(w.boxed.join(".git/objects/info/alternates")).unwrap();
    let mut importer = way_back(&root, None, &w.host, "main").unwrap();
    let (a, aside) = (root.join("a"), root.join("aside"));
    let over = AtomicBool::new(false);
    let mut swaps = 0u64;
    let tip = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0u64;
            while !over.load(Ordering::Relaxed) {
                fs::rename(&a, &aside).unwrap();
                std::os::unix::fs::symlink("b", &a).unwrap();
                std::thread::yield_now();
                fs::remove_file(&a).unwrap();
                fs::rename(&aside, &a).unwrap();
                swaps += 1;
            }
            swaps
        });
        // Whatever happens below, the other thread ends.
        let _over = Over(&over);
        let mut tip = None;
        for round in 0..12 {
            let new = w.commit("new.txt", &format!("{round}\n"));
            let pack = pack(&w.boxed, &["--revs"], "main\n");
            let report = importer.import(&main_at(new.as_str()), Some(stream(pack))).unwrap();
            assert!(matches!(report.forward, Forward::Moved { .. }), "{report:?}");
            tip = Some(new);
        }
        over.store(true, Ordering::Relaxed);
        swaps += swapper.join().unwrap();
        tip.unwrap()
    });
    assert!(swaps > 100, "the folder changed places only {swaps} times");
    assert_eq!(oid(&w.host, "main"), tip);
    assert_eq!(git(&w.host, &["fsck"]), "");
    no_traces(&w);
    let after = walk(&other.join(".git")).into_iter().map(|f| (fs::read(&f).unwrap(), f)).collect::<Vec<_>>();
    assert!(before == after, "the other repository was touched");
}

#[test]
fn a_worktree_of_the_workspace_moves_its_own_branch() {
    let temp = TempDir::new().unwrap();
    let root = repo(&temp.path().join("root"));
    git(&root, &["worktree", "add", "-q", "trees/one", "-b", "one"]);
    let (facts, tree) = (main_facts(&root), root.join("trees/one"));
    let main = oid(&root, "main");
    let mut importer = way_back(&root, Some(&facts), &tree, "one").unwrap();
    let boxed = temp.path().join("box");
    box_of(&root, &facts, &boxed);
    git(&boxed, &["checkout", "-q", "one"]);
    write(&tree, "new.txt", "new\n");
    let tip = commit_in(&boxed, "new.txt", "new\n");
    let offer = pinfold_handback::import::Offer {
        refs: vec![(b"refs/heads/one".to_vec(), tip.as_str().into())],
        ..Default::default()
    };
    let report = importer.import(&offer, Some(stream(pack(&boxed, &["--revs"], "one\n")))).unwrap();
    assert!(matches!(report.forward, Forward::Moved { .. }), "{report:?}");
    assert_eq!((oid(&root, "one"), oid(&root, "main")), (tip, main));
    assert_eq!(git(&tree, &["status", "--porcelain"]), "");
}

/// What git would turn into paths from the root is refused, with its reason.
#[test]
fn repositories_that_lead_elsewhere_keep_their_commits_in_the_box() {
    let temp = TempDir::new().unwrap();
    let root = repo(&temp.path().join("root"));
    let facts = main_facts(&root);
    let inner = repo(&root.join("inner"));
    let why = |folder: &Path, branch: &str| way_back(&root, Some(&facts), folder, branch).unwrap_err().to_string();
    git(&root, &["clone", "-q", "--shared", "inner", "borrower"]);
    assert!(why(&root.join("borrower"), "main").contains("borrows objects"));
    git(&inner, &["worktree", "add", "-q", "../sibling", "-b", "two"]);
    assert!(why(&root.join("sibling"), "two").contains("another repository than the workspace's"));
    assert!(why(&inner, "main").contains("linked worktrees"));
}
