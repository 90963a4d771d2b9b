//! Objects whose names change while the box holds them open, and objects with names that the box may not change.

mod support;

use pinfold_maskfs::view::Change;
use rustix::fs::{OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use support::Tree;

fn read_open(tree: &Tree, handle: u64) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; 4096];
    let count = tree.view.read(handle, 0, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

fn open(tree: &Tree, path: &str, flags: OFlags) -> u64 {
    let found = tree.find(Path::new(path)).unwrap();
    tree.view.open(found.node, flags).unwrap()
}

#[test]
fn a_file_opened_by_a_name_that_is_gone_is_masked_by_the_name_it_has() {
    let tree = Tree::new();
    fs::write(tree.root.join("notes.txt"), "public").unwrap();
    let handle = open(&tree, "notes.txt", OFlags::RDWR);
    assert_eq!(read_open(&tree, handle).unwrap(), b"public");
    fs::hard_link(tree.root.join("notes.txt"), tree.root.join(".env")).unwrap();
    fs::remove_file(tree.root.join("notes.txt")).unwrap();
    fs::write(tree.root.join(".env"), "SECRET").unwrap();
    assert_eq!(read_open(&tree, handle), Err(Errno::ACCESS));
    assert_eq!(tree.view.write(handle, 0, b"x", false), Err(Errno::ROFS));
    assert_eq!(fs::read(tree.root.join(".env")).unwrap(), b"SECRET");
    // Without any name it is the box's alone again.
    fs::remove_file(tree.root.join(".env")).unwrap();
    assert_eq!(tree.view.write(handle, 0, b"x", false), Ok(1));
}

#[test]
fn an_unnamed_file_that_got_a_name_is_judged_by_that_name() {
    let tree = Tree::new();
    let (found, handle) = tree.view.tmpfile(1, 0o644, OFlags::RDWR).unwrap();
    tree.view.write(handle, 0, b"template", false).unwrap();
    tree.view.link(found.node, 1, b"config.txt").unwrap();
    assert_eq!(tree.view.write(handle, 0, b"TEMPLATE", false), Ok(8), "a shared name changes nothing");
    fs::rename(tree.root.join("config.txt"), tree.root.join(".env.local")).unwrap();
    fs::write(tree.root.join(".env.local"), "SECRET").unwrap();
    assert_eq!(read_open(&tree, handle), Err(Errno::ACCESS));
    assert_eq!(tree.view.write(handle, 0, b"x", false), Err(Errno::ROFS));
}

#[test]
fn a_file_that_the_host_moved_to_a_private_name_is_not_changed_through_an_old_descriptor() {
    let tree = Tree::new();
    fs::create_dir_all(tree.root.join(".git/hooks")).unwrap();
    fs::write(tree.root.join("hook.sh"), "#!/bin/sh\n").unwrap();
    let found = tree.find(Path::new("hook.sh")).unwrap();
    let handle = tree.view.open(found.node, OFlags::RDWR).unwrap();
    let hook = tree.root.join(".git/hooks/pre-commit");
    fs::rename(tree.root.join("hook.sh"), &hook).unwrap();
    assert_eq!(tree.view.write(handle, 0, b"evil", false), Err(Errno::ROFS));
    let shorter = Change { size: Some(1), ..Change::default() };
    assert_eq!(tree.view.setattr(found.node, Some(handle), &shorter).map(drop), Err(Errno::ROFS));
    assert_eq!(tree.view.setattr(found.node, None, &shorter).map(drop), Err(Errno::ROFS));
    assert_eq!(tree.view.allocate(handle, 0, 99, 0), Err(Errno::ROFS));
    assert_eq!(fs::read(&hook).unwrap(), b"#!/bin/sh\n");
}

#[test]
fn a_harmless_name_of_a_masked_file_is_not_listed() {
    let tree = Tree::new();
    fs::write(tree.root.join(".env"), "SECRET").unwrap();
    fs::write(tree.root.join("one"), "public").unwrap();
    fs::hard_link(tree.root.join(".env"), tree.root.join("fresh.txt")).unwrap();
    fs::hard_link(tree.root.join("one"), tree.root.join("two")).unwrap();
    let (handle, _) = tree.view.opendir(1).unwrap();
    let mut names: Vec<_> = tree.view.readdir(handle, 2, 99).unwrap().into_iter().map(|name| name.name).collect();
    names.sort();
    assert_eq!(names, [b"one".to_vec(), b"two".to_vec()]);
    let found = tree.find(Path::new("fresh.txt")).unwrap();
    assert_eq!(tree.read(found.node).unwrap(), b"", "it opens as a decoy does");
}

#[test]
fn a_write_does_not_reach_a_name_outside_of_the_tree() {
    let tree = Tree::new();
    let store = tree.outside.join("index.js");
    fs::write(&store, "shared by all projects").unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, change) in [("a.js", true), ("b.js", false)] {
        let path = tree.root.join(name);
        fs::hard_link(&store, &path).unwrap();
        let found = tree.find(Path::new(name)).unwrap();
        assert_eq!(tree.read(found.node).unwrap(), b"shared by all projects");
        if change {
            let mode = Change { mode: Some(0o600), ..Change::default() };
            tree.view.setattr(found.node, None, &mode).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        } else {
            let handle = tree.view.open(found.node, OFlags::RDWR).unwrap();
            tree.view.write(handle, 0, b"EVIL", false).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"EVILed by all projects");
            assert_eq!(tree.read(found.node).unwrap(), b"EVILed by all projects");
            let (copy, original) = (fs::metadata(&path).unwrap(), fs::metadata(&store).unwrap());
            assert_eq!((copy.mode(), copy.nlink()), (original.mode(), 1));
        }
        let names: Vec<_> = fs::read_dir(&tree.root).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(!names.iter().any(|name| name.to_string_lossy().contains("pinfold")), "{names:?}");
    }
    assert_eq!(fs::read(&store).unwrap(), b"shared by all projects");
    assert_eq!(fs::metadata(&store).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn a_write_does_not_reach_a_private_name_and_reaches_all_shared_ones() {
    let tree = Tree::new();
    fs::create_dir_all(tree.root.join(".git/hooks")).unwrap();
    fs::create_dir(tree.root.join("deep")).unwrap();
    fs::write(tree.root.join("hook.sh"), "#!/bin/sh\n").unwrap();
    let hook = tree.root.join(".git/hooks/pre-commit");
    fs::hard_link(tree.root.join("hook.sh"), &hook).unwrap();
    let handle = open(&tree, "hook.sh", OFlags::WRONLY);
    tree.view.write(handle, 0, b"evil", false).unwrap();
    assert_eq!(fs::read(&hook).unwrap(), b"#!/bin/sh\n");
    // The host links it while it is open.
    fs::remove_file(&hook).unwrap();
    fs::hard_link(tree.root.join("hook.sh"), &hook).unwrap();
    assert_eq!(tree.view.write(handle, 0, b"EVIL", false), Err(Errno::ROFS));
    assert_eq!(&fs::read(&hook).unwrap()[..4], b"evil");

    fs::write(tree.root.join("one"), "1").unwrap();
    fs::hard_link(tree.root.join("one"), tree.root.join("deep/two")).unwrap();
    let handle = open(&tree, "one", OFlags::WRONLY);
    tree.view.write(handle, 0, b"2", false).unwrap();
    assert_eq!(fs::read(tree.root.join("deep/two")).unwrap(), b"2", "links within the tree stay links");
    // A third name appears outside: known at once, without a walk.
    fs::hard_link(tree.root.join("one"), tree.outside.join("three")).unwrap();
    assert_eq!(tree.view.write(handle, 0, b"3", false), Err(Errno::ROFS));
    assert_eq!(fs::read(tree.outside.join("three")).unwrap(), b"2");
}

#[test]
fn a_folder_deeper_than_any_real_one_does_not_end_the_server() {
    // As much stack as the server's threads have; a test has less by itself.
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(look_into_a_deep_folder).unwrap();
    thread.join().unwrap();
}

fn look_into_a_deep_folder() {
    let tree = Tree::new();
    // The box can't name what is so deep; it moves one chain of folders to the bottom of another, again and again.
    let chain = |name: &str| {
        let mut node = tree.view.mkdir(1, name.as_bytes(), 0o755).unwrap().node;
        for _ in 0..900 {
            node = tree.view.mkdir(node, b"d", 0o755).unwrap().node;
        }
        node
    };
    let mut moved = 0;
    chain("c0");
    for n in 1..8 {
        let bottom = chain(&format!("c{n}"));
        let from = format!("c{}", n - 1);
        match tree.view.rename((1, from.as_bytes()), (bottom, b"x"), RenameFlags::empty()) {
            Ok(()) => moved += 1,
            Err(error) => assert_eq!(error, Errno::XDEV),
        }
    }
    assert!((1..=4).contains(&moved), "{moved}");
    fs::write(tree.root.join("one"), "1").unwrap();
    fs::hard_link(tree.root.join("one"), tree.root.join("two")).unwrap();
    let found = tree.find(Path::new("two")).unwrap();
    assert_eq!(tree.read(found.node).unwrap(), b"1");
}
