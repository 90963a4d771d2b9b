//! The host's refs, read from files and written as one `packed-refs`.
//!
//! Copied are all refs but pinfold's own. A linked worktree has its own `HEAD`, `refs/bisect`, `refs/worktree` and
//! `refs/rewritten`; everything else comes from the common folder.

use super::error::{DoorError, printable};
use super::settings::RefStorage;
use super::{HostGit, reftable};
use crate::names::{HashKind, Oid, check_ref_format};
use crate::place::{self, Dest};
use rustix::fs::FileType;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

/// More refs than any repository that people work in; a limit, not a goal.
const MAX_REFS: usize = 2_000_000;
const MAX_NAMES_IN_FOLDER: usize = 1_000_000;
const MAX_DEPTH: usize = 64;
const MAX_PACKED_REFS: u64 = 512 << 20;
const MAX_LOOSE_REF: u64 = 64 << 10;
/// How many symbolic refs may lead to one another.
const MAX_SYMBOLIC: usize = 5;

/// What a ref holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Id {
        oid: Oid,
        /// What an annotated tag points at in the end, where git wrote it down.
        peeled: Option<Oid>,
    },
    Symbolic(Vec<u8>),
}

/// All refs, by full name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refs {
    pub map: BTreeMap<Vec<u8>, Value>,
    /// Whether every annotated tag in the map has its peeled value, and tags only.
    pub fully_peeled: bool,
}

/// Where `HEAD` points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// A full ref name; `oid` is `None` before its first commit.
    Branch {
        name: Vec<u8>,
        oid: Option<Oid>,
    },
    Detached(Oid),
}

/// Refs of a linked worktree that are its own.
const PER_WORKTREE: [&[u8]; 3] = [b"refs/bisect/", b"refs/worktree/", b"refs/rewritten/"];
const OURS: &[u8] = b"refs/pinfold/";

fn is_per_worktree(name: &[u8]) -> bool {
    PER_WORKTREE.iter().any(|prefix| name.starts_with(prefix))
}

/// Reads all refs, whichever way the repository keeps them.
pub(super) fn read(
    host: &HostGit,
    storage: RefStorage,
    hash: HashKind,
    notes: &mut Vec<String>,
) -> Result<Refs, DoorError> {
    let linked = host.is_linked();
    let mut refs = match storage {
        RefStorage::Files => read_files(host.git_dir(), host.common_dir(), linked, hash, notes)?,
        RefStorage::Reftable => {
            let mut refs = Refs { map: BTreeMap::new(), fully_peeled: true };
            let common = reftable::read_stack(host.common_dir(), hash)?;
            reftable::add_refs(&mut refs, &common, |name| !linked || !is_per_worktree(name));
            if linked {
                reftable::add_refs(&mut refs, &reftable::read_stack(host.git_dir(), hash)?, is_per_worktree);
            }
            refs
        }
    };
    refs.map.retain(|name, _| !name.starts_with(OURS));
    Ok(refs)
}

/// Reads refs that are kept as files.
fn read_files(
    git_dir: BorrowedFd<'_>,
    common_dir: BorrowedFd<'_>,
    linked: bool,
    hash: HashKind,
    notes: &mut Vec<String>,
) -> Result<Refs, DoorError> {
    // Loose first: git packs a ref by writing it to packed-refs and then removing the loose one, so that this order meets
    // it in one place at least.
    let mut loose = Refs { map: BTreeMap::new(), fully_peeled: true };
    let mut broken = Vec::new();
    let mut walk = Walk { refs: &mut loose, hash, notes, broken: &mut broken };
    walk.folder(common_dir, b"refs", 0, &|name| !linked || !is_per_worktree(name))?;
    if linked {
        walk.folder(git_dir, b"refs", 0, &is_per_worktree)?;
    }
    let packed =
        place::read_below(common_dir, b"packed-refs", MAX_PACKED_REFS).map_err(DoorError::read("packed-refs"))?;
    let mut refs = match packed {
        Some(packed) => {
            parse_packed(&packed.bytes, hash).map_err(|why| DoorError::Malformed { what: "packed-refs".into(), why })?
        }
        None => Refs { map: BTreeMap::new(), fully_peeled: true },
    };
    refs.fully_peeled &= loose.fully_peeled;
    refs.map.extend(loose.map);
    refs.map.retain(|name, _| !broken.contains(name));
    Ok(refs)
}

