//! Whole files: what they say, what is wrong in them, and what a project may not ask.

use pinfold_config::{Layer, Limits, Origin, Settings, parse, resolve};
use pinfold_policy::{Kind, PathPolicy, RelPath, RuleSource, UserRule, Verdict};
use proptest::prelude::*;

const STRANGER: Origin = Origin::Project { trusted: false };
const TRUSTED: Origin = Origin::Project { trusted: true };

fn user(text: &str) -> Layer {
    parse("config.toml", text, Origin::User).unwrap()
}

fn project(text: &str) -> Layer {
    parse("pinfold.toml", text, STRANGER).unwrap()
}

fn errors(text: &str) -> Vec<String> {
    match parse("pinfold.toml", text, Origin::User) {
        Ok(layer) => panic!("no error in {text:?}: {layer:?}"),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_full_file() {
    let layer = user(
        r#"
[secrets]
mask = ["*.sqlite", "!test.sqlite"]
show = ["tests/keys/**"]
# a comment

[paths]
private = ["vendor/"]
watch = ["hooks/"]
share = ["Makefile"]

[env]
pass = ["DATABASE_URL"]
set = { RUST_LOG = "debug" }

[limits]
memory = "4GiB"
pids = 512
tmp = "1GiB"
timeout = "2h"

[agent.claude]
args = ["--model", "x"]
"#,
    );
    let rule =
        |pattern: &str, verdict, line| UserRule { pattern: pattern.into(), verdict, source: RuleSource::User { line } };
    assert_eq!(
        layer.rules,
        [
            rule("*.sqlite", Verdict::Mask, 3),
            rule("!test.sqlite", Verdict::Mask, 3),
            rule("tests/keys/**", Verdict::Share, 4),
            rule("vendor/", Verdict::Private, 8),
            rule("hooks/", Verdict::Watch, 9),
            rule("Makefile", Verdict::Share, 10),
        ]
    );
    assert_eq!(layer.env.pass, ["DATABASE_URL"]);
    assert_eq!(layer.env.set["RUST_LOG"], "debug");
    assert_eq!(
        layer.limits,
        Limits { memory: Some(4 << 30), pids: Some(512), tmp: Some(1 << 30), timeout: Some(7200) }
    );
    assert_eq!(layer.agents["claude"].args, ["--model", "x"]);
    assert!(layer.refusals.is_empty());
}

#[test]
fn mistakes_say_where_and_what_to_try() {
    let cases = [
        (
            "[secrets]\nmask = []\n   maks = []",
            "pinfold.toml:3:4: unknown key `maks` in [secrets], did you mean `mask`?",
        ),
        ("[secrest]\n", "pinfold.toml:1:2: unknown key `secrest`, did you mean `secrets`?"),
        ("mask = []\n", "pinfold.toml:1:1: unknown key `mask`, did you mean `mask` in [secrets]?"),
        (
            "[secrets]\nmask = \"x\"\n",
            "pinfold.toml:2:8: `mask` takes a list of strings, not one string, put `x` in brackets",
        ),
        ("[secrets]\nmask = [1]\n", "pinfold.toml:2:9: `mask` takes strings only, not a number"),
        ("[secrets]\nmask = [\"a[\"]\n", "pinfold.toml:2:9: the pattern `a[` has a '[' that is never closed"),
        ("secrets = 1\n", "pinfold.toml:1:11: `secrets` takes a table ([secrets]), not a number"),
        ("[env]\npass = [\"A B\"]\n", "pinfold.toml:2:9: `A B` is no variable's name"),
        ("[env]\nset = { A = 1 }\n", "pinfold.toml:2:13: `A` takes a string, not a number"),
        (
            "[limits]\nmemory = \"lots\"\n",
            "pinfold.toml:2:10: `lots` is not a size; write it like \"512MiB\" or \"4GiB\"",
        ),
        ("[limits]\npids = 0\n", "pinfold.toml:2:8: pids can't be 0"),
        ("[limits]\npids = -1\n", "pinfold.toml:2:8: `-1` is not a number that pids can have"),
        (
            "[limits]\ntimeout = 1.5\n",
            "pinfold.toml:2:11: `timeout` takes a number or a string with a unit, not a number with a fraction",
        ),
        ("[agent.\"a b\"]\nargs = []\n", "pinfold.toml:1:8: `a b` is no agent's name"),
        ("[agent.claude]\nargz = []\n", "pinfold.toml:2:1: unknown key `argz` in [agent], did you mean `args`?"),
        (
            "[secrets]\nmask = [\"!x\"]\n",
            "pinfold.toml:2:9: `!x` takes back nothing, because no pattern of its list stands before it, to show a masked name, put it in `show` in [secrets]",
        ),
        ("\"\\u001b[31m\" = 1\n", "pinfold.toml:1:1: unknown key `\\u{1b}[31m`"),
    ];
    for (text, want) in cases {
        assert_eq!(errors(text), [want]);
    }
    // Bad TOML: the words are the parser's, the place is ours.
    for (text, place) in
        [("[secrets\n", "pinfold.toml:1:"), ("a = 1\na = 2\n", "pinfold.toml:2:1: "), ("\u{e9}\n", "pinfold.toml:1:")]
    {
        let errors = errors(text);
        assert!(errors[0].starts_with(place), "{errors:?}");
    }
}

#[test]
fn every_mistake_of_a_file_is_told_in_order() {
    let text = "[limits]\npids = 0\nmemory = \"x\"\n[secrets]\nmask = [\"a[\", 2]\n";
    let errors = parse("pinfold.toml", text, Origin::User).unwrap_err().0;
    let places: Vec<_> = errors.iter().map(|error| (error.line, error.column)).collect();
    assert_eq!(places, [(2, 8), (3, 10), (5, 9), (5, 15)]);
}

#[test]
fn columns_count_characters_and_lines_may_end_in_cr() {
    assert_eq!(
        errors("[secrets]\r\nmask = [\"\u{e9}\", 1]\r\n"),
        ["pinfold.toml:2:14: `mask` takes strings only, not a number"]
    );
}

#[test]
fn a_strangers_project_may_only_narrow() {
    let layer = project(
        r#"
[secrets]
mask = ["*.sqlite"]
show = [".env", "x"]
# a comment
[paths]
private = ["vendor/"]
share = [".github/"]
[env]
pass = ["GITHUB_TOKEN"]
set = { LD_PRELOAD = "./x.so" }
[agent.claude]
args = ["--mcp-config", "evil.json"]
[limits]
memory = "64GiB"
pids = 10
"#,
    );
    let settings = resolve(None, Some(layer), &Limits { memory: Some(8 << 30), pids: Some(4096), ..Limits::default() });
    let told: Vec<String> = settings.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "pinfold.toml:4:9: not obeyed: the project asks to show `.env`",
            "pinfold.toml:4:17: not obeyed: the project asks to show `x`",
            "pinfold.toml:8:10: not obeyed: the project asks to share `.github/`",
            "pinfold.toml:10:9: not obeyed: the project asks for your variable `GITHUB_TOKEN`",
            "pinfold.toml:11:9: not obeyed: the project asks to set the variable `LD_PRELOAD`",
            "pinfold.toml:13:8: not obeyed: the project asks for other arguments to `claude`",
            "pinfold.toml:15:10: not obeyed: the project asks for a higher limit than yours: memory = 68719476736, where 8589934592 is the most",
        ]
    );
    assert_eq!(settings.limits, Limits { pids: Some(10), ..Limits::default() });
    assert!(settings.env.pass.is_empty() && settings.env.set.is_empty() && settings.agents.is_empty());
    let policy = PathPolicy::new(&settings.policy).unwrap();
    let verdict = |path: &str| policy.decide(RelPath::new(path.as_bytes()).unwrap(), Kind::File).verdict;
    assert_eq!(verdict(".env"), Verdict::Mask);
    assert_eq!(verdict("x.sqlite"), Verdict::Mask);
    assert_eq!(verdict("vendor/x"), Verdict::Private);
    assert_eq!(verdict(".github/x"), Verdict::Watch);
}

