//! From text to a layer: which keys exist, what each takes, and who may say it.

use crate::error::{ConfigError, ConfigErrors, Refusal, nearest, position, quoted};
use crate::layers::{Agent, Env, Layer, Limits};
use crate::units;
use pinfold_policy::{Pattern, RuleSource, UserRule, Verdict};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest text that is read, in bytes.
pub const MAX_TEXT: usize = 256 * 1024;

/// Most patterns in one file. Both files and the flags together stay below what the policy takes.
const MAX_PATTERNS: usize = 1000;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    User,
    /// `trusted`: the person has said yes to exactly this content.
    Project {
        trusted: bool,
    },
}

type Value<'t> = Spanned<DeValue<'t>>;

/// A key and what reads its value.
type Key = (&'static str, fn(&mut Reader<'_>, &Value<'_>));

/// Reads one file. `file` is its name for messages.
pub fn parse(file: &str, text: &str, origin: Origin) -> Result<Layer, ConfigErrors> {
    let mut reader = Reader::new(file, text, origin);
    if text.len() > MAX_TEXT {
        reader.error(0..0, format!("the file is longer than {MAX_TEXT} bytes"), None);
        return Err(ConfigErrors(reader.errors));
    }
    match DeTable::parse(text) {
        Ok(table) => reader.root(table.get_ref()),
        Err(error) => {
            let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
            reader.error(error.span().unwrap_or(0..0), message, None);
        }
    }
    reader.finish()
}

/// A rule before it is known which stand before it.
struct Found {
    at: usize,
    list: &'static str,
    rule: UserRule,
}

struct Reader<'t> {
    text: &'t str,
    layer: Layer,
    found: Vec<Found>,
    errors: Vec<ConfigError>,
    /// The agent whose table is being read.
    agent: String,
}

impl<'t> Reader<'t> {
    fn new(file: &str, text: &'t str, origin: Origin) -> Self {
        let layer = Layer {
            file: file.to_owned(),
            origin,
            rules: Vec::new(),
            env: Env::default(),
            limits: Limits::default(),
            limits_at: [(0, 0); 4],
            agents: BTreeMap::new(),
            refusals: Vec::new(),
        };
        Reader { text, layer, found: Vec::new(), errors: Vec::new(), agent: String::new() }
    }