struct Walk<'a> {
    refs: &'a mut Refs,
    hash: HashKind,
    notes: &'a mut Vec<String>,
    /// Loose refs that hold nothing sensible; they hide packed ones of their name, as for git.
    broken: &'a mut Vec<Vec<u8>>,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        base: BorrowedFd<'_>,
        path: &[u8],
        depth: usize,
        wanted: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(), DoorError> {
        if depth > MAX_DEPTH {
            return Err(DoorError::Malformed { what: printable(path), why: "its folders are too deep".into() });
        }
        let folder = match place::folder_below(base, path) {
            Err(e) if place::is_absent(&e) => return Ok(()),
            other => other.map_err(DoorError::read(path))?,
        };
        for name in place::list(&folder, MAX_NAMES_IN_FOLDER).map_err(DoorError::read(path))? {
            let full = [path, b"/", &name.bytes].concat();
            match name.kind {
                FileType::Directory => self.folder(base, &full, depth + 1, wanted)?,
                // Lock files and the like are no refs.
                _ if check_ref_format(&full).is_err() => {}
                FileType::RegularFile if wanted(&full) => self.loose(folder.as_fd(), &name.bytes, full)?,
                FileType::RegularFile => {}
                _ => self.notes.push(format!("ref {} is not a regular file and was left out", printable(&full))),
            }
        }
        Ok(())
    }

    fn loose(&mut self, folder: BorrowedFd<'_>, name: &[u8], full: Vec<u8>) -> Result<(), DoorError> {
        // Deleted between listing and reading: as if it had never been listed.
        let Some(file) = place::read_below(folder, name, MAX_LOOSE_REF).map_err(DoorError::read(&full))? else {
            return Ok(());
        };
        let Some(value) = parse_loose(&file.bytes, self.hash) else {
            self.notes.push(format!("ref {} is broken and was left out", printable(&full)));
            self.broken.push(full);
            return Ok(());
        };
        if self.refs.map.len() >= MAX_REFS {
            return Err(DoorError::Malformed { what: "refs".into(), why: format!("more than {MAX_REFS} of them") });
        }
        if matches!(value, Value::Id { .. }) {
            self.refs.fully_peeled = false;
        }
        self.refs.map.insert(full, value);
        Ok(())
    }
}

/// The content of a loose ref, or of `HEAD`.
pub fn parse_loose(bytes: &[u8], hash: HashKind) -> Option<Value> {
    if let Some(target) = bytes.strip_prefix(b"ref:") {
        let target = target.trim_ascii();
        return check_ref_format(target).is_ok().then(|| Value::Symbolic(target.to_vec()));
    }
    let hex = bytes.get(..hash.raw_len() * 2)?;
    // Git allows anything after white space.
    if bytes.get(hex.len()).is_some_and(|b| !b.is_ascii_whitespace()) {
        return None;
    }
    Some(Value::Id { oid: Oid::parse(hex).ok()?, peeled: None })
}

/// The content of a `packed-refs` file.
pub fn parse_packed(bytes: &[u8], hash: HashKind) -> Result<Refs, String> {
    let mut refs = Refs::default();
    let mut last: Option<Vec<u8>> = None;
    for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let bad = |why: &str| Err(format!("line {}: {why}", number + 1));
        if let Some(traits) = line.strip_prefix(b"# pack-refs with:") {
            refs.fully_peeled = traits.split(|&b| b == b' ').any(|t| t == b"fully-peeled");
        } else if line.is_empty() || line.starts_with(b"#") {
            continue;
        } else if let Some(peeled) = line.strip_prefix(b"^") {
            let (Ok(oid), Some(name)) = (Oid::parse(peeled.trim_ascii_end()), last.take()) else {
                return bad("a peeled value without its tag");
            };
            if oid.kind() != hash {
                return bad("an id of the wrong length");
            }
            if let Some(Value::Id { peeled, .. }) = refs.map.get_mut(&name) {
                *peeled = Some(oid);
            }
        } else {
            let Some((hex, name)) = line.split_at_checked(hash.raw_len() * 2) else { return bad("too short") };
            let (Ok(oid), Some(name)) = (Oid::parse(hex), name.strip_prefix(b" ")) else {
                return bad("not an id and a name");
            };
            last = None;
            // Git skips names it does not allow; so do we.
            if check_ref_format(name).is_ok() {
                if refs.map.len() >= MAX_REFS {
                    return bad("too many refs");
                }
                refs.map.insert(name.to_vec(), Value::Id { oid, peeled: None });
                last = Some(name.to_vec());
            }
        }
    }
    Ok(refs)
}

