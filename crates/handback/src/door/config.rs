//! Reads a git configuration file as text, and writes strings into one safely.
//!
//! Only the grammar is known here: sections, names, values. Includes are seen and never followed.

use super::error::printable;
use crate::place;
use std::os::fd::BorrowedFd;

const MAX_CONFIG: u64 = 4 << 20;

/// One `name = value`. Section and name are in lower case, as git compares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub section: String,
    /// Case matters here.
    pub subsection: Option<Vec<u8>>,
    pub name: String,
    /// `None`: the name stands alone, which means true.
    pub value: Option<Vec<u8>>,
}

/// The items of a file, in order: later ones win.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    pub items: Vec<Item>,
}

impl Config {
    /// Adds the items of one file below `dir`. A line that git would not understand ends the file and is noted.
    pub(super) fn add_file(
        &mut self,
        dir: BorrowedFd<'_>,
        path: &[u8],
        notes: &mut Vec<String>,
    ) -> std::io::Result<()> {
        let Some(file) = place::read_below(dir, path, MAX_CONFIG)? else { return Ok(()) };
        if let Err(line) = self.parse(&file.bytes) {
            notes.push(format!("{}: line {line} is not understood, and the rest was not read", printable(path)));
        }
        Ok(())
    }

    /// Adds the items of a file's text. The error is the number of the line that is not understood.
    pub fn parse(&mut self, text: &[u8]) -> Result<(), u32> {
        let mut parser = Parser { text: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text), at: 0, line: 1 };
        let mut section = (String::new(), None);
        while let Some(byte) = parser.skip_blank() {
            if byte == b'[' {
                section = parser.section().ok_or(parser.line)?;
            } else {
                let (name, value) = parser.item().ok_or(parser.line)?;
                self.items.push(Item { section: section.0.clone(), subsection: section.1.clone(), name, value });
            }
        }
        Ok(())
    }

    /// The last value of `section.name`.
    pub fn get(&self, section: &str, name: &str) -> Option<&Item> {
        self.items.iter().rfind(|i| i.section == section && i.subsection.is_none() && i.name == name)
    }

    /// The last value of `section.name` as text.
    pub fn text(&self, section: &str, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(section, name)?.value.as_deref()?).ok()
    }

    /// The last value of `section.name` as git reads a boolean.
    pub fn truth(&self, section: &str, name: &str) -> Option<bool> {
        self.get(section, name).and_then(Item::truth)
    }

    /// The subsections of a section, in order of first appearance.
    pub fn subsections(&self, section: &str) -> Vec<&[u8]> {
        let mut found: Vec<&[u8]> = Vec::new();
        for item in self.items.iter().filter(|i| i.section == section) {
            if let Some(name) = item.subsection.as_deref()
                && !found.contains(&name)
            {
                found.push(name);
            }
        }
        found
    }

    /// All values of `section.subsection.name`.
    pub fn all<'a>(&'a self, section: &'a str, subsection: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a Item> {
        self.items
            .iter()
            .filter(move |i| i.section == section && i.subsection.as_deref() == Some(subsection) && i.name == name)
    }
}

