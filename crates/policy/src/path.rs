//! Paths inside the workspace, as bytes.
//!
//! A [`RelPath`] is relative to the workspace root and already split by `/` into proper names: no empty component, no
//! `.` or `..`, no NUL. Holding one proves the shape, and nothing about whether anything of that name exists, or that a
//! component is not a symbolic link. Names are bytes: git and Linux do not promise UTF-8, and neither do we.

use std::borrow::Borrow;
use std::fmt;

/// An owned [`RelPath`].
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPathBuf(Vec<u8>);

/// A workspace-relative path, borrowed. The empty path is the workspace root itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath<'a>(&'a [u8]);

/// Why some bytes are not a workspace path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("it starts with '/'")]
    Absolute,
    #[error("it has an empty component")]
    Empty,
    #[error("it has a '.' or '..' component")]
    Dots,
    #[error("it has a NUL byte")]
    Nul,
    #[error("a name holds '/'")]
    Slash,
}

impl<'a> RelPath<'a> {
    /// The workspace root.
    pub const ROOT: RelPath<'static> = RelPath(b"");

    /// Checks the shape. `b""` is the root.
    pub fn new(bytes: &'a [u8]) -> Result<Self, BadPath> {
        if bytes.is_empty() {
            return Ok(RelPath(bytes));
        }
        if bytes[0] == b'/' {
            return Err(BadPath::Absolute);
        }
        for name in bytes.split(|&b| b == b'/') {
            check_name(name)?;
        }
        Ok(RelPath(bytes))
    }

    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    pub fn is_root(self) -> bool {
        self.0.is_empty()
    }

    /// The names from the root down. Empty for the root.
    pub fn components(self) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.0.split(|&b| b == b'/').filter(|name| !name.is_empty())
    }

    /// The last name; `None` for the root.
    pub fn name(self) -> Option<&'a [u8]> {
        self.components().next_back()
    }

    /// The folder that holds this path; `None` for the root.
    pub fn parent(self) -> Option<RelPath<'a>> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(RelPath(&self.0[..end]))
    }

    /// This path with one more name below it.
    pub fn join(self, name: &[u8]) -> Result<RelPathBuf, BadPath> {
        check_name(name)?;
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Ok(RelPathBuf(bytes))
    }

    pub fn to_owned(self) -> RelPathBuf {
        RelPathBuf(self.0.to_vec())
    }
}

fn check_name(name: &[u8]) -> Result<(), BadPath> {
    match name {
        b"" => Err(BadPath::Empty),
        b"." | b".." => Err(BadPath::Dots),
        _ if name.contains(&0) => Err(BadPath::Nul),
        _ if name.contains(&b'/') => Err(BadPath::Slash),
        _ => Ok(()),
    }
}

impl RelPathBuf {
    /// Checks the shape and takes the bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, BadPath> {
        RelPath::new(&bytes)?;
        Ok(RelPathBuf(bytes))
    }

    pub fn root() -> Self {
        RelPathBuf(Vec::new())
    }

    pub fn as_path(&self) -> RelPath<'_> {
        RelPath(&self.0)
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl Clone for RelPathBuf {
    fn clone(&self) -> Self {
        RelPathBuf(self.0.clone())
    }
}

impl Borrow<[u8]> for RelPathBuf {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// For people and logs: control characters and bytes that are not UTF-8 are escaped, so that a hostile name can't
/// rewrite a terminal or a log line.
impl fmt::Display for RelPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || is_bidi(c) { write!(f, "{}", c.escape_unicode())? } else { write!(f, "{c}")? }
            }
            for b in chunk.invalid() {
                write!(f, "\\x{b:02x}")?;
            }
        }
        Ok(())
    }
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for RelPathBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_path(), f)
    }
}

impl fmt::Display for RelPathBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_path(), f)
    }
}
