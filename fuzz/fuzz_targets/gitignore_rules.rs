//! Rules of a stranger's project: any lines, any path; the verdict is never wider than without them.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pinfold_policy::{Kind, PathPolicy, Pattern, PolicySpec, RelPath, RuleSource, UserRule, Verdict};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    lines: Vec<(&'a str, u8)>,
    path: &'a [u8],
    folder: bool,
}

fuzz_target!(|input: Input<'_>| {
    let Ok(path) = RelPath::new(input.path) else { return };
    let kind = if input.folder { Kind::Folder } else { Kind::File };
    let verdicts = [Verdict::Share, Verdict::Watch, Verdict::Private, Verdict::Mask];
    let good = input.lines.iter().filter(|(line, _)| Pattern::new(line).is_ok());
    let rules = good.map(|(line, verdict)| UserRule {
        pattern: (*line).to_owned(),
        verdict: verdicts[usize::from(verdict % 4)],
        source: RuleSource::Project { line: 1 },
    });
    let Ok(policy) = PathPolicy::new(&PolicySpec { rules: rules.collect() }) else { return };
    assert!(policy.decide(path, kind).verdict >= PathPolicy::default().decide(path, kind).verdict);
});
