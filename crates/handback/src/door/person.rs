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
    home: PathBuf,
    /// Below it, git looks for `git/ignore`.
    config_home: PathBuf,
}

impl Person {
    /// Reads `~/.gitconfig` and `git/config`. What can't be read is passed over: the box can do without.
    pub fn read(home: &Path, config_home: &Path) -> Self {
        let mut config = Config::default();
        for file in [config_home.join("git/config"), home.join(".gitconfig")] {
            let _ = config.parse(&read(&file).unwrap_or_default());
        }
        Person { config, home: home.to_owned(), config_home: config_home.to_owned() }
    }

    /// The patterns that the person ignores everywhere. `repository` may name another file for them.
    pub(super) fn excludes(&self, repository: &Config) -> Vec<u8> {
        let named = |config: &Config| config.get("core", "excludesfile").and_then(|i| i.value.clone());
        let file = match named(repository).or_else(|| named(&self.config)) {
            Some(path) => self.expand(&path),
            None => Some(self.config_home.join("git/ignore")),
        };
        file.and_then(|file| read(&file)).unwrap_or_default()
    }

    fn expand(&self, path: &[u8]) -> Option<PathBuf> {
        let path = match path.strip_prefix(b"~/") {
            Some(rest) => self.home.join(OsStr::from_bytes(rest)),
            None => PathBuf::from(OsStr::from_bytes(path)),
        };
        path.is_absolute().then_some(path)
    }
}

/// The file may be a link: people keep their settings in a repository of their own.
fn read(file: &Path) -> Option<Vec<u8>> {
    let file = std::fs::File::open(file.canonicalize().ok()?).ok()?;
    Some(place::read_file(file, MAX_FILE).ok()?.bytes)
}
