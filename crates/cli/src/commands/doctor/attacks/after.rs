//! Attacks whose success shows on the host when the box has ended: git, what waits to run, what is lost, what stays alive.

use super::super::stage::{COMMITTED, Stage};
use super::{Attack, Check, Duration, Finding, Instant, Outcome, checked, inside, lives, words_of};
use std::fs;
use std::io;

pub(super) const GIT: &[Attack] = &[
    inside(
        "P3",
        "see a masked file, or the deletion of one, in git status",
        "git status --porcelain --ignored | grep -E 'env|pem|secrets|\\.key|KEY|npmrc|ed25519' && win 'a masked name'; true",
    ),
    checked(
        "P3",
        "git add -A, commit -a, and the commit on the host's branch",
        "echo work > work.txt; git add -A -- . ':!to-outside' && git commit -qam work && git log --oneline -1",
        |stage| {
            let names = stage.git(&["log", "--all", "--format=", "--name-status"])?;
            let masked =
                names.lines().find(|line| ["env", "pem", "secrets", "D\t"].iter().any(|odd| line.contains(odd)));
            let kept = stage.git(&["show", "main:prod.key"])? == format!("{COMMITTED}\n");
            Ok(match masked {
                Some(line) => Err(format!("it was committed: {line}")),
                None if !kept => Err("the tracked key was changed by a commit".into()),
                None if stage.git(&["show", "main:work.txt"]).is_err() => Err("the commit did not come back".into()),
                None => Ok(()),
            })
        },
    ),
    checked(
        "P3",
        "git stash -u, clean -fdx, reset --hard, checkout",
        "git stash -qu; git clean -fdxq; git reset -q --hard; git checkout -q -b side && git checkout -q main; git status --porcelain | grep . && win 'the tree is not clean'; true",
        |stage| {
            let gone = [".env", "server.pem", "prod.key", "config/.env"]
                .into_iter()
                .find(|path| !stage.host_file(path).contains(super::CANARY));
            Ok(gone.map_or(Ok(()), |path| Err(format!("{path} of the host was changed"))))
        },
    ),
    checked("P3", "leave the host's git status other than it was", "true", |stage| {
        let tracked =
            |status: &str| status.lines().filter(|line| !line.starts_with("??")).map(str::to_owned).collect::<Vec<_>>();
        let (before, now) = (tracked(&stage.status), tracked(&stage.git(&["status", "--porcelain"])?));
        Ok(if before == now { Ok(()) } else { Err(format!("before: {before:?}; now: {now:?}")) })
    }),
    inside(
        "P2",
        "read a secret that was committed, in git's objects (not promised; `pinfold run` says so at the start)",
        "git show main:prod.key | grep -q . && weak 'what was committed can be read with git show'; true",
    ),
];

