//! Claude Code and Codex, the real ones, do as a scripted model tells them: read secrets in every way, write and commit, plant hooks,
//! remove what is masked. First without pinfold, where the model does see the secrets; then by `pinfold claude` and `pinfold codex`.

use std::path::Path;
use std::time::Duration;

use pinfold_e2e::agent::{Agent, target_dir};
use pinfold_e2e::scene::Scene;
use pinfold_e2e::transcript;
use pinfold_testkit::snapshot::Snapshot;
use pinfold_testkit::{As, Baseline, Caller, Output, mockmodel_binary, pinfold_binary, require};

const PATIENCE: Duration = Duration::from_secs(120);
const PROMPT: &str = "Make the change that we talked about.";

/// Without this, a silent model would pass for a safe box.
fn sees_secrets_without_pinfold(agent: Agent) {
    require!(Baseline::available());
    let caller = require!(Caller::new(As::User));
    let scene = Scene::new(&caller);
    require!(agent.give_to(&caller, &require!(mockmodel_binary())));
    scene.place_script();
    let program = caller.home().join(".local/bin").join(agent.name());
    let mut argv = vec![program.to_string_lossy().into_owned()];
    argv.extend(agent.unattended().iter().map(|word| (*word).to_owned()));
    argv.extend(agent.headless(PROMPT));
    let mut cmd = Baseline::Open.command(&caller, scene.repo.path(), argv);
    cmd.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("DISABLE_AUTOUPDATER", "1").deadline(PATIENCE);
    let out = cmd.run();
    assert_eq!(out.code, 0, "{out}");
    let log = scene.log();
    keep_transcript(agent, "baseline", &log);
    for (path, secret) in &scene.secrets {
        assert!(secret.is_in(&log), "the model was not sent {path}, so the test could not see a leak: {out}");
    }
}

fn works_and_sees_nothing_in_pinfold(agent: Agent, who: As) {
    let binary = require!(pinfold_binary());
    let caller = require!(Caller::new(who));
    let scene = Scene::new(&caller);
    require!(agent.give_to(&caller, &require!(mockmodel_binary())));
    scene.place_script();
    let before = Snapshot::take(scene.repo.path());
    let head = scene.repo.git(["rev-parse", "HEAD"]);

    let mut cmd = caller.command(&binary);
    cmd.cwd(scene.repo.path()).arg(agent.name()).args(agent.headless(PROMPT)).deadline(PATIENCE);
    let out = cmd.run();
    let log = scene.log();
    keep_transcript(agent, who.name(), &log);

    assert_eq!(out.code, 0, "{} as {}: {out}", agent.name(), who.name());
    assert!(out.text().contains("All done."), "{out}");
    nothing_leaked(&scene, &out, &log);
    the_work_came_back(&scene, &head);
    the_host_is_whole(&scene, &before);
}

fn nothing_leaked(scene: &Scene<'_>, out: &Output, log: &[u8]) {
    let results = transcript::results(log);
    for sign in ["Work of the agent", "post-checkout", "README.md", "/workspace"] {
        assert!(results.contains(sign), "the agent did not get as far as `{sign}`:\n{results}");
    }
    for (path, secret) in &scene.secrets {
        assert!(!secret.is_in(log), "the model was sent the secret of {path}:\n{results}");
        assert!(!secret.is_in(&out.stdout) && !secret.is_in(&out.stderr), "the terminal shows the secret of {path}");
    }
}

fn the_work_came_back(scene: &Scene<'_>, head: &str) {
    let repo = &scene.repo;
    assert_eq!(repo.git(["log", "--format=%s", "-1", "main"]), "Work of the agent");
    assert_eq!(repo.git(["rev-parse", "main~1"]), head, "the branch moved forward by one commit");
    assert!(!repo.git(["for-each-ref", "refs/pinfold"]).is_empty(), "the commit has a ref of its run");
    assert_eq!(repo.git(["show", "main:work.txt"]), "written by the agent");
    assert_eq!(repo.git(["diff", "--stat", head, "main", "--", "deploy", ".env", "secrets"]), "");
    let read = std::fs::read_to_string(repo.path().join("work.txt")).unwrap_or_default();
    assert_eq!(read, "written by the agent\n");
    let status = repo.git(["status", "--porcelain"]);
    assert!(!status.contains("work.txt") && !status.contains("deploy"), "{status}");
    repo.git(["fsck", "--strict"]);
}

fn the_host_is_whole(scene: &Scene<'_>, before: &Snapshot) {
    let after = Snapshot::take(scene.repo.path());
    for (path, _) in &scene.secrets {
        assert_eq!(before.change_of(&after, Path::new(path)), None, "bytes, mode, time and inode of a masked file");
    }
    for place in [".git/hooks", ".git/config", ".git/info", "vendor/nested/.git", ".git/worktrees"] {
        let changed = before.content_changes(&after, Path::new(place));
        assert!(changed.is_empty(), "{changed:?}");
    }
    // An ordinary day, in the repository, in the one inside, and in the worktree.
    for dir in [scene.repo.path(), &scene.repo.path().join("vendor/nested"), &scene.worktree] {
        for words in [["status", "-s"], ["diff", "--stat"], ["log", "-3"], ["checkout", "-q"], ["stash", "list"]] {
            scene.repo.command("git").cwd(dir).args(words).ok();
        }
    }
    assert!(!scene.mark.exists(), "code of the box ran on the host");
}

/// Transcripts are for people: what did the agent see?
fn keep_transcript(agent: Agent, where_: &str, log: &[u8]) {
    let dir = target_dir().join("transcripts");
    let write = || {
        std::fs::create_dir_all(&dir)?;
        let title = format!("{} ({where_})", agent.name());
        std::fs::write(dir.join(format!("{}-{where_}.md", agent.name())), transcript::markdown(&title, log))
    };
    let written: std::io::Result<()> = write();
    assert!(written.is_ok(), "cannot keep the transcript in {}: {written:?}", dir.display());
}

#[test]
fn claude_sees_secrets_without_pinfold() {
    sees_secrets_without_pinfold(Agent::Claude);
}

#[test]
fn codex_sees_secrets_without_pinfold() {
    sees_secrets_without_pinfold(Agent::Codex);
}

#[test]
fn claude_in_pinfold_as_an_ordinary_user() {
    works_and_sees_nothing_in_pinfold(Agent::Claude, As::User);
}

#[test]
fn claude_in_pinfold_as_root() {
    works_and_sees_nothing_in_pinfold(Agent::Claude, As::Root);
}

#[test]
fn codex_in_pinfold_as_an_ordinary_user() {
    works_and_sees_nothing_in_pinfold(Agent::Codex, As::User);
}

#[test]
fn codex_in_pinfold_as_root() {
    works_and_sees_nothing_in_pinfold(Agent::Codex, As::Root);
}
