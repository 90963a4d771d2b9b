//! Launchers that have the holes which the tests are about, built on bubblewrap.
//!
//! A test of a promise is worth something only when its attack works somewhere. These are the ordinary ways to run an agent.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::caller::Caller;
use crate::cmd::Cmd;
use crate::need::{Missing, program};

/// An ordinary way to run an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// The repository bound read-write into a box with namespaces of its own; what matches a list of secret names at launch is covered:
    /// a file by an empty read-only file, a directory by an empty tmpfs.
    Decoys,
    /// The same without covers.
    Bind,
    /// No box: the caller's own view of the machine, with the repository at `/workspace` as well. What an unconfined agent has.
    Open,
}

/// The names that the decoy launcher looks for, as its users write them.
const SECRETS: [&str; 25] = [
    ".env",
    ".env.*",
    "*.secret",
    "*.secrets",
    "*.tfvars",
    "*.tfstate",
    "*.tfstate.*",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "id_rsa*",
    "id_ed25519*",
    "id_ecdsa*",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    "secrets",
    ".secrets",
    "credentials",
    ".aws",
    ".kube",
    ".ssh",
];
const TEMPLATES: [&str; 3] = ["*.example", "*.sample", "*.template"];

impl Baseline {
    pub const ALL: [Baseline; 3] = [Baseline::Decoys, Baseline::Bind, Baseline::Open];

    pub fn name(self) -> &'static str {
        match self {
            Baseline::Decoys => "decoys",
            Baseline::Bind => "bind",
            Baseline::Open => "open",
        }
    }

    pub fn named(name: &str) -> Option<Baseline> {
        Baseline::ALL.into_iter().find(|baseline| baseline.name() == name)
    }

    /// Can it run here?
    pub fn available() -> Result<(), Missing> {
        program("bwrap").map(|_| ())
    }

    /// The command that runs `argv` in this baseline, on `repo`, as `caller`.
    pub fn command<S: AsRef<OsStr>>(self, caller: &Caller, repo: &Path, argv: impl IntoIterator<Item = S>) -> Cmd {
        let mut cmd = caller.command("bwrap");
        cmd.cwd(repo);
        match self {
            Baseline::Open => {
                cmd.args(whole_machine());
            }
            Baseline::Bind | Baseline::Decoys => {
                cmd.args(own_namespaces(caller));
            }
        }
        cmd.args([OsStr::new("--bind"), repo.as_os_str(), OsStr::new("/workspace")]);
        if self == Baseline::Decoys {
            cmd.args(decoys(repo, &empty_file(caller)));
        }
        cmd.args(["--chdir", "/workspace", "--"]).args(argv);
        cmd
    }
}

/// A box as people write it: system read-only, everything else of its own.
fn own_namespaces(caller: &Caller) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["--unshare-all", "--die-with-parent", "--clearenv"].map(Into::into).to_vec();
    for dir in ["/usr", "/etc", "/opt"] {
        args.extend(["--ro-bind-try", dir, dir].map(Into::into));
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        args.extend(["--symlink".into(), format!("usr/{name}").into(), format!("/{name}").into()]);
    }
    args.extend(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"].map(Into::into));
    let home = caller.home().into_os_string();
    args.extend(["--dir".into(), home.clone(), "--setenv".into(), "HOME".into(), home]);
    args.extend(["--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"].map(Into::into));
    for (name, value) in [
        ("AUTHOR_NAME", "Agent"),
        ("AUTHOR_EMAIL", "agent@box"),
        ("COMMITTER_NAME", "Agent"),
        ("COMMITTER_EMAIL", "agent@box"),
    ] {
        args.extend(["--setenv".into(), format!("GIT_{name}").into(), value.into()]);
    }
    args
}

