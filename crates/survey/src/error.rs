//! Why the survey can't say what was asked.

use pinfold_plan::OsBytes;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error("the folder that you are in can't be named")]
    NoCwd(#[source] io::Error),
    #[error("user {uid} has no home folder of their own")]
    NoHome { uid: u32 },
    #[error("{} is not in a git repository", shown(.0))]
    NotARepository(PathBuf),
    #[error("{} can't be a workspace: {why}", shown(.path))]
    Unfit { path: PathBuf, why: &'static str },
    #[error("{} was a repository when pinfold last ran there, and its .git is gone", shown(.0))]
    GitVanished(PathBuf),
    #[error("{} is not a git folder that pinfold trusts: {why}", shown(.path))]
    BadGit { path: PathBuf, why: String },
    #[error("{} belongs to user {owner}, not to you", shown(.path))]
    Foreign { path: PathBuf, owner: u32 },
    #[error("can't {doing} {}", shown(.path))]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

fn shown(path: &Path) -> OsBytes {
    path.as_os_str().into()
}

impl SurveyError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        SurveyError::Io { doing, path: path.into(), source }
    }

    /// What to try.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            SurveyError::NoCwd(_) => "it may have been deleted or moved: `cd` out of it and back",
            SurveyError::NoHome { .. } => "set HOME to an existing folder that you own",
            SurveyError::NotARepository(_) => {
                "go into one, run `git init`, or add --here to take this folder as it is (no undo by git then)"
            }
            SurveyError::Unfit { .. } => "start pinfold in the folder of one project",
            SurveyError::GitVanished(_) => {
                "if you removed it yourself, add --here to take the folder without git; else restore .git first"
            }
            SurveyError::BadGit { .. } => {
                "`git status` there tells more; `git worktree repair` or `git submodule update --init` mends stale links; \
                 --here takes the folder without its git"
            }
            SurveyError::Foreign { .. } => "start pinfold as the user who owns the repository",
            SurveyError::Io { .. } => return None,
        })
    }

    /// Whether the person can mend it by asking differently, as opposed to a host that does not answer.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, SurveyError::NoCwd(_) | SurveyError::NoHome { .. } | SurveyError::Io { .. })
    }
}
