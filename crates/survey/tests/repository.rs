//! Which folder becomes the workspace: good layouts are found, and no trick of a former box or a downloaded archive
//! changes the answer.

use pinfold_plan::{GitLayout, HostFacts};
use pinfold_survey::{Ask, SurveyError, look, remember};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

struct World {
    _keep: tempfile::TempDir,
    home: PathBuf,
}

impl World {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let home = keep.path().canonicalize().unwrap().join("home");
        fs::create_dir(&home).unwrap();
        World { _keep: keep, home }
    }

    fn git(&self, at: &Path, args: &[&str]) {
        let done = Command::new("git")
            .args(["-c", "user.name=Ada", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"])
            .args(args)
            .current_dir(at)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.home)
            .output()
            .unwrap();
        assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn repo(&self, name: &str) -> PathBuf {
        let at = self.home.join(name);
        fs::create_dir_all(&at).unwrap();
        self.git(&at, &["init", "-q"]);
        self.git(&at, &["commit", "-q", "--allow-empty", "-m", "start"]);
        at
    }

    fn ask(&self, cwd: &Path) -> Ask {
        let env = [("HOME", self.home.as_os_str()), ("PATH", "/usr/bin".as_ref())];
        Ask {
            cwd: cwd.into(),
            here: false,
            env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            wanted: vec![],
            users: "/nonexistent".into(),
        }
    }

    fn look(&self, cwd: &Path) -> Result<HostFacts, SurveyError> {
        look(&self.ask(cwd))
    }

    fn root(&self, cwd: &Path) -> PathBuf {
        self.look(cwd).unwrap().repository.root.to_path_buf()
    }

    fn refusal(&self, cwd: &Path) -> String {
        let error = self.look(cwd).expect_err("this must be refused");
        assert!(error.is_refusal() && error.hint().is_some(), "{error}");
        error.to_string()
    }
}

#[test]
fn a_repository_is_found_from_any_of_its_folders() {
    let world = World::new();
    let repo = world.repo("engine");
    fs::create_dir_all(repo.join("src/deep")).unwrap();
    let facts = world.look(&repo.join("src/deep")).unwrap();
    assert_eq!(facts.repository.root.as_path(), repo);
    let git = facts.repository.git.unwrap();
    assert_eq!((git.layout, git.git_dir.as_path()), (GitLayout::Main, repo.join(".git").as_path()));
    assert_eq!(git.objects[0].path.as_path(), repo.join(".git/objects"));
}

#[test]
fn core_worktree_and_git_variables_change_nothing() {
    let world = World::new();
    let (repo, other) = (world.repo("engine"), world.repo("other"));
    world.git(&repo, &["config", "core.worktree", other.to_str().unwrap()]);
    let mut ask = world.ask(&repo);
    for (name, value) in
        [("GIT_DIR", other.join(".git")), ("GIT_WORK_TREE", other.clone()), ("GIT_CEILING_DIRECTORIES", repo.clone())]
    {
        ask.env.insert(name.into(), value.into());
    }
    assert_eq!(look(&ask).unwrap().repository.root.as_path(), repo);
}

#[test]
fn a_linked_worktree_is_found() {
    let world = World::new();
    let repo = world.repo("engine");
    for args in [&["worktree", "add", "-q", "../side"][..], &["worktree", "add", "-q", "inner/other"]] {
        world.git(&repo, args);
    }
    for side in [world.home.join("side"), repo.join("inner/other")] {
        let facts = world.look(&side).unwrap();
        assert_eq!(facts.repository.root.as_path(), side);
        let git = facts.repository.git.unwrap();
        assert_eq!((git.layout, git.common_dir.as_path()), (GitLayout::Linked, repo.join(".git").as_path()));
        assert_eq!(git.objects[0].path.as_path(), repo.join(".git/objects"));
    }
}

#[test]
fn a_worktree_pointer_that_nobody_points_back_at_is_refused() {
    let world = World::new();
    let repo = world.repo("engine");
    world.git(&repo, &["worktree", "add", "-q", "../side"]);
    // What a downloaded archive could hold: a folder that claims to be that worktree.
    let claim = world.home.join("claim");
    fs::create_dir(&claim).unwrap();
    fs::copy(world.home.join("side/.git"), claim.join(".git")).unwrap();
    assert!(world.refusal(&claim).contains("belongs to another folder"));
    // Or one that points right at somebody's repository.
    fs::write(claim.join(".git"), format!("gitdir: {}/.git\n", repo.display())).unwrap();
    assert!(world.refusal(&claim).contains("no enclosing repository"));
}

#[test]
fn a_worktree_folder_that_names_a_foreign_repository_is_refused() {
    let world = World::new();
    let victim = world.repo("victim");
    let claim = world.home.join("claim");
    let fake = claim.join("meta");
    fs::create_dir_all(&fake).unwrap();
    fs::write(claim.join(".git"), "gitdir: meta\n").unwrap();
    fs::write(fake.join("gitdir"), format!("{}/.git\n", claim.display())).unwrap();
    fs::write(fake.join("commondir"), format!("{}/.git\n", victim.display())).unwrap();
    fs::write(fake.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    assert!(world.refusal(&claim).contains("among the worktrees"));
}

#[test]
fn a_submodule_is_its_own_workspace() {
    let world = World::new();
    let (repo, part) = (world.repo("engine"), world.repo("part"));
    world.git(&repo, &["submodule", "add", "-q", part.to_str().unwrap(), "lib/part"]);
    let facts = world.look(&repo.join("lib/part")).unwrap();
    assert_eq!(facts.repository.root.as_path(), repo.join("lib/part"));
    let git = facts.repository.git.unwrap();
    assert_eq!(
        (git.layout, git.git_dir.as_path()),
        (GitLayout::Submodule, repo.join(".git/modules/lib/part").as_path())
    );
}

#[test]
fn a_git_link_or_a_hollow_git_folder_is_refused() {
    let world = World::new();
    let repo = world.repo("engine");
    let claim = world.home.join("claim");
    fs::create_dir(&claim).unwrap();
    symlink(repo.join(".git"), claim.join(".git")).unwrap();
    assert!(world.refusal(&claim).contains("neither a folder nor a file"));
    fs::remove_file(claim.join(".git")).unwrap();
    fs::create_dir(claim.join(".git")).unwrap();
    assert!(world.refusal(&claim).contains("no HEAD"));
    fs::remove_dir(claim.join(".git")).unwrap();
    fs::write(claim.join(".git"), vec![b'x'; 1 << 20]).unwrap();
    assert!(world.refusal(&claim).contains("not a short plain file"));
}

#[test]
fn a_nested_root_that_lost_its_git_does_not_become_its_parent() {
    let world = World::new();
    let outer = world.repo("outer");
    let inner = world.repo("outer/inner");
    remember(&world.look(&inner).unwrap()).unwrap();
    fs::create_dir(inner.join("src")).unwrap();
    fs::rename(inner.join(".git"), world.home.join("gone")).unwrap();
    for cwd in [&inner, &inner.join("src")] {
        assert!(world.refusal(cwd).contains("its .git is gone"));
    }
    assert_eq!(world.root(&outer), outer, "the parent itself is not concerned");
    let here = Ask { here: true, ..world.ask(&inner) };
    let facts = look(&here).unwrap();
    assert_eq!((facts.repository.root.as_path(), facts.repository.git), (inner.as_path(), None));
}

#[test]
fn no_repository_needs_a_word() {
    let world = World::new();
    let plain = world.home.join("plain");
    fs::create_dir(&plain).unwrap();
    assert!(world.refusal(&plain).contains("not in a git repository"));
    let facts = look(&Ask { here: true, ..world.ask(&plain) }).unwrap();
    assert_eq!((facts.repository.root.as_path(), facts.repository.git), (plain.as_path(), None));
}

#[test]
fn folders_with_more_than_one_project_are_refused_even_with_here() {
    let world = World::new();
    world.repo("");
    let below = world.home.join("docs");
    fs::create_dir_all(&below).unwrap();
    assert!(world.refusal(&world.home).contains("home folder"));
    assert!(world.refusal(&below).contains("home folder"), "its repository is the home");
    for path in ["/", "/usr", "/etc", "/tmp", "/proc", "/usr/share", world.home.parent().unwrap().to_str().unwrap()] {
        let error = look(&Ask { here: true, ..world.ask(Path::new(path)) }).expect_err(path);
        assert!(matches!(error, SurveyError::Unfit { .. } | SurveyError::Foreign { .. }), "{path}: {error}");
    }
}

#[test]
fn pinfolds_own_folders_are_refused() {
    let world = World::new();
    for path in [".local/state/pinfold/runs/x", ".local/share/pinfold", ".local/state", ".config/pinfold", ".local"] {
        let at = world.home.join(path);
        fs::create_dir_all(&at).unwrap();
        let error = look(&Ask { here: true, ..world.ask(&at) }).expect_err(path);
        assert!(matches!(error, SurveyError::Unfit { .. }), "{path}: {error}");
    }
}

#[test]
fn borrowed_objects_are_seen_and_bounded() {
    let world = World::new();
    let repo = world.repo("engine");
    world.git(&world.home, &["clone", "-q", "--shared", "engine", "copy"]);
    let facts = world.look(&world.home.join("copy")).unwrap();
    let stores: Vec<_> = facts.repository.git.unwrap().objects.iter().map(|store| store.path.to_path_buf()).collect();
    assert_eq!(stores, [world.home.join("copy/.git/objects"), repo.join(".git/objects")]);
    let list = world.home.join("copy/.git/objects/info/alternates");
    // What is no object store is not bound, whatever the file says.
    for path in [world.home.clone(), world.home.join("nothing"), PathBuf::from("/etc")] {
        fs::write(&list, format!("{}\n", path.display())).unwrap();
        world.refusal(&world.home.join("copy"));
    }
}

#[test]
fn the_name_of_the_person_comes_without_includes() {
    let world = World::new();
    let repo = world.repo("engine");
    fs::write(world.home.join("evil"), "[user]\nname = Evil\nemail = e@e\n").unwrap();
    fs::write(world.home.join(".gitconfig"), "[include]\npath = evil\n[user]\nname = Ada\nemail = a@b\n").unwrap();
    let identity = world.look(&repo).unwrap().identity.unwrap();
    assert_eq!((identity.name.as_str(), identity.email.as_str()), ("Ada", "a@b"));
}
