//! Conditions for a helper program, in force before its first instruction.

use rustix::process::{Resource, Rlimit, setrlimit};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

/// Gives the program that `command` starts these limits, soft and hard. A limit that is already lower stays.
///
/// They are set by the new process itself, which may always lower its own; limiting a program of another user from
/// outside would need a privilege.
pub fn limit(command: &mut Command, limits: &[(Resource, u64)]) {
    let limits = limits.to_vec();
    let set = move || {
        for &(resource, most) in &limits {
            let hard = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX).min(most);
            setrlimit(resource, Rlimit { current: Some(hard), maximum: Some(hard) })?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec, `set` makes two plain system calls per limit and touches only memory that it owns;
    // it neither allocates nor takes a lock.
    unsafe { command.pre_exec(set) };
}

/// The program ends when the thread that starts it does, whatever ends that.
pub fn end_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let set = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have gone before the line above.
        match rustix::process::getppid() {
            Some(now) if now == parent => Ok(()),
            _ => Err(rustix::io::Errno::SRCH.into()),
        }
    };
    // SAFETY: between fork and exec, `set` makes two plain system calls and touches only memory that it owns; it neither
    // allocates nor takes a lock.
    unsafe { command.pre_exec(set) };
}

/// The program has this descriptor of ours, under the same number. Ours stays closed on every other exec.
pub fn inherit(command: &mut Command, fd: Arc<OwnedFd>) {
    let set = move || Ok(rustix::io::fcntl_setfd(&*fd, rustix::io::FdFlags::empty())?);
    // SAFETY: between fork and exec, `set` makes one plain system call on a descriptor that it keeps open; it neither
    // allocates nor takes a lock.
    unsafe { command.pre_exec(set) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_starts_limited() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -Hc; ulimit -Sn"]);
        limit(&mut command, &[(Resource::Core, 0), (Resource::Nofile, 16)]);
        let out = command.output().expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "0\n16\n");
    }

    #[test]
    fn only_the_named_program_inherits() {
        use std::os::fd::AsRawFd;
        let fd = Arc::new(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let has = |command: &mut Command| command.arg(&path).output().unwrap().status.success();
        let mut given = Command::new("/usr/bin/readlink");
        inherit(&mut given, fd.clone());
        assert!(has(&mut given));
        assert!(!has(&mut Command::new("/usr/bin/readlink")));
    }
}
