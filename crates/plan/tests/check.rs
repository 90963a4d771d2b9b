//! Each rule of the check, broken alone in an otherwise good plan, must be found by that rule.

mod common;
use common::{entry, facts, request, root_facts};
use pinfold_plan::*;

/// Plans, breaks, checks; gives the rules that spoke up.
fn broken_by(facts: &HostFacts, change: impl FnOnce(&mut Plan)) -> Vec<&'static str> {
    let request = request();
    let mut plan = plan(&request, facts).unwrap();
    change(&mut plan);
    match check(plan, &request, facts) {
        Ok(_) => vec![],
        Err(error) => error.0.iter().map(|finding| finding.rule).collect(),
    }
}

fn at(plan: &Plan, is: fn(&Step) -> bool) -> usize {
    plan.steps.iter().position(is).expect("the plan has such a step")
}

fn exec(plan: &mut Plan) -> &mut Exec {
    match plan.steps.last_mut() {
        Some(Step::Exec(exec)) => exec,
        _ => panic!("no command"),
    }
}

fn is_seal(step: &Step) -> bool {
    matches!(step, Step::Seal)
}

/// A read-only bind of a host folder, put in just before the seal.
fn show(path: &str) -> impl FnOnce(&mut Plan) {
    let entry = entry(path, SeenKind::Folder, 77);
    move |plan| {
        let seal = at(plan, is_seal);
        let from = entry.path.clone();
        let at = BoxPath::new(from.as_path());
        plan.steps.insert(seal, Step::Bind { from, seen: entry.seen, at, access: Access::ReadOnly, execute: true });
    }
}

#[test]
fn good_plans_pass() {
    assert_eq!(broken_by(&facts(), |_| ()), Vec::<&str>::new());
    assert_eq!(broken_by(&root_facts(), |_| ()), Vec::<&str>::new());
}

#[test]
fn every_step_is_needed() {
    let whole = plan(&request(), &facts()).unwrap();
    let optional = |step: &Step| {
        matches!(
            step,
            Step::Folder { .. } | Step::Symlink { .. } | Step::File { .. } | Step::Bind { .. } | Step::Tmpfs { .. }
        ) || matches!(step, Step::Limit(limit) if matches!(limit.resource, Resource::LockedMemory | Resource::MessageQueues))
            || matches!(step, Step::Probe(Probe::SyscallRefused { name }) if !["mount", "unshare"].contains(&name.as_str()))
            || matches!(step, Step::Probe(Probe::HostPathAbsent { path }) if path.as_path() != std::path::Path::new("/etc/shadow"))
    };
    for n in 0..whole.steps.len() {
        if !optional(&whole.steps[n]) {
            let found = broken_by(&facts(), |plan| drop(plan.steps.remove(n)));
            assert!(!found.is_empty(), "nobody missed {:?}", whole.steps[n]);
        }
    }
}

#[test]
fn no_step_may_change_its_phase() {
    let whole = plan(&request(), &facts()).unwrap();
    let seal = at(&whole, is_seal);
    for n in seal..whole.steps.len() {
        let found = broken_by(&facts(), |plan| {
            let step = plan.steps.remove(n);
            plan.steps.insert(2, step);
        });
        assert!(found.contains(&"phases"), "{:?} may come first", whole.steps[n]);
    }
}

#[test]
fn sharing_any_namespace_is_found() {
    for n in 0..7 {
        let found = broken_by(&facts(), |plan| {
            let Step::Namespaces(of) = &mut plan.steps[0] else { panic!() };
            let all = [&mut of.user, &mut of.mount, &mut of.pid, &mut of.net, &mut of.uts, &mut of.ipc, &mut of.cgroup];
            *all.into_iter().nth(n).unwrap() = false;
        });
        assert_eq!(found, ["namespaces"]);
    }
}

