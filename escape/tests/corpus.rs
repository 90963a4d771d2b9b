//! Runs the corpus: each case as each of its callers, first on its baseline, then on pinfold.
//!
//! `cargo test -p pinfold-escape -- C12` runs one case. `PINFOLD_BASELINE_ONLY=1` shows only that the attacks work where they should.
//! `PINFOLD_TRIALS=1000` tries races harder. The table goes to `target/escape.md`, transcripts to `target/escape/`, those of
//! what failed to standard error as well.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use pinfold_escape::case::{self, Case};
use pinfold_escape::judge::{Scope, Verdict, judge};
use pinfold_escape::table::{Row, markdown};
use pinfold_testkit::As;

#[expect(clippy::print_stderr, reason = "this is the test's own report")]
fn main() -> std::process::ExitCode {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let classes = match case::load(&here.join("cases")) {
        Ok(classes) => classes,
        Err(error) => {
            eprintln!("the corpus does not load: {error}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let only = std::env::var_os("PINFOLD_BASELINE_ONLY").is_some_and(|value| value == "1");
    let scope = if only { Scope::BaselineOnly } else { Scope::Both };
    let rows = Arc::new(Mutex::new(Vec::new()));
    let mut trials = Vec::new();
    for (class, cases) in classes {
        for case in cases.cases {
            for who in case.who.clone() {
                trials.push(trial(&class, &case, who.into(), scope, &rows));
            }
        }
    }
    let mut arguments = Arguments::from_args();
    // A box is several processes: more at once would only make the waits longer.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !listing {
        let mut rows = rows.lock().expect("no trial panics while it adds its row");
        rows.sort_by(|a, b| (&a.class, &a.case.id, a.who.name()).cmp(&(&b.class, &b.case.id, b.who.name())));
        let path = target_dir(here).join("escape.md");
        match std::fs::write(&path, markdown(&rows)) {
            Ok(()) => eprintln!("the table is in {}", path.display()),
            Err(error) => eprintln!("cannot write {}: {error}", path.display()),
        }
    }
    conclusion.exit_code()
}

fn trial(class: &str, case: &Case, who: As, scope: Scope, rows: &Arc<Mutex<Vec<Row>>>) -> Trial {
    let (class, case, rows) = (class.to_owned(), case.clone(), Arc::clone(rows));
    let name = format!("{class}/{} {} ({})", case.id, case.title, who.name());
    Trial::test(name, move || {
        let judgement = judge(&case, who, scope);
        let (verdict, reason, transcript) =
            (judgement.verdict.clone(), judgement.reason.clone(), judgement.transcript.clone());
        keep_transcript(&case, who, &transcript);
        rows.lock().expect("no trial panics while it adds its row").push(Row { class, case, who, judgement });
        match verdict {
            Verdict::Holds | Verdict::Open => Ok(()),
            Verdict::Skipped => {
                pinfold_testkit::need::skip(&reason);
                Ok(())
            }
            Verdict::Broken | Verdict::Void => Err(Failed::from(format!("{reason}\n{transcript}"))),
        }
    })
}

/// What was said on both sides: a case that holds for the wrong reason can only be found by reading.
fn keep_transcript(case: &Case, who: As, transcript: &str) {
    let dir = target_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).join("escape");
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' };
    let name: String = format!("{}-{}.txt", case.id, who.name()).chars().map(plain).collect();
    let written = std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(dir.join(name), transcript));
    assert!(written.is_ok(), "cannot keep a transcript in {}: {written:?}", dir.display());
}

fn target_dir(here: &Path) -> PathBuf {
    let dir = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| here.join("../target"), PathBuf::from);
    // The table is a by-product; a missing directory shows when it is written.
    let _ = std::fs::create_dir_all(&dir);
    dir
}
