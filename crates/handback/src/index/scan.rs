//! One pass over an index, borrowing from its bytes.

use super::{BadIndex, EXTENDED, HEADER_LEN, NAME_MASK, SKIP_WORKTREE, STAT_LEN, be16, be32};
use crate::names::HashKind;
use std::ops::Range;

/// One entry as it stands in the file.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Position among the entries, from 0.
    pub number: u32,
    /// Offset of its first byte.
    pub at: usize,
    /// Offset of the byte after it, padding included.
    pub end: usize,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The object id, raw.
    pub oid: &'a [u8],
    pub flags: u16,
    /// The second flag word of versions 3 and 4; 0 where the entry has none.
    pub extended: u16,
    /// The whole path, relative to the top of the work tree. Whether it is a sane path is not checked.
    pub name: &'a [u8],
}

impl Entry<'_> {
    /// 0 in the ordinary case; 1 to 3 are the sides of a conflict.
    pub fn stage(&self) -> u16 {
        self.flags >> 12 & 3
    }

    pub fn skips_worktree(&self) -> bool {
        self.extended & SKIP_WORKTREE != 0
    }
}

/// What follows the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub signature: [u8; 4],
    /// The content, without signature and length.
    pub body: Range<usize>,
}

/// The shape of a whole index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub version: u32,
    pub count: u32,
    /// Offset of the byte after the last entry.
    pub entries_end: usize,
    pub extensions: Vec<Extension>,
    pub hash: HashKind,
}

impl Layout {
    pub fn extension(&self, signature: &[u8; 4]) -> Option<&Extension> {
        self.extensions.iter().find(|e| &e.signature == signature)
    }
}

/// Shows every entry to `each`, in the order of the file, and returns the shape. The checksum is not verified: git does
/// not do so either when it reads an index, and an index with `index.skipHash` has none.
pub fn scan(bytes: &[u8], hash: HashKind, mut each: impl FnMut(&Entry<'_>)) -> Result<Layout, BadIndex> {
    if bytes.get(..4) != Some(b"DIRC") {
        return Err(BadIndex::Signature);
    }
    let version = be32(bytes, 4).ok_or(BadIndex::Signature)?;
    let count = be32(bytes, 8).ok_or(BadIndex::Signature)?;
    if !(2..=4).contains(&version) {
        return Err(BadIndex::Version(version));
    }
    let body_end = bytes.len().checked_sub(hash.raw_len()).filter(|&end| end >= HEADER_LEN);
    let body = &bytes[..body_end.ok_or(BadIndex::Truncated(0))?];
    let mut at = HEADER_LEN;
    let mut previous = Vec::new();
    for number in 0..count {
        at = one_entry(body, version, hash, number, at, &mut previous, &mut each)?;
    }
    Ok(Layout { version, count, entries_end: at, extensions: extensions(body, at)?, hash })
}

fn one_entry(
    body: &[u8],
    version: u32,
    hash: HashKind,
    number: u32,
    at: usize,
    previous: &mut Vec<u8>,
    each: &mut impl FnMut(&Entry<'_>),
) -> Result<usize, BadIndex> {
    let short = BadIndex::Truncated(number);
    let flags_at = at + STAT_LEN + hash.raw_len();
    let flags = be16(body, flags_at).ok_or(short)?;
    let mut name_at = flags_at + 2;
    let mut extended = 0;
    if version >= 3 && flags & EXTENDED != 0 {
        extended = be16(body, name_at).ok_or(short)?;
        name_at += 2;
    }
    let word = |offset: usize| be32(body, at + offset).ok_or(short);
    let mut entry = Entry {
        number,
        at,
        end: 0,
        mode: word(24)?,
        uid: word(28)?,
        gid: word(32)?,
        oid: &body[at + STAT_LEN..flags_at],
        flags,
        extended,
        name: b"",
    };
    if version == 4 {
        entry.end = compressed_name(body, number, name_at, previous)?;
        entry.name = previous;
    } else {
        let rest = body.get(name_at..).ok_or(short)?;
        let len = match (flags & NAME_MASK) as usize {
            0xfff => rest.iter().position(|&b| b == 0).ok_or(short)?,
            len => len,
        };
        entry.name = rest.get(..len).ok_or(short)?;
        entry.end = at + ((name_at - at + len + 8) & !7);
        if entry.end > body.len() {
            return Err(short);
        }
    }
    if entry.name.contains(&0) {
        return Err(BadIndex::Name(number));
    }
    each(&entry);
    Ok(entry.end)
}

/// Version 4: how many bytes to drop from the end of the previous name, then what to add, up to a NUL.
fn compressed_name(body: &[u8], number: u32, at: usize, name: &mut Vec<u8>) -> Result<usize, BadIndex> {
    let short = BadIndex::Truncated(number);
    let (drop, suffix_at) = varint(body, at).ok_or(short)?;
    let keep = usize::try_from(drop).ok().and_then(|drop| name.len().checked_sub(drop));
    name.truncate(keep.ok_or(BadIndex::Name(number))?);
    let rest = body.get(suffix_at..).ok_or(short)?;
    let len = rest.iter().position(|&b| b == 0).ok_or(short)?;
    name.extend_from_slice(&rest[..len]);
    Ok(suffix_at + len + 1)
}

/// Git's offset encoding: seven bits a byte, the high bit says "more", and each continuation adds one.
pub(crate) fn varint(body: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let mut byte = *body.get(at)?;
    let mut value = u64::from(byte & 127);
    while byte & 128 != 0 {
        at += 1;
        byte = *body.get(at)?;
        value = value.checked_add(1)?.checked_mul(128)?.checked_add(u64::from(byte & 127))?;
    }
    Some((value, at + 1))
}

fn extensions(body: &[u8], mut at: usize) -> Result<Vec<Extension>, BadIndex> {
    let mut found = Vec::new();
    while at < body.len() {
        let signature = body.get(at..at + 4).and_then(|s| <[u8; 4]>::try_from(s).ok());
        let signature = signature.ok_or(BadIndex::ExtensionLength)?;
        let len = be32(body, at + 4).ok_or(BadIndex::ExtensionLength)? as usize;
        let start = at + 8;
        let end = start.checked_add(len).filter(|&end| end <= body.len()).ok_or(BadIndex::ExtensionLength)?;
        found.push(Extension { signature, body: start..end });
        at = end;
    }
    Ok(found)
}
