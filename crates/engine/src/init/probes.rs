//! Negative probes: forbidden things, tried by the very process that becomes the command, behind all its walls and one
//! step before its first instruction. One that succeeds refuses the start.

use super::config::InitConfig;
use crate::seccomp::rules::{self, When};
use pinfold_plan::{BoxPath, Probe};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::thread::CapabilitySet;
use std::io;
use std::path::Path;

/// A protection that does not hold.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) probe: String,
    pub(super) found: String,
}

/// Tries all of them. `report` is the one descriptor of ours that is still open; it is closed by exec.
pub(super) fn all(config: &InitConfig, report: i32) -> Result<(), Broken> {
    for probe in &config.probes {
        let outcome = match probe {
            Probe::CanaryMask => canary(config.workspace.as_ref()),
            Probe::HostPathAbsent { path } => absent(path),
            Probe::SyscallRefused { name } => refused(name),
            Probe::NoInheritedDescriptors => descriptors(report),
            Probe::NoPrivileges => privileges(),
        };
        outcome.map_err(|found| Broken { probe: name(probe), found })?;
    }
    Ok(())
}

fn name(probe: &Probe) -> String {
    match probe {
        Probe::CanaryMask => "a masked file has no bytes".into(),
        Probe::HostPathAbsent { path } => format!("{path} is not in the box"),
        Probe::SyscallRefused { name } => format!("the system call {name} is refused"),
        Probe::NoInheritedDescriptors => "nothing is inherited but the three streams".into(),
        Probe::NoPrivileges => "no privileges are left".into(),
    }
}

/// A masked name must open, read as empty, and refuse to be written.
fn canary(workspace: Option<&BoxPath>) -> Result<(), String> {
    let Some(workspace) = workspace else { return Err("no workspace to look in".into()) };
    let path = workspace.join(pinfold_wire::CANARY_NAME);
    let file = rustix::fs::open(path.as_path(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| format!("that it can't be opened: {}", io::Error::from(error)))?;
    let mut byte = [0u8; 1];
    match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut byte)) {
        Ok(0) => {}
        Ok(_) => return Err("that its bytes can be read".into()),
        Err(error) => return Err(format!("that it can't be read: {}", io::Error::from(error))),
    }
    match rustix::fs::open(path.as_path(), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(_) => Ok(()),
        Ok(_) => Err("that it can be opened for writing".into()),
    }
}

fn absent(path: &BoxPath) -> Result<(), String> {
    match rustix::fs::statat(rustix::fs::CWD, path.as_path(), AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(()),
        // Covered by an empty folder of the box: not the host's, as nothing is in it.
        Ok(stat) if empty_folder(path.as_path(), stat.st_mode) => Ok(()),
        Ok(_) => Err("that it is there".into()),
        Err(error) => Err(format!("that it may be there: {}", io::Error::from(error))),
    }
}

fn empty_folder(path: &Path, mode: u32) -> bool {
    let folder = rustix::fs::FileType::from_raw_mode(mode) == rustix::fs::FileType::Directory;
    folder && std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// The call must give the filter's answer, and a filter must be on: many of these calls would be refused to an ordinary
/// user anyway, and that would prove nothing.
fn refused(name: &str) -> Result<(), String> {
    let rule = rules::DEFAULT
        .iter()
        .find(|rule| rule.name == name)
        .ok_or_else(|| "that no rule of the filter has this name".to_owned())?;
    let filtered = rustix::thread::secure_computing_mode() == Ok(rustix::thread::SecureComputingMode::Filter);
    if !filtered {
        return Err("no system-call filter".into());
    }
    let may_pass = !matches!(rule.when, When::Always | When::AnyBit { .. });
    match pinfold_sys::probe::attempt(name) {
        None => Err("that nobody knows how to try it".into()),
        Some(_) if may_pass => Err("that it is refused only sometimes".into()),
        Some(Ok(())) => Err("that it was allowed".into()),
        Some(Err(error)) if error.raw_os_error() == Some(i32::from(rule.errno)) => Ok(()),
        Some(Err(error)) => Err(format!("another answer than the filter's: {error}")),
    }
}

fn descriptors(report: i32) -> Result<(), String> {
    let list = rustix::fs::open("/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| format!("that they can't be listed: {}", io::Error::from(error)))?;
    let own = std::os::fd::AsRawFd::as_raw_fd(&list);
    let entries = rustix::fs::Dir::new(list).map_err(|error| format!("that they can't be listed: {error}"))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("that they can't be listed: {error}"))?;
        let Some(number) = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if !(0..=2).contains(&number) && number != report && number != own {
            return Err(format!("descriptor {number}"));
        }
    }
    Ok(())
}

fn privileges() -> Result<(), String> {
    let unknown = |error: rustix::io::Errno| format!("that the kernel does not tell: {}", io::Error::from(error));
    let sets = rustix::thread::capabilities(None).map_err(unknown)?;
    for (name, set) in [("effective", sets.effective), ("permitted", sets.permitted), ("inheritable", sets.inheritable)]
    {
        if !set.is_empty() {
            return Err(format!("capabilities in the {name} set"));
        }
    }
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::capability_is_in_bounding_set(one) {
            Ok(false) => {}
            Ok(true) => return Err(format!("capability {bit} in the bounding set")),
            Err(_) => break,
        }
    }
    match rustix::thread::no_new_privs() {
        Ok(true) => Ok(()),
        _ => Err("that new privileges can be gained".into()),
    }
}
