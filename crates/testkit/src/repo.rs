//! A caller's repository: made with the real git, as that caller, so that everything in it is as on a real machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::caller::Caller;
use crate::cmd::{Cmd, Output};

/// A repository with one commit on `main`: a README, a program, and a `.gitignore` that ignores the usual secrets.
#[derive(Debug)]
pub struct TestRepo<'a> {
    caller: &'a Caller,
    path: PathBuf,
}

const FIRST_COMMIT: &str = r#"
set -eu
git init -q -b main .
printf '%s\n' '.env' '.env.*' '!.env.example' '/secrets/' '*.pem' '*.log' 'node_modules/' 'target/' > .gitignore
printf '# A repository\n' > README.md
mkdir -p src
printf 'def main():\n    print("hello")\n\n\nmain()\n' > src/app.py
git add -A
git commit -q -m 'First commit'
"#;

impl<'a> TestRepo<'a> {
    /// Makes `<base>/<name>`. The name may be odd; it is used as it is.
    pub fn new(caller: &'a Caller, name: impl AsRef<OsStr>) -> TestRepo<'a> {
        let repo = TestRepo { caller, path: caller.base().join(name.as_ref()) };
        caller.command("mkdir").arg("-p").arg("--").arg(&repo.path).ok();
        repo.sh(FIRST_COMMIT);
        repo
    }

    /// A clone of another repository of the same caller, beside it.
    pub fn clone_of(upstream: &TestRepo<'a>, name: &str) -> TestRepo<'a> {
        let repo = TestRepo { caller: upstream.caller, path: upstream.caller.base().join(name) };
        upstream.command("git").args(["clone", "-q"]).arg(&upstream.path).arg(&repo.path).ok();
        repo
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// A command of the caller in the repository.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Cmd {
        let mut cmd = self.caller.command(program);
        cmd.cwd(&self.path);
        cmd
    }

    /// Runs a shell script in the repository as the caller.
    ///
    /// # Panics
    /// When it fails.
    pub fn sh(&self, script: &str) -> Output {
        self.command("sh").args(["-c", script]).ok()
    }

    /// Runs git and gives what it printed, without the last newline.
    ///
    /// # Panics
    /// When it fails.
    pub fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let out = self.command("git").args(args).ok();
        out.text().trim_end_matches('\n').to_owned()
    }

    /// Writes a file, and its folders, as the caller.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path.join(path);
        let write = || -> std::io::Result<()> {
            let mut missing = Vec::new();
            let mut dir = path.parent();
            while let Some(at) = dir.filter(|at| !at.exists()) {
                missing.push(at);
                dir = at.parent();
            }
            for dir in missing.into_iter().rev() {
                std::fs::create_dir(dir)?;
                self.caller.own(dir)?;
            }
            std::fs::write(&path, content.as_ref())?;
            self.caller.own(&path)
        };
        write().unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        self
    }

    /// Adds a path, ignored or not, and commits it: a tracked secret, for one.
    pub fn commit(&self, path: &str, message: &str) -> &Self {
        self.git(["add", "-f", "--", path]);
        self.git(["commit", "-q", "-m", message]);
        self
    }

    /// A repository of its own inside this one, with one commit, unknown to the outer git.
    pub fn nested_repo(&self, path: &str) -> PathBuf {
        let nested = self.path.join(path);
        self.command("sh").args(["-c", "mkdir -p -- \"$1\"", "sh"]).arg(&nested).ok();
        self.command("sh").args(["-c", FIRST_COMMIT]).cwd(&nested).ok();
        nested
    }

    /// A linked worktree beside the repository, on a new branch.
    pub fn linked_worktree(&self, name: &str, branch: &str) -> PathBuf {
        let path = self.caller.base().join(name);
        self.command("git").args(["worktree", "add", "-q", "-b", branch]).arg(&path).ok();
        path
    }

    /// A submodule at `path`, whose upstream is a repository beside this one.
    pub fn submodule(&self, path: &str) -> PathBuf {
        let upstream = TestRepo::new(self.caller, format!("upstream-of-{}", path.replace('/', "-")));
        self.command("git")
            .args(["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"])
            .arg(&upstream.path)
            .arg(path)
            .ok();
        self.git(["commit", "-q", "-m", "Add a submodule"]);
        self.path.join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{As, require};

    #[test]
    fn repositories_of_every_shape_are_clean() {
        let caller = require!(Caller::new(As::User));
        let repo = TestRepo::new(&caller, "odd: name");
        repo.write("deep/er/file.txt", "text\n").commit("deep/er/file.txt", "A file");
        repo.write(".env", "KEY=1\n");
        repo.submodule("parts/one");
        let nested = repo.nested_repo("vendor/nested");
        let worktree = repo.linked_worktree("tree", "side");
        assert_eq!(repo.git(["status", "--porcelain"]), "?? vendor/");
        assert!(nested.join(".git").is_dir());
        assert!(worktree.join(".git").is_file());
    }
}
