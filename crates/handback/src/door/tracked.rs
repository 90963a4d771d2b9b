//! The box's index, and which tracked paths are masked.
//!
//! A masked path that git tracks is marked as not checked out, so that git in the box neither misses it, nor commits its
//! decoy, nor tries to write it.

use super::error::DoorError;
use super::{DoorAsk, HostGit};
use crate::index::{self, BadIndex, Change, Entry};
use crate::names::HashKind;
use crate::place::{self, Contents, Dest};
use pinfold_policy::{Folder, Kind, RelPath, RelPathBuf, Verdict};
use rustix::fs::{self, Timespec, Timestamps};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};

const MAX_INDEX: u64 = 2 << 30;
/// More are counted, not listed.
const MAX_LISTED: usize = 1000;

/// What the scan of the index found.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    /// Relative to the repository, not to the workspace.
    pub masked: Vec<RelPathBuf>,
    pub total: usize,
    /// Where masking starts, for the sparse patterns: a masked folder stands for everything in it.
    pub roots: BTreeSet<(Vec<u8>, bool)>,
}

/// Copies the index, with marks and ids changed where that is needed.
pub(super) fn copy_index(
    host: &HostGit,
    dest: Dest<'_>,
    ask: &DoorAsk<'_>,
    hash: HashKind,
) -> Result<Tracked, DoorError> {
    let read = |name: &[u8]| place::read_below(host.git_dir(), name, MAX_INDEX).map_err(DoorError::read("index"));
    let Some(original) = read(b"index")? else { return Ok(Tracked::default()) };
    let (found, changed) = match mark(&original.bytes, hash, ask) {
        // One pass is enough for the ordinary index, so a split one is found out on the way.
        Err(BadIndex::SplitBase) => {
            let whole = make_whole(&original.bytes, hash, read)?;
            let (found, changed) = mark(&whole, hash, ask)?;
            (found, changed.or(Some(whole)))
        }
        other => other?,
    };
    let mut file = dest.empty_file(b"index", 0o644).map_err(DoorError::write("index"))?;
    match changed {
        Some(bytes) => file.write_all(&bytes),
        None => clone_contents(&original, &mut file),
    }
    .and_then(|()| keep_time(&original, &file))
    .map_err(DoorError::write("index"))?;
    Ok(found)
}

/// Finds what is masked, and makes the changed copy where one is needed.
fn mark(bytes: &[u8], hash: HashKind, ask: &DoorAsk<'_>) -> Result<(Tracked, Option<Vec<u8>>), BadIndex> {
    let mut finder = Finder::new(ask);
    let changed = index::rewrite(bytes, hash, |entry| finder.look(entry))?;
    Ok((finder.found, changed))
}

/// Joins a split index with its shared base.
fn make_whole(
    bytes: &[u8],
    hash: HashKind,
    read: impl Fn(&[u8]) -> Result<Option<Contents>, DoorError>,
) -> Result<Vec<u8>, DoorError> {
    let layout = index::scan(bytes, hash, |_| {})?;
    let base = match index::shared_base(bytes, &layout)? {
        None => Vec::new(),
        Some(oid) => {
            let name = [b"sharedindex.", oid.as_bytes()].concat();
            read(&name)?.ok_or(BadIndex::SplitBase)?.bytes
        }
    };
    Ok(index::flatten(bytes, &base, hash)?)
}

/// An unchanged copy shares its blocks with the original where the file system can.
fn clone_contents(original: &Contents, file: &mut File) -> io::Result<()> {
    if fs::ioctl_ficlone(&*file, &original.file).is_ok() {
        return Ok(());
    }
    file.write_all(&original.bytes)
}

/// An entry whose file is not older than the index has to be compared by content, so the copy must not look younger
/// than the original.
fn keep_time(original: &Contents, file: &File) -> io::Result<()> {
    let time = Timespec { tv_sec: original.stat.st_mtime as _, tv_nsec: original.stat.st_mtime_nsec as _ };
    Ok(fs::futimens(file, &Timestamps { last_access: time, last_modification: time })?)
}

struct Finder<'a> {
    ask: &'a DoorAsk<'a>,
    /// The workspace-relative path of the entry being looked at; the part before `prefix_len` stays.
    path: Vec<u8>,
    prefix_len: usize,
    /// The folder of the last entry, and what the policy says of it. Entries are sorted, so the next one is often there.
    folder: (Vec<u8>, Folder<'a>),
    found: Tracked,
}

