//! Toolchains are found from `PATH`, shown by the parts that hold programs, and never with the credentials beside them.

use pinfold_plan::HostFacts;
use pinfold_survey::{Ask, look};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

struct World {
    _keep: tempfile::TempDir,
    home: PathBuf,
    path: Vec<PathBuf>,
    env: Vec<(String, PathBuf)>,
}

impl World {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let home = keep.path().canonicalize().unwrap().join("home");
        fs::create_dir_all(home.join("repo")).unwrap();
        World { _keep: keep, home, path: vec![], env: vec![] }
    }

    fn file(&self, path: &str) -> PathBuf {
        let at = self.home.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(&at, "x").unwrap();
        at
    }

    fn in_path(&mut self, folder: &str) {
        let at = self.home.join(folder);
        fs::create_dir_all(&at).unwrap();
        self.path.push(at);
    }

    fn look(&self) -> HostFacts {
        let mut path = self.path.clone();
        path.push("/usr/bin".into());
        let mut ask = Ask {
            cwd: self.home.join("repo"),
            here: true,
            env: [("HOME".into(), self.home.clone().into())].into(),
            wanted: vec![],
            users: "/nonexistent".into(),
        };
        ask.env.insert("PATH".into(), std::env::join_paths(path).unwrap());
        ask.env.extend(self.env.iter().map(|(name, value)| (name.into(), value.into())));
        look(&ask).unwrap()
    }

    fn shown(&self) -> Vec<String> {
        let below = |path: &Path| path.strip_prefix(&self.home).unwrap_or(path).to_string_lossy().into_owned();
        self.look().toolchains.iter().map(|tool| below(tool.entry.path.as_path())).collect()
    }
}

#[test]
fn cargo_is_shown_without_its_credentials() {
    let mut world = World::new();
    world.in_path(".cargo/bin");
    world.file(".cargo/credentials.toml");
    world.file(".rustup/settings.toml");
    assert_eq!(world.shown(), [".cargo/bin", ".rustup"]);
}

#[test]
fn a_node_version_is_shown_without_its_npmrc() {
    let mut world = World::new();
    world.in_path(".nvm/versions/node/v22/bin");
    world.file(".nvm/versions/node/v22/lib/node_modules/npm/package.json");
    world.file(".nvm/versions/node/v22/etc/npmrc");
    assert_eq!(world.shown(), [".nvm/versions/node/v22/bin", ".nvm/versions/node/v22/lib"]);
}

#[test]
fn programs_behind_links_come_along() {
    let mut world = World::new();
    world.in_path(".local/bin");
    let bin = world.home.join(".local/bin");
    symlink(world.file(".local/share/claude/versions/2.1"), bin.join("claude")).unwrap();
    symlink(world.file(".local/share/uv/tools/ruff/bin/ruff"), bin.join("ruff")).unwrap();
    symlink(world.file("src/mine/target/release/mine"), bin.join("mine")).unwrap();
    symlink("/usr/bin/env", bin.join("env")).unwrap();
    world.file(".local/share/uv/credentials/x");
    world.file(".local/share/keyrings/login.keyring");
    world.file("src/mine/.env");
    assert_eq!(
        world.shown(),
        [".local/bin", ".local/share/claude/versions", ".local/share/uv/tools", "src/mine/target/release/mine"]
    );
}

#[test]
fn packages_of_npm_come_by_their_outermost_folder() {
    let mut world = World::new();
    world.in_path("tools/node_modules/.bin");
    let target = world.file("tools/node_modules/a/node_modules/b/cli.js");
    symlink(target, world.home.join("tools/node_modules/.bin/b")).unwrap();
    world.file("tools/.env");
    assert_eq!(world.shown(), ["tools/node_modules"]);
}

#[test]
fn a_link_into_the_workspace_shows_nothing_of_it() {
    let mut world = World::new();
    world.in_path("bin");
    world.in_path("repo/node_modules/.bin");
    symlink(world.file("repo/.env"), world.home.join("bin/env")).unwrap();
    symlink(world.file("repo/target/debug/x"), world.home.join("bin/x")).unwrap();
    assert_eq!(world.shown(), ["bin"]);
}

#[test]
fn places_of_credentials_are_not_shown_wherever_path_leads() {
    let mut world = World::new();
    for folder in [".ssh", ".config/tool/bin", ".aws/bin", ".local/state/pinfold/bin"] {
        world.in_path(folder);
    }
    world.in_path("bin");
    symlink(world.file(".ssh/id_ed25519"), world.home.join("bin/key")).unwrap();
    symlink(world.file(".netrc"), world.home.join("bin/netrc")).unwrap();
    symlink(&world.home, world.home.join("bin/home")).unwrap();
    world.path.push(world.home.clone());
    world.path.push("relative/bin".into());
    assert_eq!(world.shown(), ["bin"]);
}

#[test]
fn a_folder_that_anybody_may_write_is_no_toolchain() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    world.in_path("open");
    fs::set_permissions(world.home.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(world.shown(), Vec::<String>::new());
}

#[test]
fn a_manager_that_a_variable_moved_is_found() {
    let mut world = World::new();
    world.in_path("elsewhere/cargo/bin");
    world.file("elsewhere/cargo/credentials.toml");
    world.file("elsewhere/rustup/settings.toml");
    for (name, at) in [("CARGO_HOME", "elsewhere/cargo"), ("RUSTUP_HOME", "elsewhere/rustup")] {
        world.env.push((name.into(), world.home.join(at)));
    }
    assert_eq!(world.shown(), ["elsewhere/cargo/bin", "elsewhere/rustup"]);
    // One that names the home itself says nothing.
    world.env = vec![("CARGO_HOME".into(), world.home.clone())];
    assert_eq!(world.shown(), ["elsewhere/cargo/bin"]);
}

#[test]
fn a_home_behind_a_link_works_under_both_names() {
    let world = World::new();
    let alias = world.home.with_file_name("alias");
    symlink(&world.home, &alias).unwrap();
    let ask = Ask {
        cwd: world.home.join("repo"),
        here: true,
        env: [("HOME".into(), alias.clone().into())].into(),
        wanted: vec![],
        users: "/nonexistent".into(),
    };
    let facts = look(&ask).unwrap();
    assert_eq!(facts.caller.home.as_path(), world.home);
    assert!(facts.system.iter().any(|entry| entry.path.as_path() == alias && entry.target.is_some()));
}

#[test]
fn only_wanted_variables_are_read() {
    let mut world = World::new();
    world.env = vec![("AWS_SECRET_ACCESS_KEY".into(), "hunter2".into()), ("TERM".into(), "xterm".into())];
    let names: Vec<_> = world.look().env.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["TERM"]);
}

#[test]
fn a_look_is_quick() {
    let world = World::new();
    world.look();
    let start = std::time::Instant::now();
    for _ in 0..20 {
        world.look();
    }
    let each = start.elapsed() / 20;
    // A debug build on a busy machine; the point is that nothing here walks a tree or starts a process.
    assert!(each.as_millis() < 50, "{each:?}");
}
