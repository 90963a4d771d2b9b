//! Byte strings that stand for secrets. Each is unique to its test, so that finding one says which secret got out and where.

use std::sync::atomic::{AtomicU64, Ordering};

/// A secret that can be recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary(String);

/// What every canary begins with: a scan for this finds any of them.
pub const MARK: &str = "CANARYbird";

static COUNT: AtomicU64 = AtomicU64::new(0);

impl Canary {
    /// A new canary. Random, so that no earlier run can have left it anywhere.
    pub fn new() -> Self {
        let mut bytes = [0u8; 12];
        let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut text = format!("{MARK}{count:04x}");
        for byte in &bytes[..filled] {
            text.push_str(&format!("{byte:02x}"));
        }
        Canary(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does it stand anywhere in these bytes?
    pub fn is_in(&self, bytes: &[u8]) -> bool {
        find_bytes(bytes, self.0.as_bytes()).is_some()
    }
}

impl Default for Canary {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for Canary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where `needle` first stands in `hay`.
pub fn find_bytes(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(at) = hay[from..].iter().position(|&byte| byte == first) {
        let at = from + at;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_differ_and_are_found() {
        let (one, two) = (Canary::new(), Canary::new());
        assert_ne!(one, two);
        let text = format!("KEY={one}\n");
        assert!(one.is_in(text.as_bytes()));
        assert!(!two.is_in(text.as_bytes()));
    }

    #[test]
    fn find_bytes_looks_past_false_starts() {
        assert_eq!(find_bytes(b"aab", b"ab"), Some(1));
        assert_eq!(find_bytes(b"aa", b"ab"), None);
        assert_eq!(find_bytes(b"", b"ab"), None);
        assert_eq!(find_bytes(b"ab", b""), None);
    }
}