/// The `packed-refs` file with every ref that holds an id.
pub fn packed(refs: &Refs) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + refs.map.len() * 80);
    let traits = if refs.fully_peeled { " peeled fully-peeled sorted \n" } else { " sorted \n" };
    out.extend_from_slice(b"# pack-refs with:");
    out.extend_from_slice(traits.as_bytes());
    for (name, value) in &refs.map {
        let Value::Id { oid, peeled } = value else { continue };
        out.extend_from_slice(oid.as_bytes());
        out.push(b' ');
        out.extend_from_slice(name);
        out.push(b'\n');
        if let Some(peeled) = peeled {
            out.push(b'^');
            out.extend_from_slice(peeled.as_bytes());
            out.push(b'\n');
        }
    }
    out
}

/// The value of one ref, `HEAD` among them, in the folder that holds it. `None`: it does not exist, or makes no sense.
pub(crate) fn value(
    dir: BorrowedFd<'_>,
    name: &[u8],
    storage: RefStorage,
    hash: HashKind,
) -> Result<Option<Value>, DoorError> {
    match storage {
        RefStorage::Files => {
            let file = place::read_below(dir, name, MAX_LOOSE_REF).map_err(DoorError::read(name))?;
            Ok(file.and_then(|file| parse_loose(&file.bytes, hash)))
        }
        RefStorage::Reftable => Ok(reftable::read_stack(dir, hash)?.remove(name)),
    }
}

/// Reads `HEAD` and looks up where it points.
pub(super) fn head(host: &HostGit, storage: RefStorage, refs: &Refs, hash: HashKind) -> Result<Head, DoorError> {
    Ok(match head_value(host, storage, hash)? {
        Value::Id { oid, .. } => Head::Detached(oid),
        Value::Symbolic(name) => {
            let oid = resolve(refs, &name);
            Head::Branch { name, oid }
        }
    })
}

/// The same without having read all refs.
pub(super) fn head_alone(host: &HostGit, storage: RefStorage, hash: HashKind) -> Result<Head, DoorError> {
    let name = match head_value(host, storage, hash)? {
        Value::Id { oid, .. } => return Ok(Head::Detached(oid)),
        Value::Symbolic(name) => name,
    };
    let mut at = name.clone();
    for _ in 0..MAX_SYMBOLIC {
        let dir = if host.is_linked() && is_per_worktree(&at) { host.git_dir() } else { host.common_dir() };
        let found = match value(dir, &at, storage, hash)? {
            None if storage == RefStorage::Files => packed_value(host.common_dir(), &at, hash)?,
            found => found,
        };
        match found {
            None => break,
            Some(Value::Id { oid, .. }) => return Ok(Head::Branch { name, oid: Some(oid) }),
            Some(Value::Symbolic(target)) if check_ref_format(&target).is_ok() => at = target,
            Some(Value::Symbolic(_)) => break,
        }
    }
    Ok(Head::Branch { name, oid: None })
}

fn head_value(host: &HostGit, storage: RefStorage, hash: HashKind) -> Result<Value, DoorError> {
    let malformed = || DoorError::Malformed { what: "HEAD".into(), why: "it is neither a ref nor an id".into() };
    match value(host.git_dir(), b"HEAD", storage, hash)?.ok_or_else(malformed)? {
        Value::Symbolic(name) if check_ref_format(&name).is_err() => Err(malformed()),
        value => Ok(value),
    }
}

/// The branches alone, in order, without asking git: every run does this at its start.
pub(super) fn heads(host: &HostGit, storage: RefStorage, hash: HashKind) -> Result<Vec<(Vec<u8>, Oid)>, DoorError> {
    let refs = match storage {
        RefStorage::Files => {
            let mut loose = Refs::default();
            let mut broken = Vec::new();
            let mut walk = Walk { refs: &mut loose, hash, notes: &mut Vec::new(), broken: &mut broken };
            walk.folder(host.common_dir(), b"refs/heads", 0, &|_| true)?;
            // After the loose ones, for the same reason as when all are read.
            let mut refs = packed_heads(host.common_dir(), hash)?;
            refs.map.extend(loose.map);
            refs.map.retain(|name, _| !broken.contains(name));
            refs
        }
        RefStorage::Reftable => read(host, storage, hash, &mut Vec::new())?,
    };
    let names = refs.map.keys().filter(|name| name.starts_with(HEADS));
    Ok(names.filter_map(|name| Some((name.clone(), resolve(&refs, name)?))).collect())
}

