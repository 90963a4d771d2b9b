//! The planted repositories that doctor attacks from inside a box, and the box around a row of attacks.

use super::attacks::{Attack, Turn};
use super::{Finding, Outcome};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What stands for a secret everywhere on the stage. No attack may ever print it.
pub(super) const CANARY: &str = "pinfold-doctor-canary-7f3a9c";
/// A secret that was committed once. Git's history is readable, and said to be.
pub(super) const COMMITTED: &str = "pinfold-doctor-committed-51d2";

/// Seconds that one box may take.
const PATIENCE: u64 = 30;
/// Bytes of a box's words that are looked at.
const MAX_WORDS: usize = 8 << 20;

/// Secrets that are planted, by path. Some are two names of one file, see [`Stage::set`].
const SECRETS: &[&str] = &[
    ".env",
    ".env.local",
    ".ENV.production",
    ".env~",
    ".env.bak",
    "server.pem",
    "server.KEY",
    "id_ed25519",
    ".npmrc",
    "service-account.json",
    "secrets/token",
    "Secrets/deep/key",
    "config/.env",
    "depot/.env",
    "odd \n $name/.env",
    "swap/.env",
];

/// Variables with keys, as a person's shell has them.
const KEYS: &[&str] = &["ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DATABASE_URL"];

pub(super) struct Stage {
    base: PathBuf,
    pub(super) repo: PathBuf,
    /// What `git status` said before any attack.
    pub(super) status: String,
    _socket: UnixListener,
}

/// What a box said.
pub(super) struct Said {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Stage {
    /// A repository with secrets, tracked and not, and other people's files beside it.
    pub(super) fn set() -> io::Result<Stage> {
        let base = std::env::temp_dir().canonicalize()?.join(format!("pinfold-doctor-{}", std::process::id()));
        fs::create_dir(&base)?;
        let repo = base.join("repo");
        for name in ["repo", "second", "state", "data"] {
            fs::create_dir(base.join(name))?;
        }
        let socket = UnixListener::bind(repo.join("service.sock"))?;
        let mut stage = Stage { base, repo, status: String::new(), _socket: socket };
        stage.plant()?;
        stage.status = stage.git(&["status", "--porcelain"])?;
        Ok(stage)
    }

