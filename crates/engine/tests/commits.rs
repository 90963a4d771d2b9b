//! Commits of the box come out as offers with packs, while it runs and at its end.

mod common;
use common::*;
use pinfold_plan::*;
use pinfold_wire::GitOffer;
use std::path::{Path, PathBuf};
use std::process::Command;

fn git(folder: &Path, words: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C"])
        .arg(folder)
        .args(words)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A box with a git folder of its own that borrows from a host repository with one commit.
struct Repository {
    host: PathBuf,
    first: String,
    packs: PathBuf,
    test: TestBox,
}

/// What the box's own git needs to know: who commits, and whose objects it borrows.
const SET_UP: &str = "cd /workspace && git init -q -b main . 2>&1 && echo /run/objects > .git/objects/info/alternates && \
                      git config user.name agent && git config user.email agent@example.org && \
                      git update-ref refs/heads/main $FIRST && git reset -q --hard; ";

fn repository(who: Who, script: &str) -> Repository {
    let mut test = TestBox::shell(who, &format!("{SET_UP}{script}"));
    let host = test.base.path().join("host");
    let packs = test.base.path().join("packs");
    std::fs::create_dir(&host).unwrap();
    std::fs::create_dir(&packs).unwrap();
    git(&host, &["init", "-q", "-b", "main"]);
    std::fs::write(host.join("file"), "one\n".repeat(1000)).unwrap();
    git(&host, &["add", "-A"]);
    git(&host, &["commit", "-q", "-m", "first"]);
    let first = git(&host, &["rev-parse", "HEAD"]);
    if rustix::process::geteuid().is_root() && who == Who::Ordinary {
        Command::new("chown").args(["-R", "1001:1001"]).args([&host, &packs]).status().unwrap();
    }
    test.exec().env.push(("FIRST".into(), OsBytes::from(first.as_str())));
    let objects = host.join(".git/objects");
    let stat = std::fs::metadata(&objects).unwrap();
    let seen = Seen {
        dev: std::os::unix::fs::MetadataExt::dev(&stat),
        ino: std::os::unix::fs::MetadataExt::ino(&stat),
        kind: SeenKind::Folder,
    };
    let test = test.before_seal(Step::BoxGit { at: BoxPath::new("/workspace/.git") }).before_seal(Step::Objects {
        from: HostPath::new(&objects),
        seen,
        at: BoxPath::new("/run/objects"),
    });
    Repository { host, first, packs, test }
}

impl Repository {
    fn command(&self, known: &str) -> Command {
        let mut command = self.test.command();
        command.env("ENGINEBOX_PACKS", &self.packs).env("ENGINEBOX_KNOWN", known);
        command
    }

    /// The offers that came, each taken into the host repository by its pack.
    fn offers(&self) -> Vec<GitOffer> {
        let mut offers = Vec::new();
        for number in 1.. {
            let Ok(text) = std::fs::read(self.packs.join(format!("{number}.json"))) else { break };
            offers.push(serde_json::from_slice(&text).unwrap());
        }
        offers
    }

    /// Objects in a pack, by its header; `None` if it is none.
    fn objects_in(&self, number: u64) -> Option<u32> {
        let pack = std::fs::read(self.packs.join(format!("{number}.pack"))).unwrap();
        (pack.get(..4) == Some(b"PACK")).then(|| u32::from_be_bytes(pack[8..12].try_into().unwrap()))
    }

    fn take(&self, number: u64) {
        let pack = std::fs::File::open(self.packs.join(format!("{number}.pack"))).unwrap();
        let status = Command::new("git")
            .args(["-c", "safe.directory=*", "-C"])
            .arg(&self.host)
            .args(["index-pack", "--stdin", "--fix-thin", "--strict"])
            .stdin(pack)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "pack {number} does not fit the host's repository");
    }
}

