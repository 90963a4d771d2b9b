//! Dependencies point down: each crate has a level, and what it may use lies below it. Every ban has a reason, which is printed.

use toml::{Table, Value};

use crate::tree::Tree;

/// What a member of the workspace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A part of the product, at this level.
    Level(u8),
    /// For tests and measurements; never in the product.
    Dev,
}

/// Who stands where. A new crate needs a row here and a sentence in ARCHITECTURE.md.
const HOUSE: [(&str, Place); 15] = [
    ("pinfold-sys", Place::Level(0)),
    ("pinfold-policy", Place::Level(1)),
    ("pinfold-config", Place::Level(1)),
    ("pinfold-wire", Place::Level(1)),
    ("pinfold-plan", Place::Level(2)),
    ("pinfold-engine", Place::Level(3)),
    ("pinfold-maskfs", Place::Level(3)),
    ("pinfold-handback", Place::Level(3)),
    ("pinfold-survey", Place::Level(3)),
    ("pinfold", Place::Level(4)),
    ("pinfold-testkit", Place::Dev),
    ("pinfold-escape", Place::Dev),
    ("pinfold-e2e", Place::Dev),
    ("pinfold-benches", Place::Dev),
    ("pinfold-fuzz", Place::Dev),
];

/// Arrows that stay on one level, and why each is good.
const SIDEWAYS: [(&str, &str, &str); 1] = [(
    "pinfold-config",
    "pinfold-policy",
    "a configuration file is mostly rules, and is parsed into the policy's own types",
)];

/// The thinking crates, and all that they may use from outside: nothing that can open, wait or ask.
const PURE: [&str; 4] = ["pinfold-policy", "pinfold-config", "pinfold-wire", "pinfold-plan"];
const PURE_MAY_USE: [&str; 4] = ["serde", "serde_json", "thiserror", "toml"];

const UP: &str = "arrows point down only, so that a lower crate can be read and tested without the higher one";
const LEVEL_THREE: &str =
    "level 3 crates meet as processes, over wire: each must be able to run, narrow itself and fail alone";
const SAME_LEVEL: &str = "crates of one level know nothing of each other; a shared type belongs a level below";
const SYS: &str = "the thinking crates can make no system call: they take values and give values";
const PURE_REASON: &str =
    "the thinking crates take values and give values; file, network, clock and randomness are the survey's";
const DEV: &str = "what tests are written with is never in the product";
const BLACK_BOX: &str = "tests of real boxes and measurements see what a person sees: the binary and its command line";

/// What is wrong with one manifest.
pub fn complaints(path: &str, text: &str) -> Vec<String> {
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![format!("{path}: cannot be read: {error}")],
    };
    let Some(name) = manifest.get("package").and_then(|package| package.get("name")).and_then(Value::as_str) else {
        return vec![format!("{path}: has no package.name")];
    };
    if place_of(name).is_none() {
        return vec![format!("{path}: {name} has no level; give it a row in HOUSE and a sentence in ARCHITECTURE.md")];
    }
    let mut bans = Vec::new();
    for (section, dev) in [("dependencies", false), ("build-dependencies", false), ("dev-dependencies", true)] {
        for tables in std::iter::once(&manifest).chain(of_targets(&manifest)) {
            for on in tables.get(section).and_then(Value::as_table).into_iter().flat_map(Table::keys) {
                if let Some(reason) = ban(name, on, dev) {
                    bans.push(format!("{path}: [{section}] {name} -> {on}: {reason}"));
                }
            }
        }
    }
    bans
}

/// The rows that name nobody: a table that has outlived a crate would hide the next one of that name.
pub fn unknown(tree: &Tree) -> Vec<String> {
    let named: Vec<_> = tree.manifests().filter_map(|(_, text)| text.parse::<Table>().ok()).collect();
    let is_there = |name: &str| {
        named.iter().any(|m| m.get("package").and_then(|p| p.get("name")).and_then(Value::as_str) == Some(name))
    };
    HOUSE
        .iter()
        .filter(|(name, _)| !is_there(name))
        .map(|(name, _)| format!("HOUSE has {name}, the repository has not"))
        .collect()
}

