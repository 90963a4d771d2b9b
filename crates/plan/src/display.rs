//! A plan for reading: one line a step, aligned. `pinfold run --dry-run` prints it; the snapshots of the tests are it.

use crate::*;
use std::fmt;

const WORD: usize = 11;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "run", &self.run_id)?;
        if let Some(agent) = &self.agent {
            line(f, "agent", agent)?;
        }
        line(f, "workspace", &format_args!("{} at {}", self.workspace.root, self.workspace.at))?;
        if let Some(git) = &self.workspace.git {
            line(f, "git", &git.git_dir)?;
        }
        for rule in &self.workspace.policy.rules {
            line(f, "rule", &format_args!("{} {}", rule.verdict, OsBytes::from(rule.pattern.as_str())))?;
        }
        line(f, "run folder", &self.run_dir)?;
        line(f, "box home", &self.home_dir)?;
        for (path, content) in &self.home_files {
            line(
                f,
                "home file",
                &format_args!("{} ({} bytes) if missing", OsBytes::from(path.as_str()), content.len()),
            )?;
        }
        match self.timeout {
            Some(seconds) => line(f, "stops", &format_args!("after {seconds} s"))?,
            None => line(f, "stops", &"with the command")?,
        }
        for name in &self.accepted {
            line(f, "given up", &OsBytes::from(name.as_str()))?;
        }
        writeln!(f)?;
        for step in &self.steps {
            write!(f, "{step}")?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, word: &str, rest: &dyn fmt::Display) -> fmt::Result {
    writeln!(f, "{word:<WORD$} {rest}")
}

/// One line; the command's has one more for each variable.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Namespaces(of) => line(f, "namespaces", of),
            Step::MapIds(ids) => line(f, "map ids", ids),
            Step::Hostname { name } => line(f, "host name", name),
            Step::Loopback => line(f, "network", &"loopback only"),
            Step::Folder { at, mode } => line(f, "folder", &format_args!("{at} {mode:04o}")),
            Step::Symlink { at, target } => line(f, "symlink", &format_args!("{at} -> {target}")),
            Step::File { at, mode, content } => {
                line(f, "file", &format_args!("{at} {mode:04o}, {} bytes", content.len()))
            }
            Step::Bind { from, at, access, execute, .. } => {
                let run = if *execute { "" } else { ", not executable" };
                let source = if from.as_path() == at.as_path() { String::new() } else { format!(" from {from}") };
                line(f, "bind", &format_args!("{at}{source}, {access}{run}"))
            }
            Step::Tmpfs { at, mode, bytes, .. } => {
                line(f, "tmpfs", &format_args!("{at} {mode:04o}, up to {}", Size(*bytes)))
            }
            Step::Devices { at, shm_bytes } => {
                line(f, "devices", &format_args!("{at}, shm up to {}", Size(*shm_bytes)))
            }
            Step::Proc { at, read_only, hidden } => {
                line(f, "proc", &format_args!("{at}, read-only {}, hidden {}", List(read_only), List(hidden)))
            }
            Step::Home { at } => line(f, "home", at),
            Step::Workspace { at } => line(f, "workspace", &format_args!("{at} through the mask")),
            Step::BoxGit { at } => line(f, "box git", at),
            Step::Objects { from, at, .. } => line(f, "objects", &format_args!("{at} from {from}, read-only")),
            Step::Seal => line(f, "seal", &"the root becomes /, read-only; the host's is gone"),
            Step::Cgroup { parent, memory, pids } => {
                line(f, "cgroup", &format_args!("below {parent}, memory {}, {pids} processes", Size(*memory)))
            }
            Step::Limit(limit) => line(f, "limit", limit),
            Step::DropPrivileges => line(f, "drop", &"every capability, for good"),
            Step::Landlock { rules, scope_signals, scope_abstract_sockets } => {
                let (ro, rw): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| rule.access == Access::ReadOnly);
                let paths = |rules: Vec<&LandlockRule>| {
                    List(&rules.iter().map(|rule| rule.at.clone()).collect::<Vec<_>>()).to_string()
                };
                let scope = if *scope_signals && *scope_abstract_sockets {
                    ", signals and abstract sockets stay inside"
                } else {
                    ""
                };
                line(f, "landlock", &format_args!("read {}, write {}{scope}", paths(ro), paths(rw)))
            }
            Step::Seccomp { profile } => line(f, "filter", &format_args!("system calls, profile {profile}")),
            Step::Probe(probe) => line(f, "probe", probe),
            Step::Exec(exec) => {
                let argv: Vec<String> = exec.argv.iter().map(quoted).collect();
                line(f, "start", &format_args!("{} in {}", argv.join(" "), exec.cwd))?;
                for (name, value) in &exec.env {
                    line(f, "  env", &format_args!("{name}={value}"))?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Namespaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("user", self.user),
            ("mount", self.mount),
            ("pid", self.pid),
            ("net", self.net),
            ("uts", self.uts),
            ("ipc", self.ipc),
            ("cgroup", self.cgroup),
        ];
        let own: Vec<_> = all.iter().filter(|(_, own)| *own).map(|(name, _)| *name).collect();
        f.write_str(&own.join(" "))
    }
}

impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {} is {} outside, ", self.uid_inside, self.uid_outside)?;
        write!(f, "group {} is {} outside", self.gid_inside, self.gid_outside)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::ReadOnly => "read-only",
            Access::ReadWrite => "read-write",
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resource {
            Resource::Core => write!(f, "core dumps {}", Size(self.value)),
            Resource::OpenFiles => write!(f, "open files {}", self.value),
            Resource::Processes => write!(f, "processes {}", self.value),
            Resource::LockedMemory => write!(f, "locked memory {}", Size(self.value)),
            Resource::MessageQueues => write!(f, "message queues {}", Size(self.value)),
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::CanaryMask => f.write_str("a masked canary reads as empty"),
            Probe::HostPathAbsent { path } => write!(f, "{path} does not exist"),
            Probe::SyscallRefused { name } => write!(f, "{name} is refused"),
            Probe::NoInheritedDescriptors => f.write_str("no descriptor but 0, 1 and 2 is open"),
            Probe::NoPrivileges => f.write_str("no capability, and none to be had"),
        }
    }
}

/// Bytes in the largest unit that needs no fraction.
pub(crate) struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GIB: u64 = 1 << 30;
        const MIB: u64 = 1 << 20;
        match self.0 {
            0 => f.write_str("0"),
            n if n % GIB == 0 => write!(f, "{} GiB", n / GIB),
            n if n >= MIB => write!(f, "{} MiB", n / MIB),
            n => write!(f, "{n} bytes"),
        }
    }
}

struct List<'a>(&'a [BoxPath]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, path) in self.0.iter().enumerate() {
            write!(f, "{}{path}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// As a shell would need it, for reading.
pub(crate) fn quoted(arg: &OsBytes) -> String {
    let text = arg.to_string();
    let plain = |c: char| c.is_alphanumeric() || "-_=./:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
