//! Attacks while the host acts: the box reads in a loop, the person works.

use super::super::stage::{CANARY, Stage};
use super::{Attack, with_host};
use std::fs;
use std::io;
use std::process::Command;

/// How often the host acts in one turn.
const TIMES: usize = 25;

pub(super) const HOST: &[Attack] = &[
    with_host(
        "P2",
        "read .env while the host saves it: write beside, rename over",
        "spy .env link.txt; turn",
        |stage| {
            again(|| {
                fs::write(stage.repo.join(".env.new"), secret())?;
                fs::rename(stage.repo.join(".env.new"), stage.repo.join(".env"))
            })
        },
    ),
    with_host("P2", "read .env while the host edits it with sed -i", "spy .env sed*; turn", |stage| {
        again(|| shell(stage, "sed -i s/KEY/NEW/ .env && sed -i s/NEW/KEY/ .env"))
    }),
    with_host(
        "P2",
        "read .env while the host writes into it in place",
        "exec 8< .env; spy .env /proc/self/fd/8; turn",
        |stage| again(|| fs::write(stage.repo.join(".env"), secret())),
    ),
    with_host("P2", "read .env while the host removes it and makes it anew", "spy .env; turn", |stage| {
        again(|| {
            fs::remove_file(stage.repo.join(".env"))?;
            fs::write(stage.repo.join(".env"), secret())
        })
    }),
    with_host(
        "P2",
        "read a tracked key while the host checks out another branch",
        "spy branch.key prod.key; turn",
        |stage| {
            stage.git(&["stash", "-q"])?;
            stage.git(&["checkout", "-q", "-b", "with-key"])?;
            fs::write(stage.repo.join("branch.key"), secret())?;
            stage.git(&["add", "-f", "branch.key"])?;
            stage.git(&["commit", "-q", "-m", "a key"])?;
            for _ in 0..5 {
                stage.git(&["checkout", "-q", "main"])?;
                stage.git(&["checkout", "-q", "with-key"])?;
            }
            stage.git(&["checkout", "-q", "main"])?;
            stage.git(&["branch", "-q", "-D", "with-key"])?;
            stage.git(&["stash", "pop", "-q"]).map(drop)
        },
    ),
    with_host(
        "P2",
        "stand in a folder while the host swaps it for another one with a secret",
        "cd swap; spy .env ../swap/.env /workspace/swap/.env; cd /workspace; turn",
        |stage| {
            let (swap, other) = (stage.repo.join("swap"), stage.repo.join("swap-other"));
            again(|| {
                fs::create_dir(&other)?;
                fs::write(other.join(".env"), secret())?;
                fs::rename(&swap, stage.repo.join("swap-old"))?;
                fs::rename(&other, &swap)?;
                fs::remove_dir_all(stage.repo.join("swap-old"))
            })
        },
    ),
    with_host(
        "P2",
        "read secrets/ while the host removes it and makes it anew",
        "spy secrets/token secrets/late; turn",
        |stage| {
            again(|| {
                fs::remove_dir_all(stage.repo.join("secrets"))?;
                fs::create_dir(stage.repo.join("secrets"))?;
                fs::write(stage.repo.join("secrets/token"), secret())?;
                fs::write(stage.repo.join("secrets/late"), secret())
            })
        },
    ),
    with_host(
        "P2",
        "ask for secrets before the host makes them",
        "cat late.pem deploy/.env.staging terraform.tfstate; spy late.pem deploy/.env.staging terraform.tfstate; turn",
        |stage| {
            fs::create_dir_all(stage.repo.join("deploy"))?;
            again(|| {
                for path in ["late.pem", "deploy/.env.staging", "terraform.tfstate"] {
                    fs::write(stage.repo.join(path), secret())?;
                }
                fs::remove_file(stage.repo.join("late.pem"))
            })
        },
    ),
    with_host(
        "P2",
        "hold a file open that the host turns into a secret",
        "exec 8< notes.txt; turn; cat <&8; cat /proc/self/fd/8 <&8; cat /proc/$$/fd/8; true",
        |stage| {
            fs::hard_link(stage.repo.join("notes.txt"), stage.repo.join(".env.notes"))?;
            fs::remove_file(stage.repo.join("notes.txt"))?;
            fs::write(stage.repo.join(".env.notes"), secret())
        },
    ),
    with_host(
        "P2",
        "read a hard link that the host makes to a secret, under a harmless name",
        "spy fresh.txt; turn; cat fresh.txt; true",
        |stage| {
            again(|| {
                fs::hard_link(stage.repo.join("server.pem"), stage.repo.join("fresh.txt"))?;
                std::thread::sleep(std::time::Duration::from_millis(1));
                fs::remove_file(stage.repo.join("fresh.txt"))
            })?;
            fs::hard_link(stage.repo.join("server.pem"), stage.repo.join("fresh.txt"))
        },
    ),
    with_host(
        "P4",
        "hold a script open that the host makes a hook of, and write into it",
        "echo 'exit 0' > to-hook.sh; exec 8>> to-hook.sh; turn; { echo 'echo planted' >&8; } 2>/dev/null && win 'a hook was changed'; true",
        |stage| fs::rename(stage.repo.join("to-hook.sh"), stage.repo.join(".git/hooks/post-merge")),
    ),
];

fn secret() -> String {
    format!("KEY={CANARY}\n")
}

fn again(mut act: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    (0..TIMES).try_for_each(|_| act())
}

fn shell(stage: &Stage, script: &str) -> io::Result<()> {
    let done = Command::new("/bin/sh").args(["-c", script]).current_dir(&stage.repo).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other(script.to_owned())) }
}
