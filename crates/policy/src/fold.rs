//! The two spellings under which a path is judged.
//!
//! *Lower*: ASCII letters in lower case. *Alias*: what a host's file system could take the name for. A folder that folds
//! case (ext4 and f2fs `casefold`, vfat, exfat, ntfs, cifs, APFS over a share) opens `.env` when asked for `.E\u{200d}NV`, for
//! `.env.`, or for `.env::$DATA`; `.ßh` opens `.ssh`, and a Kelvin sign is a `k`. Whether the folder folds is not
//! knowable from a path, so aliases count everywhere. An alias can only narrow a verdict.

/// Paths longer than this are lowered on the heap.
const ON_STACK: usize = 256;

/// A path in lower case.
pub(crate) struct Lower {
    stack: [u8; ON_STACK],
    heap: Vec<u8>,
    len: usize,
    /// A byte that could give the path an alias was seen. Dots and spaces before a slash are not looked for here.
    odd: bool,
}

impl Lower {
    #[inline]
    pub(crate) fn new(path: &[u8]) -> Self {
        let mut lower = Lower { stack: [0; ON_STACK], heap: Vec::new(), len: path.len(), odd: false };
        let into = if path.len() <= ON_STACK {
            &mut lower.stack[..path.len()]
        } else {
            lower.heap.resize(path.len(), 0);
            &mut lower.heap[..]
        };
        let mut odd = 0u8;
        for (to, &from) in into.iter_mut().zip(path) {
            odd |= (from & 0x80) | u8::from(from == b':') | u8::from(from == b'\\');
            *to = from.to_ascii_lowercase();
        }
        lower.odd = odd != 0;
        lower
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.len <= ON_STACK { &self.stack[..self.len] } else { &self.heap }
    }

    /// The other spelling, when there is one.
    #[inline]
    pub(crate) fn alias(&self) -> Option<Vec<u8>> {
        let path = self.bytes();
        if !self.odd && !has_loose_end(path) {
            return None;
        }
        let alias = path.split(|&b| b == b'/').map(alias_of).collect::<Vec<_>>().join(&b'/');
        (alias != path).then_some(alias)
    }
}

/// A name that ends in a dot or a space: Windows file systems drop those.
#[inline]
fn has_loose_end(path: &[u8]) -> bool {
    let mut before = b'/';
    let mut loose = false;
    for &b in path {
        loose |= b == b'/' && (before == b'.' || before == b' ');
        before = b;
    }
    loose || before == b'.' || before == b' '
}

/// A lower-case path as a folding file system could take it, with streams and backslashes left in: `x:y.pem` is a name of its
/// own where nothing splits at a colon. `None` when there is nothing of that kind in it.
pub(crate) fn unsplit(path: &[u8]) -> Option<Vec<u8>> {
    let odd = path.iter().any(|b| matches!(b, b':' | b'\\'));
    odd.then(|| path.split(|&b| b == b'/').map(|name| trimmed(folded(name), name)).collect::<Vec<_>>().join(&b'/'))
}

/// What a folding file system could take one lower-case name for; the name itself when nothing would be left of it.
fn alias_of(name: &[u8]) -> Vec<u8> {
    let mut out = folded(name);
    // A stream of the file (`name:stream:type`), or a path for a file system that splits at backslashes.
    if let Some(at) = out.iter().position(|&b| b == b':' || b == b'\\')
        && at > 0
    {
        out.truncate(at);
    }
    trimmed(out, name)
}

fn trimmed(mut out: Vec<u8>, name: &[u8]) -> Vec<u8> {
    while matches!(out.last(), Some(b'.' | b' ')) {
        out.pop();
    }
    if out.is_empty() { name.to_vec() } else { out }
}

fn folded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars().filter(|&c| !ignorable(c)) {
            match ascii_fold(c) {
                Some(text) => out.extend_from_slice(text.as_bytes()),
                None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// Characters outside ASCII whose case folding, decomposition or upper case is ASCII on some file system.
fn ascii_fold(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{212a}' => "k",
        '\u{17f}' => "s",
        // Folded by cifs and by Turkic locales only.
        '\u{130}' | '\u{131}' => "i",
        '\u{df}' | '\u{1e9e}' => "ss",
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' | '\u{fb06}' => "st",
        _ => return None,
    })
}

/// Unicode's default-ignorable code points: ext4's `casefold` and HFS+ compare names as if these were not there.
fn ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases() {
        let cases: [(&str, Option<&str>); 12] = [
            ("src/main.rs", None),
            ("SRC/Main.rs", None),
            (".env.", Some(".env")),
            ("a /.env . ", Some("a/.env")),
            (".e\u{200d}NV", Some(".env")),
            (".\u{df}h", Some(".ssh")),
            (".\u{212a}ube", Some(".kube")),
            (".env::$DATA", Some(".env")),
            (".git\\hooks", Some(".git")),
            ("\u{17f}ecrets", Some("secrets")),
            ("...", None),
            ("caf\u{e9}", None),
        ];
        for (path, want) in cases {
            let alias = Lower::new(path.as_bytes()).alias();
            assert_eq!(alias.as_deref(), want.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn long_and_broken_names_survive() {
        let long = vec![0xff; 3000];
        assert_eq!(Lower::new(&long).bytes(), &long[..]);
        assert_eq!(Lower::new(&long).alias(), None);
    }
}
