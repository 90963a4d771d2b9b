//! The only place that prints. Results go to standard output, everything about pinfold itself to standard error.
//!
//! Text may hold names that a box chose. Control characters and bidirectional marks in it are escaped, so that it can't
//! rewrite a terminal or a log.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the place that prints")]

use crate::exit::Trouble;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// What went wrong: a message, what caused it, and what to try.
#[derive(Debug, Serialize)]
pub struct Failure {
    pub kind: Trouble,
    pub code: u8,
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Failure {
    pub fn new(kind: Trouble, message: impl Into<String>) -> Failure {
        Failure { kind, code: kind.code(), message: message.into(), causes: vec![], hint: None }
    }

    /// With the causes that the error carries.
    pub fn of(kind: Trouble, error: &dyn std::error::Error) -> Failure {
        let mut failure = Failure::new(kind, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            failure.causes.push(error.to_string());
            cause = error.source();
        }
        failure
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    pub fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Failure {
        self.hint = hint.map(Into::into);
        self
    }
}

/// How to print.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    pub json: bool,
    pub quiet: bool,
    colour: bool,
    /// While a box has the terminal, it is raw: a newline alone would not go back to the left.
    raw: bool,
}

impl Report {
    pub fn new(json: bool, quiet: bool) -> Report {
        let terminal = std::io::stderr().is_terminal();
        let wanted = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Report { json, quiet, colour: terminal && wanted("NO_COLOR") && !dumb, raw: terminal }
    }

    /// A result, as it is. A reader that went away is no trouble.
    pub fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// A result as JSON, one document a line.
    pub fn print_json(&self, value: &impl Serialize) {
        let text = serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"bug\":\"{error}\"}}"));
        self.print(&(text + "\n"));
    }

    /// Something the person should know, that stops nothing.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say("note", "\x1b[1;36m", text);
        }
    }

    /// What went wrong, and the code to end with.
    pub fn failure(&self, failure: &Failure) -> ExitCode {
        if self.json {
            #[derive(Serialize)]
            struct Line<'a> {
                error: &'a Failure,
            }
            let text = serde_json::to_string(&Line { error: failure }).unwrap_or_default();
            self.lines(&text);
        } else {
            self.say(failure.kind.heading(), "\x1b[1;31m", &failure.message);
            for cause in &failure.causes {
                self.say("  because", "", cause);
            }
            if let Some(hint) = &failure.hint {
                self.say("hint", "\x1b[1;32m", hint);
            }
        }
        ExitCode::from(failure.code)
    }

    fn say(&self, heading: &str, colour: &str, text: &str) {
        let (on, off) = if self.colour { (colour, "\x1b[0m") } else { ("", "") };
        self.lines(&format!("{on}{heading}:{off} {}", harmless(text).replace('\n', "\n  ")));
    }

    fn lines(&self, text: &str) {
        let end = if self.raw { "\r\n" } else { "\n" };
        eprint!("{}{end}", text.replace('\n', end));
    }
}

/// The text with everything escaped that would move a cursor, hide a letter or ring a bell. Newlines stay.
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let odd = (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if odd { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_harmless() {
        assert_eq!(harmless("a\x1b[2Jb\u{202e}c\r\nd\u{7}é"), "a\\u{1b}[2Jb\\u{202e}c\\u{d}\nd\\u{7}é");
    }
}