#[test]
fn a_trusted_project_speaks_where_the_user_does_not() {
    let text = "[secrets]\nshow = [\"prod.pem\"]\nmask = [\"a\"]\n[env]\npass = [\"A\"]\nset = { B = \"p\", C = \"p\" }\n[limits]\npids = 9999\nmemory = \"1TiB\"\n[agent.codex]\nargs = [\"x\"]\n";
    let layer = parse("pinfold.toml", text, TRUSTED).unwrap();
    let mine = user("[secrets]\nshow = [\"a\"]\n[env]\nset = { B = \"u\" }\n[limits]\npids = 7\n");
    let settings = resolve(Some(mine), Some(layer), &Limits::default());
    assert!(settings.refusals.is_empty());
    assert_eq!(settings.limits, Limits { pids: Some(7), memory: Some(1 << 40), ..Limits::default() });
    assert_eq!((settings.env.set["B"].as_str(), settings.env.set["C"].as_str()), ("u", "p"));
    assert_eq!(settings.env.pass, ["A"]);
    assert_eq!(settings.agents["codex"].args, ["x"]);
    let policy = PathPolicy::new(&settings.policy).unwrap();
    let verdict = |path: &str| policy.decide(RelPath::new(path.as_bytes()).unwrap(), Kind::File).verdict;
    assert_eq!((verdict("prod.pem"), verdict("a")), (Verdict::Share, Verdict::Share));
}