fn of_targets(manifest: &Table) -> impl Iterator<Item = &Table> {
    manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values).filter_map(Value::as_table)
}

fn place_of(name: &str) -> Option<Place> {
    HOUSE.iter().find(|(known, _)| *known == name).map(|(_, place)| *place)
}

/// Why `name` may not depend on `on`, if it may not.
fn ban(name: &str, on: &str, dev: bool) -> Option<&'static str> {
    if name == on {
        return None; // itself, with a feature for its own tests
    }
    let (Some(from), Some(to)) = (place_of(name), place_of(on)) else {
        let outside = PURE.contains(&name) && !dev && !PURE_MAY_USE.contains(&on);
        return outside.then_some(PURE_REASON);
    };
    match (from, to) {
        // A fuzz target calls one function a million times; no binary can be asked so.
        (Place::Dev, Place::Level(_)) if name == "pinfold-fuzz" => None,
        (Place::Dev, Place::Level(_)) => Some(BLACK_BOX),
        (Place::Dev, Place::Dev) => None,
        (Place::Level(_), Place::Dev) => (!dev).then_some(DEV),
        (Place::Level(_), Place::Level(0)) if PURE.contains(&name) => Some(SYS),
        (Place::Level(from), Place::Level(to)) if from > to => None,
        (Place::Level(_), Place::Level(_)) if SIDEWAYS.iter().any(|(a, b, _)| *a == name && *b == on) => None,
        (Place::Level(3), Place::Level(3)) => Some(LEVEL_THREE),
        (Place::Level(from), Place::Level(to)) if from == to => Some(SAME_LEVEL),
        (Place::Level(_), Place::Level(_)) => Some(UP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complains;

    fn of(name: &str, section: &str, on: &str) -> Vec<String> {
        complaints("x/Cargo.toml", &format!("[package]\nname = \"{name}\"\n[{section}]\n{on} = {{ path = \"y\" }}\n"))
    }

    #[test]
    fn bad_arrows_are_refused_with_the_reason() {
        for (name, section, on, reason) in [
            ("pinfold-policy", "dependencies", "pinfold-plan", UP),
            ("pinfold-policy", "dependencies", "pinfold-config", SAME_LEVEL),
            ("pinfold-wire", "dependencies", "pinfold-sys", SYS),
            ("pinfold-plan", "dependencies", "rustix", PURE_REASON),
            ("pinfold-plan", "target.'cfg(unix)'.dependencies", "libc", PURE_REASON),
            ("pinfold-engine", "dependencies", "pinfold-maskfs", LEVEL_THREE),
            ("pinfold-handback", "dev-dependencies", "pinfold-survey", LEVEL_THREE),
            ("pinfold-sys", "build-dependencies", "pinfold-policy", UP),
            ("pinfold", "dependencies", "pinfold-testkit", DEV),
            ("pinfold-escape", "dependencies", "pinfold-engine", BLACK_BOX),
            ("pinfold-common", "dependencies", "libc", "has no level"),
        ] {
            complains(&of(name, section, on), reason);
        }
    }

    #[test]
    fn good_arrows_are_not() {
        for (name, section, on) in [
            ("pinfold", "dependencies", "pinfold-sys"),
            ("pinfold-config", "dependencies", "pinfold-policy"),
            ("pinfold-plan", "dependencies", "pinfold-wire"),
            ("pinfold-policy", "dev-dependencies", "proptest"),
            ("pinfold", "dev-dependencies", "pinfold-testkit"),
            ("pinfold-fuzz", "dependencies", "pinfold-policy"),
            ("pinfold-engine", "dev-dependencies", "pinfold-engine"),
        ] {
            assert_eq!(of(name, section, on), Vec::<String>::new());
        }
    }

    #[test]
    fn a_row_without_a_crate_is_refused() {
        complains(
            &unknown(&Tree::of(&[("crates/sys/Cargo.toml", "[package]\nname = \"pinfold-sys\"\n")])),
            "pinfold-plan",
        );
    }
}
