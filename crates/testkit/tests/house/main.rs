//! The rules of the house, held by a machine: which way dependencies point, where `unsafe` may be, how long a file or a function may
//! get, what never stands in a tracked file, and that the documents point at things that exist.
//!
//! Each rule is a function from text to complaints, so that it is also tested on a sample that breaks it: a checker that cannot fail
//! proves nothing. What is an exception stands in a table beside its rule, with the reason.

#![forbid(unsafe_code)]

mod arrows;
mod documents;
mod source;
mod tree;
mod words;

use tree::Tree;

/// All complaints at once: whoever breaks three rules should not have to run this three times.
#[track_caller]
fn nothing_to_complain_about(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} against the rules of the house:\n{}", complaints.len(), complaints.join("\n"));
}

/// The sample must be refused, and for the reason that the test is about.
#[track_caller]
fn complains(complaints: &[String], about: &str) {
    assert!(
        complaints.iter().any(|complaint| complaint.contains(about)),
        "no complaint about {about}: {complaints:#?}"
    );
}

#[test]
fn dependencies_point_down() {
    let tree = Tree::here();
    let complaints: Vec<_> = tree
        .manifests()
        .flat_map(|(path, text)| arrows::complaints(path, text))
        .chain(arrows::unknown(&tree))
        .collect();
    nothing_to_complain_about(&complaints);
}

#[test]
fn unsafe_is_in_one_crate_and_has_reasons() {
    let tree = Tree::here();
    nothing_to_complain_about(&tree.rust().flat_map(|(path, text)| source::unsafety(path, text)).collect::<Vec<_>>());
}

#[test]
fn files_and_functions_stay_readable() {
    let tree = Tree::here();
    nothing_to_complain_about(&tree.rust().flat_map(|(path, text)| source::sizes(path, text)).collect::<Vec<_>>());
}

#[test]
fn the_thinking_crates_touch_nothing() {
    let tree = Tree::here();
    nothing_to_complain_about(&tree.rust().flat_map(|(path, text)| source::purity(path, text)).collect::<Vec<_>>());
}

#[test]
fn nothing_is_unfinished_silent_or_loud() {
    let tree = Tree::here();
    nothing_to_complain_about(&tree.rust().flat_map(|(path, text)| source::manners(path, text)).collect::<Vec<_>>());
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let tree = Tree::here();
    nothing_to_complain_about(
        &tree.all().flat_map(|(path, text)| words::machine_paths(path, text)).collect::<Vec<_>>(),
    );
}

#[test]
fn the_documents_point_at_what_exists() {
    let tree = Tree::here();
    nothing_to_complain_about(
        &tree.markdown().flat_map(|(path, text)| documents::complaints(&tree, path, text)).collect::<Vec<_>>(),
    );
}
