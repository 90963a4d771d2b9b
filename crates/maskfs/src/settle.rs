//! Temporary names: a secret on its way to its masked name.
//!
//! `sed -i .env` writes the new secret as `sedXXXXXX` and renames it a moment later; no rule for names can know that one.
//! So a file that the host makes under a temporary-looking name, beside a masked name, does not exist for the box until it
//! has been left alone for a second. The box's own temporary files are known to it, and are never held back.

use crate::host::FileKind;
use rustix::fs::{Statx, StatxFlags};
use std::time::Duration;

/// How long such a file must have been neither made nor written to.
pub const SETTLED: Duration = Duration::from_secs(1);

/// Whether a host file may be on its way to another name.
pub fn may_be_passing(name: &[u8], stat: &Statx, now: (i64, u32)) -> bool {
    crate::host::kind_of(stat) == FileKind::File && looks_temporary(name) && is_young(stat, now)
}

fn is_young(stat: &Statx, now: (i64, u32)) -> bool {
    let age =
        |seconds: i64, nanos: u32| i128::from(now.0 - seconds) * 1_000_000_000 + i128::from(now.1) - i128::from(nanos);
    // A time in the future is a clock that was set, or a file that was given one: not a sign of youth.
    let young = |age: i128| (0..SETTLED.as_nanos() as i128).contains(&age);
    let born = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
    let changed = [(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec), (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec)];
    young(age(changed[0].0, changed[0].1))
        || young(age(changed[1].0, changed[1].1))
        || born && young(age(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec))
}

/// The shapes that tools give to files which they rename when they are done.
pub fn looks_temporary(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    let random = |tail: &[u8]| tail.len() >= 6 && tail.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    // sed, perl -i (its template keeps two of its eight X), mktemp, Python's tempfile, gedit and GLib, Go's CreateTemp.
    let prefixed = [&b"sed"[..], b"xx", b"tmp", b"tmp.", b"temp", b"perl", b".goutputstream-", b".tmp", b".tmp."];
    let suffixes = [&b".tmp"[..], b".temp", b".new", b".part", b".partial", b".swp", b".swx", b"~", b"#", b".lock"];
    let rsync = name.strip_prefix(b".").is_some_and(|rest| {
        let dot = rest.iter().rposition(|b| *b == b'.');
        dot.is_some_and(|dot| random(&rest[dot + 1..]))
    });
    let dotted_random = name
        .rsplitn(2, |b| matches!(b, b'.' | b'-'))
        .next()
        .is_some_and(|tail| tail.len() < name.len() && random(tail) && tail.iter().any(u8::is_ascii_digit));
    prefixed.iter().any(|prefix| lower.strip_prefix(*prefix).is_some_and(random))
        || suffixes.iter().any(|suffix| lower.ends_with(suffix))
        || lower.windows(4).any(|window| window == b"_tmp" || window == b"tmp_")
        || rsync
        || dotted_random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools_are_known_and_names_of_people_are_not() {
        for name in [
            "sedQ8xZ1k",
            "XXa8dkE0",
            "tmp.Xa8dkE02Qz",
            "tmpab12cd34",
            ".goutputstream-9LJ2K3",
            "..env.aBc123",
            "x___jb_tmp___",
        ] {
            assert!(looks_temporary(name.as_bytes()), "{name}");
        }
        for name in ["README.md", "src", "main.rs", "Cargo.lock.md", "notes.txt", "sedan.txt", ".gitignore", "a"] {
            assert!(!looks_temporary(name.as_bytes()), "{name}");
        }
    }
}
