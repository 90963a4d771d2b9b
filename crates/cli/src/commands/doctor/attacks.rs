//! The attacks: what runs in the box, and what must hold.

use super::stage::{CANARY, Said, Stage};
use super::{Finding, Outcome};
use std::io;

pub(super) struct Attack {
    pub(super) promise: &'static str,
    tried: &'static str,
    /// A shell script for the box. `$OUTSIDE` is the folder beside the repository, as the host names it.
    script: &'static str,
    holds: Holds,
}

enum Holds {
    /// The canary is in nothing that the script printed.
    NoCanary,
    /// The script's last line is this.
    Says(&'static str),
    /// The canary is printed nowhere, and afterwards this is true of the host.
    Afterwards(fn(&Stage) -> io::Result<Result<(), String>>),
}

pub(super) const TABLE: &[Attack] = &[
    Attack {
        promise: "box",
        tried: "a command runs, and its words and its code come back",
        script: "echo alive; exit 0",
        holds: Holds::Says("alive"),
    },
    Attack {
        promise: "P1",
        tried: "read another project beside this one, the password file and the keys of the home",
        script: "cat \"$OUTSIDE/other-project\" /etc/shadow ~/.ssh/* ~/.netrc 2>/dev/null; ls \"$OUTSIDE\" 2>/dev/null; echo done",
        holds: Holds::Says("done"),
    },
    Attack {
        promise: "P1",
        tried: "find a process of the host",
        script: "ls /proc | grep -c '^[0-9]' | { read n; [ \"$n\" -lt 20 ] && echo few || echo \"$n processes\"; }",
        holds: Holds::Says("few"),
    },
    Attack {
        promise: "P1",
        tried: "find a socket of the host (docker, D-Bus, agents)",
        script: "find / -xdev -type s 2>/dev/null; ls /var/run/docker.sock /run/dbus /run/user/*/bus 2>/dev/null; echo none",
        holds: Holds::Says("none"),
    },
    Attack {
        promise: "P2",
        tried: "read .env, a key and a folder of secrets, five ways",
        script: "cat .env server.pem secrets/* secrets/token; dd if=.env; head -c 99 ./x/../.env server.pem; grep -r . --include=.env .; \
                 while read -r l; do echo \"$l\"; done < .env; tar cf - . | cat",
        holds: Holds::NoCanary,
    },
    Attack {
        promise: "P2",
        tried: "change, move, link and remove masked files",
        script: "echo x > .env; echo x >> server.pem; mv .env e; ln .env l; ln server.pem m; rm -f .env server.pem; rm -rf secrets; \
                 cat e l m .env 2>/dev/null",
        holds: Holds::Afterwards(|stage| {
            let kept = stage.host_file(".env") == format!("KEY={CANARY}\n")
                && stage.host_file("server.pem") == format!("{CANARY}\n")
                && stage.host_file("secrets/token") == format!("{CANARY}\n");
            Ok(if kept { Ok(()) } else { Err("a masked file of the host was changed".into()) })
        }),
    },
    Attack {
        promise: "P3",
        tried: "git add -A, commit, stash -u and clean -fdx",
        script: "git status --porcelain | grep -E 'env|pem|secrets'; git add -A && git stash -u -q; git clean -fdxq; git status --porcelain | head",
        holds: Holds::Afterwards(|stage| {
            let listed = stage.git(&["log", "--all", "--format=", "--name-only"])?;
            let committed = ["env", "pem", "secrets"]
                .iter()
                .any(|name| listed.contains(name) && !listed.contains(".gitignore\n.env"));
            let kept = stage.host_file(".env") == format!("KEY={CANARY}\n");
            Ok(match () {
                () if committed => Err("a masked path was committed".into()),
                () if !kept => Err("a masked file of the host is gone".into()),
                () => Ok(()),
            })
        }),
    },
    Attack {
        promise: "P4",
        tried: "plant hooks, a monitor and a filter in .git, and a nested repository",
        script: "mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch \"%s/fired\"\\n' \"$OUTSIDE\" > .git/hooks/post-checkout; chmod +x .git/hooks/*; \
                 git config core.fsmonitor \"touch $OUTSIDE/fired\"; git config core.worktree /; git init -q nested; \
                 git -C nested config core.fsmonitor \"touch $OUTSIDE/fired\"; echo planted",
        holds: Holds::Afterwards(|stage| {
            let config = stage.host_file(".git/config");
            let hook = stage.repo.join(".git/hooks/post-checkout").exists();
            let nested = stage.repo.join("nested/.git").exists();
            stage.git(&["status"])?;
            let fired = stage.beside("fired").exists();
            Ok(match () {
                () if config.contains("fsmonitor") || config.contains("worktree") => {
                    Err(".git/config of the host was changed".into())
                }
                () if hook => Err("a hook landed in the host's .git".into()),
                () if nested => Err("a nested .git landed on the host".into()),
                () if fired => Err("something that was planted ran".into()),
                () => Ok(()),
            })
        }),
    },
    Attack {
        promise: "P6",
        tried: "connect to this machine, to a metadata service and to the internet",
        script: "for at in 127.0.0.1/22 169.254.169.254/80 1.1.1.1/443 192.168.0.1/80; do \
                 timeout 3 bash -c \"exec 3<>/dev/tcp/$at\" 2>/dev/null && echo \"reached $at\"; done; echo none",
        holds: Holds::Says("none"),
    },
    Attack {
        promise: "P8",
        tried: "leave a daemon behind",
        script: "setsid sh -c 'sleep 7f3a9c 2>/dev/null; exec sleep 4242.4242' >/dev/null 2>&1 & echo left",
        holds: Holds::Afterwards(|_| {
            let mut alive = false;
            for process in std::fs::read_dir("/proc")?.flatten() {
                let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
                alive |= line.starts_with(b"sleep\x004242.4242");
            }
            Ok(if alive { Err("it is still alive".into()) } else { Ok(()) })
        }),
    },
];

impl Attack {
    pub(super) fn perform(&self, stage: &Stage) -> Finding {
        let outside = stage.beside("").to_string_lossy().replace('\'', "");
        let script = format!("OUTSIDE='{}'\n{}", outside.trim_end_matches('/'), self.script);
        let (outcome, seen) = match stage.in_box(&script) {
            Err(error) => (Outcome::NotAsked, format!("the box was not started: {error}")),
            Ok(said) if !started(&said) => (Outcome::NotAsked, said.stderr.trim().to_owned()),
            Ok(said) => match self.judge(&said, stage) {
                Ok(Ok(())) => (Outcome::Held, String::new()),
                Ok(Err(what)) => (Outcome::Broken, what),
                Err(error) => (Outcome::NotAsked, error.to_string()),
            },
        };
        Finding { promise: self.promise, tried: self.tried.into(), outcome, seen }
    }

    fn judge(&self, said: &Said, stage: &Stage) -> io::Result<Result<(), String>> {
        if said.stdout.contains(CANARY) || said.stderr.contains(CANARY) {
            return Ok(Err("the secret was read".into()));
        }
        match &self.holds {
            Holds::NoCanary => Ok(Ok(())),
            Holds::Says(line) => {
                let whole = said.stdout.trim();
                Ok(if whole == *line { Ok(()) } else { Err(format!("it said: {}", last_lines(whole))) })
            }
            Holds::Afterwards(check) => check(stage),
        }
    }
}

/// Whether the command ran: pinfold's own codes mean that it did not.
fn started(said: &Said) -> bool {
    let own = crate::exit::TABLE.iter().any(|row| said.code == Some(i32::from(row.1)));
    said.code.is_some() && !own
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
