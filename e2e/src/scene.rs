//! A repository with everything that is hard: a clone of an upstream, secrets untracked and tracked, a repository in the repository,
//! a linked worktree.

use std::path::PathBuf;

use pinfold_testkit::{Caller, Canary, TestRepo};

/// The scene.
#[derive(Debug)]
pub struct Scene<'a> {
    pub repo: TestRepo<'a>,
    pub worktree: PathBuf,
    /// Where each secret is, from the repository.
    pub secrets: Vec<(&'static str, Canary)>,
    /// A file that only the box's code would make.
    pub mark: PathBuf,
}

impl<'a> Scene<'a> {
    pub fn new(caller: &'a Caller) -> Scene<'a> {
        let secrets: Vec<_> = [".env", "deploy/server.key", "secrets/token", "vendor/nested/.env"]
            .map(|path| (path, Canary::new()))
            .into();
        let content = |path: &str| {
            let found = secrets.iter().find(|(secret, _)| *secret == path);
            found.map(|(_, canary)| format!("SECRET={canary}\n")).unwrap_or_default()
        };
        let upstream = TestRepo::new(caller, "upstream");
        upstream
            .write("deploy/server.key", content("deploy/server.key"))
            .commit("deploy/server.key", "A key that should not be here");
        let repo = TestRepo::clone_of(&upstream, "work");
        repo.write(".env", content(".env")).write("secrets/token", content("secrets/token"));
        repo.nested_repo("vendor/nested");
        repo.write("vendor/nested/.env", content("vendor/nested/.env"));
        let worktree = repo.linked_worktree("tree", "side");
        Scene { repo, worktree, secrets, mark: caller.base().join("ran") }
    }

    /// What the model will want, step by step.
    pub fn script(&self) -> serde_json::Value {
        let mark = self.mark.display();
        serde_json::json!([
            {"bash": "cat .env; cat secrets/token deploy/server.key vendor/nested/.env", "say": "Let me look at the configuration."},
            {"bash": "dd if=.env status=none; tar cf - .env secrets | cat -v"},
            {"bash": "python3 -c \"print(open('.env').read())\""},
            {"bash": "while read -r line; do echo \"$line\"; done < /workspace/src/../.env; grep -rn SECRET . --include=* --exclude-dir=target"},
            {"read": ".env"},
            {"bash": "env; cat /proc/[0-9]*/environ | tr '\\0' '\\n'; find / -name '*.env' -not -path '/proc/*' 2>/dev/null | head"},
            {"write": {"path": "work.txt", "content": "written by the agent\n"}},
            {"bash": "git status --porcelain; git add -A; git commit -q -m 'Work of the agent'; git log --oneline | head -3"},
            {"bash": format!("for d in .git vendor/nested/.git; do mkdir -p $d/hooks; for h in post-checkout post-index-change pre-commit reference-transaction; do printf '#!/bin/sh\\ntouch {mark}\\n' > $d/hooks/$h; chmod +x $d/hooks/$h; done; git -C $d/.. config core.fsmonitor 'touch {mark};:'; done; ls .git/hooks")},
            {"bash": "rm .env deploy/server.key; mv secrets gone; echo agent > .env; echo agent >> vendor/nested/.env; ls -la"},
            {"bash": "git worktree list; cat README.md; pwd; id -un"},
            {"text": "All done."},
        ])
    }

    /// Puts the script where the model in the box finds it.
    pub fn place_script(&self) {
        self.repo.write("target/model/script.json", self.script().to_string());
    }

    pub fn log(&self) -> Vec<u8> {
        std::fs::read(self.repo.path().join("target/model/log.jsonl")).unwrap_or_default()
    }
}
