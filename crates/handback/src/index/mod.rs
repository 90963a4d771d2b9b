//! The index file: read, checked and rewritten without git.
//!
//! [`scan`] walks versions 2, 3 and 4 with both hashes and shows each entry; [`rewrite`] makes a copy in which some
//! entries carry the skip-worktree bit or other owner ids, and what would point outside (file system monitor, untracked
//! cache, a shared base) is gone. The bytes are a claim: any input ends in a value or a [`BadIndex`], never in a panic.
//! This module opens no file and does not know why an entry is to be skipped.

mod bitmap;
mod flat;
mod scan;
mod write;

pub use flat::{flatten, shared_base};
pub(crate) use scan::varint;
pub use scan::{Entry, Extension, Layout, scan};
pub use write::{Change, rewrite};

use crate::names::HashKind;
use sha1::Digest;

/// Why some bytes are not an index that we can copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadIndex {
    #[error("it does not start with the index signature")]
    Signature,
    #[error("its version {0} is unknown")]
    Version(u32),
    #[error("it ends before its entry {0}")]
    Truncated(u32),
    #[error("its entry {0} has no proper name")]
    Name(u32),
    #[error("an extension runs past its end")]
    ExtensionLength,
    #[error("it has the required extension {0:?}, which is unknown")]
    UnknownExtension([u8; 4]),
    #[error("it is split and its shared base is missing or malformed")]
    SplitBase,
    #[error("a bitmap in it is malformed")]
    Bitmap,
}

pub(crate) const SKIP_WORKTREE: u16 = 0x4000;
pub(crate) const EXTENDED: u16 = 0x4000;
pub(crate) const NAME_MASK: u16 = 0x0fff;
/// `ctime`, `mtime`, `dev`, `ino`, `mode`, `uid`, `gid`, `size`.
pub(crate) const STAT_LEN: usize = 40;
pub(crate) const HEADER_LEN: usize = 12;

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
}

pub(crate) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8).map(|b| u64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
}

/// Appends the checksum that git expects at the end of an index.
pub(crate) fn append_checksum(out: &mut Vec<u8>, kind: HashKind) {
    match kind {
        HashKind::Sha1 => out.extend_from_slice(&sha1::Sha1::digest(&out[..])),
        HashKind::Sha256 => out.extend_from_slice(&sha2::Sha256::digest(&out[..])),
    }
}
