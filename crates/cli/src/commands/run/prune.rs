//! Old runs: their logs are kept for a while, and not for ever.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Finished runs whose logs are kept.
const KEPT: usize = 200;
/// Older ones go in batches, so that most runs need not look at each of them.
const SLACK: usize = 50;

/// Removes the oldest finished runs when there are too many. What can't be removed now is tried again by a later run.
pub fn prune(runs: &Path) {
    let Ok(listing) = runs.read_dir() else { return };
    let names: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).filter(|path| is_run(path)).collect();
    if names.len() <= KEPT + SLACK {
        return;
    }
    let mut dated: Vec<(SystemTime, PathBuf)> =
        names.into_iter().filter_map(|path| Some((started(&path)?, path))).collect();
    dated.sort();
    let surplus = dated.len().saturating_sub(KEPT);
    for (_, path) in dated.into_iter().take(surplus) {
        remove_finished(&path);
    }
}

/// A run's folder is called by its id: 32 hexadecimal digits.
fn is_run(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

fn started(path: &Path) -> Option<SystemTime> {
    path.join("lock").symlink_metadata().and_then(|seen| seen.modified()).ok()
}

/// A run that is alive holds its lock. While we hold it, nobody takes the folder for a dead run to be cleaned up.
fn remove_finished(path: &Path) {
    let Ok(lock) = File::open(path.join("lock")) else { return };
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
        fs::remove_dir_all(path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_finished_runs_go_and_living_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let make = |n: usize| {
            let run = folder.path().join(format!("{n:032x}"));
            fs::create_dir(&run).unwrap();
            let lock = File::create(run.join("lock")).unwrap();
            let age = std::time::Duration::from_secs(1_000_000 - n as u64);
            lock.set_modified(SystemTime::now() - age).unwrap();
            lock
        };
        let living = make(0);
        flock(&living, FlockOperation::LockExclusive).unwrap();
        (1..=KEPT + SLACK).for_each(|n| drop(make(n)));
        fs::create_dir(folder.path().join(".live")).unwrap();
        prune(folder.path());
        let there = |n: usize| folder.path().join(format!("{n:032x}")).is_dir();
        assert!(there(0), "it was alive");
        assert!(!there(1) && !there(SLACK) && there(SLACK + 1) && there(KEPT + SLACK));
        assert!(folder.path().join(".live").is_dir());
    }
}
