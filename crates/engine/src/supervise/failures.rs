//! What the box said before it failed, turned into whose turn it is: the kernel's answer to one call, and what the call was
//! for, tell an unfit host from a mistake.

use crate::build::Fault;
use crate::error::why_no_user_namespace;
use crate::{EngineError, Unfit};
use pinfold_wire::Stage;
use rustix::io::Errno;
use std::io;

/// What the host lacks, or what else went wrong, from what the builder was doing.
pub(super) fn build_failed(stage: Stage, doing: String, errno: i32) -> EngineError {
    let error = io::Error::from_raw_os_error(errno);
    let denied = matches!(Errno::from_raw_os_error(errno), Errno::PERM | Errno::ACCESS);
    let missing = matches!(Errno::from_raw_os_error(errno), Errno::NOENT | Errno::NODEV | Errno::NXIO);
    let too_old = Errno::from_raw_os_error(errno) == Errno::NOSYS;
    // What the kernel says of a file system without a server, and a channel of one.
    let unserved = matches!(Errno::from_raw_os_error(errno), Errno::NOTCONN | Errno::CONNABORTED | Errno::PIPE);
    match stage {
        Stage::Fuse | Stage::Mounts if unserved => EngineError::MaskFsDied { detail: String::new() },
        Stage::Ids if denied => why_no_user_namespace(Unfit::UserNamespacesDenied, error),
        Stage::Fuse if missing => EngineError::unfit(Unfit::NoFuse, error),
        Stage::Fuse if denied => EngineError::unfit(Unfit::FuseDenied, error),
        Stage::Mounts | Stage::Network | Stage::Privileges if too_old => {
            EngineError::unfit(Unfit::KernelTooOld("the mount calls of Linux 5.12"), error)
        }
        Stage::Mounts if denied && doing.contains("/proc") => EngineError::unfit(Unfit::ProcCovered, error),
        Stage::Mounts | Stage::Network | Stage::Privileges if denied => {
            why_no_user_namespace(Unfit::MountsDenied, error)
        }
        _ => EngineError::Io { doing, source: error },
    }
}

pub(super) fn confine_failed(doing: String, errno: i32) -> EngineError {
    let error = if errno == 0 { io::ErrorKind::Unsupported.into() } else { io::Error::from_raw_os_error(errno) };
    if doing.contains("Landlock") && errno == 0 {
        EngineError::unfit(Unfit::NoLandlock, error)
    } else if doing.contains("filter") {
        EngineError::unfit(Unfit::NoSeccomp, error)
    } else {
        EngineError::Io { doing, source: error }
    }
}

impl From<Fault> for EngineError {
    fn from(fault: Fault) -> EngineError {
        match fault {
            Fault::Failed { stage, doing, error } => build_failed(stage, doing, error.raw_os_error().unwrap_or(0)),
            Fault::Changed { path, found } => EngineError::Changed { path, found },
        }
    }
}
