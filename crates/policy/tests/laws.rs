//! What holds for every path and every set of rules.

use pinfold_policy::{Kind, PathPolicy, PolicySpec, RelPath, RelPathBuf, RuleSource, UserRule, Verdict};
use proptest::prelude::*;

/// Names around the rules, and bytes around the names.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        ".env",
        ".env.local",
        ".env.example",
        "secrets",
        "credentials",
        "src",
        "lib",
        ".git",
        "HEAD",
        "x.git",
        "id_rsa",
        "id_rsa.pub",
        "server.pem",
        "ca.pem",
        "prod.key~",
        "package.json",
        ".github",
        "a",
        "b",
        "main.rs",
        "secrets.yml",
        "token",
        "templates",
        "locales",
        "pinfold.toml",
        ".docker",
        "config.json",
        "x (1).pem",
        "#y.key#",
        "core.1",
    ]);
    let known = known.prop_map(|name| name.as_bytes().to_vec());
    let odd =
        prop::sample::select(vec!["", ".", " ", "\u{200d}", "\u{212a}", "\u{df}", ":x", "\\", "~", ".bak", "\n", "1"]);
    let bent = (known.clone(), odd, any::<bool>()).prop_map(|(mut name, odd, front)| {
        let at = if front { 0 } else { name.len() };
        name.splice(at..at, odd.bytes());
        name
    });
    let wild = prop::collection::vec(any::<u8>(), 1..300);
    prop_oneof![4 => known, 2 => bent, 1 => wild]
        .prop_filter("a name", |name| RelPath::new(name).is_ok_and(|p| p.components().count() == 1))
}

fn path() -> impl Strategy<Value = RelPathBuf> {
    prop::collection::vec(name(), 1..6).prop_map(|names| RelPathBuf::new(names.join(&b'/')).unwrap())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::File, Kind::Folder, Kind::Symlink])
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![Verdict::Share, Verdict::Watch, Verdict::Private, Verdict::Mask])
}

fn pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "*", "**", "a", "b", ".env", "*.pem", "secrets", "src", ".git", "[a-c]", "?", "HEAD", "x.git",
    ]);
    (any::<bool>(), any::<bool>(), prop::collection::vec(piece, 1..4), any::<bool>()).prop_map(
        |(not, root, names, folder)| {
            let line = format!("{}{}{}", if not { "!" } else { "" }, if root { "/" } else { "" }, names.join("/"));
            if folder { line + "/" } else { line }
        },
    )
}

fn rules(source: RuleSource) -> impl Strategy<Value = Vec<UserRule>> {
    let rule = (pattern(), verdict()).prop_map(move |(pattern, verdict)| UserRule {
        pattern,
        verdict,
        source: source.clone(),
    });
    prop::collection::vec(rule, 0..6)
}

fn user_rules() -> impl Strategy<Value = Vec<UserRule>> {
    rules(RuleSource::User { line: 1 })
}

fn policy(rules: &[UserRule]) -> PathPolicy {
    PathPolicy::new(&PolicySpec { rules: rules.to_vec() }).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_bytes_get_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in kind()) {
        if let Ok(path) = RelPath::new(&bytes) {
            PathPolicy::default().decide(path, kind);
        }
    }

    #[test]
    fn below_a_folder_nothing_is_wider(path in path(), kind in kind(), rules in user_rules()) {
        let policy = policy(&rules);
        let own = policy.decide(path.as_path(), kind).verdict;
        let mut above = path.as_path().parent();
        while let Some(folder) = above {
            let verdict = policy.decide(folder, Kind::Folder).verdict;
            prop_assert!(own >= verdict, "{path} is {own} below {folder}, which is {verdict}");
            above = folder.parent();
        }
    }

    #[test]
    fn a_masked_folder_masks_all_that_is_in_it(folder in path(), names in path(), rules in user_rules()) {
        let policy = policy(&rules);
        let below = RelPathBuf::new([folder.as_path().as_bytes(), names.as_path().as_bytes()].join(&b'/')).unwrap();
        if policy.decide(folder.as_path(), Kind::Folder).verdict == Verdict::Mask {
            prop_assert_eq!(policy.decide(below.as_path(), Kind::File).verdict, Verdict::Mask);
        }
    }

    #[test]
    fn case_says_nothing(path in path(), kind in kind(), rules in user_rules()) {
        let policy = policy(&rules);
        let upper = RelPathBuf::new(path.as_path().as_bytes().to_ascii_uppercase()).unwrap();
        prop_assert_eq!(policy.decide(path.as_path(), kind).verdict, policy.decide(upper.as_path(), kind).verdict);
    }

    /// An invisible character or a last dot, which some file systems overlook, lifts no mask.
    #[test]
    fn an_alias_is_no_way_around(path in path(), odd in prop::sample::select(vec!["\u{200d}", "\u{ad}", "\u{feff}"]), kind in kind(), at in any::<prop::sample::Index>()) {
        prop_assume!(std::str::from_utf8(path.as_path().as_bytes()).is_ok());
        let policy = PathPolicy::default();
        let text = String::from_utf8(path.as_path().as_bytes().to_vec()).unwrap();
        let spots: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let at = spots[at.index(spots.len())];
        let bent = RelPathBuf::new([&text[..at], odd, &text[at..]].concat().into_bytes()).unwrap();
        let (plain, bent_verdict) = (policy.decide(path.as_path(), kind).verdict, policy.decide(bent.as_path(), kind).verdict);
        prop_assert!(bent_verdict >= plain || plain < Verdict::Private, "{path} is {plain}, {bent} is {bent_verdict}");
    }

    #[test]
    fn an_untrusted_project_never_widens(path in path(), kind in kind(), user in user_rules(), project in rules(RuleSource::Project { line: 1 })) {
        let before = policy(&user).decide(path.as_path(), kind).verdict;
        let both: Vec<UserRule> = project.into_iter().chain(user).collect();
        prop_assert!(policy(&both).decide(path.as_path(), kind).verdict >= before);
    }

    #[test]
    fn gits_own_is_never_shared(above in path(), below in path(), rules in user_rules(), case in any::<bool>()) {
        let git: &[u8] = if case { b".GiT" } else { b".git" };
        let policy = policy(&rules);
        for path in [git.to_vec(), [above.as_path().as_bytes(), git].join(&b'/'), [git, below.as_path().as_bytes()].join(&b'/')] {
            let path = RelPathBuf::new(path).unwrap();
            prop_assert!(policy.decide(path.as_path(), Kind::File).verdict >= Verdict::Private, "{path}");
        }
        prop_assert_eq!(policy.decide(RelPath::new(git).unwrap(), Kind::Folder).verdict, Verdict::Private);
    }

    #[test]
    fn step_by_step_is_the_same_as_at_once(path in path(), kind in kind(), rules in user_rules()) {
        let policy = policy(&rules);
        let mut folder = policy.root();
        let bytes = path.as_path().as_bytes();
        for (at, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'/') {
            folder = policy.folder_in(&folder, RelPath::new(&bytes[..at]).unwrap());
            prop_assert_eq!(folder.decision().verdict, policy.folder(RelPath::new(&bytes[..at]).unwrap()).decision().verdict);
        }
        prop_assert_eq!(policy.decide_in(&folder, path.as_path(), kind), policy.decide(path.as_path(), kind));
    }

    #[test]
    fn a_flag_or_the_user_has_the_last_word_on_plain_names(verdict in verdict(), name in "[b-d]{1,4}") {
        let rule = |source| UserRule { pattern: name.clone(), verdict, source };
        for source in [RuleSource::Flag, RuleSource::User { line: 7 }, RuleSource::Trusted { line: 7 }] {
            let policy = policy(&[rule(source.clone())]);
            let decision = policy.decide(RelPath::new(name.as_bytes()).unwrap(), Kind::File);
            prop_assert_eq!((decision.verdict, decision.source), (verdict, &source));
        }
    }
}

