//! How much memory the processes below one process hold, as the kernel counts it.

use std::fs;

/// One process and what it holds, in KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub pid: u32,
    pub argv: String,
    /// All of it, and with each shared page divided by those who share it. Proportional is `None` where the kernel does not say.
    pub resident: u64,
    pub proportional: Option<u64>,
}

/// The process and everything below it, as of now.
pub fn tree(root: u32) -> Vec<Held> {
    let parents: Vec<(u32, u32)> = pids().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let of = found[at];
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        at += 1;
    }
    found.into_iter().filter_map(held).collect()
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn parent(pid: u32) -> Option<u32> {
    // The name of a program may hold anything, brackets included; what follows the last one is numbers.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn held(pid: u32) -> Option<Held> {
    let argv = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let argv = String::from_utf8_lossy(&argv).trim_end_matches('\0').replace('\0', " ");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
    let proportional = rollup.and_then(|text| field(&text, "Pss:"));
    Some(Held { pid, argv, resident: field(&status, "VmRSS:")?, proportional })
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_its_child_hold_something() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().expect("sleep runs");
        let found = tree(std::process::id());
        child.kill().and_then(|()| child.wait()).expect("the child can be ended");
        assert!(
            found[0].resident > 100 && found[0].proportional.is_some_and(|kib| kib <= found[0].resident),
            "{found:?}"
        );
        assert!(found.iter().any(|held| held.pid == child.id()), "{found:?}");
    }
}
