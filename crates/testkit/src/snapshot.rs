//! What a tree on the host looked like, so that a test can say what changed: names, kinds, bytes, modes, owners, times, inodes.
//!
//! Symlinks are recorded, never followed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Files larger than this are recorded by size alone.
const WHOLE_BYTES: u64 = 4 << 20;

/// One name in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub ino: u64,
    pub mtime: (i64, i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    File(Vec<u8>),
    /// Too large to be kept.
    LargeFile(u64),
    Dir,
    Symlink(OsString),
    Other,
}

/// A tree, by relative path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub entries: BTreeMap<PathBuf, Entry>,
}

impl Snapshot {
    /// Looks at everything below `root`. What vanishes meanwhile is not recorded.
    pub fn take(root: &Path) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.walk(root, Path::new(""));
        snapshot
    }

    fn walk(&mut self, root: &Path, relative: &Path) {
        let Ok(names) = std::fs::read_dir(root.join(relative)) else { return };
        for name in names.flatten() {
            let path = relative.join(name.file_name());
            let full = root.join(&path);
            let Ok(meta) = std::fs::symlink_metadata(&full) else { continue };
            let Some(kind) = kind_of(&full, &meta) else { continue };
            let below = kind == Kind::Dir;
            let entry = Entry {
                kind,
                mode: meta.mode() & 0o7777,
                uid: meta.uid(),
                ino: meta.ino(),
                mtime: (meta.mtime(), meta.mtime_nsec()),
            };
            self.entries.insert(path.clone(), entry);
            if below {
                self.walk(root, &path);
            }
        }
    }

    /// The files that hold these bytes.
    pub fn holding(&self, bytes: &[u8]) -> Vec<PathBuf> {
        let holds =
            |entry: &Entry| matches!(&entry.kind, Kind::File(content) if crate::find_bytes(content, bytes).is_some());
        self.entries.iter().filter(|(_, entry)| holds(entry)).map(|(path, _)| path.clone()).collect()
    }

    /// How `after` differs from this for one path, in words; `None` when it does not, down to the inode and the modification time.
    pub fn change_of(&self, after: &Snapshot, path: &Path) -> Option<String> {
        let shown = path.display();
        match (self.entries.get(path), after.entries.get(path)) {
            (None, None) => None,
            (None, Some(_)) => Some(format!("{shown} appeared")),
            (Some(_), None) => Some(format!("{shown} is gone")),
            (Some(before), Some(now)) => before.change(now).map(|what| format!("{shown}: {what}")),
        }
    }

    /// All paths whose name, kind or bytes differ in `after`, below `prefix`. Times, inodes and directory times are not looked at.
    pub fn content_changes(&self, after: &Snapshot, prefix: &Path) -> Vec<PathBuf> {
        let content = |entry: &Entry| (entry.kind.clone(), if entry.kind == Kind::Dir { 0 } else { entry.mode });
        let mut paths: Vec<_> =
            self.entries.keys().chain(after.entries.keys()).filter(|path| path.starts_with(prefix)).collect();
        paths.sort();
        paths.dedup();
        let differs = |path: &Path| self.entries.get(path).map(content) != after.entries.get(path).map(content);
        paths.into_iter().filter(|path| differs(path)).cloned().collect()
    }
}

impl Entry {
    fn change(&self, now: &Entry) -> Option<String> {
        if self.kind != now.kind {
            return Some(match (&self.kind, &now.kind) {
                (Kind::File(_) | Kind::LargeFile(_), Kind::File(_) | Kind::LargeFile(_)) => "other bytes".to_owned(),
                (before, now) => format!("was {before}, is {now}"),
            });
        }
        let differ = [
            ("mode", self.mode != now.mode),
            ("owner", self.uid != now.uid),
            ("inode", self.ino != now.ino),
            ("modification time", self.kind != Kind::Dir && self.mtime != now.mtime),
        ];
        let words: Vec<_> = differ.iter().filter(|(_, differs)| *differs).map(|(word, _)| *word).collect();
        (!words.is_empty()).then(|| format!("other {}", words.join(", ")))
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::File(_) | Kind::LargeFile(_) => "a file",
            Kind::Dir => "a directory",
            Kind::Symlink(_) => "a symlink",
            Kind::Other => "a special file",
        })
    }
}

fn kind_of(path: &Path, meta: &std::fs::Metadata) -> Option<Kind> {
    let kind = meta.file_type();
    Some(if kind.is_dir() {
        Kind::Dir
    } else if kind.is_symlink() {
        Kind::Symlink(std::fs::read_link(path).ok()?.into_os_string())
    } else if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        Kind::Other
    } else if meta.len() > WHOLE_BYTES {
        Kind::LargeFile(meta.len())
    } else {
        Kind::File(std::fs::read(path).ok()?)
    })
}

/// Every file below `root` that holds any of these bytes, or has them in its name.
pub fn files_holding(root: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let snapshot = Snapshot::take(root);
    let mut found = snapshot.holding(bytes);
    found.extend(
        snapshot.entries.keys().filter(|path| crate::find_bytes(path.as_os_str().as_bytes(), bytes).is_some()).cloned(),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_apart() {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let root = dir.path();
        std::fs::write(root.join("same"), "s").expect("a file can be written");
        std::fs::write(root.join("bytes"), "one").expect("a file can be written");
        std::fs::write(root.join("gone"), "").expect("a file can be written");
        std::fs::write(root.join("moved"), "m").expect("a file can be written");
        let before = Snapshot::take(root);
        std::fs::write(root.join("bytes"), "two").expect("a file can be written");
        std::fs::remove_file(root.join("gone")).expect("a file can be removed");
        std::fs::write(root.join("new"), "").expect("a file can be written");
        std::fs::write(root.join("tmp"), "m").expect("a file can be written");
        std::fs::rename(root.join("tmp"), root.join("moved")).expect("a file can be renamed");
        let after = Snapshot::take(root);

        let change = |path: &str| before.change_of(&after, Path::new(path));
        assert_eq!(change("same"), None);
        assert_eq!(change("bytes").as_deref(), Some("bytes: other bytes"));
        assert_eq!(change("gone").as_deref(), Some("gone is gone"));
        assert_eq!(change("new").as_deref(), Some("new appeared"));
        assert!(change("moved").expect("the inode differs").contains("inode"));
        let content: Vec<_> = before.content_changes(&after, Path::new("")).into_iter().collect();
        assert_eq!(content, [Path::new("bytes"), Path::new("gone"), Path::new("new")]);
    }
}
