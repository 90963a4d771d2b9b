//! What a test needs of the machine, and what happens when it is not there.
//!
//! A test that cannot run says so on standard error and passes, so that the suite is useful on a laptop; with `PINFOLD_MUST_RUN=1`,
//! as in CI, it fails: a security test that did not run has proved nothing.

use std::io::Write;
use std::path::PathBuf;

/// A reason why a test cannot run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing(pub String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

impl Missing {
    pub fn new(reason: impl Into<String>) -> Self {
        Missing(reason.into())
    }
}

/// Unwraps `Ok`, or leaves the test: with a printed reason, or by failing it when `PINFOLD_MUST_RUN=1`.
#[macro_export]
macro_rules! require {
    ($need:expr) => {
        match $need {
            Ok(value) => value,
            Err(missing) => {
                $crate::need::skip(&missing.to_string());
                return;
            }
        }
    };
}

/// The skip behind [`require!`].
///
/// # Panics
/// When `PINFOLD_MUST_RUN=1`.
pub fn skip(reason: &str) {
    assert!(!must_run(), "cannot run here, and PINFOLD_MUST_RUN=1 says that it must: {reason}");
    let thread = std::thread::current();
    // Not `eprintln!`: the harness keeps that to itself when a test passes, and a skip would be silent.
    let _ = writeln!(std::io::stderr(), "skipped: {}: {reason}", thread.name().unwrap_or("a test"));
}

/// Is a test that cannot run a failure?
pub fn must_run() -> bool {
    std::env::var_os("PINFOLD_MUST_RUN").is_some_and(|value| value == "1")
}

/// The program's path, looked up in PATH.
pub fn program(name: &str) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok() && file.is_file())
        .ok_or_else(|| Missing::new(format!("there is no `{name}` in PATH")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_and_missed() {
        assert!(program("sh").is_ok());
        assert_eq!(program("no-such-program-here"), Err(Missing::new("there is no `no-such-program-here` in PATH")));
    }
}