    fn finish(mut self) -> Result<Layer, ConfigErrors> {
        self.found.sort_by_key(|found| found.at);
        self.check_negations();
        if self.found.len() > MAX_PATTERNS {
            self.error(0..0, format!("{} patterns, where {MAX_PATTERNS} is the most", self.found.len()), None);
        }
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|error| (error.line, error.column));
            return Err(ConfigErrors(self.errors));
        }
        self.layer.rules = self.found.into_iter().map(|found| found.rule).collect();
        self.layer.refusals.sort_by_key(|refusal| (refusal.line, refusal.column));
        Ok(self.layer)
    }

    /// A `!` before which its list says nothing is a slip: most likely it was meant to show a name.
    fn check_negations(&mut self) {
        let first_of =
            |found: &Found, all: &[Found]| !all.iter().any(|other| other.list == found.list && other.at < found.at);
        let lone: Vec<(usize, String)> = self
            .found
            .iter()
            .filter(|found| found.rule.pattern.starts_with('!') && first_of(found, &self.found))
            .map(|found| (found.at, found.rule.pattern.clone()))
            .collect();
        for (at, pattern) in lone {
            let message =
                format!("{} takes back nothing, because no pattern of its list stands before it", quoted(&pattern));
            self.error(at..at, message, Some("to show a masked name, put it in `show` in [secrets]".to_owned()));
        }
    }

    // ---- tables ----

    fn root(&mut self, table: &DeTable<'_>) {
        let sections: [Key; 5] = [
            ("secrets", |r, v| r.section("secrets", SECRETS, v)),
            ("paths", |r, v| r.section("paths", PATHS, v)),
            ("env", |r, v| r.section("env", ENV, v)),
            ("limits", |r, v| r.section("limits", LIMITS, v)),
            ("agent", |r, v| r.agents(v)),
        ];
        self.keys(table, &sections, "", |key| {
            let homes = [("secrets", SECRETS), ("paths", PATHS), ("env", ENV), ("limits", LIMITS)];
            let (section, _) = homes.iter().find(|(_, keys)| keys.iter().any(|(name, _)| *name == key))?;
            Some(format!("did you mean `{key}` in [{section}]?"))
        });
    }

    fn section(&mut self, name: &'static str, keys: &'static [Key], value: &Value<'_>) {
        match value.get_ref() {
            DeValue::Table(table) => self.keys(table, keys, name, |_| None),
            other => self.wrong_type(value.span(), name, &format!("a table ([{name}])"), other),
        }
    }

    fn agents(&mut self, value: &Value<'_>) {
        let DeValue::Table(agents) = value.get_ref() else {
            return self.wrong_type(value.span(), "agent", "a table ([agent.claude])", value.get_ref());
        };
        for (name, agent) in agents.iter() {
            let good = !name.get_ref().is_empty()
                && name.get_ref().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !good {
                self.error(name.span(), format!("{} is no agent's name", quoted(name.get_ref())), None);
                continue;
            }
            self.agent = name.get_ref().to_string();
            self.section("agent", AGENT, agent);
        }
    }

    fn keys(&mut self, table: &DeTable<'_>, known: &[Key], section: &str, elsewhere: impl Fn(&str) -> Option<String>) {
        for (key, value) in table.iter() {
            match known.iter().find(|(name, _)| name == key.get_ref()) {
                Some((_, read)) => read(self, value),
                None => {
                    let name: &str = key.get_ref();
                    let near = nearest(name, known.iter().map(|(known, _)| *known));
                    let hint = elsewhere(name).or(near.map(|near| format!("did you mean `{near}`?")));
                    let place = if section.is_empty() { String::new() } else { format!(" in [{section}]") };
                    self.error(key.span(), format!("unknown key {}{place}", quoted(name)), hint);
                }
            }
        }
    }

    // ---- rules ----

    fn rules(&mut self, list: &'static str, verdict: Verdict, value: &Value<'_>) {
        for (text, span) in self.strings(list, value) {
            if let Err(why) = Pattern::new(&text) {
                self.error(span, format!("the pattern {} {why}", quoted(&text)), None);
                continue;
            }
            let (line, _) = position(self.text, span.start);
            let source = match self.layer.origin {
                Origin::User => RuleSource::User { line },
                Origin::Project { trusted: true } => RuleSource::Trusted { line },
                Origin::Project { trusted: false } => RuleSource::Project { line },
            };
            if verdict == Verdict::Share && self.refuses(&span, || format!("to {list} {}", quoted(&text))) {
                continue;
            }
            self.found.push(Found { at: span.start, list, rule: UserRule { pattern: text, verdict, source } });
        }
    }

    // ---- environment and agents ----

    fn env_pass(&mut self, value: &Value<'_>) {
        for (name, span) in self.strings("pass", value) {
            if self.is_variable(&name, &span) && !self.refuses(&span, || format!("for your variable {}", quoted(&name)))
            {
                self.layer.env.pass.push(name);
            }
        }
    }

    fn env_set(&mut self, value: &Value<'_>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong_type(value.span(), "set", "a table of strings ({ NAME = \"value\" })", value.get_ref());
        };
        for (name, value) in table.iter() {
            let text = match value.get_ref() {
                DeValue::String(text) if !text.contains('\0') => text.to_string(),
                DeValue::String(_) => {
                    self.error(value.span(), "a variable can't hold a NUL character".to_owned(), None);
                    continue;
                }
                other => {
                    self.wrong_type(value.span(), name.get_ref(), "a string", other);
                    continue;
                }
            };
            let key = name.get_ref().to_string();
            if self.is_variable(&key, &name.span())
                && !self.refuses(&name.span(), || format!("to set the variable {}", quoted(&key)))
            {
                self.layer.env.set.insert(key, text);
            }
        }
    }

    fn is_variable(&mut self, name: &str, span: &Range<usize>) -> bool {
        let bytes = name.as_bytes();
        let good = bytes.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
        if !good {
            self.error(span.clone(), format!("{} is no variable's name", quoted(name)), None);
        }
        good
    }

    fn agent_args(&mut self, value: &Value<'_>) {
        let mut args = Vec::new();
        for (arg, span) in self.strings("args", value) {
            if arg.contains('\0') {
                self.error(span, "an argument can't hold a NUL character".to_owned(), None);
            } else {
                args.push(arg);
            }
        }
        let agent = self.agent.clone();
        if !args.is_empty() && !self.refuses(&value.span(), || format!("for other arguments to {}", quoted(&agent))) {
            self.layer.agents.insert(agent, Agent { args });
        }
    }

    // ---- limits ----

    fn limit(&mut self, nth: usize, value: &Value<'_>, read: fn(&str) -> Result<u64, String>) {
        let name = Limits::NAMES[nth];
        let number = match value.get_ref() {
            DeValue::String(text) => read(text).map_err(|why| format!("{} {why}", quoted(text))),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| format!("{} is not a number that {name} can have", quoted(number.as_str()))),
            other => return self.wrong_type(value.span(), name, "a number or a string with a unit", other),
        };
        match number {
            Ok(0) => self.error(value.span(), format!("{name} can't be 0"), None),
            Ok(number) => {
                *self.layer.limits.fields_mut()[nth] = Some(number);
                self.layer.limits_at[nth] = position(self.text, value.span().start);
            }
            Err(message) => self.error(value.span(), message, None),
        }
    }

    // ---- helpers ----

    fn strings(&mut self, key: &str, value: &Value<'_>) -> Vec<(String, Range<usize>)> {
        let DeValue::Array(items) = value.get_ref() else {
            if let DeValue::String(text) = value.get_ref() {
                let hint = format!("put {} in brackets", quoted(text));
                self.error(value.span(), format!("`{key}` takes a list of strings, not one string"), Some(hint));
            } else {
                self.wrong_type(value.span(), key, "a list of strings", value.get_ref());
            }
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::String(text) => out.push((text.to_string(), item.span())),
                other => self.wrong_type(item.span(), key, "strings only", other),
            }
        }
        out
    }

    /// Whether this is asked by a project that may not; then it is noted.
    fn refuses(&mut self, span: &Range<usize>, asks: impl FnOnce() -> String) -> bool {
        if self.layer.origin != (Origin::Project { trusted: false }) {
            return false;
        }
        let (line, column) = position(self.text, span.start);
        self.layer.refusals.push(Refusal { file: self.layer.file.clone(), line, column, asks: asks() });
        true
    }

    fn wrong_type(&mut self, span: Range<usize>, key: &str, want: &str, found: &DeValue<'_>) {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(span, format!("{} takes {want}, not {found}", quoted(key)), None);
    }

    fn error(&mut self, span: Range<usize>, message: String, hint: Option<String>) {
        let (line, column) = position(self.text, span.start);
        self.errors.push(ConfigError { file: self.layer.file.clone(), line, column, message, hint });
    }
}

// The keys that exist, by section.

const SECRETS: &[Key] =
    &[("mask", |r, v| r.rules("mask", Verdict::Mask, v)), ("show", |r, v| r.rules("show", Verdict::Share, v))];

const PATHS: &[Key] = &[
    ("private", |r, v| r.rules("private", Verdict::Private, v)),
    ("watch", |r, v| r.rules("watch", Verdict::Watch, v)),
    ("share", |r, v| r.rules("share", Verdict::Share, v)),
];

const ENV: &[Key] = &[("pass", |r, v| r.env_pass(v)), ("set", |r, v| r.env_set(v))];

const LIMITS: &[Key] = &[
    ("memory", |r, v| r.limit(0, v, units::size)),
    ("pids", |r, v| r.limit(1, v, |text| text.parse().map_err(|_| "is not a number".to_owned()))),
    ("tmp", |r, v| r.limit(2, v, units::size)),
    ("timeout", |r, v| r.limit(3, v, units::time)),
];

const AGENT: &[Key] = &[("args", |r, v| r.agent_args(v))];
