//! What kinds of trouble there are, and the exit code and heading of each. `--help` prints this table.
//!
//! The command's own code is passed through, so ours lie where programs seldom do: as `sysexits.h` has them, and 124 to
//! 127 as shells and `timeout` do.

use serde::Serialize;

/// Whose turn it is when something did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    Usage,
    Unfit,
    Bug,
    Host,
    Changed,
    Unproven,
    Refused,
    Config,
    TimedOut,
    NotExecutable,
    NoCommand,
}

/// One row: the kind, its code, its heading, and for `--help` what it means.
pub const TABLE: &[(Trouble, u8, &str, &str)] = &[
    (Trouble::Usage, 64, "usage", "the command line was not understood"),
    (Trouble::Unfit, 69, "unfit host", "this machine can't run a box; the message says what is missing"),
    (Trouble::Bug, 70, "bug", "pinfold contradicts itself; please report it"),
    (Trouble::Host, 71, "error", "the machine refused an operation: a full disk, a folder that can't be written …"),
    (Trouble::Changed, 75, "changed", "something was replaced while the box was being started; run it again"),
    (Trouble::Unproven, 76, "unproven", "a protection could not be shown to work, so nothing was started"),
    (Trouble::Refused, 77, "refused", "what was asked for is not safe: no repository, the home folder, a lost .git …"),
    (Trouble::Config, 78, "configuration", "a configuration file was not understood"),
    (Trouble::TimedOut, 124, "timed out", "the box was stopped because its time was over"),
    (Trouble::NotExecutable, 126, "not executable", "the command is there and can't be executed"),
    (Trouble::NoCommand, 127, "no such command", "the box has no such command"),
];

impl Trouble {
    fn row(self) -> &'static (Trouble, u8, &'static str, &'static str) {
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[2])
    }

    pub fn code(self) -> u8 {
        self.row().1
    }

    pub fn heading(self) -> &'static str {
        self.row().2
    }
}

/// The table as `--help` shows it.
pub fn help() -> String {
    let mut text =
        String::from("Exit codes:\n  The command's own, 128+n when signal n ended it, or one of pinfold's:\n");
    for (_, code, _, meaning) in TABLE {
        text.push_str(&format!("  {code:>3}  {meaning}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        for (n, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0.code(), row.1);
            assert!(TABLE[..n].iter().all(|other| other.1 != row.1 && other.0 != row.0), "{row:?}");
            assert!(row.1 < 128, "codes from 128 on are signals");
        }
    }
}
