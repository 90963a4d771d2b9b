//! The people who call pinfold in tests: root, and an ordinary user without any privilege.
//!
//! Both get a base directory of their own, with a home and XDG directories, outside `/tmp` (a box has a `/tmp` of its own, and a home
//! there would test that instead). Commands run with a cleared environment, so that nothing of the person who runs the suite shows.

use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::cmd::Cmd;
use crate::need::{Missing, program};

/// The ordinary user that the suite makes for itself when it runs as root.
const TEST_USER: &str = "pinfold-test";

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    Root,
    User,
}

impl As {
    pub const BOTH: [As; 2] = [As::User, As::Root];

    pub fn name(self) -> &'static str {
        match self {
            As::Root => "root",
            As::User => "user",
        }
    }
}

/// A person with a home. Dropping it removes everything below its base directory, unless `PINFOLD_KEEP=1`.
#[derive(Debug)]
pub struct Caller {
    who: As,
    uid: u32,
    gid: u32,
    base: Option<tempfile::TempDir>,
    base_path: PathBuf,
}

impl Caller {
    /// A new person with an empty home.
    pub fn new(who: As) -> Result<Caller, Missing> {
        let (uid, gid) = ids_of(who)?;
        let parent = parent_of_bases()?;
        let base = tempfile::Builder::new().prefix("t-").tempdir_in(&parent).map_err(|error| {
            Missing::new(format!("cannot make a directory for the test in {}: {error}", parent.display()))
        })?;
        let path = base.path().to_path_buf();
        let caller = Caller { who, uid, gid, base: Some(base), base_path: path };
        let setup = |dir: &Path| -> std::io::Result<()> {
            std::fs::create_dir_all(dir)?;
            std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755))?;
            chown(dir, Some(uid), Some(gid))
        };
        for dir in ["", "home", "home/.local", "home/.local/state", "home/.local/share", "home/.config", "home/.cache"]
        {
            let dir = caller.base_path.join(dir);
            setup(&dir).map_err(|error| Missing::new(format!("cannot set up {}: {error}", dir.display())))?;
        }
        let identity = "[user]\n\tname = Test Person\n\temail = person@example.org\n";
        let path = caller.home().join(".gitconfig");
        std::fs::write(&path, identity)
            .and_then(|()| caller.own(&path))
            .map_err(|error| Missing::new(format!("cannot write {}: {error}", path.display())))?;
        Ok(caller)
    }

    pub fn who(&self) -> As {
        self.who
    }

    pub fn uid(&self) -> u32 {
        self.uid
    }

    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The directory that holds all of this person's things.
    pub fn base(&self) -> &Path {
        &self.base_path
    }

    pub fn home(&self) -> PathBuf {
        self.base_path.join("home")
    }

    /// `$XDG_STATE_HOME/pinfold`, where run directories are.
    pub fn pinfold_state(&self) -> PathBuf {
        self.home().join(".local/state/pinfold")
    }

    /// `$XDG_DATA_HOME/pinfold`, where box homes are.
    pub fn pinfold_data(&self) -> PathBuf {
        self.home().join(".local/share/pinfold")
    }

    /// A command that runs as this person, with nothing in its environment but what a login would set.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Cmd {
        let mut cmd = if rustix::process::geteuid().is_root() && self.who == As::User {
            let mut cmd = Cmd::new("setpriv");
            cmd.args([
                "--reuid".into(),
                self.uid.to_string(),
                "--regid".into(),
                self.gid.to_string(),
                "--clear-groups".to_owned(),
                "--".into(),
            ]);
            cmd.arg(program);
            cmd
        } else {
            Cmd::new(program)
        };
        let home = self.home();
        cmd.cwd(&self.base_path);
        cmd.env("HOME", &home)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("LANG", "C.UTF-8")
            .env("USER", if self.who == As::Root { "root" } else { TEST_USER })
            .env("XDG_STATE_HOME", home.join(".local/state"))
            .env("XDG_DATA_HOME", home.join(".local/share"))
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_CACHE_HOME", home.join(".cache"))
            .env("GIT_CONFIG_NOSYSTEM", "1");
        cmd
    }

    /// Gives a path that the suite made (as root) to this person.
    pub fn own(&self, path: &Path) -> std::io::Result<()> {
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if std::env::var_os("PINFOLD_KEEP").is_some_and(|value| value == "1")
            && let Some(base) = self.base.take()
        {
            let _kept_on_purpose = base.keep();
        }
    }
}

fn ids_of(who: As) -> Result<(u32, u32), Missing> {
    let root = rustix::process::geteuid().is_root();
    match (who, root) {
        (As::Root, true) => Ok((0, 0)),
        (As::Root, false) => {
            Err(Missing::new("the case is about root as the caller, and the suite does not run as root"))
        }
        (As::User, false) => Ok((rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())),
        (As::User, true) => {
            static USER: OnceLock<Result<(u32, u32), Missing>> = OnceLock::new();
            USER.get_or_init(test_user).clone()
        }
    }
}

/// The ids of [`TEST_USER`], who is made if need be.
fn test_user() -> Result<(u32, u32), Missing> {
    program("setpriv")?;
    if let Some(ids) = look_up(TEST_USER) {
        return Ok(ids);
    }
    let made = Command::new("useradd")
        .args(["--no-create-home", "--home-dir", "/home/pinfold-test", "--shell", "/bin/sh", "--user-group"])
        .arg(TEST_USER)
        .output()
        .map_err(|error| Missing::new(format!("cannot run useradd to make the user {TEST_USER}: {error}")))?;
    // Another test process may have made the user meanwhile; only the outcome counts.
    look_up(TEST_USER).ok_or_else(|| {
        let said = String::from_utf8_lossy(&made.stderr).trim().to_owned();
        Missing::new(format!("useradd did not make the user {TEST_USER}: {said}"))
    })
}

fn look_up(name: &str) -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (found, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        (found == name).then(|| Some((uid.parse().ok()?, gid.parse().ok()?)))?
    })
}

/// Where base directories go: reachable for every caller, and on a real disk.
pub(crate) fn parent_of_bases() -> Result<PathBuf, Missing> {
    let dir = match std::env::var_os("PINFOLD_TEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None if rustix::process::geteuid().is_root() => PathBuf::from("/home/pinfold-test"),
        None => std::env::var_os("HOME")
            .map(|home| PathBuf::from(home).join(".cache/pinfold-test"))
            .ok_or_else(|| Missing::new("HOME is not set, and neither is PINFOLD_TEST_DIR"))?,
    };
    let made =
        std::fs::create_dir_all(&dir).and_then(|()| std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)));
    made.map_err(|error| Missing::new(format!("cannot make {} for the tests: {error}", dir.display())))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn the_user_is_not_root_and_has_an_empty_environment() {
        let caller = require!(Caller::new(As::User));
        let out = caller.command("sh").args(["-c", "id -u; env"]).run();
        let text = String::from_utf8(out.stdout).expect("id and env print text");
        assert_eq!(text.lines().next(), Some(caller.uid().to_string().as_str()));
        assert_ne!(caller.uid(), 0);
        assert!(text.contains(&format!("HOME={}", caller.home().display())), "{text}");
        assert!(!text.contains("CARGO"), "the suite's environment shows: {text}");
    }
}
