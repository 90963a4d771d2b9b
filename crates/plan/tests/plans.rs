//! Whole plans as text, and what the planner refuses.

mod common;
use common::{entry, facts, request, root_facts};
use pinfold_plan::*;

fn checked(request: &Request, facts: &HostFacts) -> CheckedPlan {
    check(plan(request, facts).unwrap(), request, facts).unwrap()
}

fn env<'p>(plan: &'p Plan, name: &str) -> Option<&'p OsBytes> {
    let Some(Step::Exec(exec)) = plan.steps.last() else { panic!("no command") };
    exec.env.iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

#[test]
fn an_ordinary_caller() {
    insta::assert_snapshot!(checked(&request(), &facts()).to_string());
}

#[test]
fn root_with_a_repository_below_usr() {
    let mut request = request();
    request.agent = Some("claude".into());
    request.home_files = vec![(".claude/settings.json".into(), "{}".into())];
    request.limits = LimitsRequest { memory: Some(1 << 30), pids: Some(200), tmp: Some(1 << 30), timeout: Some(60) };
    insta::assert_snapshot!(checked(&request, &root_facts()).to_string());
}

#[test]
fn plain_words() {
    let plan = checked(&request(), &facts());
    let text: Vec<_> = explain(&plan)
        .into_iter()
        .map(|chapter| {
            format!("{}\n{}", chapter.title, chapter.lines.iter().map(|l| format!("  - {l}\n")).collect::<String>())
        })
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn a_plan_survives_json() {
    for plan in [checked(&request(), &facts()), checked(&request(), &root_facts())] {
        let text = serde_json::to_string(&*plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), *plan);
    }
}

#[test]
fn the_environment_is_an_allow_list() {
    let mut facts = facts();
    for name in ["AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "LD_PRELOAD", "LC_TOKEN", "GIT_DIR"] {
        facts.env.push((name.into(), "hunter2".into()));
    }
    facts.env.push(("TZ".into(), "a\nb".into()));
    let plan = checked(&request(), &facts);
    let Some(Step::Exec(exec)) = plan.steps.last() else { panic!() };
    assert!(!format!("{:?}", exec.env).contains("hunter2"));
    assert_eq!(env(&plan, "TZ"), None, "a time zone has no newline");
    assert_eq!(env(&plan, "JAVA_HOME"), None, "the box does not show that folder");
    assert_eq!(env(&plan, "RUSTUP_HOME"), Some(&"/home/ada/.rustup".into()));
}

#[test]
fn what_was_asked_for_passes() {
    let mut facts = facts();
    facts.env.push(("API_TOKEN".into(), "from-host".into()));
    let mut request = request();
    request.env = vec![
        EnvRequest { name: "API_TOKEN".into(), value: None },
        EnvRequest { name: "TERM".into(), value: Some("dumb".into()) },
    ];
    let plan = checked(&request, &facts);
    assert_eq!(env(&plan, "API_TOKEN"), Some(&"from-host".into()));
    assert_eq!(env(&plan, "TERM"), Some(&"dumb".into()));
}

#[test]
fn path_is_what_exists_in_the_box() {
    let plan = checked(&request(), &facts());
    let path = env(&plan, "PATH").unwrap().to_string();
    assert!(path.starts_with("/home/ada/.cargo/bin:/workspace/bin:/usr/bin:"), "{path}");
    assert!(!path.contains("elsewhere"), "{path}");
}

#[test]
fn a_toolchain_that_holds_or_lies_in_the_workspace_is_left_out() {
    for path in [
        "/home/ada/src",
        "/home/ada/src/engine",
        "/home/ada/src/engine/node_modules/.bin",
        "/home/ada/.local/state",
        "/home",
    ] {
        let mut facts = facts();
        facts.toolchains = vec![Toolchain { name: "odd".into(), entry: entry(path, SeenKind::Folder, 40) }];
        let plan = checked(&request(), &facts);
        let bound = plan
            .steps
            .iter()
            .any(|step| matches!(step, Step::Bind { at, .. } if at.as_path() == std::path::Path::new(path)));
        assert!(!bound, "{path} would be shown past the mask");
    }
}

#[test]
fn refusals_name_the_flag() {
    let with = |change: fn(&mut Request, &mut HostFacts)| {
        let (mut request, mut facts) = (request(), facts());
        change(&mut request, &mut facts);
        let error = plan(&request, &facts).unwrap_err();
        format!("{error} / {}", error.hint().unwrap_or_default())
    };
    insta::assert_snapshot!(
        [
            with(|r, _| r.argv.clear()),
            with(|r, _| r.argv = vec![OsBytes::new(vec![b'x'; 2 << 20])]),
            with(|r, _| r.env = vec![EnvRequest { name: "1x".into(), value: Some("".into()) }]),
            with(|r, _| r.env = vec![EnvRequest { name: "MISSING".into(), value: None }]),
            with(|r, _| r.accepted = vec!["everything".into()]),
            with(|_, f| f.landlock_abi = 0),
            with(|r, _| r.limits.memory = Some(1 << 30)),
            with(|r, _| r.limits.pids = Some(1)),
        ]
        .join("\n")
    );
}

#[test]
fn what_is_given_up_by_name_is_planned_without() {
    let (mut request, mut facts) = (request(), facts());
    facts.landlock_abi = 0;
    request.limits.memory = Some(1 << 30);
    request.accepted = vec!["landlock".into(), "memory".into()];
    let plan = checked(&request, &facts);
    assert!(!plan.steps.iter().any(|step| matches!(step, Step::Landlock { .. })));
}

#[test]
fn a_service_user_below_var_lib_can_start() {
    let mut facts = facts();
    facts.caller.home = HostPath::new("/var/lib/jenkins");
    facts.toolchains.clear();
    let plan = checked(&request(), &facts);
    let probed = |path: &str| {
        plan.steps
            .iter()
            .any(|step| matches!(step, Step::Probe(Probe::HostPathAbsent { path: at }) if at == &BoxPath::new(path)))
    };
    assert!(!probed("/var/lib"), "the box has /var/lib/jenkins");
    assert!(probed("/etc/shadow") && probed("/home/ada/src/engine"));
}
