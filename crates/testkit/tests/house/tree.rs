//! The tracked files of the repository, as git names them and as they are on disk now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Every tracked file that is text, by its path from the root.
#[derive(Debug)]
pub struct Tree {
    texts: BTreeMap<String, String>,
    /// Files that are not text, and folders.
    others: BTreeSet<String>,
}

impl Tree {
    /// This repository.
    pub fn here() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        // The person who runs the suite may not be the one who cloned.
        let out = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .current_dir(&root)
            .output()
            .unwrap_or_else(|error| panic!("cannot run git to list the tracked files: {error}"));
        assert!(out.status.success(), "git does not list files: {}", String::from_utf8_lossy(&out.stderr));
        let names = String::from_utf8(out.stdout).expect("this repository's own names are UTF-8");
        let mut tree = Tree { texts: BTreeMap::new(), others: BTreeSet::new() };
        for name in names.split('\0').filter(|name| !name.is_empty()) {
            // A file that is being removed is still tracked until the commit.
            let Ok(bytes) = std::fs::read(root.join(name)) else { continue };
            tree.add(name, bytes);
        }
        assert!(tree.texts.len() > 100, "only {} files: this is not the whole repository", tree.texts.len());
        tree
    }

    /// A made-up repository, for samples.
    pub fn of(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree { texts: BTreeMap::new(), others: BTreeSet::new() };
        for (name, text) in files {
            tree.add(name, text.as_bytes().to_vec());
        }
        tree
    }

    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        for (at, _) in name.match_indices('/') {
            self.others.insert(name[..at].to_owned());
        }
        match String::from_utf8(bytes) {
            Ok(text) => drop(self.texts.insert(name.to_owned(), text)),
            Err(_) => drop(self.others.insert(name.to_owned())),
        }
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter(|(path, _)| path.ends_with(".rs"))
    }

    pub fn markdown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter(|(path, _)| path.ends_with(".md"))
    }

    pub fn manifests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter(|(path, _)| path.ends_with("/Cargo.toml"))
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Is there such a file or folder?
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty() || self.texts.contains_key(path) || self.others.contains(path)
    }
}
