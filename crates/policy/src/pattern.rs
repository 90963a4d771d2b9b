//! Gitignore patterns, matched on bytes.
//!
//! Every letter matches in either case, whatever git's `core.ignorecase` says: a mask that a capital letter lifts is no
//! mask. Matching is iterative and polynomial, because a repository may bring the pattern and the path. Nothing is
//! compiled into an automaton: a box pays for its rules at every start, and has few of them.
//!
//! Where this differs from git: a capital letter alone in a class (`[A]`) matches both cases here, and a line that git
//! would silently never match (an unclosed `[`, a last `\`, a `..`) is an error, so that a typing slip can't
//! leave a secret in view.

/// Longest pattern that is accepted, in bytes: as long as the longest path that Linux takes.
pub const MAX_PATTERN: usize = 4096;

/// Why a line is not a pattern. Reads on from "the pattern X".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    #[error("is empty")]
    Empty,
    #[error("is longer than {MAX_PATTERN} bytes")]
    Long,
    #[error("holds a NUL byte, which no file name does")]
    Nul,
    #[error("has a '[' that is never closed")]
    OpenClass,
    #[error("names a character class that does not exist")]
    UnknownClass,
    #[error("ends in a '\\' that escapes nothing")]
    LastEscape,
    #[error("has an empty, '.' or '..' component, which never matches; patterns start at the workspace's root")]
    Dots,
}