#[test]
fn root_outside_is_found() {
    let found = broken_by(&root_facts(), |plan| {
        plan.workspace.ids.uid_outside = 0;
        let n = at(plan, |step| matches!(step, Step::MapIds(_)));
        plan.steps[n] = Step::MapIds(plan.workspace.ids);
    });
    assert_eq!(found, ["ids"]);
    let found = broken_by(&facts(), |plan| plan.workspace.ids.uid_inside = 0);
    assert!(found.contains(&"ids"));
}

#[test]
fn a_writable_bind_is_found() {
    let found = broken_by(&facts(), |plan| {
        let n = at(plan, |step| matches!(step, Step::Bind { .. }));
        let Step::Bind { access, .. } = &mut plan.steps[n] else { panic!() };
        *access = Access::ReadWrite;
    });
    assert_eq!(found, ["binds"]);
}

#[test]
fn a_bind_at_another_place_is_found() {
    let found = broken_by(&facts(), |plan| {
        let n = at(plan, |step| matches!(step, Step::Bind { .. }));
        let Step::Bind { at, .. } = &mut plan.steps[n] else { panic!() };
        *at = BoxPath::new("/mnt/usr");
    });
    assert!(found.contains(&"binds"), "{found:?}");
}

#[test]
fn a_bind_of_what_must_not_be_shown_is_found() {
    // Each was "seen" by the survey, so that only the rule about the place itself can object.
    for path in [
        "/",
        "/etc",
        "/home",
        "/home/ada",
        "/home/ada/.ssh",
        "/home/ada/.config/gh",
        "/home/ada/.local/state",
        "/home/ada/.local/share/pinfold/homes",
        "/home/ada/src",
        "/home/ada/src/engine",
        "/home/ada/src/engine/.git/objects",
        "/proc/self",
        "/run",
        "/sys",
        "/var/lib",
        "/var/run/docker.sock",
        "/dev",
    ] {
        let mut facts = facts();
        // Kept from the planner, which would leave some out by itself.
        let request = request();
        let mut plan = plan(&request, &facts).unwrap();
        show(path)(&mut plan);
        facts.system.push(entry(path, SeenKind::Folder, 77));
        let error = check(plan, &request, &facts).expect_err(path);
        assert!(error.0.iter().any(|finding| finding.rule == "bind sources"), "{path}: {error}");
    }
}

#[test]
fn a_bind_that_the_survey_did_not_see_is_found() {
    let found = broken_by(&facts(), show("/opt/other"));
    assert_eq!(found, ["bind sources"]);
}

#[test]
fn an_uncovered_workspace_below_usr_is_found() {
    let found = broken_by(&root_facts(), |plan| {
        let n = at(plan, |step| matches!(step, Step::Tmpfs { at, .. } if at.as_path().starts_with("/usr")));
        plan.steps.remove(n);
    });
    assert!(found.contains(&"bind sources"), "{found:?}");
}

#[test]
fn writing_into_a_host_tree_is_found() {
    let found = broken_by(&facts(), |plan| {
        let seal = at(plan, is_seal);
        plan.steps.insert(seal, Step::Folder { at: BoxPath::new("/usr/new"), mode: 0o755 });
    });
    assert_eq!(found, ["nothing of ours in a host tree"]);
}

#[test]
fn hiding_a_mount_is_found() {
    let found = broken_by(&facts(), |plan| {
        let seal = at(plan, is_seal);
        let step = Step::Tmpfs { at: BoxPath::new("/workspace"), mode: 0o755, bytes: 1, execute: true };
        plan.steps.insert(seal, step);
    });
    assert!(found.contains(&"no mount hides another"), "{found:?}");
}

#[test]
fn a_different_workspace_is_found() {
    let found = broken_by(&facts(), |plan| plan.workspace.root = HostPath::new("/home/ada"));
    assert_eq!(found, ["workspace"]);
    let found = broken_by(&facts(), |plan| plan.workspace.seen.ino += 1);
    assert_eq!(found, ["workspace"]);
}

