//! The agents: where npm puts them, and how they come into a caller's home.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pinfold_testkit::{Caller, Missing, need};

/// A real agent at a version that the tests know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    Claude,
    Codex,
}

/// What is known of each, as npm names it. The programs are native: the box needs no node for them.
struct Row {
    name: &'static str,
    package: &'static str,
    program: &'static str,
    /// Where, in a home, this agent's own installer keeps its versions.
    home_folder: &'static str,
    /// Put before what the caller says, to lead the agent to the model: `@URL@` is its address.
    to_the_model: &'static str,
}

impl Agent {
    pub const ALL: [Agent; 2] = [Agent::Claude, Agent::Codex];

    fn row(self) -> Row {
        match self {
            Agent::Claude => Row {
                name: "claude",
                package: "@anthropic-ai/claude-code@2.1.330",
                program: "@anthropic-ai/claude-code-linux-x64/claude",
                home_folder: ".local/share/claude/versions",
                to_the_model: "",
            },
            Agent::Codex => Row {
                name: "codex",
                package: "@openai/codex@0.169.0",
                program: "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex",
                home_folder: ".codex/packages",
                to_the_model: r#"-c 'model="mock-model"' -c 'model_provider="mock"' -c 'model_providers.mock={name="mock",base_url="@URL@/v1",wire_api="responses"}'"#,
            },
        }
    }

    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// What asks the agent to do something without a terminal, after its name.
    pub fn headless(self, prompt: &str) -> Vec<String> {
        match self {
            Agent::Claude => vec!["-p".into(), prompt.into()],
            Agent::Codex => vec!["exec".into(), prompt.into()],
        }
    }

    /// What makes it work without asking, when it is not pinfold that starts it.
    pub fn unattended(self) -> &'static [&'static str] {
        match self {
            Agent::Claude => &["--dangerously-skip-permissions"],
            Agent::Codex => &["-c", "approval_policy=\"never\"", "-c", "sandbox_mode=\"danger-full-access\""],
        }
    }

    /// The real program, installed if need be.
    pub fn program(self) -> Result<PathBuf, Missing> {
        let modules = installed()?.join("node_modules");
        // npm links the native program into the package, or leaves it in its own: either is the program.
        let places = [modules.join(self.row().program), modules.join("@anthropic-ai/claude-code/bin/claude.exe")];
        let count = if self == Agent::Claude { 2 } else { 1 };
        let found = places.into_iter().take(count).find(|path| path.is_file());
        found.ok_or_else(|| Missing::new(format!("npm installed {}, but not its native program", self.row().package)))
    }

    /// Gives the agent to a caller: the program in the folder of its own installer, and in `~/.local/bin` its name.
    /// The model around it takes its script from `target/model/script.json` of the workspace and logs beside it.
    pub fn give_to(self, caller: &Caller, model: &Path) -> Result<(), Missing> {
        let row = self.row();
        let folder = caller.home().join(row.home_folder);
        let make = || -> std::io::Result<()> {
            caller.command("mkdir").arg("-p").arg(&folder).arg(caller.home().join(".local/bin")).ok();
            link_or_copy(&self.program().map_err(std::io::Error::other)?, &folder.join("program"))?;
            link_or_copy(model, &folder.join("model"))?;
            let here = folder.display();
            let wrapper = format!(
                "#!/bin/sh\nexec '{here}/model' --script /workspace/target/model/script.json --log \
                 /workspace/target/model/log.jsonl -- '{here}/program' {} \"$@\"\n",
                row.to_the_model
            );
            let path = folder.join("start");
            std::fs::write(&path, wrapper)?;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
            std::os::unix::fs::symlink(&path, caller.home().join(".local/bin").join(row.name))
        };
        make().map_err(|error| Missing::new(format!("cannot give {} to the caller: {error}", row.name)))
    }
}

/// Programs are hundreds of megabytes: linked where the disk is the same.
fn link_or_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if std::fs::hard_link(from, to).is_err() {
        std::fs::copy(from, to)?;
    }
    std::fs::set_permissions(to, PermissionsExt::from_mode(0o755))
}

/// The build directory.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from)
}

/// The folder with all agents in it, filled by npm the first time.
fn installed() -> Result<PathBuf, Missing> {
    static INSTALLED: OnceLock<Result<PathBuf, Missing>> = OnceLock::new();
    INSTALLED.get_or_init(install).clone()
}

fn install() -> Result<PathBuf, Missing> {
    let dir = target_dir().join("agents");
    let done = dir.join("installed");
    let wanted: Vec<_> = Agent::ALL.iter().map(|agent| agent.row().package).collect();
    if std::fs::read_to_string(&done).is_ok_and(|found| found == wanted.join("\n")) {
        return Ok(dir);
    }
    need::program("npm")?;
    let fail = |what: String| Missing::new(format!("cannot install the agents from npm: {what}"));
    std::fs::create_dir_all(&dir).map_err(|error| fail(error.to_string()))?;
    let out = Command::new("npm")
        .args(["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error", "--prefix"])
        .arg(&dir)
        .args(&wanted)
        .output()
        .map_err(|error| fail(error.to_string()))?;
    if !out.status.success() {
        return Err(fail(String::from_utf8_lossy(&out.stderr).lines().take(5).collect::<Vec<_>>().join("; ")));
    }
    std::fs::write(&done, wanted.join("\n")).map_err(|error| fail(error.to_string()))?;
    Ok(dir)
}
