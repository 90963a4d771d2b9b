//! Operating-system strings that survive JSON: bytes that are not UTF-8, and backslashes, are escaped as `\xNN` and `\\`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Any string of the operating system without NUL: an argument, an environment value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OsBytes(Vec<u8>);

/// An absolute path on the host.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostPath(OsBytes);

/// An absolute path in the box.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BoxPath(OsBytes);

impl OsBytes {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        OsBytes(bytes.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }

    pub fn to_os_string(&self) -> OsString {
        OsString::from_vec(self.0.clone())
    }

    fn escaped(&self) -> String {
        let mut out = String::with_capacity(self.0.len());
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '\\' { out.push_str("\\\\") } else { out.push(c) }
            }
            for b in chunk.invalid() {
                out.push_str(&format!("\\x{b:02x}"));
            }
        }
        out
    }

    fn unescape(text: &str) -> Result<Self, &'static str> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = tail;
            if *first != b'\\' {
                out.push(*first);
                continue;
            }
            rest = match rest {
                [b'\\', tail @ ..] => {
                    out.push(b'\\');
                    tail
                }
                [b'x', hi, lo, tail @ ..] => {
                    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
                    out.push(digit(*hi).ok_or("bad escape")? << 4 | digit(*lo).ok_or("bad escape")?);
                    tail
                }
                _ => return Err("bad escape"),
            };
        }
        Ok(OsBytes(out))
    }
}

impl Serialize for OsBytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.escaped())
    }
}

impl<'de> Deserialize<'de> for OsBytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        OsBytes::unescape(&text).map_err(serde::de::Error::custom)
    }
}

impl From<&str> for OsBytes {
    fn from(text: &str) -> Self {
        OsBytes(text.as_bytes().to_vec())
    }
}

impl From<OsString> for OsBytes {
    fn from(text: OsString) -> Self {
        OsBytes(text.into_vec())
    }
}

impl From<&OsStr> for OsBytes {
    fn from(text: &OsStr) -> Self {
        OsBytes(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for OsBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.escaped())
    }
}

/// Escapes control characters too, so that a hostile name can't steer a terminal.
impl fmt::Display for OsBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.escaped().chars() {
            if c.is_control() { write!(f, "{}", c.escape_unicode())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

macro_rules! path_type {
    ($name:ident) => {
        impl $name {
            /// The path must be absolute; anything else is a bug of the caller.
            pub fn new(path: impl AsRef<Path>) -> Self {
                let path = path.as_ref();
                debug_assert!(path.is_absolute(), "{path:?} is not absolute");
                $name(OsBytes(path.as_os_str().as_bytes().to_vec()))
            }

            pub fn as_path(&self) -> &Path {
                Path::new(self.0.as_os_str())
            }

            pub fn to_path_buf(&self) -> PathBuf {
                self.as_path().to_path_buf()
            }

            pub fn join(&self, below: impl AsRef<Path>) -> Self {
                Self::new(self.as_path().join(below))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

path_type!(HostPath);
path_type!(BoxPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_json() {
        for bytes in [&b"plain"[..], b"back\\slash", b"\xff\xfe", b"new\nline", "ümlaut\\x41".as_bytes()] {
            let value = OsBytes::new(bytes);
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<OsBytes>(&text).unwrap(), value, "{text}");
        }
    }
}
