//! What can go wrong while the box's git directory is made.

use crate::index::BadIndex;
use std::io;

#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    #[error("can't read {what} of the host repository")]
    Read { what: String, source: io::Error },
    #[error("can't write {what} of the box's own git directory")]
    Write { what: String, source: io::Error },
    #[error("the host repository's index can't be copied")]
    Index(#[from] BadIndex),
    #[error("the host repository's {what} makes no sense: {why}")]
    Malformed { what: String, why: String },
    #[error("the host repository uses {feature}, which pinfold can't show to a box; {hint}")]
    Unsupported { feature: String, hint: &'static str },
}

impl DoorError {
    pub(crate) fn read(what: impl AsRef<[u8]>) -> impl FnOnce(io::Error) -> DoorError {
        let what = printable(what.as_ref());
        move |source| DoorError::Read { what, source }
    }

    pub(crate) fn write(what: impl AsRef<[u8]>) -> impl FnOnce(io::Error) -> DoorError {
        let what = printable(what.as_ref());
        move |source| DoorError::Write { what, source }
    }
}

/// For messages: control characters and bytes that are not UTF-8 escaped.
pub(crate) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
