//! Name and e-mail address of the person, from git's configuration, and nothing else of it. Includes are not followed
//! and nothing is executed: git's configuration can do both.

use crate::{Ask, Who};
use pinfold_plan::{Identity, Repository};
use std::path::Path;

const MAX_CONFIG: u64 = 1 << 20;

/// The repository's own configuration before the person's, as git has it. The host's `.git` can't be written by a box.
pub(crate) fn identity(ask: &Ask, who: &Who, repository: &Repository) -> Option<Identity> {
    let home = who.caller.home.as_path();
    let xdg = ask.path_var("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let own = repository.git.as_ref().map(|git| git.common_dir.as_path().join("config"));
    let files = own.into_iter().chain([home.join(".gitconfig"), xdg.join("git/config")]);
    let (mut name, mut email) = (None, None);
    for file in files {
        let (in_name, in_email) = read(&file).map(|text| user(&text)).unwrap_or_default();
        name = name.or(in_name);
        email = email.or(in_email);
        if name.is_some() && email.is_some() {
            break;
        }
    }
    Some(Identity { name: name?, email: email? })
}

fn read(file: &Path) -> Option<String> {
    let seen = file.metadata().ok()?;
    if !seen.is_file() || seen.len() > MAX_CONFIG {
        return None;
    }
    Some(String::from_utf8_lossy(&std::fs::read(file).ok()?).into_owned())
}

/// `user.name` and `user.email`; the last one of each counts.
fn user(text: &str) -> (Option<String>, Option<String>) {
    let (mut name, mut email) = (None, None);
    let mut in_user = false;
    for line in joined(text) {
        let mut line = line.trim_start();
        if line.starts_with('[') {
            let Some((header, rest)) = line[1..].split_once(']') else { continue };
            in_user = header.trim().eq_ignore_ascii_case("user");
            line = rest.trim_start();
        }
        let Some((key, written)) = line.split_once('=').filter(|_| in_user) else { continue };
        let slot = match key.trim().to_ascii_lowercase().as_str() {
            "name" => &mut name,
            "email" => &mut email,
            _ => continue,
        };
        *slot = Some(value(written)).filter(|value| !value.is_empty() && !value.contains(char::is_control));
    }
    (name, email)
}

/// Lines, with those that end in a backslash joined to the next.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let more = line.ends_with('\\') && !line.ends_with("\\\\");
        let part = if more { &line[..line.len() - 1] } else { line };
        match lines.last_mut() {
            Some(last) if open => last.push_str(part),
            _ => lines.push(part.to_owned()),
        }
        open = more;
    }
    lines
}

/// Quotes, escapes and comments as git writes them.
fn value(written: &str) -> String {
    let mut out = String::new();
    let (mut quoted, mut kept) = (false, 0);
    let mut chars = written.trim_start().chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some(c @ ('"' | '\\')) => out.push(c),
                _ => return String::new(),
            },
            '#' | ';' if !quoted => break,
            c => out.push(c),
        }
        if quoted || !c.is_whitespace() {
            kept = out.len();
        }
    }
    out.truncate(kept);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_would_read() {
        let some = |name: &str, email: &str| (Some(name.to_owned()), Some(email.to_owned()));
        assert_eq!(user("[user]\n\tname = Ada L.\n\temail = ada@example.org\n"), some("Ada L.", "ada@example.org"));
        assert_eq!(user("[User] name = \"Ada; #1\" ; note\nEMAIL=a@b # c\n"), some("Ada; #1", "a@b"));
        assert_eq!(user("[user]\nname = A\\\nda\nemail = x\nemail = y\n"), some("Ada", "y"));
        assert_eq!(user("[user \"work\"]\nname = No\n[other]\nemail = no\n"), (None, None));
        assert_eq!(user("[include]\npath = /etc/shadow\n[user\nname = x\n"), (None, None));
        assert_eq!(user("[user]\nname = \"two\\nlines\"\nemail = \\q\n"), (None, None));
    }
}
