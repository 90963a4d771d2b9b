//! Every bound of an import, in one table.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Refs in one offer.
    pub refs: usize,
    /// Bytes of one pack, as it is sent.
    pub pack_bytes: u64,
    /// Objects in one pack, and new objects reachable from an offer.
    pub objects: usize,
    /// Bytes of one file.
    pub blob_bytes: u64,
    /// Bytes of one commit or folder.
    pub meta_bytes: u64,
    /// Bytes of all new folders together.
    pub trees_bytes: u64,
    /// For one offer, from the first byte of its pack.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            refs: 1000,
            pack_bytes: 2 << 30,
            objects: 100_000,
            blob_bytes: 100 << 20,
            meta_bytes: 8 << 20,
            trees_bytes: 256 << 20,
            time: Duration::from_secs(300),
        }
    }
}
