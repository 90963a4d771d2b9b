//! A place beside the host's objects where a box's objects lie until they have been checked.
//!
//! It borrows from the host's store and nothing borrows from it. It is removed when it goes out of scope, and git's own
//! `prune` knows the name should we be killed. Where the repository is named by a descriptor it borrows by symbolic links
//! within the store: git resolves a line of `alternates` to a path from the root, and a box could change what stands there.

use super::error::ImportError;
use super::limits::Limits;
use crate::git::{Call, Git, Input, poll_for};
use crate::names::Oid;
use crate::place;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{self as rfs, CWD, Mode};
use std::ffi::OsStr;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Below this many objects git stores them one by one; so do we, to leave no trail of tiny packs.
const UNPACK_BELOW: usize = 100;
/// Of a store that is borrowed name by name.
const MAX_NAMES: usize = 100_000;

#[derive(Debug)]
pub(super) struct Quarantine {
    path: PathBuf,
    /// Git, with the quarantine as its object store.
    pub git: Git,
}

impl Quarantine {
    pub(super) fn new(objects: &Path, git: &Git, run_id: &str) -> Result<Self, ImportError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tmp_objdir-pinfold-{run_id}-{}-{number}", std::process::id());
        let path = objects.join(name);
        let made = Quarantine { git: git.with_objects(&path), path };
        for folder in ["", "pack", "info", "checked"] {
            made.folder(folder).map_err(ImportError::host("make a quarantine for new objects"))?;
        }
        let borrowed = if git.is_pinned() { made.borrow_by_links(objects) } else { made.borrow_by_path(objects) };
        borrowed.map_err(ImportError::host("fill the quarantine"))?;
        Ok(made)
    }

    fn borrow_by_path(&self, objects: &Path) -> std::io::Result<()> {
        let line = [&quoted(objects.as_os_str().as_bytes())[..], b"\n"].concat();
        fs::write(self.path.join("info/alternates"), line)
    }

    /// Git writes nothing through them: what comes in is one pack of its own.
    fn borrow_by_links(&self, objects: &Path) -> std::io::Result<()> {
        let store = place::list(fs::File::open(objects)?, MAX_NAMES)?;
        let fan = store.into_iter().filter(|n| n.bytes.len() == 2 && n.bytes.iter().all(u8::is_ascii_hexdigit));
        let packs = place::list(fs::File::open(objects.join("pack"))?, MAX_NAMES)?;
        let packs = packs.into_iter().filter(|n| n.bytes.starts_with(b"pack-"));
        for (above, below, name) in fan.map(|n| ("..", "", n)).chain(packs.map(|n| ("../../pack", "pack", n))) {
            let name = OsStr::from_bytes(&name.bytes);
            std::os::unix::fs::symlink(Path::new(above).join(name), self.path.join(below).join(name))?;
        }
        Ok(())
    }

    fn folder(&self, name: &str) -> std::io::Result<()> {
        let path = self.path.join(name);
        rfs::mkdirat(CWD, &path, Mode::from_raw_mode(0o700))?;
        match self.git.owner() {
            Some((uid, gid)) => std::os::unix::fs::lchown(&path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }

    /// Takes a pack in. Git checks every object of it, and that none points to something unknown.
    pub(super) fn receive(&self, pack: OwnedFd, limits: &Limits) -> Result<(), ImportError> {
        let deadline = Instant::now() + limits.time;
        let header = read_header(&pack, deadline)?;
        let (version, count) = parse_header(&header)?;
        if count as usize > limits.objects {
            return Err(ImportError::refused(format!(
                "its pack holds {count} objects; {} are allowed",
                limits.objects
            )));
        }
        let call = Call::new(["index-pack", "--strict", "--fix-thin", "--stdin"])
            .arg(format!("--max-input-size={}", limits.pack_bytes))
            .arg(format!("--pack_header={version},{count}"))
            .input(Input::Stream(pack))
            .limit(deadline.saturating_duration_since(Instant::now()))
            .max_file(limits.pack_bytes.saturating_mul(2));
        self.git.run(call).map(drop).map_err(by_the_box)
    }

    /// Puts these objects, and no others, into the host's store. They are packed anew, so that no byte of the box's own
    /// pack goes over.
    pub(super) fn release(&self, host: &Git, objects: &Path, ids: &[Oid], limits: &Limits) -> Result<(), ImportError> {
        if ids.is_empty() {
            return Ok(());
        }
        let list: Vec<u8> = ids.iter().flat_map(|oid| [oid.as_bytes(), b"\n"].concat()).collect();
        let call = Call::new(["pack-objects", "--quiet", "--non-empty", "--delta-base-offset"])
            .arg(self.path.join("checked/pack"))
            .input(Input::Bytes(list))
            .limit(limits.time)
            .max_file(limits.pack_bytes.saturating_mul(2));
        let Some(name) = self.git.id(call)? else {
            return Err(ImportError::refused("its objects can't be packed"));
        };
        let pack = self.path.join(format!("checked/pack-{name}.pack"));
        if ids.len() < UNPACK_BELOW {
            let file = fs::File::open(&pack).map_err(ImportError::host("read the checked objects"))?;
            let call = Call::new(["unpack-objects", "-q"]).input(Input::Stream(file.into())).limit(limits.time);
            return Ok(host.run(call).map(drop)?);
        }
        self.move_pack(objects, &name).map_err(ImportError::host("move the checked objects"))
    }

    /// The index goes last: without it a pack does not exist for git.
    fn move_pack(&self, objects: &Path, name: &Oid) -> std::io::Result<()> {
        for end in ["pack", "rev", "idx"] {
            let file = format!("pack-{name}.{end}");
            let (from, to) = (self.path.join("checked").join(&file), objects.join("pack").join(&file));
            if from.exists() && !to.exists() {
                fs::rename(&from, &to)?;
            }
        }
        fs::File::open(objects.join("pack"))?.sync_all()
    }
}

impl Drop for Quarantine {
    fn drop(&mut self) {
        // If this fails, git's own prune removes the folder later.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A failure over the box's own bytes is the box's; a lack of git or memory is ours.
pub(super) fn by_the_box(error: crate::git::GitError) -> ImportError {
    use crate::git::GitError;
    match error {
        GitError::Failed { said, .. } => ImportError::Refused(format!("git does not accept its objects: {said}")),
        GitError::TooSlow { limit, .. } => {
            ImportError::Refused(format!("its objects took longer than {} s to take in", limit.as_secs()))
        }
        GitError::TooMuch { .. } => ImportError::refused("it has too many objects"),
        other => ImportError::Git(other),
    }
}

fn read_header(pack: &OwnedFd, deadline: Instant) -> Result<[u8; 12], ImportError> {
    let mut header = [0; 12];
    let mut have = 0;
    while have < header.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left < Duration::from_millis(1) {
            return Err(ImportError::refused("its pack did not come in time"));
        }
        let mut ready = [PollFd::new(pack, PollFlags::IN)];
        poll_for(&mut ready, left).map_err(ImportError::host("wait for a pack"))?;
        if ready[0].revents().is_empty() {
            continue;
        }
        match rustix::io::read(pack, &mut header[have..]) {
            Ok(0) => return Err(ImportError::refused("its pack is cut short")),
            Ok(n) => have += n,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(e) => return Err(ImportError::refused(format!("its pack can't be read: {e}"))),
        }
    }
    Ok(header)
}

fn parse_header(header: &[u8; 12]) -> Result<(u32, u32), ImportError> {
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if &header[..4] != b"PACK" || !matches!(word(4), 2 | 3) {
        return Err(ImportError::refused("what it sent is not a pack"));
    }
    Ok((word(4), word(8)))
}

/// A path as a line of `alternates`, in quotes, so that no byte of it is taken for syntax.
fn quoted(path: &[u8]) -> Vec<u8> {
    let mut out = b"\"".to_vec();
    for &byte in path {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..0x7f => out.push(byte),
            _ => out.extend_from_slice(format!("\\{byte:03o}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_quoted() {
        assert_eq!(quoted(b"/a b/\"x\\\n\xff"), b"\"/a b/\\\"x\\\\\\012\\377\"");
    }

    #[test]
    fn only_packs_are_packs() {
        assert!(parse_header(b"PACK\0\0\0\x02\0\0\0\x07").is_ok_and(|h| h == (2, 7)));
        assert!(parse_header(b"PACK\0\0\0\x09\0\0\0\x07").is_err());
        assert!(parse_header(b"KCAP\0\0\0\x02\0\0\0\x07").is_err());
    }
}