#[test]
fn nothing_at_all_is_the_default() {
    assert_eq!(resolve(None, None, &Limits::default()), Settings::default());
    assert_eq!(resolve(Some(user("")), Some(project("# nothing\n")), &Limits::default()), Settings::default());
}

#[test]
fn size_and_depth_have_an_end() {
    let long = format!("# {}", "x".repeat(pinfold_config::MAX_TEXT));
    assert!(errors(&long)[0].contains("longer than"));
    let many = format!("[secrets]\nmask = [{}]\n", "\"a\",".repeat(2000));
    assert!(errors(&many)[0].contains("2000 patterns"));
    let deep = format!("a = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(!errors(&deep).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_text_is_too_strange(text in "(?s).{0,200}") {
        let _ = parse("x", &text, STRANGER);
    }

    /// Lines that are nearly right reach further into the reader than noise does.
    #[test]
    fn no_arrangement_of_known_words_is_too_strange(words in prop::collection::vec(prop::sample::select(vec![
        "[secrets]", "[env]", "[limits]", "[agent.x]", "mask", "show", "set", "pids", "=", "[", "]", "\"a\"", "\"!a\"", "{", "}", ",", "1", "\n", ".", "true",
    ]), 0..40)) {
        let _ = parse("x", &words.concat(), STRANGER);
        let _ = parse("x", &words.join(" "), Origin::User);
    }

    #[test]
    fn a_stranger_shows_nothing_more(
        list in prop::sample::select(vec!["mask", "show"]),
        section in prop::sample::select(vec!["private", "watch", "share"]),
        pattern in "!?[*a.envpm/]{1,6}",
        path in "(\\.env|a|\\.github/x|prod\\.pem|secrets/x|\\.git/x)",
    ) {
        let text = format!("[secrets]\n{list} = [\"a\", {pattern:?}]\n[paths]\n{section} = [\"a\", {pattern:?}]\n");
        if let Ok(layer) = parse("pinfold.toml", &text, STRANGER) {
            let settings = resolve(None, Some(layer), &Limits::default());
            let path = RelPath::new(path.as_bytes()).unwrap();
            let before = PathPolicy::default().decide(path, Kind::File).verdict;
            prop_assert!(PathPolicy::new(&settings.policy).unwrap().decide(path, Kind::File).verdict >= before);
        }
    }
}
