//! What a trial on a baseline and one on pinfold say together.

use pinfold_testkit::{As, Baseline, Launcher, Missing, need};

use crate::case::Case;
use crate::trial::{self, Trial};

/// What a case came to, as one caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The attack works on the baseline and achieves nothing here.
    Holds,
    /// As the case says, it works here too.
    Open,
    /// The attack works here.
    Broken,
    /// The case proves nothing: it did not run as meant, or its attack works nowhere.
    Void,
    /// It cannot run here.
    Skipped,
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Open => "open",
            Verdict::Broken => "BROKEN",
            Verdict::Void => "VOID",
            Verdict::Skipped => "skipped",
        }
    }
}

/// The verdict with its reasons.
#[derive(Debug, Clone)]
pub struct Judgement {
    pub verdict: Verdict,
    /// What the attack achieved on the baseline.
    pub baseline: String,
    /// Why, when it does not simply hold.
    pub reason: String,
    pub transcript: String,
}

/// Which launchers a run of the corpus is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only show that each attack works on its baseline.
    BaselineOnly,
    Both,
}

/// Runs a case on its baseline and on pinfold.
pub fn judge(case: &Case, who: As, scope: Scope) -> Judgement {
    let mut judgement = Judgement {
        verdict: Verdict::Holds,
        baseline: String::new(),
        reason: String::new(),
        transcript: String::new(),
    };
    if let Err(missing) = try_to_judge(case, who, scope, &mut judgement) {
        judgement.verdict = if need::must_run() { Verdict::Void } else { Verdict::Skipped };
        judgement.reason = missing.to_string();
    }
    judgement
}

fn try_to_judge(case: &Case, who: As, scope: Scope, judgement: &mut Judgement) -> Result<(), Missing> {
    match case.baseline().map_err(Missing::new)? {
        Some(baseline) => {
            Baseline::available()?;
            let trial = trial::run(case, &Launcher::Baseline(baseline), who)?;
            judgement.transcript.push_str(&trial.transcript);
            if trial.findings.is_empty() {
                let why = trial.broken.join("; ");
                judgement.verdict = Verdict::Void;
                judgement.reason = format!("the attack achieves nothing on the baseline `{}`. {why}", baseline.name());
                return Ok(());
            }
            judgement.baseline = format!("{}: {}", baseline.name(), trial.findings[0]);
        }
        None => judgement.baseline = "none".to_owned(),
    }
    if scope == Scope::Both {
        let trial = trial::run(case, &Launcher::pinfold()?, who)?;
        judgement.transcript.push_str(&trial.transcript);
        (judgement.verdict, judgement.reason) = on_pinfold(case, &trial);
    }
    Ok(())
}

fn on_pinfold(case: &Case, trial: &Trial) -> (Verdict, String) {
    let words = |findings: &[trial::Finding]| findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    match (&case.open, trial.findings.is_empty(), trial.broken.is_empty()) {
        (Some(why), false, _) => (Verdict::Open, why.clone()),
        (Some(_), true, true) => (Verdict::Void, "it is marked as open, and it holds: take the mark away".to_owned()),
        (None, false, _) => (Verdict::Broken, words(&trial.findings)),
        (None, true, true) => (Verdict::Holds, String::new()),
        (_, true, false) => (Verdict::Void, trial.broken.join("; ")),
    }
}
