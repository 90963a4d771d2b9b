//! What container engines need before their first start: a daemon, an image. Made for the race in folders of its own, stopped and
//! removed with it. Only root can; what cannot be made here is a reason in the table.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinfold_testkit::need::program;

use crate::view::View;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
pub const IMAGE: &str = "pinfold-start:latest";

/// Names the process that is still in the machine's own mount namespace, when this one is not.
pub const OUTSIDE: &str = "PINFOLD_START_OUTSIDE";

/// An engine with an image that holds the view.
#[derive(Debug)]
pub struct Engine {
    program: PathBuf,
    global: Vec<String>,
    daemon: Option<Daemon>,
    folder: PathBuf,
}

/// A process that ends with this value.
#[derive(Debug)]
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        let until = Instant::now() + PATIENCE;
        while self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > until {
                self.0.kill().ok();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Engine {
    pub fn docker(base: &Path, view: &View) -> Result<Engine, String> {
        let docker = program("docker").map_err(|missing| missing.to_string())?;
        program("dockerd").map_err(|missing| missing.to_string())?;
        let folder = base.join("docker");
        std::fs::create_dir_all(&folder).map_err(|error| format!("no folder for its daemon: {error}"))?;
        let host = format!("unix://{}/sock", folder.display());
        let place = |name: &str| format!("{}/{name}", folder.display());
        // The race may have a /sys/fs/cgroup of its own; the daemon gets the machine's.
        let mut command = match std::env::var_os(OUTSIDE) {
            Some(pid) => {
                let mut command = Command::new("nsenter");
                command.args(["--mount", "--target"]).arg(pid).args(["--", "chrt"]);
                command
            }
            None => Command::new("chrt"),
        };
        // The race may run with real-time priority; containers that have it are refused by older cgroups.
        command.args(["--other", "0", "dockerd"]);
        command.args(["--host", &host, "--bridge", "none"]);
        command.args([
            "--iptables=false",
            "--ip6tables=false",
            "--data-root",
            &place("data"),
            "--exec-root",
            &place("exec"),
        ]);
        command.args(["--pidfile", &place("pid"), "--log-level", "error"]);
        let log = std::fs::File::create(folder.join("log")).map_err(|error| format!("no file for its log: {error}"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().map_err(|error| format!("its daemon cannot be started: {error}"))?;
        let mut daemon = Daemon(child);
        let global = vec!["--host".to_owned(), host];
        let answers = || quiet(Command::new(&docker).args(&global).arg("version"));
        let until = Instant::now() + PATIENCE;
        while !answers() {
            if Instant::now() > until || daemon.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(format!("its daemon does not run here: {}", last_words(&folder.join("log"))));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Engine { program: docker, global, daemon: Some(daemon), folder }.with_image(view)
    }

    pub fn podman(base: &Path, view: &View) -> Result<Engine, String> {
        let podman = program("podman").map_err(|missing| missing.to_string())?;
        let folder = base.join("podman");
        let place = |name: &str| format!("{}/{name}", folder.display());
        let global =
            ["--root", &place("root"), "--runroot", &place("run"), "--cgroup-manager", "cgroupfs"].map(str::to_owned);
        Engine { program: podman, global: global.to_vec(), daemon: None, folder }.with_image(view)
    }

    fn with_image(self, view: &View) -> Result<Engine, String> {
        let root = self.folder.join("image");
        view.unpack(&root).map_err(|error| format!("the image cannot be made: {error}"))?;
        let tar = self.folder.join("image.tar");
        let packed = quiet(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg("."));
        if !packed || !quiet(self.command().arg("import").arg(&tar).arg(IMAGE)) {
            return Err("the image cannot be imported".into());
        }
        Ok(self)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.global);
        command
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.daemon.take());
        // What storage drivers have mounted may outlive them by a moment.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().next_back().unwrap_or("it said nothing").chars().take(200).collect()
}
