//! A plan in plain words: the worst that this run could do, and what nobody promises.
//!
//! It reads the plan, not the request, so that it can't say more than what will be done.

use crate::display::{Size, quoted};
use crate::*;

/// One question and its answers, each a sentence.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Chapter {
    pub title: &'static str,
    pub lines: Vec<String>,
}

/// What a run of this plan can do at worst.
pub fn explain(plan: &Plan) -> Vec<Chapter> {
    vec![
        Chapter { title: "What runs", lines: runs(plan) },
        Chapter { title: "It can read", lines: reads(plan) },
        Chapter { title: "It can write", lines: writes(plan) },
        Chapter { title: "It can reach", lines: reaches() },
        Chapter { title: "For how long", lines: how_long(plan) },
        Chapter { title: "Not promised here", lines: not_promised(plan) },
    ]
}

fn exec(plan: &Plan) -> Option<&Exec> {
    plan.steps.iter().find_map(|step| match step {
        Step::Exec(exec) => Some(exec),
        _ => None,
    })
}

fn runs(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(exec) = exec(plan) {
        let argv: Vec<String> = exec.argv.iter().map(quoted).collect();
        lines.push(format!("{} in {}.", argv.join(" "), exec.cwd));
    }
    let ids = plan.workspace.ids;
    lines.push(if ids.uid_inside == ids.uid_outside {
        format!("As you (user {}), without any privilege, and it can't gain one.", ids.uid_outside)
    } else {
        format!("As root of the box only; on this machine that is user {}, who owns nothing.", ids.uid_outside)
    });
    lines
}

fn reads(plan: &Plan) -> Vec<String> {
    let mut lines = vec![format!(
        "Every file of {} (as {}), except what the policy masks: secrets by name read as empty, also when they appear \
         later. `pinfold why PATH` names the rule.",
        plan.workspace.root, plan.workspace.at
    )];
    if let Some(git) = &plan.workspace.git {
        let stores: Vec<_> = git.objects.iter().map(|store| store.path.to_string()).collect();
        lines.push(format!("The whole history of the repository: every object in {}.", stores.join(", ")));
    }
    let home = plan.steps.iter().find_map(|step| match step {
        Step::Home { at } => Some(at),
        _ => None,
    });
    let (mut system, mut etc, mut tools) = (Vec::new(), 0, Vec::new());
    for step in &plan.steps {
        let Step::Bind { at, .. } = step else { continue };
        let below_home = home.is_some_and(|home| at.as_path().starts_with(home.as_path()));
        if at.as_path().starts_with("/etc") {
            etc += 1;
        } else if below_home {
            tools.push(at.to_string());
        } else {
            system.push(at.to_string());
        }
    }
    lines.push(format!("The programs of this machine: {}.", system.join(", ")));
    if !tools.is_empty() {
        lines.push(format!("Your toolchains, without the credentials beside them: {}.", tools.join(", ")));
    }
    lines
        .push(format!("Of /etc a written-out minimum, and {etc} harmless parts of yours (certificates, time zone …)."));
    lines.push(format!("Its own home, kept in {}.", plan.home_dir));
    if let Some(exec) = exec(plan) {
        let names: Vec<_> = exec.env.iter().map(|(name, _)| name.as_str()).collect();
        lines.push(format!("These variables and no others: {}.", names.join(", ")));
    }
    lines.push("Nothing else of this machine: no other folder, process, socket or device exists in the box.".into());
    lines
}

fn writes(plan: &Plan) -> Vec<String> {
    let mut lines = vec![format!(
        "Every file of {} that it can read, live: it can also delete them, also what git does not keep.",
        plan.workspace.root
    )];
    if plan.workspace.git.is_some() {
        lines.push(
            "Its own .git, not yours. Its commits come back to refs/pinfold/, and move your branch only where that is a \
             plain fast-forward."
                .into(),
        );
    }
    lines.push(format!("Its own home ({}), which later boxes of this repository see.", plan.home_dir));
    for step in &plan.steps {
        if let Step::Tmpfs { at, bytes, .. } = step
            && at.as_path() == std::path::Path::new("/tmp")
        {
            lines.push(format!("Scratch space in memory, up to {} in /tmp.", Size(*bytes)));
        }
    }
    lines
}

fn reaches() -> Vec<String> {
    vec![
        "No network: neither the internet, nor your own network, nor services of this machine. Programs in the box reach \
         each other on its own loopback. A model that is not in the box can't be reached either."
            .into(),
        "Your terminal through a terminal of its own; what it prints there you see, unfiltered.".into(),
    ]
}

fn how_long(plan: &Plan) -> Vec<String> {
    let mut lines = vec![match plan.timeout {
        Some(seconds) => format!("Until the command ends, at most {seconds} seconds."),
        None => "Until the command ends. No time limit was asked for (--timeout SECONDS).".into(),
    }];
    lines.push("When pinfold ends, in whatever way, every process of the box is killed.".into());
    lines
}

fn not_promised(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    if plan.workspace.git.is_some() {
        lines.push(
            "Secrets that were ever committed: the history holds their bytes, and the box reads the history.".into(),
        );
    }
    lines.push("Secrets in files whose names say nothing of it.".into());
    lines.push("Undo: files of the workspace that git does not keep are not saved before the box changes them.".into());
    lines.push(
        "That what it wrote is harmless to run: scripts, build files and agent settings of the workspace are as it left \
         them."
            .into(),
    );
    if !plan.steps.iter().any(|step| matches!(step, Step::Cgroup { .. })) {
        lines.push("A limit on memory: no cgroup with memory control is delegated to you on this machine.".into());
    }
    for name in &plan.accepted {
        let meaning = ACCEPTABLE.iter().find(|(known, _)| known == name).map_or("given up", |(_, meaning)| meaning);
        lines.push(format!("{name}: {meaning} (you accepted that)."));
    }
    lines.push("A hole in the Linux kernel: the box is not a virtual machine.".into());
    lines
}
