//! A changed copy of an index.
//!
//! Whatever is not changed is copied byte for byte, so that stat data stays what it was and nothing has to be re-read.

use super::{BadIndex, EXTENDED, Entry, Layout, NAME_MASK, SKIP_WORKTREE, STAT_LEN, append_checksum, scan};
use crate::names::HashKind;

/// What to change of one entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Change {
    /// Mark it as not checked out.
    pub skip: bool,
    /// Owner and group to show instead of those that are there.
    pub ids: Option<(u32, u32)>,
}

/// Extensions that say nothing of the work tree's place, and stay true when bits are set.
const KEPT: [&[u8; 4]; 3] = [b"TREE", b"REUC", b"sdir"];
/// Optional ones are in capitals and may be dropped. These we know to be unfit for a copy, or to need a fresh value.
const REQUIRED_KNOWN: [&[u8; 4]; 2] = [b"sdir", b"link"];

/// The changed copy, or `None` when the original can be used as it is.
///
/// A split index must be made whole first ([`super::flatten`]); here it is refused.
pub fn rewrite(
    bytes: &[u8],
    hash: HashKind,
    mut decide: impl FnMut(&Entry<'_>) -> Change,
) -> Result<Option<Vec<u8>>, BadIndex> {
    let mut patches: Vec<(Patch, Change)> = Vec::new();
    let layout = scan(bytes, hash, |entry| {
        let mut change = decide(entry);
        change.skip &= !entry.skips_worktree();
        change.ids = change.ids.filter(|&ids| ids != (entry.uid, entry.gid));
        if change != Change::default() {
            patches.push((Patch::of(entry), change));
        }
    })?;
    check_extensions(&layout)?;
    let clean = layout.extensions.iter().all(|e| KEPT.contains(&&e.signature) || carries_offsets(&e.signature));
    if patches.is_empty() && clean {
        return Ok(None);
    }
    Ok(Some(assemble(bytes, &layout, &patches)))
}

/// These two hold offsets into the entries: right in an unchanged file, wrong in a changed one.
fn carries_offsets(signature: &[u8; 4]) -> bool {
    signature == b"EOIE" || signature == b"IEOT"
}

fn check_extensions(layout: &Layout) -> Result<(), BadIndex> {
    if layout.extension(b"link").is_some() {
        return Err(BadIndex::SplitBase);
    }
    let unknown = layout.extensions.iter().find(|e| {
        let required = !e.signature[0].is_ascii_uppercase();
        required && !REQUIRED_KNOWN.contains(&&e.signature)
    });
    unknown.map_or(Ok(()), |e| Err(BadIndex::UnknownExtension(e.signature)))
}

/// Where an entry stands and how it is made, without its name.
#[derive(Debug, Clone, Copy)]
struct Patch {
    at: usize,
    end: usize,
    flags: u16,
    extended: u16,
    name_len: usize,
}

impl Patch {
    fn of(entry: &Entry<'_>) -> Self {
        Patch { at: entry.at, end: entry.end, flags: entry.flags, extended: entry.extended, name_len: entry.name.len() }
    }
}

fn assemble(bytes: &[u8], layout: &Layout, patches: &[(Patch, Change)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + patches.len() * 10);
    let version = if patches.iter().any(|(_, change)| change.skip) { layout.version.max(3) } else { layout.version };
    out.extend_from_slice(&bytes[..4]);
    out.extend_from_slice(&version.to_be_bytes());
    let mut copied = 8;
    for (patch, change) in patches {
        out.extend_from_slice(&bytes[copied..patch.at]);
        changed_entry(&mut out, bytes, layout, patch, *change);
        copied = patch.end;
    }
    out.extend_from_slice(&bytes[copied..layout.entries_end]);
    for extension in layout.extensions.iter().filter(|e| KEPT.contains(&&e.signature)) {
        out.extend_from_slice(&bytes[extension.body.start - 8..extension.body.end]);
    }
    append_checksum(&mut out, layout.hash);
    out
}

fn changed_entry(out: &mut Vec<u8>, bytes: &[u8], layout: &Layout, patch: &Patch, change: Change) {
    let start = out.len();
    let flags_at = patch.at + STAT_LEN + layout.hash.raw_len();
    out.extend_from_slice(&bytes[patch.at..flags_at]);
    if let Some((uid, gid)) = change.ids {
        out[start + 28..start + 32].copy_from_slice(&uid.to_be_bytes());
        out[start + 32..start + 36].copy_from_slice(&gid.to_be_bytes());
    }
    // Version 2 has no second word and leaves the bit that announces it unused.
    let had_extended = layout.version >= 3 && patch.flags & EXTENDED != 0;
    let extended = patch.extended | if change.skip { SKIP_WORKTREE } else { 0 };
    let has_extended = had_extended || extended != 0;
    let flags = patch.flags & !EXTENDED | if has_extended { EXTENDED } else { 0 };
    out.extend_from_slice(&flags.to_be_bytes());
    if has_extended {
        out.extend_from_slice(&extended.to_be_bytes());
    }
    let name_at = flags_at + 2 + if had_extended { 2 } else { 0 };
    if layout.version == 4 {
        out.extend_from_slice(&bytes[name_at..patch.end]);
    } else {
        out.extend_from_slice(&bytes[name_at..name_at + patch.name_len]);
        pad(out, start);
    }
}

/// Versions 2 and 3 end a name with one to eight NULs, so that the next entry starts at a multiple of eight.
pub(super) fn pad(out: &mut Vec<u8>, start: usize) {
    let len = out.len() - start;
    out.resize(start + ((len + 8) & !7), 0);
}

/// The flag word of a name of this length.
pub(super) fn name_bits(len: usize) -> u16 {
    u16::try_from(len).map_or(NAME_MASK, |len| len.min(NAME_MASK))
}