#[test]
fn commits_come_out_while_the_box_runs_and_at_its_end() {
    for who in everybody() {
        let script = "echo two >> file; git commit -qam second; i=0; \
                      while [ $i -lt 100 ]; do sleep 0.05; i=$((i+1)); done; \
                      git checkout -q -b side; echo three >> file; git commit -qam third";
        let repo = repository(who, script);
        let mut child = repo.command(&repo.first).spawn().unwrap();
        TestBox::soon("the first offer, while the box runs", || repo.packs.join("1.json").exists());
        assert!(child.try_wait().unwrap().is_none(), "the box had ended already");
        Ran::from(child.wait_with_output().unwrap()).ok();
        let offers = repo.offers();
        assert_eq!(offers.len(), 2, "{offers:?}");
        assert_eq!(offers[0].head_ref.as_deref(), Some("refs/heads/main"));
        assert!(!offers[0].last && offers[1].last);
        assert_eq!(offers[1].head_ref.as_deref(), Some("refs/heads/side"));
        assert_eq!(offers[1].refs.len(), 2);
        for offer in &offers {
            assert_eq!(
                repo.objects_in(offer.number),
                Some(3),
                "a commit, a tree, a file, and nothing that the host has"
            );
            repo.take(offer.number);
        }
        let head = offers[1].head.as_ref().unwrap().as_str();
        assert_eq!(git(&repo.host, &["log", "--format=%s", head]), "third\nsecond\nfirst");
        git(&repo.host, &["fsck", "--strict"]);
    }
}

#[test]
fn a_short_command_gets_its_commit_out() {
    for who in everybody() {
        let repo = repository(who, "echo two >> file; git commit -qam second");
        Ran::of(&mut repo.command(&repo.first)).ok();
        let offers = repo.offers();
        assert_eq!(offers.len(), 1, "{offers:?}");
        repo.take(1);
        git(&repo.host, &["cat-file", "-e", offers[0].head.as_ref().unwrap().as_str()]);
    }
}

#[test]
fn without_commits_nothing_is_offered() {
    for who in everybody() {
        let repo = repository(who, "echo two >> file; git add -A; git branch other; git status -s; sleep 0.6");
        Ran::of(&mut repo.command(&repo.first)).ok();
        assert_eq!(repo.offers().len(), 0);
    }
}

/// The host may name a commit that the box can't see. Then git can't leave it out, and the pack is made without its help.
#[test]
fn an_unknown_known_commit_stops_no_offer() {
    for who in everybody() {
        let repo = repository(who, "echo two >> file; git commit -qam second");
        Ran::of(&mut repo.command(&format!("{} {}", repo.first, "1".repeat(40)))).ok();
        let offers = repo.offers();
        let last = offers.last().expect("an offer");
        assert_eq!(repo.objects_in(last.number), Some(3));
        repo.take(last.number);
    }
}

/// Whatever the box does to its own git, init stays alive and the command's status comes through.
#[test]
fn a_hostile_git_folder_harms_nobody() {
    for who in everybody() {
        for harm in [
            "rm -rf .git/*",
            "rm .git/HEAD; mkfifo .git/HEAD; mkfifo .git/packed-refs",
            "rm -rf .git/refs; ln -s / .git/refs",
            "ln -sf /proc .git/refs/heads/proc; ln -s /dev/zero .git/refs/heads/zero",
            "truncate -s 1T .git/packed-refs",
            "head -c 3000000 /dev/zero | tr '\\0' 'a' > .git/packed-refs",
            "d=.git/refs/heads; for i in $(seq 1 300); do d=$d/a; mkdir $d || break; done",
            "for i in $(seq 1 2000); do echo $FIRST > .git/refs/heads/b$i; done; echo x >> file; git commit -qam x",
            "echo 1111111111111111111111111111111111111111 > .git/refs/heads/main",
            "git config core.fsmonitor 'touch /workspace/pounced'; git config core.hooksPath /workspace; echo x >> file; \
             git commit -qam x; git config pack.packSizeLimit 1",
        ] {
            let repo = repository(who, &format!("{harm}; sleep 0.8; exit 6"));
            let ran = Ran::of(&mut repo.command(&repo.first));
            assert_eq!(ran.code, Some(6), "{harm}: {}", ran.stderr);
            for offer in repo.offers() {
                assert!(offer.refs.len() <= pinfold_wire::MAX_REFS);
            }
        }
    }
}