impl<'a> Finder<'a> {
    fn new(ask: &'a DoorAsk<'a>) -> Self {
        let mut path = ask.prefix.as_bytes().to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        let prefix_len = path.len();
        let folder = (Vec::new(), ask.policy.root());
        Finder { ask, path, prefix_len, folder, found: Tracked::default() }
    }

    fn look(&mut self, entry: &Entry<'_>) -> Change {
        let skip = entry.stage() == 0 && self.is_masked(entry);
        Change { skip, ids: Some((self.ask.present_ids)(entry.uid, entry.gid)) }
    }

    fn is_masked(&mut self, entry: &Entry<'_>) -> bool {
        self.path.truncate(self.prefix_len);
        self.path.extend_from_slice(entry.name.strip_suffix(b"/").unwrap_or(entry.name));
        // Git refuses such a path when it meets it; nothing of it is ever in the work tree.
        let Ok(path) = RelPath::new(&self.path) else { return true };
        let parent = path.parent().unwrap_or(RelPath::ROOT);
        if self.folder.0 != parent.as_bytes() {
            self.folder = (parent.as_bytes().to_vec(), self.ask.policy.folder(parent));
        }
        if self.ask.policy.decide_in(&self.folder.1, path, kind_of(entry.mode)).verdict != Verdict::Mask {
            return false;
        }
        let (root, is_folder) = masking_starts(self.ask, path, kind_of(entry.mode));
        let below = |p: RelPath<'_>| p.as_bytes()[self.prefix_len.min(p.as_bytes().len())..].to_vec();
        self.found.roots.insert((below(root), is_folder));
        self.found.total += 1;
        if self.found.masked.len() < MAX_LISTED
            && let Ok(own) = RelPathBuf::new(below(path))
        {
            self.found.masked.push(own);
        }
        true
    }
}

/// The highest folder above `path`, inside this repository, that is itself masked; else the path.
fn masking_starts<'p>(ask: &DoorAsk<'_>, path: RelPath<'p>, kind: Kind) -> (RelPath<'p>, bool) {
    let mut highest = (path, kind == Kind::Folder);
    let mut above = path.parent();
    while let Some(folder) = above.filter(|f| f.as_bytes().len() > ask.prefix.as_bytes().len()) {
        if ask.policy.decide(folder, Kind::Folder).verdict == Verdict::Mask {
            highest = (folder, true);
        }
        above = folder.parent();
    }
    highest
}

fn kind_of(mode: u32) -> Kind {
    match mode >> 12 {
        0o12 => Kind::Symlink,
        // a submodule, or a folder of a sparse index
        0o16 | 0o04 => Kind::Folder,
        _ => Kind::File,
    }
}

/// Writes `info/sparse-checkout`: the host's own patterns, or everything, without what is masked.
pub(super) fn write_sparse(
    host: &HostGit,
    dest: Dest<'_>,
    host_is_sparse: bool,
    tracked: &Tracked,
) -> Result<(), DoorError> {
    const FILE: &[u8] = b"info/sparse-checkout";
    const MAX_PATTERNS: u64 = 16 << 20;
    let own = match host_is_sparse {
        true => place::read_below(host.git_dir(), FILE, MAX_PATTERNS).map_err(DoorError::read(FILE))?.map(|f| f.bytes),
        false => None,
    };
    if own.is_none() && tracked.total == 0 {
        return Ok(());
    }
    let mut text = own.unwrap_or_else(|| b"/*\n".to_vec());
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    for (path, is_folder) in &tracked.roots {
        text.extend_from_slice(&pattern(path, *is_folder));
    }
    dest.file(FILE, 0o644, &text).map(drop).map_err(DoorError::write(FILE))
}

/// A pattern that leaves out exactly this path. What a pattern can't spell is matched by `?`.
fn pattern(path: &[u8], is_folder: bool) -> Vec<u8> {
    let mut out = b"!/".to_vec();
    for (at, &byte) in path.iter().enumerate() {
        let last = at + 1 == path.len() && !is_folder;
        match byte {
            b'\n' => out.push(b'?'),
            b'\r' if last => out.push(b'?'),
            b'\\' | b'*' | b'?' | b'[' => out.extend_from_slice(&[b'\\', byte]),
            b' ' if last => out.extend_from_slice(b"\\ "),
            _ => out.push(byte),
        }
    }
    if is_folder {
        out.push(b'/');
    }
    out.push(b'\n');
    out
}
