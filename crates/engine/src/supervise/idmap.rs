//! What only the supervisor can do for a box whose ids are not the caller's: write the maps, and show the host's objects
//! through them.

use crate::EngineError;
use crate::build::sources::{clone, objects_restricted, open_seen};
use crate::plan_view::PlanView;
use pinfold_sys::mount::Attributes;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

pub(super) fn write(view: &PlanView<'_>, pid: Pid) -> Result<(), EngineError> {
    let ids = view.ids;
    for (file, inside, outside) in
        [("uid_map", ids.uid_inside, ids.uid_outside), ("gid_map", ids.gid_inside, ids.gid_outside)]
    {
        let path = format!("/proc/{}/{file}", pid.as_raw_nonzero());
        std::fs::write(&path, format!("{inside} {outside} 1\n"))
            .map_err(EngineError::io(format!("write the {file} of the box")))?;
    }
    Ok(())
}

/// `PIPEFS_MAGIC`.
const PIPES: i64 = 0x5049_5045;

/// Pipes among the streams belong to the box, or it could not open `/dev/stdout` again. Only those without a name: what has
/// one keeps its owner. Best effort: writing to the descriptor itself works in any case.
pub(super) fn streams(view: &PlanView<'_>) {
    for stream in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        if rustix::fs::fstatfs(stream).is_ok_and(|of| of.f_type == PIPES) {
            let (uid, gid) = (view.ids.uid_outside, view.ids.gid_outside);
            let ids = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
            let _ = rustix::fs::fchown(stream, Some(ids.0), Some(ids.1));
        }
    }
}

/// The object stores of the plan as mounts on which the caller's files belong to the box, read-only. Where the file system
/// can't do that, the plain tree does if everybody may read it.
pub(super) fn objects(view: &PlanView<'_>, pid: Pid) -> Result<Vec<OwnedFd>, EngineError> {
    let mut stores = view.objects().peekable();
    if stores.peek().is_none() {
        return Ok(Vec::new());
    }
    let namespace = rustix::fs::open(
        format!("/proc/{}/ns/user", pid.as_raw_nonzero()),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|errno| EngineError::io("open the user namespace of the box")(errno.into()))?;
    stores
        .map(|(path, seen)| {
            let fd = open_seen(path, Some(seen))?;
            let shown = Attributes { idmap: Some(namespace.as_fd()), ..objects_restricted() };
            match clone(&fd, shown, true) {
                Ok(mount) => Ok(mount),
                Err(_) if readable_by_all(&fd).unwrap_or(false) => {
                    clone(&fd, objects_restricted(), true).map_err(EngineError::io(format!("show {path} to the box")))
                }
                Err(source) => Err(EngineError::Io {
                    doing: format!(
                        "show {path} to the box: it is closed to other users, and its file system can't show it under \
                         other ids"
                    ),
                    source,
                }),
            }
        })
        .collect()
}

fn readable_by_all(fd: &OwnedFd) -> io::Result<bool> {
    Ok(rustix::fs::fstat(fd)?.st_mode & 0o005 == 0o005)
}
