//! Finds the program of an agent: the real one, behind links and wrappers, and only where the box will have it.

use super::Agent;
use crate::report::Failure;
use pinfold_plan::HostFacts;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The first in `PATH` that the box will have. One that lies in the workspace is never taken: a former box could have
/// written it.
pub(super) fn find(agent: &Agent, facts: &HostFacts) -> Result<PathBuf, Failure> {
    let mut hidden = None;
    for folder in facts.path.iter().map(|folder| folder.as_path()) {
        for name in &agent.programs {
            let Some(real) = executable(&folder.join(name)) else { continue };
            let program = native(agent, &real).unwrap_or(real);
            if shown(facts, &program) && shown(facts, folder) {
                return Ok(program);
            }
            hidden.get_or_insert(program);
        }
    }
    Err(match hidden {
        None => agent.missing(""),
        Some(program) if program.starts_with(facts.repository.root.as_path()) => {
            agent.missing(&format!(" ({} is in the workspace, where a box could have written it)", program.display()))
        }
        Some(program) => agent.missing(&format!(" ({} is in a folder that a box is not shown)", program.display())),
    })
}

fn executable(path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let seen = real.metadata().ok()?;
    (seen.is_file() && seen.permissions().mode() & 0o111 != 0).then_some(real)
}

fn shown(facts: &HostFacts, path: &Path) -> bool {
    let system = facts.system.iter().map(|entry| entry.path.as_path());
    let tools = facts.toolchains.iter().map(|tool| tool.entry.path.as_path());
    system.chain(tools).any(|tree| path.starts_with(tree))
}

/// The native program of a package whose own program only starts it. Beside the package, or in the package's own
/// `node_modules`, as npm happened to lay them.
fn native(agent: &Agent, program: &Path) -> Option<PathBuf> {
    if agent.native.is_empty() || is_native(program) {
        return None;
    }
    let package = program.ancestors().find(|above| above.ends_with(&agent.package))?;
    let beside = package.ancestors().find(|above| above.file_name() == Some(OsStr::new("node_modules")));
    let places = [Some(package.join("node_modules")), beside.map(Path::to_path_buf)];
    let (arch, rust_arch) = match std::env::consts::ARCH {
        "x86_64" => ("x64", "x86_64"),
        "aarch64" => ("arm64", "aarch64"),
        other => (other, other),
    };
    let names: Vec<_> =
        agent.native.iter().map(|name| name.replace("{arch}", arch).replace("{rust_arch}", rust_arch)).collect();
    places
        .iter()
        .flatten()
        .flat_map(|place| names.iter().map(|name| place.join(name)))
        .find_map(|path| executable(&path))
}

fn is_native(program: &Path) -> bool {
    let mut start = [0u8; 4];
    std::fs::File::open(program).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"\x7fELF"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(at: &Path, content: &[u8]) {
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, content).unwrap();
        std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn the_native_program_is_found_behind_a_wrapper() {
        let agent = super::super::find("claude").unwrap();
        let arch = if std::env::consts::ARCH == "aarch64" { "arm64" } else { "x64" };
        for inside in [true, false] {
            let keep = tempfile::tempdir().unwrap();
            let modules = keep.path().canonicalize().unwrap().join("lib/node_modules");
            let package = modules.join("@anthropic-ai/claude-code");
            let wrapper = package.join("cli.js");
            program(&wrapper, b"#!/usr/bin/env node\n");
            assert_eq!(native(agent, &wrapper), None, "nothing is there yet");
            let place = if inside { package.join("node_modules") } else { modules };
            let real = place.join(format!("@anthropic-ai/claude-code-linux-{arch}/claude"));
            program(&real, b"\x7fELF");
            assert_eq!(native(agent, &wrapper), Some(real.clone()));
            assert_eq!(native(agent, &real), None, "it is native itself");
        }
    }
}