    fn plant(&self) -> io::Result<()> {
        for path in SECRETS {
            let path = self.repo.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&self.repo))?;
            fs::write(path, format!("KEY={CANARY}\n"))?;
        }
        fs::write(self.beside("other-project"), format!("{CANARY}\n"))?;
        fs::write(self.beside("store.js"), "original\n")?;
        fs::write(self.repo.join("readme.txt"), "nothing to hide\n")?;
        fs::write(self.repo.join("notes.txt"), "notes\n")?;
        fs::write(self.repo.join("config/app.txt"), "app\n")?;
        fs::write(self.repo.join("depot/stock.txt"), "stock\n")?;
        fs::write(self.repo.join("prod.key"), format!("{COMMITTED}\n"))?;
        fs::write(self.repo.join("hook.sh"), "#!/bin/sh\nexit 0\n")?;
        fs::hard_link(self.repo.join(".env"), self.repo.join("alias.txt"))?;
        fs::hard_link(self.beside("store.js"), self.repo.join("store.js"))?;
        symlink(".env", self.repo.join("link.txt"))?;
        symlink(self.beside("other-project"), self.repo.join("to-outside"))?;
        self.git(&["init", "-q", "-b", "main"])?;
        self.git(&["config", "user.name", "doctor"])?;
        self.git(&["config", "user.email", "doctor@localhost"])?;
        fs::hard_link(self.repo.join("hook.sh"), self.repo.join(".git/hooks/post-index-change"))?;
        self.git(&["add", "readme.txt", "prod.key", "config/app.txt"])?;
        self.git(&["commit", "-q", "-m", "start"])?;
        self.git(&["checkout", "-q", "-b", "other"])?;
        fs::write(self.repo.join("branch.key"), format!("{CANARY}\n"))?;
        self.git(&["add", "-f", "branch.key"])?;
        self.git(&["commit", "-q", "-m", "a secret"])?;
        self.git(&["checkout", "-q", "main"])?;
        // The box may read what is in git's objects, so this one must not be there.
        for args in [["branch", "-D", "-q", "other"].as_slice(), &["reflog", "expire", "--expire=now", "--all"]] {
            self.git(args)?;
        }
        self.git(&["gc", "-q", "--prune=now"])?;
        fs::write(self.repo.join("prod.key"), format!("{CANARY}\n"))
    }

    /// The host's git in the repository, as the person runs it: hooks and configuration of the repository count.
    pub(super) fn git(&self, args: &[&str]) -> io::Result<String> {
        self.git_in(&self.repo, args)
    }

    pub(super) fn git_in(&self, folder: &Path, args: &[&str]) -> io::Result<String> {
        let done = Command::new("git")
            .args(args)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null())
            .output()?;
        if !done.status.success() {
            return Err(io::Error::other(format!("git {}: {}", args.join(" "), String::from_utf8_lossy(&done.stderr))));
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// `pinfold run` with a script, in a folder of the stage, with keys in the environment.
    pub(super) fn start(&self, folder: &Path, script: &str) -> io::Result<Child> {
        let mut pinfold = Command::new(std::env::current_exe()?);
        let here = if folder.join(".git").exists() { &[][..] } else { &["--here"] };
        pinfold
            .args(["run", "--quiet", "--timeout", &PATIENCE.to_string()])
            .args(here)
            .args(["--", "/bin/sh", "-c", script])
            .current_dir(folder)
            .env("XDG_STATE_HOME", self.beside("state"))
            .env("XDG_DATA_HOME", self.beside("data"))
            .envs(KEYS.iter().map(|key| (*key, CANARY)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Runs a row of attacks in one box, and gives the host its turns.
    pub(super) fn act(&self, folder: &Path, attacks: &[&Attack]) -> Vec<Finding> {
        let script = script(self, attacks);
        let over = AtomicBool::new(false);
        let said = std::thread::scope(|scope| {
            scope.spawn(|| self.take_turns(folder, attacks, &over));
            let said = self.start(folder, &script).and_then(words_of);
            over.store(true, Ordering::Release);
            said
        });
        attacks.iter().enumerate().map(|(n, attack)| self.finding(attack, n, &said)).collect()
    }

    fn finding(&self, attack: &Attack, number: usize, said: &io::Result<Said>) -> Finding {
        let (outcome, seen) = match said {
            Err(error) => (Outcome::NotAsked, format!("the box was not started: {error}")),
            Ok(said) => attack.judge(self, number, said),
        };
        Finding { promise: attack.promise, tried: attack.tried.into(), outcome, seen }
    }

    /// When an attack has made its file `turn-N`, the host acts, and says so with `done-N`.
    fn take_turns(&self, folder: &Path, attacks: &[&Attack], over: &AtomicBool) {
        let mut left: Vec<(usize, Turn)> =
            attacks.iter().enumerate().filter_map(|(n, attack)| attack.turn.map(|turn| (n, turn))).collect();
        while !left.is_empty() && !over.load(Ordering::Acquire) {
            left.retain(|(n, turn)| {
                if !folder.join(format!("turn-{n}")).exists() {
                    return true;
                }
                // A turn that failed is a turn that showed nothing, and the attack says so.
                let word = turn(self).map_or_else(|error| format!("failed: {error}"), |()| "done".into());
                let done = folder.join(format!("done-{n}"));
                fs::write(done.with_extension("part"), word)
                    .and_then(|()| fs::rename(done.with_extension("part"), done))
                    .ok();
                false
            });
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn host_file(&self, path: &str) -> String {
        fs::read_to_string(self.repo.join(path)).unwrap_or_default()
    }

    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Folders of runs that still hold something of the box.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let runs = fs::read_dir(self.beside("state/pinfold/runs")).into_iter().flatten().flatten();
        let parts = runs.flat_map(|run| ["git", "private"].map(|part| run.path().join(part)));
        parts.filter(|path| path.exists()).map(|path| path.display().to_string()).collect()
    }
}

/// Waits for a box. One that does not end is stopped by its own time limit; should that fail, here.
pub(super) fn words_of(mut child: Child) -> io::Result<Said> {
    let mut pipes = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let stdout = scope.spawn(|| pipes.0.as_mut().map(words).unwrap_or_default());
        let stderr = scope.spawn(|| pipes.1.as_mut().map(words).unwrap_or_default());
        let end = Instant::now() + Duration::from_secs(PATIENCE + 10);
        while child.try_wait()?.is_none() {
            if Instant::now() > end {
                child.kill()?;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let text = |thread: std::thread::ScopedJoinHandle<'_, String>| thread.join().unwrap_or_default();
        Ok(Said { stdout: text(stdout), stderr: text(stderr) })
    })
}

fn words(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // What did not come is not looked at; the end marks tell that something is missing.
    from.by_ref().take(MAX_WORDS as u64).read_to_end(&mut bytes).ok();
    io::copy(from, &mut io::sink()).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The row of attacks as one script; each runs in a shell of its own, between marks.
fn script(stage: &Stage, attacks: &[&Attack]) -> String {
    let outside = stage.beside("");
    let outside = outside.to_string_lossy();
    let mut text = format!("OUTSIDE='{}'\n{PRELUDE}", outside.trim_end_matches('/').replace('\'', "'\\''"));
    for (n, attack) in attacks.iter().enumerate() {
        text.push_str(&format!(
            "N={n}\necho; echo '@begin {n}'\n(\n{}\n) </dev/null 2>&1\necho; echo '@end {n}'\n",
            attack.script
        ));
    }
    text
}

/// `win`: the attack worked. `weak`: it is known not to be stopped here. `skip`: it can't be tried here. `turn`: the host's turn.
/// `spy`: reads files again and again while the host has its turn, without starting a program for each look.
const PRELUDE: &str = r#"
win() { echo "@broken $*"; }
weak() { echo "@weaker $*"; }
skip() { echo "@skipped $*"; exit 0; }
need() { command -v "$1" >/dev/null 2>&1 || skip "there is no $1 here"; }
turn() {
  : > "turn-$N"; tries=0
  while [ ! -e "/workspace/done-$N" ]; do sleep 0.01; tries=$((tries+1)); [ $tries -lt 1000 ] || { echo "@void the host did not act"; exit 0; }; done
  word=$(cat "done-$N"); wait
  [ "$word" = done ] || { echo "@void the host's turn $word"; exit 0; }
}
spy() {
  ( while [ ! -e "/workspace/done-$N" ]; do
      for file in "$@"; do { while IFS= read -r line || [ -n "$line" ]; do echo "$line"; done < "$file"; } 2>/dev/null; done
    done ) &
}
"#;

impl Drop for Stage {
    fn drop(&mut self) {
        // Best effort: it lies in the temporary folder.
        let _ = pinfold_sys::tree::remove(&self.base);
    }
}