/// Things that the host's git would run.
pub(super) const PLANTED: &[Attack] = &[
    checked(
        "P4",
        "plant every hook in .git, and through a hard link that the host made of one",
        r#"mkdir -p .git/hooks; for hook in applypatch-msg commit-msg fsmonitor-watchman post-applypatch post-checkout post-commit post-index-change \
           post-merge post-rewrite pre-applypatch pre-auto-gc pre-commit pre-merge-commit pre-push pre-rebase prepare-commit-msg reference-transaction; do
           printf '#!/bin/sh\ntouch "%s/fired"\n' "$OUTSIDE" > .git/hooks/$hook; chmod +x .git/hooks/$hook; done
           printf '#!/bin/sh\ntouch "%s/fired"\n' "$OUTSIDE" > hook.sh; chmod +x hook.sh"#,
        nothing_fires,
    ),
    checked(
        "P4",
        "plant commands in git's configuration: monitor, editor, pager, ssh, difference tools, aliases, other hooks",
        r#"for key in core.fsmonitor core.editor core.pager core.sshCommand core.askPass diff.external gpg.program credential.helper alias.status \
           sequence.editor uploadpack.packObjectsHook core.gitProxy; do git config $key "touch $OUTSIDE/fired;:"; done
           mkdir -p planted; printf '#!/bin/sh\ntouch "%s/fired"\n' "$OUTSIDE" | tee planted/post-checkout > planted/pre-commit; chmod +x planted/*
           git config core.hooksPath "$PWD/planted"; git config core.worktree /"#,
        |stage| {
            let config = stage.host_file(".git/config");
            let landed = ["fsmonitor", "worktree", "hooksPath", "alias"].into_iter().find(|key| config.contains(key));
            Ok(landed.map_or(Ok(()), |key| Err(format!("{key} stands in the host's .git/config"))))
        },
    ),
    checked(
        "P4",
        "plant a filter for every file",
        r#"git config filter.x.clean "touch $OUTSIDE/fired; cat"; git config filter.x.smudge "touch $OUTSIDE/fired; cat"; echo '* filter=x diff=x' > .gitattributes
           git config diff.x.textconv "touch $OUTSIDE/fired; cat"; echo more >> readme.txt"#,
        nothing_fires,
    ),
    checked(
        "P4",
        "plant a repository in a folder, a bare one, and a .git file that leads elsewhere",
        r#"git init -q nested; git -C nested config core.fsmonitor "touch $OUTSIDE/fired"; git init -q --bare bare; git -C bare config core.fsmonitor "touch $OUTSIDE/fired"
           git -C bare config core.bare false; git -C bare config core.worktree ..; mkdir -p leads evil; cp -r bare/. evil/ 2>/dev/null; echo "gitdir: ../evil" > leads/.git; mkdir -p .GIT/hooks; true"#,
        |stage| {
            for folder in ["nested", "bare", "evil", "leads"] {
                let folder = stage.repo.join(folder);
                // Whether git finds a repository there is not asked: only whether something of it runs.
                stage.git_in(&folder, &["status"]).ok();
            }
            let landed = ["nested/.git", "leads/.git", "bare/HEAD", "evil/HEAD", ".GIT"]
                .into_iter()
                .find(|path| stage.repo.join(path).symlink_metadata().is_ok());
            if let Some(path) = landed {
                return Ok(Err(format!("{path} landed on the host")));
            }
            nothing_fires(stage)
        },
    ),
    checked(
        "P4",
        "make the host's own .git other than it was: move it, link it, fill its objects",
        "mv .git .git2 2>/dev/null; ln -sfn /tmp .git 2>/dev/null; rm -rf .git/objects/* .git/refs/*; for file in /run/pinfold/objects/*/*/*; do \
         { echo x > $file; } 2>/dev/null && win \"$file\"; rm -f $file 2>/dev/null && win \"$file\"; done; true",
        |stage| stage.git(&["fsck", "--no-progress"]).map(|_| Ok(())),
    ),
];

/// The person's everyday git, after the box.
fn nothing_fires(stage: &Stage) -> io::Result<Result<(), String>> {
    stage.git(&["status"])?;
    stage.git(&["diff"])?;
    stage.git(&["log", "-1"])?;
    stage.git(&["add", "readme.txt"])?;
    stage.git(&["checkout", "-q", "-B", "doctor-checks"])?;
    stage.git(&["commit", "-q", "--allow-empty", "-m", "after the box"])?;
    stage.git(&["checkout", "-q", "main"])?;
    let fired = stage.beside("fired").exists();
    Ok(if fired { Err("something that the box planted ran on the host".into()) } else { Ok(()) })
}

pub(super) const DESTROYED: &[Attack] = &[checked(
    "P5",
    "lose what only git has: stash, branches, reflog, objects, all of .git",
    "git stash clear; git branch -D main 2>/dev/null; git reflog expire --expire=now --all; git gc -q --prune=now 2>/dev/null; rm -rf .git/* / 2>/dev/null; true",
    |stage| {
        stage.git(&["fsck", "--no-progress"])?;
        let kept =
            stage.git(&["rev-parse", "main"]).is_ok() && stage.git(&["log", "--oneline", "main"])?.lines().count() >= 2;
        Ok(if kept { Ok(()) } else { Err("history is lost".into()) })
    },
)];

/// Seconds that nobody else sleeps for: another doctor may be at work here.
fn nap(number: u32) -> String {
    format!("{}.{number}", 10_000_000 + std::process::id())
}

fn nap_line(nap: &str) -> Vec<u8> {
    format!("sleep\0{nap}\0").into_bytes()
}

/// What is left when boxes end in three ways.
pub(super) fn gone(stage: &Stage) -> Vec<Finding> {
    let cases: [(&str, Check); 3] = [
        ("leave a daemon behind, in a session of its own", daemon),
        ("kill -9 pinfold while the box works", |stage| killed(stage, &nap(2), None)),
        ("kill -9 the file server of a box", |stage| killed(stage, &nap(3), Some("__maskfs"))),
    ];
    let finding = |(tried, case): (&str, Check)| {
        let (outcome, seen) = match case(stage) {
            Ok(Ok(())) => (Outcome::Held, String::new()),
            Ok(Err(what)) => (Outcome::Broken, what),
            Err(error) => (Outcome::NotAsked, error.to_string()),
        };
        Finding { promise: "P8", tried: tried.into(), outcome, seen }
    };
    let mut findings: Vec<_> = cases.into_iter().map(finding).collect();
    findings.push(finding(("find a mount or a private folder of any of these boxes", nothing_left)));
    findings
}

fn daemon(stage: &Stage) -> io::Result<Result<(), String>> {
    let nap = nap(1);
    let script = format!(
        "(setsid sleep {nap} >/dev/null 2>&1 &) ; (trap '' HUP TERM INT; exec sleep {nap}) >/dev/null 2>&1 & sleep 0.05"
    );
    words_of(stage.start(&stage.beside("second"), &script)?)?;
    dies(&nap)
}

/// Kills pinfold, or a child of it with this word in its command line, when the box is at work.
fn killed(stage: &Stage, number: &str, child: Option<&str>) -> io::Result<Result<(), String>> {
    let mut pinfold = stage.start(&stage.beside("second"), &format!("setsid sleep {number} & exec sleep {number}"))?;
    let end = Instant::now() + Duration::from_secs(10);
    while !lives(&nap_line(number))? {
        if Instant::now() > end || pinfold.try_wait()?.is_some() {
            pinfold.kill().ok();
            return Err(io::Error::other("the box did not start"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    match child {
        None => pinfold.kill()?,
        Some(word) => {
            let victim =
                child_of(pinfold.id(), word).ok_or_else(|| io::Error::other(format!("no {word} to be seen")))?;
            rustix::process::kill_process(victim, rustix::process::Signal::KILL)?;
        }
    }
    let ends = dies(number)?;
    pinfold.kill().ok();
    pinfold.wait()?;
    Ok(ends)
}

fn child_of(parent: u32, word: &str) -> Option<rustix::process::Pid> {
    let parent = format!("PPid:\t{parent}\n");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let line = fs::read(process.path().join("cmdline")).ok()?;
        let status = fs::read_to_string(process.path().join("status")).ok()?;
        let is = status.contains(&parent) && String::from_utf8_lossy(&line).contains(word);
        is.then(|| process.file_name().to_str()?.parse().ok().and_then(rustix::process::Pid::from_raw)).flatten()
    })
}

/// A box needs a moment to end.
fn dies(number: &str) -> io::Result<Result<(), String>> {
    let end = Instant::now() + Duration::from_secs(3);
    while lives(&nap_line(number))? {
        if Instant::now() > end {
            return Ok(Err("a process of the box is still alive".into()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Ok(()))
}

fn nothing_left(stage: &Stage) -> io::Result<Result<(), String>> {
    // Whoever was killed leaves its folder to the next run, as anybody would.
    words_of(stage.start(&stage.beside("second"), "true")?)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if let Some(mount) = mounts.lines().find(|line| line.contains(&*stage.beside("").to_string_lossy())) {
        return Ok(Err(format!("a mount is left: {mount}")));
    }
    Ok(stage.left_behind().first().map_or(Ok(()), |path| Err(format!("{path} is left"))))
}
