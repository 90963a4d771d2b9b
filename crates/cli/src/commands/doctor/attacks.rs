//! The attacks: what runs in the box, what the host does meanwhile, and what must hold.
//!
//! A script that succeeds says so itself (`win`), and nothing that it prints may hold the canary. What can only be seen from
//! outside is looked at when the box has ended.

mod after;
mod inside;
mod turns;

use super::stage::{CANARY, Said, Stage, words_of};
use super::{Finding, Outcome};
use std::io;
use std::time::{Duration, Instant};

/// What the host does while the attack goes on.
pub(super) type Turn = fn(&Stage) -> io::Result<()>;
/// What must be true of the host when the box has ended: `Err` says what is not.
type Check = fn(&Stage) -> io::Result<Result<(), String>>;

pub(super) struct Attack {
    pub(super) promise: &'static str,
    pub(super) tried: &'static str,
    /// For `sh` in the box, after the prelude of `stage.rs`. `$OUTSIDE` is the folder beside the repository, as the host
    /// names it.
    pub(super) script: &'static str,
    pub(super) turn: Option<Turn>,
    check: Option<Check>,
}

/// Shown to hold by what it says alone.
const fn inside(promise: &'static str, tried: &'static str, script: &'static str) -> Attack {
    Attack { promise, tried, script, turn: None, check: None }
}

/// And by what the host looks like afterwards.
const fn checked(promise: &'static str, tried: &'static str, script: &'static str, check: Check) -> Attack {
    Attack { promise, tried, script, turn: None, check: Some(check) }
}

/// While the host acts.
const fn with_host(promise: &'static str, tried: &'static str, script: &'static str, turn: Turn) -> Attack {
    Attack { promise, tried, script, turn: Some(turn), check: None }
}

/// All attacks, a box for each row. The order matters: later rows destroy what earlier ones look at.
pub(super) fn perform(stage: &Stage) -> Vec<Finding> {
    let repo = stage.repo.clone();
    let row = |attacks: &[&[Attack]]| stage.act(&repo, &attacks.iter().copied().flatten().collect::<Vec<_>>());
    let mut findings = row(&[inside::WALLS, inside::READS, inside::SECRETS, inside::NETWORK]);
    findings.extend(stage.act(&stage.beside("second"), &[&inside::SECOND_BOX]));
    findings.extend(row(&[turns::HOST]));
    findings.extend(row(&[after::GIT]));
    findings.extend(row(&[after::PLANTED]));
    findings.extend(row(&[after::DESTROYED]));
    findings.extend(after::gone(stage));
    findings
}

impl Attack {
    /// What became of it, from what the box said and from the host.
    pub(super) fn judge(&self, stage: &Stage, number: usize, said: &Said) -> (Outcome, String) {
        if said.stdout.contains(CANARY) && section(&said.stdout, number).is_none() || said.stderr.contains(CANARY) {
            return (Outcome::Broken, "a secret was read".into());
        }
        let Some(words) = section(&said.stdout, number) else {
            let why = if said.stderr.trim().is_empty() { "the box ended before it" } else { said.stderr.trim() };
            return (Outcome::NotAsked, last_lines(why));
        };
        let (outcome, seen) = by_words(words);
        if outcome == Outcome::Broken {
            return (outcome, seen);
        }
        match self.check.map(|check| check(stage)) {
            None | Some(Ok(Ok(()))) => (outcome, seen),
            Some(Ok(Err(what))) => (Outcome::Broken, what),
            Some(Err(error)) => (Outcome::NotAsked, error.to_string()),
        }
    }
}

/// The worst thing that an attack's own words say.
fn by_words(words: &str) -> (Outcome, String) {
    if words.contains(CANARY) {
        return (Outcome::Broken, "the secret was read".into());
    }
    let signs = [
        ("@broken", Outcome::Broken),
        ("@void", Outcome::NotAsked),
        ("@weaker", Outcome::Weaker),
        ("@skipped", Outcome::Skipped),
    ];
    for (sign, outcome) in signs {
        let said: Vec<_> = words.lines().filter_map(|line| line.strip_prefix(sign)).map(str::trim).collect();
        if !said.is_empty() {
            return (outcome, last_lines(&said.join("\n")));
        }
    }
    (Outcome::Held, String::new())
}

/// What one attack of a row said; `None` when it did not come to its end.
fn section(text: &str, number: usize) -> Option<&str> {
    let (_, rest) = text.split_once(&format!("\n@begin {number}\n"))?;
    rest.split_once(&format!("\n@end {number}\n")).map(|(words, _)| words)
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Whether a process with this command line lives.
fn lives(line: &[u8]) -> io::Result<bool> {
    let mut alive = false;
    for process in std::fs::read_dir("/proc")?.flatten() {
        alive |= std::fs::read(process.path().join("cmdline")).unwrap_or_default().starts_with(line);
    }
    Ok(alive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(words: &str) -> Outcome {
        by_words(words).0
    }

    #[test]
    fn a_broken_protection_is_shown_as_broken() {
        assert_eq!(judged("cat: .env: nothing\n"), Outcome::Held);
        assert_eq!(judged(&format!("x\nKEY={CANARY}\n")), Outcome::Broken);
        assert_eq!(judged("some words\n@broken mounted\n@skipped rest"), Outcome::Broken);
        assert_eq!(judged("@weaker no limit"), Outcome::Weaker);
        assert_eq!(judged("@weaker no limit\n@broken none at all"), Outcome::Broken);
        assert_eq!(judged("@void the host did not act\n@weaker x"), Outcome::NotAsked);
        assert_eq!(judged("@skipped there is no unshare here"), Outcome::Skipped);
        assert_eq!(judged("it says @broken in the middle of a line"), Outcome::Held);
    }

    #[test]
    fn what_was_not_reached_is_not_held() {
        let text = "\n@begin 0\nwords\n\n@end 0\n\n@begin 1\nhalf";
        assert_eq!(section(text, 0), Some("words\n"));
        assert_eq!((section(text, 1), section(text, 2)), (None, None));
    }

    #[test]
    fn attacks_have_words_of_their_own() {
        let rows = [
            inside::WALLS,
            inside::READS,
            inside::SECRETS,
            inside::NETWORK,
            turns::HOST,
            after::GIT,
            after::PLANTED,
            after::DESTROYED,
        ];
        let all: Vec<_> = rows.into_iter().flatten().collect();
        assert!(all.len() >= 35, "{}", all.len());
        for (n, attack) in all.iter().enumerate() {
            assert!(all[..n].iter().all(|other| other.tried != attack.tried), "{}", attack.tried);
            assert_eq!(attack.turn.is_some(), attack.script.contains("turn"), "{}", attack.tried);
            assert!(!attack.script.contains(CANARY), "{}", attack.tried);
        }
    }
}