impl Item {
    pub fn truth(&self) -> Option<bool> {
        let Some(value) = &self.value else { return Some(true) };
        match value.to_ascii_lowercase().as_slice() {
            b"true" | b"yes" | b"on" | b"1" => Some(true),
            b"false" | b"no" | b"off" | b"0" | b"" => Some(false),
            _ => None,
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        // A carriage return before a line end is part of the line end.
        if byte == b'\r' && self.peek() == Some(b'\n') {
            return self.next();
        }
        Some(byte)
    }

    /// Goes to the next section or item.
    fn skip_blank(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b'#' | b';' => while self.next()? != b'\n' {},
                b if b.is_ascii_whitespace() => _ = self.next(),
                b => return Some(b),
            }
        }
    }

    /// `[name]`, `[name "sub"]` or the old `[name.sub]`.
    fn section(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        self.next();
        let mut name = String::new();
        loop {
            match self.next()? {
                b']' => break,
                b' ' | b'\t' => return Some((name, Some(self.quoted_subsection()?))),
                b if b.is_ascii_alphanumeric() || b == b'-' || b == b'.' => name.push(b.to_ascii_lowercase() as char),
                _ => return None,
            }
        }
        match name.split_once('.') {
            Some((section, sub)) => Some((section.to_owned(), Some(sub.as_bytes().to_vec()))),
            None => Some((name, None)),
        }
    }

    fn quoted_subsection(&mut self) -> Option<Vec<u8>> {
        while matches!(self.peek()?, b' ' | b'\t') {
            self.next();
        }
        if self.next()? != b'"' {
            return None;
        }
        let mut sub = Vec::new();
        loop {
            match self.next()? {
                b'\n' => return None,
                b'"' => break,
                b'\\' => match self.next()? {
                    b'\n' => return None,
                    b => sub.push(b),
                },
                b => sub.push(b),
            }
        }
        (self.next()? == b']').then_some(sub)
    }

    fn item(&mut self) -> Option<(String, Option<Vec<u8>>)> {
        let mut name = String::new();
        if !self.peek()?.is_ascii_alphabetic() {
            return None;
        }
        while let Some(b) = self.peek().filter(|b| b.is_ascii_alphanumeric() || *b == b'-') {
            name.push(b.to_ascii_lowercase() as char);
            self.next();
        }
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.next();
        }
        match self.next() {
            None | Some(b'\n') => Some((name, None)),
            Some(b'=') => Some((name, Some(self.value()?))),
            // git wants `=`; a comment after a bare name is an error for it too
            Some(_) => None,
        }
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let (mut value, mut quoted, mut comment) = (Vec::new(), false, false);
        // How much of `value` is not trailing white space.
        let mut solid = 0;
        loop {
            match self.next() {
                None | Some(b'\n') if quoted => return None,
                None | Some(b'\n') => break,
                Some(_) if comment => {}
                Some(b) if !quoted && b.is_ascii_whitespace() => {
                    if !value.is_empty() {
                        value.push(b);
                    }
                }
                Some(b'#' | b';') if !quoted => comment = true,
                Some(b'"') => {
                    quoted = !quoted;
                    solid = value.len();
                }
                Some(b'\\') => {
                    match self.next() {
                        Some(b'\n') => continue,
                        Some(b't') => value.push(b'\t'),
                        Some(b'b') => value.push(8),
                        Some(b'n') => value.push(b'\n'),
                        Some(b @ (b'\\' | b'"')) => value.push(b),
                        _ => return None,
                    }
                    solid = value.len();
                }
                Some(b) => {
                    value.push(b);
                    solid = value.len();
                }
            }
        }
        value.truncate(solid);
        Some(value)
    }
}

/// Writes a configuration file.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub fn section(&mut self, name: &str) {
        self.out.extend_from_slice(format!("[{name}]\n").as_bytes());
    }

    /// A name with a line end or NUL can't be written; the answer is then `false` and nothing is written.
    #[must_use]
    pub fn subsection(&mut self, name: &str, sub: &[u8]) -> bool {
        if sub.contains(&b'\n') || sub.contains(&0) {
            return false;
        }
        self.out.extend_from_slice(format!("[{name} \"").as_bytes());
        for &byte in sub {
            if byte == b'"' || byte == b'\\' {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        self.out.extend_from_slice(b"\"]\n");
        true
    }

    /// Always in quotes, so that no value can end its line, open a section or start a comment.
    pub fn value(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.out.extend_from_slice(format!("\t{name} = \"").as_bytes());
        for &byte in value.as_ref() {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                8 => self.out.extend_from_slice(b"\\b"),
                0 => {}
                _ => self.out.push(byte),
            }
        }
        self.out.extend_from_slice(b"\"\n");
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Vec<(String, Option<String>)> {
        let mut config = Config::default();
        config.parse(text.as_bytes()).unwrap();
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        let full = |i: &Item| match &i.subsection {
            Some(sub) => format!("{}.{}.{}", i.section, text(sub.clone()), i.name),
            None => format!("{}.{}", i.section, i.name),
        };
        config.items.iter().map(|i| (full(i), i.value.clone().map(text))).collect()
    }

    #[test]
    fn the_grammar_of_git() {
        let got = parse(
            "[Core] ; c\n\tBare = false # x\n logallrefupdates\n[remote \"o\\\"r\"]\nurl = \"a;b\" c  \nfetch = a\\\n  b\n[branch.Main]\r\nx=\r\n",
        );
        let want = [
            ("core.bare", Some("false")),
            ("core.logallrefupdates", None),
            ("remote.o\"r.url", Some("a;b c")),
            ("remote.o\"r.fetch", Some("a  b")),
            ("branch.main.x", Some("")),
        ];
        assert_eq!(got, want.map(|(k, v)| (k.to_owned(), v.map(str::to_owned))));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(sub in proptest::collection::vec(any::<u8>(), 0..20), value in proptest::collection::vec(1u8.., 0..40)) {
            let mut writer = Writer::default();
            prop_assume!(writer.subsection("remote", &sub));
            writer.value("url", &value);
            let mut config = Config::default();
            config.parse(&writer.into_bytes()).unwrap();
            prop_assert_eq!(config.items.len(), 1);
            // A carriage return that ends a quoted value stands before the quote, not before the line end.
            prop_assert_eq!(config.items[0].value.as_deref(), Some(&value[..]));
            prop_assert_eq!(config.items[0].subsection.as_deref(), Some(&sub[..]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Config::default().parse(&bytes);
        }
    }
}
