//! Credentials that stand in places where a box could read them: addresses, logs, scripts.
//!
//! Addresses have a grammar and are cleaned by it. Scripts have none: what looks like a credential there is a guess, made
//! to leave a hook out rather than to let one through.

/// A remote's address without user names that may be tokens, passwords, queries and fragments. `None` for addresses that
/// name a helper program.
pub(super) fn without_credentials(url: &[u8]) -> Option<Vec<u8>> {
    let find = |needle: &[u8]| url.windows(needle.len()).position(|w| w == needle);
    let Some(scheme_end) = find(b"://") else {
        // `helper::address`
        return (find(b"::").is_none() || url.first() == Some(&b'[')).then(|| url.to_vec());
    };
    let (scheme, rest) = (&url[..scheme_end], &url[scheme_end + 3..]);
    if scheme.contains(&b':') {
        return None;
    }
    let host_end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(host_end);
    let path = &path[..path.iter().position(|b| b"?#".contains(b)).unwrap_or(path.len())];
    let (user, host) = match authority.iter().rposition(|&b| b == b'@') {
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => (&b""[..], authority),
    };
    // For ssh the user is an account, `git` in most cases, and the address is wrong without it.
    let user = user.split(|&b| b == b':').next().filter(|u| scheme.ends_with(b"ssh") && !u.is_empty());
    let user = user.map(|u| [u, b"@"].concat()).unwrap_or_default();
    Some([scheme, b"://", &user, host, path].concat())
}

/// Every `scheme://user@` in some text, without the user.
pub(super) fn without_user_info(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(3).position(|w| w == b"://") {
        let (before, after) = rest.split_at(at + 3);
        out.extend_from_slice(before);
        let end = after.iter().position(|b| b"/?# \t\n\"'".contains(b)).unwrap_or(after.len());
        let user = after[..end].iter().rposition(|&b| b == b'@').map_or(0, |at| at + 1);
        rest = &after[user..];
    }
    out.extend_from_slice(rest);
    out
}

/// Words in the name of a variable that holds a credential.
const NAMES: [&str; 11] = [
    "token",
    "secret",
    "passwd",
    "password",
    "passphrase",
    "apikey",
    "api_key",
    "access_key",
    "private_key",
    "credential",
    "authorization",
];
/// How well-known credentials begin.
const BEGINNINGS: [&str; 14] = [
    "-----BEGIN ",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "sk-ant-",
    "npm_",
    "AIza",
];
const SHORTEST: usize = 8;

/// Whether a script seems to hold a credential: a well-known beginning, a user in an address, or a value given to a
/// variable of such a name.
pub(super) fn seem_to_be_in(script: &[u8]) -> bool {
    let text = String::from_utf8_lossy(script);
    without_user_info(script).len() != script.len()
        || BEGINNINGS.iter().any(|b| text.match_indices(b).any(|(at, _)| is_long_word(&text[at + b.len()..])))
        || text.lines().any(gives_a_secret_value)
}

fn is_long_word(rest: &str) -> bool {
    rest.starts_with(|c: char| c.is_ascii_uppercase())
        || rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == '-').count() >= SHORTEST
}

fn gives_a_secret_value(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    NAMES.iter().any(|name| {
        lower.match_indices(name).any(|(at, _)| {
            // The rest of the variable's name, then `=` or `:`, then the value.
            let rest = line[at + name.len()..].trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
            let rest = rest.trim_start_matches(['"', '\'']).trim_start();
            let Some(value) = rest.strip_prefix(['=', ':']) else { return false };
            let value = value.trim_start_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'' || c == '=');
            let word: String = value.chars().take_while(|c| !c.is_whitespace() && *c != '"' && *c != '\'').collect();
            word.len() >= SHORTEST && !word.contains(['$', '`', '<', '('])
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_credentials() {
        let cases = [
            ("https://tok@github.com/a/b.git", Some("https://github.com/a/b.git")),
            ("https://u:p@h:8443/a?access_token=x#y", Some("https://h:8443/a")),
            ("https://u:p%40@x@h/a", Some("https://h/a")),
            ("https://h?token=x", Some("https://h")),
            ("ssh://git:pw@h:22/a", Some("ssh://git@h:22/a")),
            ("git@github.com:a/b.git", Some("git@github.com:a/b.git")),
            ("../sibling", Some("../sibling")),
            ("file:///srv/x", Some("file:///srv/x")),
            ("ext::sh -c evil", None),
            ("ext::https://tok@h/", None),
        ];
        for (url, want) in cases {
            let got = without_credentials(url.as_bytes()).map(|u| String::from_utf8(u).unwrap());
            assert_eq!(got.as_deref(), want, "{url}");
        }
    }

    #[test]
    fn logs_lose_users() {
        let text = b"pull https://u:tok@h/x main: Fast-forward\nclone: from ssh://git@h/y\nno://address a@b\n";
        let want = b"pull https://h/x main: Fast-forward\nclone: from ssh://h/y\nno://address a@b\n";
        assert_eq!(without_user_info(text), want);
    }

    #[test]
    fn scripts_with_and_without() {
        for yes in [
            "export API_TOKEN=abcdef0123456789",
            "curl -H 'Authorization: Bearer-abcdefgh'",
            "DB_PASSWORD='correcthorse'",
            "git push https://me:pw@example.com/x",
            "key=ghp_0123456789abcdef0123",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "\"secret\": \"hunter22hunter22\"",
        ] {
            assert!(seem_to_be_in(yes.as_bytes()), "{yes}");
        }
        for no in [
            "#!/bin/sh\nnpx lint-staged\n",
            "TOKEN=$(cat ~/.token)",
            "PASSWORD=\"$1\"",
            "git secrets --scan",
            "if [ -z \"$API_KEY\" ]; then exit 1; fi",
            "command -v git-lfs >/dev/null 2>&1 || { echo https://example.com/docs; exit 2; }",
            "task-risk-disk",
        ] {
            assert!(!seem_to_be_in(no.as_bytes()), "{no}");
        }
    }
}
