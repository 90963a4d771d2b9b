//! Why an offer was not taken.

use crate::git::GitError;
use std::io;

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// What the box sent is not acceptable. Nothing of it was kept.
    #[error("the box's offer was refused: {0}")]
    Refused(String),
    #[error("can't {doing} in the host repository")]
    Host { doing: String, source: io::Error },
    #[error("the host repository can't be worked on")]
    Git(#[from] GitError),
    #[error("the host repository can't be opened")]
    Open(#[from] crate::door::DoorError),
}

impl ImportError {
    pub(crate) fn host(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ImportError {
        let doing = doing.into();
        move |source| ImportError::Host { doing, source }
    }

    pub(crate) fn refused(why: impl Into<String>) -> ImportError {
        ImportError::Refused(why.into())
    }
}
