//! The planted repository that doctor attacks from inside a box, and the box around an attack.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What stands for a secret everywhere on the stage. No attack may ever print it.
pub(super) const CANARY: &str = "pinfold-doctor-canary-7f3a9c";

/// Seconds that one attack may take.
const PATIENCE: u64 = 30;

pub(super) struct Stage {
    base: PathBuf,
    pub(super) repo: PathBuf,
}

/// What an attack said.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Stage {
    /// A repository with secrets, tracked and not, and a file beside it that belongs to somebody else's project.
    pub(super) fn set() -> io::Result<Stage> {
        let base = std::env::temp_dir().canonicalize()?.join(format!("pinfold-doctor-{}", std::process::id()));
        let repo = base.join("repo");
        fs::create_dir(&base)?;
        let stage = Stage { base, repo };
        fs::create_dir(&stage.repo)?;
        fs::create_dir_all(stage.repo.join("secrets"))?;
        fs::write(stage.repo.join("readme.txt"), "nothing to hide\n")?;
        fs::write(stage.repo.join(".gitignore"), ".env\n")?;
        for (path, content) in [(".env", "KEY="), ("secrets/token", ""), ("server.pem", "")] {
            fs::write(stage.repo.join(path), format!("{content}{CANARY}\n"))?;
        }
        fs::write(stage.base.join("other-project"), format!("{CANARY}\n"))?;
        stage.git(&["init", "-q"])?;
        stage.git(&["add", "readme.txt", ".gitignore"])?;
        stage.git(&["commit", "-q", "-m", "start"])?;
        Ok(stage)
    }

    pub(super) fn git(&self, args: &[&str]) -> io::Result<String> {
        let done = Command::new("git")
            .args(["-c", "user.name=doctor", "-c", "user.email=doctor@localhost", "-c", "core.hooksPath=/dev/null"])
            .args(args)
            .current_dir(&self.repo)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null())
            .output()?;
        if !done.status.success() {
            return Err(io::Error::other(format!("git {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr))));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Runs a script in a box on the stage, as a person would.
    pub(super) fn in_box(&self, script: &str) -> io::Result<Said> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["run", "--quiet", "--timeout", &PATIENCE.to_string(), "--", "/bin/sh", "-c", script])
            .current_dir(&self.repo)
            .env("XDG_STATE_HOME", self.base.join("state"))
            .env("XDG_DATA_HOME", self.base.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // A box that does not end is stopped by its own time limit; should that fail, by this one.
        let end = Instant::now() + Duration::from_secs(PATIENCE + 10);
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let done = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(1 << 16)]).into_owned();
        Ok(Said { code: done.status.code(), stdout: text(&done.stdout), stderr: text(&done.stderr) })
    }

    pub(super) fn host_file(&self, path: &str) -> String {
        fs::read_to_string(self.repo.join(path)).unwrap_or_default()
    }

    pub(super) fn beside(&self, name: &str) -> PathBuf {
        Path::new(&self.base).join(name)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}
