//! Object ids and ref names, parsed once and strictly.
//!
//! An [`Oid`] or [`BranchName`] in hand proves the shape of the text, so that neither can be mistaken for an option or a
//! path by a command that it is given to. It does not prove that such an object or branch exists.

use std::fmt;

/// Which hash names the objects of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashKind {
    Sha1,
    Sha256,
}

impl HashKind {
    /// Bytes of an id.
    pub fn raw_len(self) -> usize {
        match self {
            HashKind::Sha1 => 20,
            HashKind::Sha256 => 32,
        }
    }

    /// The id of the tree without entries, which every git knows without storing it.
    pub fn empty_tree(self) -> Oid {
        let hex: &[u8] = match self {
            HashKind::Sha1 => b"4b825dc642cb6eb9a060e54bf8d69288fbee4904",
            HashKind::Sha256 => b"6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
        };
        Oid::parse(hex).unwrap_or_else(|_| unreachable!("the empty tree's id is well formed"))
    }
}

/// An object id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid {
    hex: [u8; 64],
    len: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOid {
    #[error("it is not 40 or 64 characters long")]
    Length,
    #[error("it has a character that is not a lower-case hexadecimal digit")]
    Digit,
}

impl Oid {
    /// Exactly 40 or 64 lower-case hexadecimal digits.
    pub fn parse(text: &[u8]) -> Result<Self, BadOid> {
        if text.len() != 40 && text.len() != 64 {
            return Err(BadOid::Length);
        }
        if !text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(BadOid::Digit);
        }
        let mut hex = [b'0'; 64];
        hex[..text.len()].copy_from_slice(text);
        Ok(Oid { hex, len: text.len() as u8 })
    }

    /// From the bytes of an id, as trees and indexes hold it.
    pub fn from_raw(raw: &[u8]) -> Result<Self, BadOid> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let text: Vec<u8> = raw.iter().flat_map(|b| [DIGITS[(b >> 4) as usize], DIGITS[(b & 15) as usize]]).collect();
        Oid::parse(&text)
    }

    /// The id that stands for "no object" in ref updates.
    pub fn null(kind: HashKind) -> Self {
        Oid { hex: [b'0'; 64], len: (kind.raw_len() * 2) as u8 }
    }

    pub fn is_null(&self) -> bool {
        self.as_bytes().iter().all(|&b| b == b'0')
    }

    pub fn kind(&self) -> HashKind {
        if self.len == 40 { HashKind::Sha1 } else { HashKind::Sha256 }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.hex[..self.len as usize]
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A branch that a box may offer: the full name, `refs/heads/…`.
///
/// Narrower than git's own rule: UTF-8, no control or direction character, no component that git could take for an
/// option or for `HEAD`, short enough for every file system.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchName(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("it is not below refs/heads/")]
    NotABranch,
    #[error("it is too long")]
    Length,
    #[error("it is not UTF-8")]
    NotUtf8,
    #[error("it has a character that git or a terminal would misread")]
    Character,
    #[error("it has an empty component, or one that starts or ends in a way git forbids")]
    Component,
    #[error("it could be mistaken for HEAD or for an option")]
    Misleading,
}

const MAX_NAME: usize = 1024;
const MAX_COMPONENT: usize = 200;

impl BranchName {
    pub fn parse(full: &[u8]) -> Result<Self, BadName> {
        if full.len() > MAX_NAME {
            return Err(BadName::Length);
        }
        let text = std::str::from_utf8(full).map_err(|_| BadName::NotUtf8)?;
        let short = text.strip_prefix("refs/heads/").ok_or(BadName::NotABranch)?;
        if text.chars().any(|c| c.is_control() || is_direction(c)) {
            return Err(BadName::Character);
        }
        check_ref_format(full)?;
        if short == "HEAD" || short.starts_with('-') || is_hex_id(short) {
            return Err(BadName::Misleading);
        }
        if short.split('/').any(|name| name.len() > MAX_COMPONENT) {
            return Err(BadName::Length);
        }
        Ok(BranchName(text.to_owned()))
    }

    /// `refs/heads/topic`.
    pub fn full(&self) -> &str {
        &self.0
    }

    /// `topic`.
    pub fn short(&self) -> &str {
        self.0.strip_prefix("refs/heads/").unwrap_or_default()
    }
}

/// A branch named like an object id makes every later use of that id ambiguous.
fn is_hex_id(short: &str) -> bool {
    matches!(short.len(), 40 | 64) && short.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Git's own rule for a full ref name (`git check-ref-format`), at least two components, any bytes above ASCII.
pub fn check_ref_format(name: &[u8]) -> Result<(), BadName> {
    if !name.contains(&b'/') || name.ends_with(b".") {
        return Err(BadName::Component);
    }
    if name.iter().any(|&b| b < 0x20 || b == 0x7f || b" ~^:?*[\\".contains(&b)) {
        return Err(BadName::Character);
    }
    if name.windows(2).any(|pair| pair == b".." || pair == b"@{") {
        return Err(BadName::Character);
    }
    for component in name.split(|&b| b == b'/') {
        if component.is_empty() || component.starts_with(b".") || component.ends_with(b".lock") {
            return Err(BadName::Component);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_git_and_we_accept() {
        for name in ["main", "feature/x", "ümlaut", "a.b", "x@y", "v1.0-rc", "a-b/-c"] {
            assert!(BranchName::parse(format!("refs/heads/{name}").as_bytes()).is_ok(), "{name}");
        }
    }

    #[test]
    fn names_that_mislead_are_refused() {
        let long = format!("refs/heads/{}", "x".repeat(201));
        let id = format!("refs/heads/{}", "a".repeat(40));
        for name in [
            "main",
            "refs/tags/main",
            "refs/heads/",
            "refs/heads",
            "refs/heads/../../config",
            "refs/heads/a..b",
            "refs/heads/.hidden",
            "refs/heads/a/.git",
            "refs/heads/a.lock",
            "refs/heads/a.lock/b",
            "refs/heads/a//b",
            "refs/heads/a/",
            "refs/heads/a.",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a\x1b[2J",
            "refs/heads/a\u{9b}2J",
            "refs/heads/a\u{202e}b",
            "refs/heads/@{-1}",
            "refs/heads/a~1",
            "refs/heads/a^",
            "refs/heads/a:b",
            "refs/heads/a\\b",
            "refs/heads/-x",
            "refs/heads/HEAD",
            "refs/remotes/origin/main",
            "refs/pinfold/x/heads/main",
            "HEAD",
            &long,
            &id,
        ] {
            assert!(BranchName::parse(name.as_bytes()).is_err(), "{name:?}");
        }
        assert_eq!(BranchName::parse(b"refs/heads/\xff"), Err(BadName::NotUtf8));
    }

    #[test]
    fn ids_are_lower_case_hex() {
        assert!(Oid::parse(&[b'a'; 40]).is_ok());
        assert!(Oid::parse(&[b'0'; 64]).unwrap().is_null());
        for bad in [&b""[..], &[b'A'; 40], &[b'g'; 40], &[b'a'; 41], b"--all", &[b'-'; 40]] {
            assert!(Oid::parse(bad).is_err());
        }
        assert_eq!(HashKind::Sha1.empty_tree().to_string().len(), 40);
        assert_eq!(Oid::from_raw(&[0xab; 20]).unwrap().to_string(), "ab".repeat(20));
    }
}
