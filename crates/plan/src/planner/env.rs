//! The environment of the command: an allow-list, the names that the box itself defines, and what was asked for by name.

use super::root::{Draft, runtime_dir};
use super::{MAX_ARGV, PlanError, etc, ids};
use crate::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Passed on from the caller: how to speak to this person's terminal, language and clock. Nothing else is.
const PASSED: &[&str] =
    &["CLICOLOR", "CLICOLOR_FORCE", "COLORTERM", "FORCE_COLOR", "LANG", "LANGUAGE", "NO_COLOR", "TERM", "TZ"];

/// Where a toolchain says it lives. Passed on only when the box shows that place.
const TOOL_HOMES: &[&str] = &[
    "ASDF_DATA_DIR",
    "ASDF_DIR",
    "BUN_INSTALL",
    "DENO_INSTALL",
    "DOTNET_ROOT",
    "GOROOT",
    "JAVA_HOME",
    "MISE_DATA_DIR",
    "NVM_DIR",
    "PNPM_HOME",
    "PYENV_ROOT",
    "RBENV_ROOT",
    "RUSTUP_HOME",
    "SDKMAN_DIR",
    "VIRTUAL_ENV",
    "VOLTA_HOME",
];

/// An allow-listed value longer than this, or with a control character, is no terminal's or language's name.
const MAX_PASSED: usize = 256;
const ALWAYS_IN_PATH: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Whether the planner wants to know the caller's value of this variable. The survey reads no other.
pub fn env_wanted(name: &str) -> bool {
    is_passed(name) || TOOL_HOMES.contains(&name)
}

fn is_passed(name: &str) -> bool {
    PASSED.contains(&name)
}

pub(super) fn exec(draft: &Draft, request: &Request, facts: &HostFacts) -> Result<Exec, PlanError> {
    let mut env = BTreeMap::new();
    for (name, value) in &facts.env {
        if is_passed(name) && harmless(value) {
            env.insert(name.clone(), value.clone());
        }
        if TOOL_HOMES.contains(&name.as_str())
            && let Some(place) = in_box(draft, facts, Path::new(value.as_os_str()))
        {
            env.insert(name.clone(), place.into_os_string().into());
        }
    }
    for (name, value) in own(draft, facts) {
        env.insert(name.into(), value);
    }
    for wanted in &request.env {
        let (name, value) = requested(wanted, facts)?;
        env.insert(name, value);
    }
    let env: Vec<_> = env.into_iter().collect();
    let size: u64 = env.iter().map(|(name, value)| (name.len() + value.as_bytes().len() + 2) as u64).sum();
    if size > MAX_ARGV {
        return Err(PlanError::TooLarge { what: "environment", size, limit: MAX_ARGV });
    }
    let at = workspace_at();
    let cwd = if request.subdir.as_bytes().is_empty() { at } else { at.join(request.subdir.as_os_str()) };
    Ok(Exec { argv: request.argv.clone(), env, cwd, streams: request.streams })
}

/// What the box itself says.
fn own(draft: &Draft, facts: &HostFacts) -> Vec<(&'static str, OsBytes)> {
    let name = OsBytes::from(etc::name(&facts.caller));
    vec![
        ("HOME", facts.caller.home.as_path().as_os_str().into()),
        ("LOGNAME", name.clone()),
        ("PATH", path(draft, facts)),
        ("PINFOLD", "1".into()),
        ("SHELL", etc::shell(draft, facts).as_str().into()),
        ("TMPDIR", "/tmp".into()),
        ("USER", name),
        ("XDG_RUNTIME_DIR", runtime_dir(ids(&facts.caller)).into_os_string().into()),
    ]
}

/// The caller's `PATH` as far as its folders exist in the box, then the usual ones, then where the box itself may
/// install tools.
fn path(draft: &Draft, facts: &HostFacts) -> OsBytes {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut add = |folder: PathBuf| {
        let colon = folder.as_os_str().as_encoded_bytes().contains(&b':');
        if !colon && !folders.contains(&folder) {
            folders.push(folder);
        }
    };
    for folder in &facts.path {
        if let Some(folder) = in_box(draft, facts, folder.as_path()) {
            add(folder);
        }
    }
    for folder in ALWAYS_IN_PATH.iter().map(PathBuf::from).filter(|folder| draft.shows(folder)) {
        add(folder);
    }
    add(facts.caller.home.as_path().join(".local/bin"));
    let joined: Vec<_> = folders.iter().map(|folder| folder.as_os_str().as_encoded_bytes()).collect();
    OsBytes::new(joined.join(&b':'))
}

/// Where a host path stands in the box: the same place if it is shown, below the workspace if it lies in it.
fn in_box(draft: &Draft, facts: &HostFacts, path: &Path) -> Option<PathBuf> {
    if let Ok(below) = path.strip_prefix(facts.repository.root.as_path()) {
        return Some(workspace_at().as_path().join(below));
    }
    (path.is_absolute() && draft.reaches(path)).then(|| path.to_path_buf())
}

fn harmless(value: &OsBytes) -> bool {
    value.as_bytes().len() <= MAX_PASSED && !value.as_bytes().iter().any(u8::is_ascii_control)
}

fn requested(wanted: &EnvRequest, facts: &HostFacts) -> Result<(String, OsBytes), PlanError> {
    let name = &wanted.name;
    let mut letters = name.bytes();
    let starts = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts || !letters.all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(PlanError::BadEnvName { name: name.clone() });
    }
    let value = match &wanted.value {
        Some(value) => value.clone(),
        None => {
            let found = facts.env.iter().find(|(known, _)| known == name);
            found.ok_or_else(|| PlanError::EnvNotSet { name: name.clone() })?.1.clone()
        }
    };
    Ok((name.clone(), value))
}
