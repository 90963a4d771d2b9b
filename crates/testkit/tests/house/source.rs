//! Rules about Rust sources, checked on their tokens and syntax, so that no comment or string is taken for code.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// The one crate that may say `unsafe`.
const SYS: &str = "crates/sys/";

const LONGEST_FILE: usize = 1000;
const LONGEST_FUNCTION: usize = 120;

/// Files that may be longer, because they are tables, and why.
const TABLES: [(&str, &str); 0] = [];

/// Functions that may be longer, because each arm is a line of a table, and why.
const TABLE_FUNCTIONS: [(&str, &str, &str); 1] =
    [("crates/maskfs/src/serve.rs", "fn dispatch", "one arm for each request of the FUSE protocol")];

/// The crates that take values and give values, and what of the standard library they therefore may not name.
const PURE: [&str; 4] = ["crates/policy/src/", "crates/config/src/", "crates/wire/src/", "crates/plan/src/"];
const IMPURE: [&str; 7] = ["fs", "net", "process", "env", "thread", "os", "time"];
/// What a thinking crate names all the same, and why that is no effect.
const HARMLESS: [(&str, &str, &str); 2] =
    [("os", "unix", "the bytes of a name: OsStrExt"), ("time", "Duration", "a length of time, not a clock")];

/// Who may print, and why. Everything else hands its words to the command line's report.
const VOICES: [(&str, &str); 8] = [
    ("crates/cli/src/report.rs", "the one voice of the product"),
    ("crates/testkit/src/need.rs", "a skipped test says why"),
    ("crates/testkit/src/bin/", "programs of their own"),
    ("escape/tests/corpus.rs", "a test runner of its own"),
    ("benches/src/", "a measurement prints its table"),
    ("crates/policy/examples/", "a measurement prints its table"),
    ("crates/maskfs/examples/", "programs of their own"),
    ("crates/engine/examples/", "programs of their own"),
];

/// `unsafe` outside sys, a crate that does not forbid it, or a block of sys without its reason.
pub fn unsafety(path: &str, text: &str) -> Vec<String> {
    let tokens = match tokens(path, text) {
        Ok(tokens) => tokens,
        Err(complaint) => return vec![complaint],
    };
    let mut found = Vec::new();
    let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
    if is_root && !path.starts_with(SYS) && !text.contains("#![forbid(unsafe_code)]") {
        found.push(format!("{path}: a crate's root says #![forbid(unsafe_code)]"));
    }
    for (index, token) in tokens.iter().enumerate() {
        if token.word != "unsafe" {
            continue;
        }
        if !path.starts_with(SYS) {
            found.push(format!("{path}:{}: `unsafe` is for crates/sys alone", token.line));
        } else if reason_needed(&tokens[index + 1..]) && !has_reason(text, token.line) {
            found.push(format!("{path}:{}: no SAFETY comment says whose promise this rests on", token.line));
        }
    }
    found
}

/// Files of more than a thousand lines, and functions that nobody can see whole.
pub fn sizes(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST_FILE && !TABLES.iter().any(|(table, _)| *table == path) {
        found.push(format!("{path}: {lines} lines, where {LONGEST_FILE} are the most"));
    }
    if !text.trim_start().starts_with("//!") && path.contains("/src/") {
        found.push(format!("{path}: opens without saying what it is for (`//!`)"));
    }
    match syn::parse_file(text) {
        Ok(file) => {
            let mut functions = Functions { found: Vec::new() };
            functions.visit_file(&file);
            let is_table =
                |name: &str| TABLE_FUNCTIONS.iter().any(|(file, function, _)| *file == path && *function == name);
            let long = functions.found.into_iter().filter(|(name, lines)| *lines > LONGEST_FUNCTION && !is_table(name));
            found.extend(long.map(|(name, lines)| {
                format!("{path}: {name} has {lines} lines, where {LONGEST_FUNCTION} are the most")
            }));
        }
        Err(error) => found.push(format!("{path}: cannot be parsed: {error}")),
    }
    found
}

