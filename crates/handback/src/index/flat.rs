//! Makes a split index whole.
//!
//! The file named `index` then holds only what differs from a shared base: which base entries are gone, which are
//! replaced (without a name of their own), and which are new.

use super::bitmap::set_bits;
use super::write::{name_bits, pad};
use super::{BadIndex, EXTENDED, Entry, Layout, NAME_MASK, STAT_LEN, append_checksum, scan};
use crate::names::{HashKind, Oid};
use std::collections::HashSet;

/// The checksum that names the shared base (`sharedindex.<id>` in the git directory); `None` if the index is whole.
pub fn shared_base(bytes: &[u8], layout: &Layout) -> Result<Option<Oid>, BadIndex> {
    let Some(link) = layout.extension(b"link") else { return Ok(None) };
    let raw = bytes.get(link.body.clone()).and_then(|b| b.get(..layout.hash.raw_len())).ok_or(BadIndex::SplitBase)?;
    let oid = Oid::from_raw(raw).map_err(|_| BadIndex::SplitBase)?;
    Ok((!oid.is_null()).then_some(oid))
}

/// One whole index from the split one and its base (empty where it has none).
pub fn flatten(top: &[u8], base: &[u8], hash: HashKind) -> Result<Vec<u8>, BadIndex> {
    let mut changed = Vec::new();
    let layout = scan(top, hash, |entry| changed.push(Owned::of(top, entry)))?;
    let link = layout.extension(b"link").ok_or(BadIndex::SplitBase)?;
    let mut entries = Vec::new();
    if !base.is_empty() {
        let base_layout = scan(base, hash, |entry| entries.push(Owned::of(base, entry)))?;
        if base_layout.extension(b"link").is_some() {
            return Err(BadIndex::SplitBase);
        }
    }
    let maps = top.get(link.body.clone()).and_then(|b| b.get(hash.raw_len()..)).ok_or(BadIndex::SplitBase)?;
    let (deleted, replaced) = bitmaps(maps, entries.len() as u32)?;
    merge(&mut entries, changed, &deleted, &replaced)?;
    Ok(write(&entries, top, &layout))
}

fn bitmaps(maps: &[u8], limit: u32) -> Result<(HashSet<u32>, Vec<u32>), BadIndex> {
    // Both may be missing when the base is used as it is.
    if maps.is_empty() {
        return Ok((HashSet::new(), Vec::new()));
    }
    let (deleted, used) = set_bits(maps, limit)?;
    let (replaced, _) = set_bits(&maps[used..], limit)?;
    Ok((deleted.into_iter().collect(), replaced))
}

fn merge(
    entries: &mut Vec<Owned>,
    changed: Vec<Owned>,
    deleted: &HashSet<u32>,
    replaced: &[u32],
) -> Result<(), BadIndex> {
    let mut replaced = replaced.iter();
    let mut added = Vec::new();
    for mut entry in changed {
        if !entry.name.is_empty() {
            added.push(entry);
            continue;
        }
        let slot = replaced.next().and_then(|&at| entries.get_mut(at as usize)).ok_or(BadIndex::SplitBase)?;
        entry.name = std::mem::take(&mut slot.name);
        *slot = entry;
    }
    if replaced.next().is_some() {
        return Err(BadIndex::SplitBase);
    }
    let mut number = 0;
    entries.retain(|_| {
        number += 1;
        !deleted.contains(&(number - 1))
    });
    // An added entry takes the place of one of the same name and stage.
    let names: HashSet<(&[u8], u16)> = added.iter().map(|e| (&e.name[..], e.stage())).collect();
    entries.retain(|e| !names.contains(&(&e.name[..], e.stage())));
    drop(names);
    entries.append(&mut added);
    entries.sort_by(|a, b| a.name.cmp(&b.name).then(a.stage().cmp(&b.stage())));
    Ok(())
}

/// An entry cut loose from its file.
struct Owned {
    /// Stat data and object id.
    head: Vec<u8>,
    flags: u16,
    extended: u16,
    name: Vec<u8>,
}

impl Owned {
    fn of(bytes: &[u8], entry: &Entry<'_>) -> Self {
        let head = bytes[entry.at..entry.at + STAT_LEN + entry.oid.len()].to_vec();
        Owned { head, flags: entry.flags, extended: entry.extended, name: entry.name.to_vec() }
    }

    fn stage(&self) -> u16 {
        self.flags >> 12 & 3
    }
}

fn write(entries: &[Owned], top: &[u8], layout: &Layout) -> Vec<u8> {
    let extended = entries.iter().any(|e| e.extended != 0);
    let mut out = Vec::new();
    out.extend_from_slice(b"DIRC");
    out.extend_from_slice(&(if extended { 3u32 } else { 2 }).to_be_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    for entry in entries {
        let start = out.len();
        out.extend_from_slice(&entry.head);
        let more = if entry.extended != 0 { EXTENDED } else { 0 };
        let flags = entry.flags & !(EXTENDED | NAME_MASK) | more | name_bits(entry.name.len());
        out.extend_from_slice(&flags.to_be_bytes());
        if entry.extended != 0 {
            out.extend_from_slice(&entry.extended.to_be_bytes());
        }
        out.extend_from_slice(&entry.name);
        pad(&mut out, start);
    }
    for extension in layout.extensions.iter().filter(|e| e.signature != *b"link" && !offsets(&e.signature)) {
        out.extend_from_slice(&top[extension.body.start - 8..extension.body.end]);
    }
    append_checksum(&mut out, layout.hash);
    out
}

fn offsets(signature: &[u8; 4]) -> bool {
    signature == b"EOIE" || signature == b"IEOT"
}
