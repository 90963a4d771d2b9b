//! One attack, once, in one launcher: what did it achieve? Knows nothing of whose launcher it is, nor of what is good or bad.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pinfold_testkit::snapshot::{Snapshot, files_holding};
use pinfold_testkit::{As, Caller, Canary, Cmd, Launcher, Missing, Output, Session, Stdin, TestRepo, find_bytes};

use crate::case::Case;

/// How many times a race is tried when `PINFOLD_TRIALS` does not say.
const TRIALS: u32 = 30;
/// How long a process may take to be gone after its launcher is.
const GRACE: Duration = Duration::from_millis(1500);

/// What an attack achieved, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A secret's bytes were read, or kept where a box could read them.
    Leaked(String),
    /// Something of the host changed.
    Changed(String),
    /// Code of the box ran on the host.
    Ran(String),
    /// The box said what it can only say when it succeeded.
    Said(String),
    /// Something of the box outlived it.
    Survived(String),
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, what) = match self {
            Finding::Leaked(what) => ("leaked", what),
            Finding::Changed(what) => ("changed", what),
            Finding::Ran(what) => ("ran on the host", what),
            Finding::Said(what) => ("succeeded", what),
            Finding::Survived(what) => ("survived", what),
        };
        write!(f, "{kind}: {what}")
    }
}

/// The outcome of a trial.
#[derive(Debug)]
pub struct Trial {
    pub findings: Vec<Finding>,
    /// Why the trial proves nothing: the box did not start, or the attack did not run to its end.
    pub broken: Vec<String>,
    /// All that was said, for a person who has to find out why.
    pub transcript: String,
}

/// Runs a case.
pub fn run(case: &Case, launcher: &Launcher, who: As) -> Result<Trial, Missing> {
    let caller = Caller::new(who)?;
    let stage = Stage::new(case, launcher, &caller);
    let mut trial = Trial { findings: Vec::new(), broken: Vec::new(), transcript: String::new() };
    stage.host(&case.setup, &mut trial, "setup");
    if !trial.broken.is_empty() {
        return Ok(trial);
    }
    let before = Snapshot::take(stage.repo.path());
    stage.attack(&case.inside, &case.host, 1, &mut trial);
    if trial.broken.is_empty() && !case.again.is_empty() {
        stage.attack(&case.again, &[], 2, &mut trial);
    }
    stage.aftermath(&before, &mut trial);
    Ok(trial)
}

/// Everything that a trial stands on.
struct Stage<'a> {
    case: &'a Case,
    launcher: &'a Launcher,
    caller: &'a Caller,
    repo: TestRepo<'a>,
    secrets: Vec<(String, Canary)>,
    nap: String,
}