/// A thinking crate that names a part of the standard library which acts. Its unit tests may.
pub fn purity(path: &str, text: &str) -> Vec<String> {
    if !PURE.iter().any(|pure| path.starts_with(pure)) {
        return Vec::new();
    }
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let tokens = match tokens(path, code) {
        Ok(tokens) => tokens,
        Err(complaint) => return vec![complaint],
    };
    let after = |index: usize| tokens.get(index).map_or("", |token| token.word.as_str());
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let [root, c1, c2, module] = [0, 1, 2, 3].map(|offset| after(index + offset));
        let item = after(index + 6);
        let harmless = HARMLESS.iter().any(|(m, i, _)| *m == module && *i == item);
        if root == "std" && c1 == ":" && c2 == ":" && IMPURE.contains(&module) && !harmless {
            found.push(format!(
                "{path}:{}: std::{module} is not for a crate that takes values and gives values",
                token.line
            ));
        }
        if root == "std" && c1 == ":" && module == "{" {
            found.push(format!(
                "{path}:{}: write `use std::x` line by line here, so that this rule can read it",
                token.line
            ));
        }
    }
    found
}

/// Code that is not finished, tests that do not run, printing from anywhere, and lints silenced without a word.
pub fn manners(path: &str, text: &str) -> Vec<String> {
    let tokens = match tokens(path, text) {
        Ok(tokens) => tokens,
        Err(complaint) => return vec![complaint],
    };
    let may_print = VOICES.iter().any(|(voice, _)| path.starts_with(voice));
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let next = |offset: usize| tokens.get(index + offset).map_or("", |token| token.word.as_str());
        let complaint = match token.word.as_str() {
            "todo" | "unimplemented" if next(1) == "!" => "is not finished",
            "dbg" if next(1) == "!" => "is for a moment, not for a commit",
            "print" | "println" | "eprint" | "eprintln" if next(1) == "!" && !may_print => {
                "prints; only the command line's report does"
            }
            "ignore" if index >= 2 && tokens[index - 1].word == "[" && tokens[index - 2].word == "#" => {
                "is a test that never runs"
            }
            "allow" | "expect" if is_attribute(&tokens, index) && !gives_reason(&tokens[index..]) => {
                "silences a lint without `reason = …`"
            }
            _ => continue,
        };
        found.push(format!("{path}:{}: `{}` {complaint}", token.line, token.word));
    }
    found
}

/// One token, delimiters included.
struct Token {
    word: String,
    line: usize,
}

fn tokens(path: &str, text: &str) -> Result<Vec<Token>, String> {
    let stream: TokenStream = text.parse().map_err(|error| format!("{path}: is not Rust: {error}"))?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                into.push(Token { word: open.to_owned(), line });
                flatten(group.stream(), into);
                into.push(Token { word: close.to_owned(), line: group.span_close().start().line });
            }
            tree => into.push(Token { word: tree.to_string(), line }),
        }
    }
}

/// A block or an impl needs a reason here; a function or a trait has a `# Safety` section, which rustc's own lints ask for.
fn reason_needed(after: &[Token]) -> bool {
    after.first().is_some_and(|token| token.word == "{" || token.word == "impl")
}

/// Is there a SAFETY comment above, in the same statement?
fn has_reason(text: &str, line: usize) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let mut above = lines[..line - 1].iter().rev().map(|line| line.trim());
    if lines[line - 1].contains("// SAFETY:") {
        return true;
    }
    let mut in_comment = false;
    above
        .find_map(|line| {
            let comment = line.starts_with("//");
            if comment && line.contains("SAFETY:") {
                return Some(true);
            }
            // Past the comment, or past the statement's beginning, it would be somebody else's reason.
            let ended = line.is_empty() || (!comment && (in_comment || line.ends_with([';', '}', '{'])));
            in_comment |= comment;
            ended.then_some(false)
        })
        .unwrap_or(false)
}

fn is_attribute(tokens: &[Token], index: usize) -> bool {
    let before = |back: usize| index.checked_sub(back).map_or("", |at| tokens[at].word.as_str());
    before(1) == "[" && (before(2) == "#" || (before(2) == "!" && before(3) == "#"))
}

