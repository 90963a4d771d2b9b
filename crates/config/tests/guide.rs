//! The examples of the guide are files that this crate reads, and the first of them shows every key.

use pinfold_config::{Limits, Origin, parse};
use std::path::Path;

fn examples() -> Vec<String> {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide.md");
    let text = std::fs::read_to_string(&guide).unwrap_or_else(|error| panic!("{}: {error}", guide.display()));
    let after = text.split("```toml\n").skip(1);
    after.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_example_is_read() {
    let examples = examples();
    assert!(examples.len() >= 2, "the guide has {} examples", examples.len());
    for text in examples {
        if let Err(errors) = parse("docs/guide.md", &text, Origin::User) {
            panic!("{errors}\nin\n{text}");
        }
    }
}

#[test]
fn the_first_example_shows_every_key() {
    let layer = parse("docs/guide.md", &examples()[0], Origin::User).unwrap();
    // Taken apart without `..`: a new field does not compile until the guide was thought of.
    let Limits { memory, pids, tmp, timeout } = layer.limits;
    assert!(memory.is_some() && pids.is_some() && tmp.is_some() && timeout.is_some());
    for key in ["mask", "show", "private", "watch", "share", "pass", "set", "args"] {
        assert!(examples()[0].lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
    }
    assert!(!layer.env.pass.is_empty() && !layer.env.set.is_empty());
    assert!(layer.agents.values().any(|agent| !agent.args.is_empty()));
}

#[test]
fn the_short_example_is_one_that_a_stranger_may_write() {
    let layer = parse("pinfold.toml", &examples()[1], Origin::Project { trusted: false }).unwrap();
    assert!(layer.refusals.is_empty() && !layer.rules.is_empty());
}
