//! Any text as a configuration file: a layer or errors with a place, and a stranger's file never passes or sets anything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinfold_config::{Limits, Origin, parse, resolve};
use pinfold_policy::{PathPolicy, Verdict};

fuzz_target!(|text: &str| {
    for origin in [Origin::User, Origin::Project { trusted: true }] {
        match parse("f", text, origin) {
            Ok(layer) => assert!(PathPolicy::new(&resolve(Some(layer), None, &Limits::default()).policy).is_ok()),
            Err(errors) => {
                assert!(errors.0.iter().all(|error| error.line > 0 && error.column > 0) && !errors.0.is_empty())
            }
        }
    }
    if let Ok(layer) = parse("f", text, Origin::Project { trusted: false }) {
        let settings = resolve(None, Some(layer), &Limits::default());
        assert!(settings.env.pass.is_empty() && settings.env.set.is_empty() && settings.agents.is_empty());
        assert!(settings.policy.rules.iter().all(|rule| rule.verdict != Verdict::Share));
    }
});
