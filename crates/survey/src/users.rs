//! The user database, read as a file: no service is asked, none could hang us.

use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub name: String,
    pub home: PathBuf,
    pub shell: PathBuf,
}

/// The first line for this user. Users of a directory service are not in the file; they have `$HOME`.
pub(crate) fn find(database: &Path, uid: u32) -> Option<User> {
    let bytes = std::fs::read(database).ok()?;
    bytes.split(|b| *b == b'\n').find_map(|line| parse(std::str::from_utf8(line).ok()?, uid))
}

fn parse(line: &str, uid: u32) -> Option<User> {
    let fields: Vec<_> = line.split(':').collect();
    let [name, _, id, _, _, home, shell] = fields[..] else { return None };
    if name.is_empty() || id.parse() != Ok(uid) || !home.starts_with('/') {
        return None;
    }
    let shell = if shell.starts_with('/') { shell } else { "/bin/sh" };
    Some(User { name: name.into(), home: home.into(), shell: shell.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_none_are_passed_over() {
        assert_eq!(parse("ada:x:7:7:Ada:/home/ada:/bin/zsh", 7).unwrap().shell, Path::new("/bin/zsh"));
        assert_eq!(parse("ada:x:7:7:Ada:/home/ada:", 7).unwrap().shell, Path::new("/bin/sh"));
        for line in
            ["", "ada:x:8:7:Ada:/home/ada:/bin/sh", "ada:x:7:7:Ada:home:/bin/sh", "+::::::", "ada:x:7", ":x:7:7::/h:/s"]
        {
            assert_eq!(parse(line, 7), None, "{line}");
        }
    }
}
