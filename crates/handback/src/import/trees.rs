//! Folders as git stores them, checked entry by entry.
//!
//! Git's own check ran before this one. This is the second pair of eyes, and it looks for what git lets pass: a bare
//! repository inside the tree, which git on the host would enter and obey, and names that a terminal would obey.

use crate::door::printable;
use crate::names::HashKind;

/// What a folder holds that has to be known before a branch is moved there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TreeFindings {
    /// It looks like a bare repository.
    pub bare_repository: bool,
    /// Names with control characters, harmless to print.
    pub control_names: Vec<String>,
}

/// Checks the raw bytes of a tree object. The error says what no folder may hold.
pub fn check_tree(bytes: &[u8], hash: HashKind) -> Result<TreeFindings, String> {
    let mut found = TreeFindings::default();
    let (mut head, mut objects, mut refs) = (false, false, false);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (mode, name, after) = entry(rest, hash).ok_or("a folder of it is malformed")?;
        rest = after;
        let folder = match mode {
            b"40000" => true,
            b"100644" | b"100755" | b"100664" | b"120000" | b"160000" => false,
            _ => return Err(format!("{} has the impossible mode {}", printable(name), printable(mode))),
        };
        if name.is_empty() || name.contains(&b'/') || name == b"." || name == b".." || is_dot_git(name) {
            return Err(format!("no file may be named {:?}", printable(name)));
        }
        if name.iter().any(|&b| b < 0x20 || b == 0x7f) {
            found.control_names.push(printable(name));
        }
        head |= !folder && name == b"HEAD";
        objects |= folder && name == b"objects";
        refs |= folder && name == b"refs";
    }
    found.bare_repository = head && objects && refs;
    Ok(found)
}

fn entry(bytes: &[u8], hash: HashKind) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|&b| b == b' ')?;
    let (mode, rest) = (&bytes[..space], &bytes[space + 1..]);
    let nul = rest.iter().position(|&b| b == 0)?;
    Some((mode, &rest[..nul], rest.get(nul + 1 + hash.raw_len()..)?))
}

/// Whether some file system takes this name for `.git`: in other case, with characters that HFS+ ignores, by the short
/// name or with the endings that NTFS drops, or behind a backslash.
pub fn is_dot_git(name: &[u8]) -> bool {
    name.split(|&b| b == b'\\').any(|part| is_ntfs_dot_git(part) || is_hfs_dot_git(part))
}

fn is_ntfs_dot_git(name: &[u8]) -> bool {
    let stream = name.iter().position(|&b| b == b':').unwrap_or(name.len());
    let end = name[..stream].iter().rposition(|&b| b != b' ' && b != b'.').map_or(0, |at| at + 1);
    let base = name[..end].to_ascii_lowercase();
    base == b".git" || base == b"git~1"
}

fn is_hfs_dot_git(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    let ignored = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    text.chars().filter(|c| !ignored(c)).flat_map(char::to_lowercase).eq(".git".chars())
}

/// Whether a link that stands at `path` and has this text leads out of the tree.
pub fn leads_out(path: &[u8], text: &[u8]) -> bool {
    if text.first() == Some(&b'/') {
        return true;
    }
    let mut depth = path.iter().filter(|&&b| b == b'/').count();
    for name in text.split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree(entries: &[(&str, &str)]) -> Vec<u8> {
        entries
            .iter()
            .flat_map(|(mode, name)| [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &[7; 20]].concat())
            .collect()
    }

    #[test]
    fn names_that_are_dot_git_somewhere() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~1",
            ".git.",
            ".git ",
            ".git. .",
            ".git::$INDEX_ALLOCATION",
            "a\\.git",
            ".g\u{200c}it",
            "\u{feff}.git",
        ] {
            assert!(is_dot_git(name.as_bytes()), "{name:?}");
        }
        for name in [".gitignore", ".github", "git", "git~10", ".gitmodules", "x.git", "..git"] {
            assert!(!is_dot_git(name.as_bytes()), "{name:?}");
        }
    }

    #[test]
    fn impossible_trees() {
        for bad in
            [("40000", ".git"), ("100644", ".."), ("100644", "a/b"), ("100777", "x"), ("040000", "x"), ("100644", "")]
        {
            assert!(check_tree(&tree(&[bad]), HashKind::Sha1).is_err(), "{bad:?}");
        }
        assert!(check_tree(b"100644 x\0short", HashKind::Sha1).is_err());
    }

    #[test]
    fn what_git_lets_pass() {
        let bare = tree(&[("100644", "HEAD"), ("40000", "objects"), ("40000", "refs")]);
        assert!(check_tree(&bare, HashKind::Sha1).unwrap().bare_repository);
        let names = check_tree(&tree(&[("100644", "a\x1b[2Jb")]), HashKind::Sha1).unwrap().control_names;
        assert_eq!(names, ["a\\u{1b}[2Jb"]);
    }

    #[test]
    fn links_out_of_the_tree() {
        for (path, text) in [("x", "/etc/passwd"), ("x", ".."), ("a/x", "../../b"), ("a/x", "b/../../../c")] {
            assert!(leads_out(path.as_bytes(), text.as_bytes()), "{path} {text}");
        }
        for (path, text) in [("x", "y"), ("a/x", "../b"), ("a/b/x", "../../c/../d"), ("x", "./y//z")] {
            assert!(!leads_out(path.as_bytes(), text.as_bytes()), "{path} {text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = check_tree(&bytes, HashKind::Sha1);
            let _ = is_dot_git(&bytes);
        }
    }
}