#[test]
fn sources_speak_in_order() {
    let rule = |verdict, source| UserRule { pattern: ".env".into(), verdict, source };
    let user = || RuleSource::User { line: 2 };
    let project = || RuleSource::Project { line: 2 };
    let env = RelPath::new(b".env").unwrap();
    let verdict = |rules: &[UserRule]| policy(rules).decide(env, Kind::File).verdict;

    assert_eq!(verdict(&[rule(Verdict::Share, user())]), Verdict::Share);
    assert_eq!(verdict(&[rule(Verdict::Share, project())]), Verdict::Mask);
    assert_eq!(verdict(&[rule(Verdict::Share, RuleSource::Trusted { line: 2 })]), Verdict::Share);
    assert_eq!(verdict(&[rule(Verdict::Mask, user()), rule(Verdict::Share, RuleSource::Flag)]), Verdict::Share);
    assert_eq!(verdict(&[rule(Verdict::Share, user()), rule(Verdict::Mask, project())]), Verdict::Share);
    assert_eq!(verdict(&[rule(Verdict::Share, user()), rule(Verdict::Mask, user())]), Verdict::Mask);
}

#[test]
fn a_folder_shown_by_rule_shows_what_its_names_allow() {
    let rule = |pattern: &str| UserRule {
        pattern: pattern.into(),
        verdict: Verdict::Share,
        source: RuleSource::User { line: 1 },
    };
    let shown = policy(&[rule("src/secrets/")]);
    let verdict =
        |policy: &PathPolicy, path: &str| policy.decide(RelPath::new(path.as_bytes()).unwrap(), Kind::File).verdict;
    assert_eq!(verdict(&shown, "src/secrets/__init__.py"), Verdict::Share);
    assert_eq!(verdict(&shown, "src/secrets/prod.pem"), Verdict::Mask);
    assert_eq!(verdict(&shown, "secrets/x"), Verdict::Mask);
    // As in gitignore, nothing can be shown below a folder that is hidden.
    assert_eq!(verdict(&policy(&[rule("secrets/public.txt")]), "secrets/public.txt"), Verdict::Mask);
    // A secret in a private folder is still a secret.
    let private = [UserRule { pattern: "vendor/".into(), verdict: Verdict::Private, source: RuleSource::Flag }];
    assert_eq!(verdict(&policy(&private), "vendor/.env"), Verdict::Mask);
    assert_eq!(verdict(&policy(&private), "vendor/package.json"), Verdict::Private);
}

#[test]
fn a_taken_back_rule_leaves_the_tables_in_force() {
    let rule = |pattern: &str| UserRule {
        pattern: pattern.into(),
        verdict: Verdict::Mask,
        source: RuleSource::User { line: 1 },
    };
    let policy = policy(&[rule("*.txt"), rule("!notes.txt"), rule("!.env")]);
    let verdict = |path: &str| policy.decide(RelPath::new(path.as_bytes()).unwrap(), Kind::File).verdict;
    assert_eq!(
        (verdict("a.txt"), verdict("notes.txt"), verdict(".env")),
        (Verdict::Mask, Verdict::Share, Verdict::Mask)
    );
}

#[test]
fn nobody_claims_to_be_builtin() {
    let rule = UserRule { pattern: "x".into(), verdict: Verdict::Share, source: RuleSource::Builtin };
    assert!(PathPolicy::new(&PolicySpec { rules: vec![rule] }).is_err());
}
