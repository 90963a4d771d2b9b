//! The roots that pinfold has worked in, so that one which lost its `.git` is noticed. Without this, whoever removes
//! the `.git` of a nested repository would make the next box take the repository around it.

use pinfold_plan::HostFacts;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// A name for this path: readable, and of fixed form. Not a secret, and no proof: two paths that clash would share a
/// box home, and 128 bits do not clash by chance.
pub(crate) fn key(root: &Path) -> String {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = root.as_os_str().as_bytes().iter().fold(BASIS, |hash, b| (hash ^ u128::from(*b)).wrapping_mul(PRIME));
    let name = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(32).collect();
    let name = name.trim_start_matches('.');
    format!("{}-{hash:032x}", if name.is_empty() { "root" } else { name })
}

pub(crate) fn is_remembered(data_dir: &Path, root: &Path) -> bool {
    data_dir.join("roots").join(key(root)).symlink_metadata().is_ok()
}

/// Writes the root down. To be called when a run starts; the survey itself changes nothing.
pub fn remember(facts: &HostFacts) -> io::Result<()> {
    if facts.repository.git.is_none() {
        return Ok(());
    }
    let folder = facts.data_dir.as_path().join("roots");
    let file = folder.join(&facts.repository.key);
    if file.symlink_metadata().is_ok() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let mut open = OpenOptions::new();
    match open.write(true).create_new(true).mode(0o600).open(&file) {
        Ok(mut file) => file.write_all(facts.repository.root.as_path().as_os_str().as_bytes()),
        // Another run was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .inspect_err(|_| drop(fs::remove_file(&file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_readable_and_differ() {
        let keys = ["/a/engine", "/b/engine", "/a/.dot", "/a/täst", "/", "/a/en gine"].map(|path| key(Path::new(path)));
        assert!(keys[0].starts_with("engine-") && keys[2].starts_with("dot-") && keys[4].starts_with("root-"));
        for (n, key) in keys.iter().enumerate() {
            assert!(keys[..n].iter().all(|other| other != key));
            assert!(key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{key}");
        }
    }
}