/// A compiled line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    segments: Vec<Segment>,
    /// Starts at the root; else it speaks of the last name alone.
    anchored: bool,
    folders_only: bool,
    negated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// `**` between slashes: any number of folders.
    Folders,
    Name(Vec<Token>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    Any,
    Star,
    Class(Box<ByteSet>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct ByteSet([u64; 4]);

impl Pattern {
    pub fn new(line: &str) -> Result<Self, BadPattern> {
        let mut rest = line.as_bytes();
        if rest.len() > MAX_PATTERN {
            return Err(BadPattern::Long);
        }
        if rest.contains(&0) {
            return Err(BadPattern::Nul);
        }
        rest = trim_spaces(rest);
        let negated = rest.first() == Some(&b'!');
        if negated {
            rest = &rest[1..];
        }
        let folders_only = rest.last() == Some(&b'/');
        if folders_only {
            rest = &rest[..rest.len() - 1];
        }
        let anchored = rest.contains(&b'/');
        if rest.first() == Some(&b'/') {
            rest = &rest[1..];
        }
        if rest.is_empty() {
            return Err(BadPattern::Empty);
        }
        Ok(Pattern { segments: parse(rest)?, anchored, folders_only, negated })
    }

    /// Whether the line takes back (`!`) what earlier ones said.
    pub fn negated(&self) -> bool {
        self.negated
    }

    /// Whether this line speaks of `path` itself, and not merely of a folder above it. `path` is in lower case, its last
    /// name starts at `name_at`.
    pub(crate) fn matches(&self, path: &[u8], name_at: usize, folder: bool) -> bool {
        if self.folders_only && !folder {
            return false;
        }
        if self.anchored {
            return match_path(&self.segments, path);
        }
        match &self.segments[..] {
            [Segment::Name(tokens)] => match_name(tokens, &path[name_at..]),
            // `**` without a slash is `*`.
            _ => true,
        }
    }
}

/// Spaces at the end do not count unless escaped.
fn trim_spaces(mut line: &[u8]) -> &[u8] {
    while let [head @ .., b' '] = line {
        let slashes = head.iter().rev().take_while(|&&b| b == b'\\').count();
        if slashes % 2 == 1 {
            break;
        }
        line = head;
    }
    line
}

fn parse(mut rest: &[u8]) -> Result<Vec<Segment>, BadPattern> {
    let mut segments = Vec::new();
    loop {
        let (tokens, after, stars_only) = parse_name(rest)?;
        match tokens.as_slice() {
            [] => return Err(BadPattern::Dots),
            [Token::Byte(b'.')] | [Token::Byte(b'.'), Token::Byte(b'.')] => return Err(BadPattern::Dots),
            // Two in a row say the same as one.
            [Token::Star] if stars_only && segments.last() == Some(&Segment::Folders) => {}
            [Token::Star] if stars_only => segments.push(Segment::Folders),
            _ => segments.push(Segment::Name(tokens)),
        }
        match after {
            Some(next) => rest = next,
            None => return Ok(segments),
        }
    }
}

/// Up to the next slash: the tokens, what follows the slash, and whether the name was exactly `**`.
#[allow(clippy::type_complexity, reason = "three parts, used once; a struct would only rename them")]
fn parse_name(text: &[u8]) -> Result<(Vec<Token>, Option<&[u8]>, bool), BadPattern> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < text.len() && text[at] != b'/' {
        match text[at] {
            b'?' => tokens.push(Token::Any),
            b'*' => {
                if tokens.last() != Some(&Token::Star) {
                    tokens.push(Token::Star);
                }
            }
            b'[' => {
                let (set, used) = parse_class(&text[at + 1..])?;
                tokens.push(Token::Class(Box::new(set)));
                at += used;
            }
            b'\\' => {
                at += 1;
                match text.get(at) {
                    None => return Err(BadPattern::LastEscape),
                    // An escaped slash is still a slash.
                    Some(b'/') => break,
                    Some(&b) => tokens.push(Token::Byte(b.to_ascii_lowercase())),
                }
            }
            b => tokens.push(Token::Byte(b.to_ascii_lowercase())),
        }
        at += 1;
    }
    let after = text.get(at).map(|_| &text[at + 1..]);
    Ok((tokens, after, text[..at].len() >= 2 && text[..at].iter().all(|&b| b == b'*')))
}

/// What stands between `[` and `]`, and how many bytes that took, the `]` included.
fn parse_class(text: &[u8]) -> Result<(ByteSet, usize), BadPattern> {
    let mut set = ByteSet::default();
    let mut at = 0;
    let inverted = matches!(text.first(), Some(b'!' | b'^'));
    if inverted {
        at += 1;
    }
    let first = at;
    let mut before: Option<u8> = None;
    loop {
        let b = *text.get(at).ok_or(BadPattern::OpenClass)?;
        match b {
            b']' if at > first => break,
            b'-' if before.is_some() && !matches!(text.get(at + 1), None | Some(b']')) => {
                let (end, used) = class_byte(&text[at + 1..])?;
                set.add_range(before.take().unwrap_or(end), end);
                at += 1 + used;
            }
            b'[' if text.get(at + 1) == Some(&b':') && named_class_end(&text[at + 2..]).is_some() => {
                let end = named_class_end(&text[at + 2..]).unwrap_or(0);
                set.add_named(&text[at + 2..at + 2 + end])?;
                before = None;
                at += end + 4;
            }
            _ => {
                let (b, used) = class_byte(&text[at..])?;
                set.add_range(b, b);
                before = Some(b);
                at += used;
            }
        }
    }
    if inverted {
        set.0.iter_mut().for_each(|word| *word = !*word);
    }
    Ok((set, at + 1))
}

fn class_byte(text: &[u8]) -> Result<(u8, usize), BadPattern> {
    match text {
        [b'\\', b, ..] => Ok((*b, 2)),
        [b, ..] => Ok((*b, 1)),
        [] => Err(BadPattern::OpenClass),
    }
}

/// Where the `:]` of `[:name:]` stands, if the `]` that comes first is its own.
fn named_class_end(text: &[u8]) -> Option<usize> {
    let close = text.iter().position(|&b| b == b']')?;
    (close > 0 && text[close - 1] == b':').then(|| close - 1)
}

impl ByteSet {
    fn add(&mut self, b: u8) {
        for b in [b.to_ascii_lowercase(), b.to_ascii_uppercase()] {
            self.0[usize::from(b >> 6)] |= 1 << (b & 63);
        }
    }

    fn add_range(&mut self, from: u8, to: u8) {
        (from..=to).for_each(|b| self.add(b));
    }

    fn add_named(&mut self, name: &[u8]) -> Result<(), BadPattern> {
        let holds: fn(&u8) -> bool = match name {
            b"alnum" => u8::is_ascii_alphanumeric,
            b"alpha" | b"upper" | b"lower" => u8::is_ascii_alphabetic,
            b"blank" => |b| matches!(b, b' ' | b'\t'),
            b"cntrl" => u8::is_ascii_control,
            b"digit" => u8::is_ascii_digit,
            b"graph" => u8::is_ascii_graphic,
            b"print" => |b| matches!(b, b' '..=b'~'),
            b"punct" => u8::is_ascii_punctuation,
            b"space" => |b| matches!(b, b' ' | b'\t'..=b'\r'),
            b"xdigit" => u8::is_ascii_hexdigit,
            _ => return Err(BadPattern::UnknownClass),
        };
        (0..=255u8).filter(holds).for_each(|b| self.add(b));
        Ok(())
    }

    fn has(&self, b: u8) -> bool {
        self.0[usize::from(b >> 6)] & (1 << (b & 63)) != 0
    }
}

/// One name against one segment. Only the latest `*` is ever tried again, which is enough and keeps it at m×n steps.
fn match_name(tokens: &[Token], name: &[u8]) -> bool {
    let (mut t, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match tokens.get(t) {
            Some(Token::Star) => {
                t += 1;
                if t == tokens.len() {
                    return true;
                }
                retry = Some((t, n));
                continue;
            }
            Some(token) if n < name.len() && token_is(token, name[n]) => {
                t += 1;
                n += 1;
                continue;
            }
            None if n == name.len() => return true,
            _ => {}
        }
        match retry {
            Some((after_star, from)) if from < name.len() => {
                retry = Some((after_star, from + 1));
                (t, n) = (after_star, from + 1);
            }
            _ => return false,
        }
    }
}

fn token_is(token: &Token, b: u8) -> bool {
    match token {
        Token::Byte(want) => *want == b,
        Token::Any => true,
        Token::Class(set) => set.has(b),
        Token::Star => false,
    }
}

/// A path against all segments; `**` is to folders what `*` is to bytes, but at the end it needs at least one name.
fn match_path(segments: &[Segment], path: &[u8]) -> bool {
    let (mut s, mut rest) = (0, Some(path));
    let mut retry: Option<(usize, &[u8])> = None;
    loop {
        match (segments.get(s), rest) {
            (Some(Segment::Folders), Some(here)) => {
                if s + 1 == segments.len() {
                    return true;
                }
                s += 1;
                retry = Some((s, here));
                continue;
            }
            (Some(Segment::Name(tokens)), Some(here)) => {
                let (name, after) = split(here);
                if match_name(tokens, name) {
                    s += 1;
                    rest = after;
                    continue;
                }
            }
            (None, None) => return true,
            _ => {}
        }
        match retry.and_then(|(after_stars, from)| Some((after_stars, split(from).1?))) {
            Some((after_stars, from)) => {
                retry = Some((after_stars, from));
                (s, rest) = (after_stars, Some(from));
            }
            None => return false,
        }
    }
}

fn split(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|&b| b == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, path: &str, folder: bool) -> bool {
        let path = path.to_ascii_lowercase();
        let name_at = path.rfind('/').map_or(0, |at| at + 1);
        Pattern::new(pattern).unwrap().matches(path.as_bytes(), name_at, folder)
    }

    #[test]
    fn slashes_anchor_and_stars_stay_in_their_name() {
        assert!(hit("*.x", "a/b.x", false));
        assert!(!hit("/*.x", "a/b.x", false));
        assert!(hit("a/*.x", "a/b.x", false));
        assert!(!hit("a/*.x", "c/a/b.x", false));
        assert!(!hit("a*b", "a/b", false));
        assert!(hit("b/", "a/b", true) && !hit("b/", "a/b", false));
    }

    #[test]
    fn two_stars_cross_folders() {
        for path in ["a/b", "a/x/b", "a/x/y/b"] {
            assert!(hit("a/**/b", path, false), "{path}");
        }
        assert!(hit("**/b", "b", false) && hit("**/b", "x/y/b", false));
        assert!(hit("a/**", "a/b/c", false) && !hit("a/**", "a", true));
    }

    #[test]
    fn bad_lines_are_refused() {
        use BadPattern::*;
        let cases = [
            ("", Empty),
            ("/", Empty),
            ("!", Empty),
            ("  ", Empty),
            ("a[b", OpenClass),
            ("a\\", LastEscape),
            ("[[:nope:]]", UnknownClass),
            ("../a", Dots),
            ("./a", Dots),
            ("a//b", Dots),
            ("a\0b", Nul),
        ];
        for (line, why) in cases {
            assert_eq!(Pattern::new(line), Err(why), "{line:?}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let pattern = "a*".repeat(60) + "b";
        assert!(!hit(&pattern, &"a".repeat(2000), false));
        let pattern = "**/a/".repeat(200) + "b";
        assert!(!hit(&pattern, "a/".repeat(1000).trim_end_matches('/'), false));
    }
}
