#![no_main]
//! An index from anywhere: no bytes panic, and what we write reads back as it was meant.
use libfuzzer_sys::fuzz_target;
use pinfold_handback::index::{self, Change};
use pinfold_handback::names::HashKind;

type Seen = (u32, Vec<u8>, u16, bool, Vec<u8>);

fn entries(bytes: &[u8], hash: HashKind) -> Vec<Seen> {
    let mut seen = Vec::new();
    let read = index::scan(bytes, hash, |e| {
        seen.push((e.mode, e.oid.to_vec(), e.stage(), e.skips_worktree(), e.name.to_vec()));
    });
    read.expect("what was written reads back");
    seen
}

fuzz_target!(|input: (bool, u8, &[u8], &[u8])| {
    let (sha256, mask, top, base) = input;
    let hash = if sha256 { HashKind::Sha256 } else { HashKind::Sha1 };
    let mut before = Vec::new();
    let changed = index::rewrite(top, hash, |e| {
        let skip = e.number as u8 & mask == 0;
        before.push((e.mode, e.oid.to_vec(), e.stage(), e.skips_worktree() || skip, e.name.to_vec()));
        Change { skip, ids: Some((1, 2)) }
    });
    if let Ok(Some(copy)) = changed {
        assert_eq!(entries(&copy, hash), before);
    }
    if let Ok(whole) = index::flatten(top, base, hash) {
        entries(&whole, hash);
    }
});
