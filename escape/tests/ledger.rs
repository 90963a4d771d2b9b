//! The ledger of known holes names tests; each that it names must exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pinfold_escape::case;

/// Where `FILE::NAME` may be.
const TESTS: [&str; 2] = ["crates", "e2e"];

#[test]
fn every_test_of_the_ledger_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let ledger = std::fs::read_to_string(root.join("docs/known-holes.md")).expect("the ledger is there");
    let cases: BTreeSet<String> = case::load(&root.join("escape/cases"))
        .expect("the corpus loads")
        .into_iter()
        .flat_map(|(_, class)| class.cases)
        .map(|case| case.id)
        .collect();
    let sources = sources(&root);
    let mut named = 0;
    let mut missing = Vec::new();
    for (number, line) in ledger.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        let tests = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        for word in tests.split('`').skip(1).step_by(2) {
            named += 1;
            let exists = match word.split_once("::") {
                Some((file, name)) => sources.iter().any(|(path, text)| {
                    path.file_name().is_some_and(|base| base == file) && text.contains(&format!("fn {name}("))
                }),
                // A case with `each` has its word added to its id.
                None => cases.iter().any(|id| id == word || id.starts_with(&format!("{word}/"))),
            };
            if !exists {
                missing.push(format!("docs/known-holes.md:{}: there is no test `{word}`", number + 1));
            }
        }
    }
    assert!(named > 100, "only {named} tests are named: the table was not understood");
    assert_eq!(missing, Vec::<String>::new());
}

fn sources(root: &Path) -> Vec<(PathBuf, String)> {
    let mut folders: Vec<PathBuf> = TESTS.iter().map(|folder| root.join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be listed to its end").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push((path, text));
            }
        }
    }
    found
}