fn gives_reason(from: &[Token]) -> bool {
    from.iter().skip(1).take_while(|token| token.word != ")").any(|token| token.word == "reason")
}

/// Every function with a body, by name, and how many lines it takes.
struct Functions {
    found: Vec<(String, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let (first, last) = (signature.fn_token.span.start().line, body.brace_token.span.close().end().line);
        self.found.push((format!("fn {}", signature.ident), last - first + 1));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complains;

    const NONE: Vec<String> = Vec::new();

    #[test]
    fn unsafe_elsewhere_or_without_a_reason_is_refused() {
        complains(&unsafety("crates/plan/src/x.rs", "fn f() { unsafe { g() } }"), "crates/sys alone");
        complains(&unsafety("crates/plan/src/x.rs", "m! { unsafe {} }"), "crates/sys alone");
        complains(&unsafety("crates/plan/src/lib.rs", "//! Text.\n"), "forbid(unsafe_code)");
        complains(&unsafety("crates/sys/src/x.rs", "fn f() {\n    unsafe { g() }\n}\n"), "no SAFETY comment");
        let stolen = "fn f() {\n    // SAFETY: mine\n    let a = unsafe { g() };\n    let b = unsafe { g() };\n}\n";
        complains(&unsafety("crates/sys/src/x.rs", stolen), "x.rs:4: no SAFETY");
        complains(&unsafety("crates/sys/src/x.rs", "unsafe impl Send for X {}\n"), "no SAFETY comment");
    }

    #[test]
    fn unsafe_with_its_reason_is_not() {
        let good = "fn f() {\n    // SAFETY: the caller's promise,\n    // kept there.\n    let x = h(\n        unsafe { g() },\n    );\n}\n";
        assert_eq!(unsafety("crates/sys/src/x.rs", good), NONE);
        assert_eq!(unsafety("crates/plan/src/x.rs", "// unsafe\nconst A: &str = \"unsafe {}\";"), NONE);
    }

    #[test]
    fn what_is_too_long_is_refused() {
        complains(&sizes("crates/x/src/a.rs", &"//! A line.\n".repeat(1001)), "1001 lines");
        complains(&sizes("crates/x/src/a.rs", "fn f() {}\n"), "opens without");
        let long = format!("//! Text.\nimpl X {{\nfn f() {{\n{}}}\n}}\n", "g();\n".repeat(119));
        complains(&sizes("crates/x/src/a.rs", &long), "fn f has 121 lines");
        let fits = format!("//! Text.\nfn f() {{\n{}}}\n", "g();\n".repeat(118));
        assert_eq!(sizes("crates/x/src/a.rs", &fits), NONE);
    }

    #[test]
    fn a_thinking_crate_that_acts_is_refused() {
        let bad = "use std::fs;\nfn f() { std::env::var_os(\"X\"); std::time::Instant::now(); }\nuse std::{io, net};\n";
        let complaints = purity("crates/plan/src/x.rs", bad);
        for sign in ["x.rs:1: std::fs", "std::env", "std::time", "line by line"] {
            complains(&complaints, sign);
        }
        let good =
            "use std::time::Duration;\nuse std::os::unix::ffi::OsStrExt;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(purity("crates/plan/src/x.rs", good), NONE);
        assert_eq!(purity("crates/survey/src/x.rs", bad), NONE);
    }

    #[test]
    fn bad_manners_are_refused() {
        let bad = "#[test]\n#[ignore]\nfn f() { todo!(); println!(); dbg!(1); }\n#[allow(dead_code)]\nfn g() {}\n";
        let complaints = manners("crates/engine/src/x.rs", bad);
        for sign in ["x.rs:2: `ignore`", "`todo`", "`println`", "`dbg`", "`allow` silences"] {
            complains(&complaints, sign);
        }
        let good =
            "//! todo!() is a word.\n#[expect(dead_code, reason = \"soon\")]\nfn f() { x.expect(\"println!\"); }\n";
        assert_eq!(manners("crates/engine/src/x.rs", good), NONE);
        assert_eq!(manners("crates/cli/src/report.rs", "fn f() { eprint!(\"x\"); }"), NONE);
    }
}