#[test]
fn a_foreign_object_store_is_found() {
    let found = broken_by(&facts(), |plan| {
        let n = at(plan, |step| matches!(step, Step::Objects { .. }));
        let Step::Objects { from, .. } = &mut plan.steps[n] else { panic!() };
        *from = HostPath::new("/home/ada/other/.git/objects");
    });
    assert_eq!(found, ["workspace"]);
}

#[test]
fn an_open_proc_is_found() {
    let found = broken_by(&facts(), |plan| {
        let n = at(plan, |step| matches!(step, Step::Proc { .. }));
        let Step::Proc { read_only, hidden, .. } = &mut plan.steps[n] else { panic!() };
        read_only.clear();
        hidden.clear();
    });
    assert!(found.iter().all(|rule| *rule == "proc") && found.len() == 9, "{found:?}");
}

#[test]
fn limits_without_a_limit_are_found() {
    let found = broken_by(&facts(), |plan| {
        for step in &mut plan.steps {
            match step {
                Step::Limit(limit) if limit.resource == Resource::Core => limit.value = 1,
                Step::Tmpfs { bytes, .. } => *bytes = 0,
                _ => {}
            }
        }
    });
    assert_eq!(found, ["limits"; 3]);
}

#[test]
fn a_hole_in_the_second_wall_is_found() {
    let landlock = |change: fn(&mut Vec<LandlockRule>, &mut bool)| {
        broken_by(&facts(), |plan| {
            let n = at(plan, |step| matches!(step, Step::Landlock { .. }));
            let Step::Landlock { rules, scope_signals, .. } = &mut plan.steps[n] else { panic!() };
            change(rules, scope_signals);
        })
    };
    assert_eq!(landlock(|rules, _| rules[0].access = Access::ReadWrite), ["second wall"]);
    assert_eq!(landlock(|_, scope| *scope = false), ["second wall"]);
}

#[test]
fn an_unknown_filter_is_found() {
    let found = broken_by(&facts(), |plan| {
        let n = at(plan, |step| matches!(step, Step::Seccomp { .. }));
        plan.steps[n] = Step::Seccomp { profile: "none".into() };
    });
    assert_eq!(found, ["filter"]);
}

#[test]
fn a_variable_that_nobody_asked_for_is_found() {
    for name in ["AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "GITHUB_TOKEN", "LD_PRELOAD", "DOCKER_HOST"] {
        let found = broken_by(&facts(), |plan| {
            let env = &mut exec(plan).env;
            env.push((name.into(), "x".into()));
            env.sort();
        });
        assert_eq!(found, ["environment"], "{name}");
    }
    let found = broken_by(&facts(), |plan| {
        for (name, value) in &mut exec(plan).env {
            if name == "PATH" {
                *value = "bin:/usr/bin".into();
            }
        }
    });
    assert_eq!(found, ["environment"]);
}

#[test]
fn another_command_or_place_is_found() {
    assert_eq!(broken_by(&facts(), |plan| exec(plan).argv = vec!["evil".into()]), ["command"]);
    assert_eq!(broken_by(&facts(), |plan| exec(plan).cwd = BoxPath::new("/workspace/../etc")), ["command"]);
}

#[test]
fn another_format_is_found() {
    assert_eq!(broken_by(&facts(), |plan| plan.version = 2), ["format"]);
    assert_eq!(broken_by(&facts(), |plan| plan.run_dir = HostPath::new("/tmp/run")), ["format"]);
    assert_eq!(broken_by(&facts(), |plan| plan.home_dir = HostPath::new("/home/ada")), ["format"]);
    assert_eq!(broken_by(&facts(), |plan| plan.home_files = vec![("../x".into(), "".into())]), ["format"]);
    assert_eq!(broken_by(&facts(), |plan| plan.timeout = Some(1)), ["format"]);
}