const HEADS: &[u8] = b"refs/heads/";

fn packed_heads(common_dir: BorrowedFd<'_>, hash: HashKind) -> Result<Refs, DoorError> {
    let packed =
        place::read_below(common_dir, b"packed-refs", MAX_PACKED_REFS).map_err(DoorError::read("packed-refs"))?;
    let mut refs = Refs::default();
    for line in packed.iter().flat_map(|packed| packed.bytes.split(|&b| b == b'\n')) {
        let Some((hex, rest)) = line.split_at_checked(hash.raw_len() * 2) else { continue };
        let Some(name) = rest.strip_prefix(b" ").filter(|name| name.starts_with(HEADS)) else { continue };
        if let (Ok(oid), Ok(())) = (Oid::parse(hex), check_ref_format(name)) {
            refs.map.insert(name.to_vec(), Value::Id { oid, peeled: None });
        }
    }
    Ok(refs)
}

/// One ref out of `packed-refs`.
fn packed_value(common_dir: BorrowedFd<'_>, name: &[u8], hash: HashKind) -> Result<Option<Value>, DoorError> {
    let packed =
        place::read_below(common_dir, b"packed-refs", MAX_PACKED_REFS).map_err(DoorError::read("packed-refs"))?;
    let Some(packed) = packed else { return Ok(None) };
    let lines = packed.bytes.split(|&b| b == b'\n');
    let found = lines
        .filter_map(|line| line.split_at_checked(hash.raw_len() * 2))
        .find(|(_, rest)| rest.strip_prefix(b" ") == Some(name));
    Ok(found.and_then(|(hex, _)| Some(Value::Id { oid: Oid::parse(hex).ok()?, peeled: None })))
}

fn resolve(refs: &Refs, name: &[u8]) -> Option<Oid> {
    let mut name = name;
    for _ in 0..MAX_SYMBOLIC {
        match refs.map.get(name)? {
            Value::Id { oid, .. } => return Some(*oid),
            Value::Symbolic(target) => name = target,
        }
    }
    None
}

/// Writes `HEAD`, `packed-refs` and the symbolic refs.
pub(super) fn write(dest: Dest<'_>, refs: &Refs, head: &Head) -> Result<(), DoorError> {
    for folder in [&b"refs"[..], b"refs/heads", b"refs/tags"] {
        dest.folder(folder).map_err(DoorError::write(folder))?;
    }
    let head_text = match head {
        Head::Branch { name, .. } => [b"ref: ", &name[..], b"\n"].concat(),
        Head::Detached(oid) => [oid.as_bytes(), b"\n"].concat(),
    };
    dest.file(b"packed-refs", 0o644, &packed(refs)).map_err(DoorError::write("packed-refs"))?;
    for (name, value) in &refs.map {
        let Value::Symbolic(target) = value else { continue };
        let text = [b"ref: ", &target[..], b"\n"].concat();
        dest.folders_above(name).map_err(DoorError::write(name))?;
        dest.file(name, 0o644, &text).map_err(DoorError::write(name))?;
    }
    // HEAD comes last: without it the folder is no repository, so nobody takes a half-made one for whole.
    dest.file(b"HEAD", 0o644, &head_text).map(drop).map_err(DoorError::write("HEAD"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn peeled_values_stay_with_their_tags() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text =
            format!("# pack-refs with: peeled fully-peeled sorted \n{a} refs/heads/main\n{a} refs/tags/v1\n^{b}\n");
        let refs = parse_packed(text.as_bytes(), HashKind::Sha1).unwrap();
        assert!(refs.fully_peeled);
        assert_eq!(String::from_utf8(packed(&refs)).unwrap(), text);
    }

    #[test]
    fn broken_files_are_named_by_line() {
        let a = "a".repeat(40);
        for text in ["garbage".into(), format!("^{a}"), format!("{a}refs/heads/x"), format!("{a} refs/heads/x\n^zz")] {
            assert!(parse_packed(text.as_bytes(), HashKind::Sha1).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse_packed(&bytes, HashKind::Sha1);
            let _ = parse_loose(&bytes, HashKind::Sha256);
        }
    }
}
