//! The results as a table in Markdown, for people and for the record.

use pinfold_testkit::As;

use crate::case::Case;
use crate::judge::{Judgement, Verdict};

/// One result.
#[derive(Debug)]
pub struct Row {
    pub class: String,
    pub case: Case,
    pub who: As,
    pub judgement: Judgement,
}

/// The whole table, with a sum at its head.
pub fn markdown(rows: &[Row]) -> String {
    let count = |verdict: &Verdict| rows.iter().filter(|row| row.judgement.verdict == *verdict).count();
    let mut text = String::from("# Escape corpus\n\n");
    let sums: Vec<_> = [Verdict::Holds, Verdict::Open, Verdict::Broken, Verdict::Void, Verdict::Skipped]
        .iter()
        .map(|verdict| format!("{} {}", count(verdict), verdict.word()))
        .collect();
    text.push_str(&format!("{} trials: {}.\n\n", rows.len(), sums.join(", ")));
    text.push_str(
        "| case | promise | what is tried | as | on the baseline | on pinfold |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let Judgement { verdict, baseline, reason, .. } = &row.judgement;
        let result =
            if reason.is_empty() { verdict.word().to_owned() } else { format!("{}: {reason}", verdict.word()) };
        let cells = [&row.case.id, &row.case.promise, &row.case.title, &row.who.name().to_owned(), baseline, &result];
        let cells: Vec<_> = cells.iter().map(|cell| harmless(cell)).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// One line, whatever a hostile file name holds.
fn harmless(cell: &str) -> String {
    let cell: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    cell.replace('|', "\\|")
}
