//! The person's own git settings, as far as they decide what `git status` says: the box has another home, and would
//! otherwise call things untracked or changed that are not.
//!
//! Includes are not followed. What is taken from the settings is decided where they are used.

use super::config::Config;
use crate::place;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const MAX_FILE: u64 = 1 << 20;

#[derive(Debug, Clone)]
pub struct Person {
    pub(super) config: Config,
    /// What the person ignores everywhere.
    excludes: Vec<u8>,
    home: PathBuf,
}

impl Person {
    /// Reads `~/.gitconfig`, `git/config`, and the patterns that they name. What can't be read is passed over: the box can
    /// do without. All of it is read now, since later the reader may have given up the right to.
    pub fn read(home: &Path, config_home: &Path) -> Self {
        let mut config = Config::default();
        for file in [config_home.join("git/config"), home.join(".gitconfig")] {
            let _ = config.parse(&read(&file).unwrap_or_default());
        }
        let named = excludes_file(&config).map(|path| expand(home, path));
        let file = named.unwrap_or_else(|| Some(config_home.join("git/ignore")));
        let excludes = file.and_then(|file| read(&file)).unwrap_or_default();
        Person { config, excludes, home: home.to_owned() }
    }

    /// The patterns that the person ignores everywhere; `repository` may name another file for them.
    pub(super) fn excludes(&self, repository: &Config) -> Vec<u8> {
        match excludes_file(repository) {
            Some(path) => expand(&self.home, path).and_then(|file| read(&file)).unwrap_or_default(),
            None => self.excludes.clone(),
        }
    }
}

fn excludes_file(config: &Config) -> Option<&[u8]> {
    config.get("core", "excludesfile")?.value.as_deref()
}

fn expand(home: &Path, path: &[u8]) -> Option<PathBuf> {
    let path = match path.strip_prefix(b"~/") {
        Some(rest) => home.join(OsStr::from_bytes(rest)),
        None => PathBuf::from(OsStr::from_bytes(path)),
    };
    path.is_absolute().then_some(path)
}

/// The file may be a link: people keep their settings in a repository of their own.
fn read(file: &Path) -> Option<Vec<u8>> {
    let file = std::fs::File::open(file.canonicalize().ok()?).ok()?;
    Some(place::read_file(file, MAX_FILE).ok()?.bytes)
}
