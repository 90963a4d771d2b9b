//! The built-in names: every path gets a verdict, none is wider than its folder's, and case says nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinfold_policy::{Kind, PathPolicy, RelPath};

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let kind = [Kind::File, Kind::Folder, Kind::Symlink][usize::from(kind % 3)];
    let Ok(path) = RelPath::new(bytes) else { return };
    let policy = PathPolicy::default();
    let verdict = policy.decide(path, kind).verdict;
    if let Some(folder) = path.parent() {
        assert!(verdict >= policy.decide(folder, Kind::Folder).verdict);
        assert_eq!(policy.decide_in(&policy.folder(folder), path, kind), policy.decide(path, kind));
    }
    let upper = bytes.to_ascii_uppercase();
    assert_eq!(policy.decide(RelPath::new(&upper).expect("the same shape"), kind).verdict, verdict);
});