impl<'a> Stage<'a> {
    fn new(case: &'a Case, launcher: &'a Launcher, caller: &'a Caller) -> Stage<'a> {
        let repo = TestRepo::new(caller, "repo");
        caller.command("mkdir").arg(caller.base().join("out")).arg(caller.base().join("mark")).ok();
        let secrets = (1..=6).map(|n| (format!("S{n}"), Canary::new())).collect();
        let nap = format!("7654321.{}", std::process::id() as u64 * 1000 + unique());
        Stage { case, launcher, caller, repo, secrets, nap }
    }

    fn mark(&self) -> PathBuf {
        self.caller.base().join("mark/ran")
    }

    fn out(&self) -> PathBuf {
        self.caller.base().join("out")
    }

    /// The names that host scripts know, as environment.
    fn names(&self, cmd: &mut Cmd) {
        for (name, secret) in &self.secrets {
            cmd.env(name, secret.as_str());
        }
        let trials = std::env::var("PINFOLD_TRIALS").unwrap_or_else(|_| TRIALS.to_string());
        cmd.env("TRIALS", trials)
            .env("NAP", &self.nap)
            .env("MARK", self.mark())
            .env("OUT", self.out())
            .env("REPO", self.repo.path());
    }

    /// The names that box scripts know, as text.
    fn placed(&self, script: &str, round: u32) -> String {
        script
            .replace("@MARK@", &self.mark().to_string_lossy())
            .replace("@OUT@", &self.out().to_string_lossy())
            .replace("@REPO@", &self.repo.path().to_string_lossy())
            .replace("@NAP@", &self.nap)
            .replace("@ROUND@", &round.to_string())
    }

    fn host(&self, script: &str, trial: &mut Trial, part: &str) -> Option<Output> {
        if script.is_empty() {
            return None;
        }
        let mut cmd = self.repo.command("sh");
        let strict = if part == "setup" { "set -e\n" } else { "" };
        cmd.args(["-c", &format!("{strict}{script}")]).deadline(Duration::from_secs(self.case.time_limit));
        self.names(&mut cmd);
        let out = cmd.run();
        trial.transcript.push_str(&format!("===== host: {part}\n{out}\n"));
        if part != "after" && (out.code != 0 || out.timed_out) {
            trial.broken.push(format!("the host's part `{part}` failed with exit code {}", out.code));
        }
        Some(out)
    }

    fn attack(&self, script: &str, host: &[String], round: u32, trial: &mut Trial) {
        let mut session = Session::start(&self.launch(script, round));
        for (turn, step) in host.iter().enumerate() {
            if !session.wait_for("@ready", turn + 1) {
                trial.broken.push(format!("the box never said that it is ready for the host's turn {}", turn + 1));
                break;
            }
            self.host(step, trial, &format!("turn {}", turn + 1));
            session.send("go\n");
        }
        let out = session.finish();
        trial.transcript.push_str(&format!("===== {} round {round}\n{out}\n", self.launcher.name()));
        self.hear(&out, round, trial);
    }

    /// The launcher with the attack. `wrap` runs in a shell that then becomes the launcher.
    fn launch(&self, script: &str, round: u32) -> Cmd {
        let script = format!("{}\n(\n{}\n)\necho @done\n", include_str!("prelude.sh"), self.placed(script, round));
        let repo = match (&self.case.again_in, round) {
            (Some(beside), 2) => self.caller.base().join(beside),
            _ => self.repo.path().to_owned(),
        };
        let mut cmd = self.launcher.command(self.caller, &repo, ["sh", "-c", &script]);
        if !self.case.start_in.is_empty() && self.launcher.is_pinfold() {
            cmd.cwd(repo.join(&self.case.start_in));
        }
        if !self.case.wrap.is_empty() {
            let forget = self.secrets.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
            let wrap = format!("{}\nunset {forget} TRIALS MARK OUT\nexec \"$@\"\n", self.case.wrap);
            cmd.wrap_in(["sh", "-c", &wrap, "sh"]);
            self.names(&mut cmd);
        }
        cmd.stdin(Stdin::Pipe).deadline(Duration::from_secs(self.case.time_limit));
        cmd
    }

    /// What the box said.
    fn hear(&self, out: &Output, round: u32, trial: &mut Trial) {
        let text = out.text();
        for (name, secret) in self.secrets.iter().filter(|(name, _)| !self.case.seen.contains(name)) {
            if secret.is_in(&out.stdout) || secret.is_in(&out.stderr) {
                trial.findings.push(Finding::Leaked(format!("the box read {name}")));
            }
        }
        let said = self.case.never.iter().map(|sign| self.placed(sign, round));
        let said = said.filter_map(|sign| text.lines().find(|line| line.starts_with(sign.as_str())));
        trial.findings.extend(said.map(|line| Finding::Said(format!("the box said `{}`", line.escape_debug()))));
        let bytes = |stream: &[u8], sign: &String| find_bytes(stream, sign.as_bytes()).is_some();
        let raw = self.case.never_bytes.iter().filter(|sign| bytes(&out.stdout, sign) || bytes(&out.stderr, sign));
        trial
            .findings
            .extend(raw.map(|sign| Finding::Said(format!("the terminal was sent `{}`", sign.escape_debug()))));
        if let Some(reason) = &self.case.refuses {
            let refused = out.code != 0 && !text.contains("@done") && out.errors().contains(reason.as_str());
            if !refused {
                trial.findings.push(Finding::Said(format!("the launch was not refused with `{reason}`")));
            }
            return;
        }
        if out.timed_out {
            trial.broken.push(format!("round {round} did not end within {} s", self.case.time_limit));
        } else if self.case.ends && !text.contains("@done") {
            trial.broken.push(format!("round {round} did not run to its end (exit code {})", out.code));
        } else if self.case.ends && out.code != 0 {
            trial.broken.push(format!(
                "round {round} ended with 0, but its launcher with {}: {}",
                out.code,
                out.errors()
            ));
        }
        for wanted in self.case.says.iter().filter(|_| round == 1) {
            if !text.contains(wanted.as_str()) {
                trial.broken.push(format!("the box did not say `{wanted}`"));
            }
        }
    }

    /// What is left when it is all over.
    fn aftermath(&self, before: &Snapshot, trial: &mut Trial) {
        self.survivors(trial);
        self.changes(before, trial);
        if let Some(out) = self.host(&self.case.after, trial, "after") {
            let text = out.text();
            let (says, never) = (&self.case.after_says, &self.case.after_never);
            let missing = says.iter().filter(|wanted| !text.contains(wanted.as_str()));
            trial
                .findings
                .extend(missing.map(|what| Finding::Changed(format!("afterwards, the host does not find `{what}`"))));
            let signs = never.iter().filter(|sign| text.contains(sign.as_str()));
            trial.findings.extend(signs.map(|what| Finding::Changed(format!("afterwards, the host finds `{what}`"))));
        }
        if self.mark().exists() {
            trial.findings.push(Finding::Ran("the file that only the box's code would make was made".into()));
        }
        for (name, secret) in &self.secrets {
            for dir in [self.caller.pinfold_state(), self.caller.pinfold_data()] {
                for file in files_holding(&dir, secret.as_str().as_bytes()) {
                    trial.findings.push(Finding::Leaked(format!("{name} was kept in {}", dir.join(file).display())));
                }
            }
        }
    }

    fn changes(&self, before: &Snapshot, trial: &mut Trial) {
        let after = Snapshot::take(self.repo.path());
        let quiet = self.case.host.is_empty();
        let keep: Vec<PathBuf> = match &self.case.keep {
            Some(paths) => paths.iter().map(PathBuf::from).collect(),
            None if quiet => before.holding(pinfold_testkit::CANARY_MARK.as_bytes()),
            None => Vec::new(),
        };
        trial.findings.extend(keep.iter().filter_map(|path| before.change_of(&after, path)).map(Finding::Changed));
        if self.case.keep_git.unwrap_or(quiet) {
            let changed = before.content_changes(&after, Path::new(".git"));
            let ours = |path: &PathBuf| !comes_back(path);
            let what = changed.into_iter().filter(ours).map(|path| Finding::Changed(path.display().to_string()));
            trial.findings.extend(what);
        }
        let there = |path: &str| self.repo.path().join(path).symlink_metadata().is_ok();
        let missing = self.case.landed.iter().filter(|path| !there(path));
        trial.broken.extend(missing.map(|path| format!("{path} did not arrive on the host")));
        let unwanted = self.case.absent.iter().filter(|path| there(path));
        trial.findings.extend(unwanted.map(|path| Finding::Changed(format!("{path} came to be on the host"))));
    }

    /// Processes and mounts of the trial that are still there.
    fn survivors(&self, trial: &mut Trial) {
        let until = Instant::now() + GRACE;
        let base = self.caller.base().to_string_lossy().into_owned();
        loop {
            let left = processes_naming(&[&self.nap, &base]);
            if left.is_empty() {
                break;
            }
            if Instant::now() > until {
                trial.findings.extend(left.into_iter().map(|(pid, line)| {
                    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                        // It has been noted; the machine should not be left with it.
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                    Finding::Survived(format!("process `{line}`"))
                }));
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let left = mounts.lines().filter(|line| line.contains(base.as_str()));
        trial.findings.extend(left.map(|line| Finding::Survived(format!("mount `{line}`"))));
        let runs = std::fs::read_dir(self.caller.pinfold_state().join("runs")).into_iter().flatten().flatten();
        for run in runs {
            for private in ["git", "private"].map(|name| run.path().join(name)).iter().filter(|path| path.exists()) {
                trial.findings.push(Finding::Survived(format!("{}", private.display())));
            }
        }
    }
}

/// What a box may add to the host's `.git`: commits, as objects and as refs; a fast-forward of the person's branch and its index.
fn comes_back(path: &Path) -> bool {
    const DOORS: [&str; 7] =
        [".git/objects", ".git/refs", ".git/logs", ".git/index", ".git/packed-refs", ".git/ORIG_HEAD", ".git/pinfold"];
    DOORS.iter().any(|door| path.starts_with(door)) || path == Path::new(".git")
}

/// The processes whose command line or environment has one of these words in it.
pub fn processes_naming(words: &[&str]) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if pid == std::process::id().cast_signed() {
            continue;
        }
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let environ = String::from_utf8_lossy(&read("environ")).into_owned();
        if words.iter().any(|word| line.contains(word) || environ.contains(word)) {
            found.push((pid, line.chars().take(200).collect()));
        }
    }
    found
}

fn unique() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
