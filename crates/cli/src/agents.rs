//! The agents that have a verb: a table of values, one file for each in `agents/`, compiled in.
//!
//! A row says where the program is found, what makes it work without asking, and what it must find in its home so that
//! it starts without a dialogue. No code here knows an agent by name.

mod program;

use crate::exit::Trouble;
use crate::report::Failure;
use pinfold_plan::{EnvRequest, HostFacts, HostPath, OsBytes};
use pinfold_survey::{Ask, Who};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::OnceLock;

/// One row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The verb.
    pub name: String,
    pub title: String,
    /// Names that the program has in `PATH`.
    programs: Vec<String>,
    /// The npm package that it comes in.
    package: String,
    /// Where, from a `node_modules` folder, the native program is that the package's own only starts.
    #[serde(default)]
    native: Vec<String>,
    /// Folders beside the native program that belong into `PATH`, as far as they exist.
    #[serde(default)]
    path: Vec<String>,
    /// How to get it.
    install: String,
    /// Put before the person's own.
    arguments: Vec<String>,
    /// Put after a subcommand, when that is the person's first argument.
    #[serde(default)]
    subcommands: BTreeMap<String, Vec<String>>,
    /// `{home}` is the home in the box.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Only where the box is root of itself.
    #[serde(default)]
    env_as_root: BTreeMap<String, String>,
    /// Whether it needs the person's name for commits as variables.
    #[serde(default)]
    git_identity: bool,
    /// Files of the home, put there where they are missing.
    #[serde(default)]
    home: BTreeMap<String, String>,
}

const ROWS: &[&str] = &[
    include_str!("agents/claude.toml"),
    include_str!("agents/codex.toml"),
    include_str!("agents/copilot.toml"),
    include_str!("agents/gemini.toml"),
    include_str!("agents/opencode.toml"),
    include_str!("agents/qwen.toml"),
];

/// All rows. A row that can't be read is left out, and the test of this file fails.
pub fn table() -> &'static [Agent] {
    static TABLE: OnceLock<Vec<Agent>> = OnceLock::new();
    TABLE.get_or_init(|| ROWS.iter().filter_map(|row| toml::from_str(row).ok()).collect())
}

pub fn find(name: &str) -> Option<&'static Agent> {
    table().iter().find(|agent| agent.name == name)
}

/// What the table makes of an agent on this host.
#[derive(Debug)]
pub struct Ready {
    pub argv: Vec<OsBytes>,
    pub env: Vec<EnvRequest>,
    pub home_files: Vec<(String, String)>,
}

/// Folders where installers put agents without always telling `PATH`.
const USUAL: &[&str] = &[".local/bin", ".claude/local", ".opencode/bin", ".npm-global/bin", ".bun/bin"];

/// Lets the survey look where agents usually are, too: after everything that is in `PATH`, and only where the agent is.
pub fn extend_path(ask: &mut Ask, who: &Who, agent: &Agent) {
    let home = who.caller.home.as_path();
    let mut path = ask.env.get(std::ffi::OsStr::new("PATH")).cloned().unwrap_or_default();
    for folder in USUAL.iter().map(|folder| home.join(folder)).chain(["/usr/local/bin".into()]) {
        if agent.programs.iter().any(|name| folder.join(name).exists()) {
            path.push(":");
            path.push(folder);
        }
    }
    ask.env.insert("PATH".into(), path);
}

impl Agent {
    /// Finds the program and joins the row with the person's arguments.
    pub fn ready(&self, facts: &mut HostFacts, arguments: &[OsString]) -> Result<Ready, Failure> {
        let program = program::find(self, facts)?;
        let beside = program.parent().map(|folder| self.path.iter().map(|path| folder.join(path)).collect::<Vec<_>>());
        for folder in beside.into_iter().flatten().filter_map(|folder| folder.canonicalize().ok()) {
            facts.path.insert(0, HostPath::new(folder));
        }
        let mut argv = vec![OsBytes::from(program.as_os_str())];
        argv.extend(self.arguments.iter().map(|arg| OsBytes::from(arg.as_str())));
        let mut own = arguments.iter().map(|arg| OsBytes::from(arg.as_os_str()));
        if let Some(added) = arguments.first().and_then(|first| self.subcommands.get(first.to_str()?)) {
            argv.extend(own.next());
            argv.extend(added.iter().map(|arg| OsBytes::from(arg.as_str())));
        }
        argv.extend(own);
        let home_files = self.home.iter().map(|(path, content)| (path.clone(), content.clone())).collect();
        Ok(Ready { argv, env: self.variables(facts), home_files })
    }

    fn variables(&self, facts: &HostFacts) -> Vec<EnvRequest> {
        let home = facts.caller.home.to_string();
        let as_root = self.env_as_root.iter().filter(|_| facts.caller.uid == 0);
        let table = self.env.iter().chain(as_root).map(|(name, value)| (name.clone(), value.replace("{home}", &home)));
        let identity = facts.identity.iter().filter(|_| self.git_identity).flat_map(|who| {
            ["AUTHOR", "COMMITTER"].into_iter().flat_map(|role| {
                [("NAME", &who.name), ("EMAIL", &who.email)]
                    .map(|(part, value)| (format!("GIT_{role}_{part}"), value.clone()))
            })
        });
        let request = |(name, value): (String, String)| EnvRequest { name, value: Some(value.as_str().into()) };
        table.chain(identity).map(request).collect()
    }

    fn missing(&self, why: &str) -> Failure {
        Failure::new(Trouble::NoCommand, format!("{} is not installed where a box can have it{why}", self.title))
            .hint(format!("{}; then `{} --version` should work here", self.install, self.programs[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_sound() {
        for row in ROWS {
            toml::from_str::<Agent>(row).unwrap();
        }
        assert_eq!(table().len(), ROWS.len());
        for agent in table() {
            assert!(!agent.programs.is_empty() && !agent.install.is_empty());
            for (path, content) in &agent.home {
                assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".." || part.is_empty()));
                if path.ends_with(".json") {
                    serde_json::from_str::<serde_json::Value>(content).unwrap();
                }
                if path.ends_with(".toml") {
                    content.parse::<toml::Table>().unwrap();
                }
            }
        }
    }
}