/// The machine as it is, entry by entry, so that `/workspace` can be added without being made on the host.
fn whole_machine() -> Vec<OsString> {
    let mut args: Vec<OsString> = ["--tmpfs", "/"].map(Into::into).to_vec();
    let entries = std::fs::read_dir("/").map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    for entry in entries {
        let path = entry.path().into_os_string();
        match std::fs::read_link(entry.path()) {
            Ok(target) => args.extend(["--symlink".into(), target.into_os_string(), path]),
            Err(_) if entry.file_name() == "workspace" => {}
            Err(_) => args.extend(["--dev-bind-try".into(), path.clone(), path]),
        }
    }
    args
}

/// One cover for each path that has a secret name at this moment.
fn decoys(repo: &Path, empty: &Path) -> Vec<OsString> {
    let mut found = Vec::new();
    find_secrets(repo, &mut found);
    let mut args = Vec::new();
    for path in found {
        let inside = Path::new("/workspace").join(path.strip_prefix(repo).unwrap_or(&path)).into_os_string();
        if path.is_dir() {
            args.extend(["--tmpfs".into(), inside]);
        } else {
            args.extend(["--ro-bind".into(), empty.as_os_str().to_owned(), inside]);
        }
    }
    args
}

fn find_secrets(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        // Covering a symlink covers its target, or fails to launch: not what these tests are about.
        let is_symlink = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if name == ".git" || is_symlink {
            continue;
        }
        let name = name.as_bytes();
        if SECRETS.iter().any(|glob| matches(glob, name)) && !TEMPLATES.iter().any(|glob| matches(glob, name)) {
            found.push(path);
        } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            find_secrets(&path, found);
        }
    }
}

/// The globs above have at most a star at either end and one within.
fn matches(glob: &str, name: &[u8]) -> bool {
    let glob = glob.as_bytes();
    match glob.iter().position(|&byte| byte == b'*') {
        None => name == glob,
        Some(star) => {
            let (before, after) = (&glob[..star], &glob[star + 1..]);
            let Some(rest) = name.strip_prefix(before) else { return false };
            let after = String::from_utf8_lossy(after);
            (0..=rest.len()).any(|at| matches(&after, &rest[at..]))
        }
    }
}

/// The file that covers, made once for each caller.
fn empty_file(caller: &Caller) -> PathBuf {
    let path = caller.base().join("empty");
    if !path.exists() {
        std::fs::write(&path, "").unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{As, Canary, TestRepo, require};

    #[test]
    fn globs_match_as_in_find() {
        assert!(matches(".env", b".env") && !matches(".env", b".envrc"));
        assert!(matches(".env.*", b".env.local") && !matches(".env.*", b".env"));
        assert!(matches("*.tfstate.*", b"x.tfstate.1") && !matches("*.tfstate.*", b"x.tfstate"));
        assert!(matches("*.pem", b"a.b.pem") && !matches("*.pem", b"pem"));
    }

    /// The baselines are what they say, or no test on them proves anything.
    #[test]
    fn each_baseline_shows_what_it_should() {
        require!(Baseline::available());
        for who in As::BOTH {
            let caller = require!(Caller::new(who));
            let secret = Canary::new();
            let repo = TestRepo::new(&caller, "repo");
            repo.write(".env", format!("KEY={secret}\n")).write("secrets/key", secret.as_str());
            let outside = caller.base().join("outside");
            std::fs::write(&outside, "outside\n").expect("a file can be written");
            let script = format!("cat .env secrets/key; echo; ls -d {}; pwd; echo >> README.md", outside.display());
            for baseline in Baseline::ALL {
                let out = baseline.command(&caller, repo.path(), ["sh", "-c", &script]).run();
                let text = out.text();
                assert!(text.contains("/workspace\n"), "{} as {}: {out}", baseline.name(), who.name());
                assert_eq!(secret.is_in(text.as_bytes()), baseline != Baseline::Decoys, "{}: {out}", baseline.name());
                let machine = text.contains("/outside\n");
                assert_eq!(machine, baseline == Baseline::Open, "{}: {out}", baseline.name());
            }
        }
    }
}
