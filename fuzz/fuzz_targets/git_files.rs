#![no_main]
//! The small text files of a git directory, and names: no bytes panic, and what passes has the shape it promises.
use libfuzzer_sys::fuzz_target;
use pinfold_handback::door::{Config, parse_gitdir_file, parse_loose, parse_packed, parse_table};
use pinfold_handback::import::{check_tree, is_dot_git, leads_out};
use pinfold_handback::names::{BranchName, HashKind, Oid};

fuzz_target!(|bytes: &[u8]| {
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        let _ = parse_packed(bytes, hash);
        let _ = parse_loose(bytes, hash);
        let _ = check_tree(bytes, hash);
        let _ = parse_table(bytes, hash);
    }
    let _ = Config::default().parse(bytes);
    if let Some(path) = parse_gitdir_file(bytes) {
        assert!(!path.is_empty() && !path.contains(&0) && !path.contains(&b'\n'));
    }
    let _ = is_dot_git(bytes);
    if let Some((path, text)) = bytes.split_at_checked(bytes.len() / 2) {
        let _ = leads_out(path, text);
    }
    if let Ok(branch) = BranchName::parse(bytes) {
        let full = branch.full();
        assert!(full.starts_with("refs/heads/") && !full.contains("..") && !full.chars().any(char::is_control));
        assert!(!full.split('/').any(|c| c.is_empty() || c.starts_with('.') || c.ends_with(".lock")));
    }
    if let Ok(oid) = Oid::parse(bytes) {
        assert_eq!(oid.as_bytes(), bytes);
    }
});
