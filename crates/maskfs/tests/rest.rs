//! A box that is done soon ends soon: while the watch rests, nothing is marked and so nothing may be remembered.

mod support;

use pinfold_maskfs::view::Found;
use std::path::Path;
use std::time::Duration;
use support::Tree;

fn look(tree: &Tree) -> Found {
    std::fs::write(tree.root.join("file"), "text").unwrap();
    tree.find(Path::new("file")).unwrap()
}

#[test]
fn a_resting_watch_remembers_nothing() {
    let tree = Tree::new();
    tree.view.rest(Duration::from_secs(3600));
    let remember = look(&tree).remember;
    assert!(!remember.name && !remember.attributes, "{remember:?}");
}

#[test]
fn a_rested_watch_remembers_what_any_does() {
    let tree = Tree::new();
    tree.view.rest(Duration::ZERO);
    assert_eq!(look(&tree).remember, look(&Tree::new()).remember);
}
