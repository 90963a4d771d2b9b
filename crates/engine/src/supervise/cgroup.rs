//! The box's own cgroup (v2): limits for all of it together, and one more way to end it.

use crate::plan_view::Cgroup;
use crate::{EngineError, Unfit};
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct BoxCgroup {
    path: PathBuf,
    folder: OwnedFd,
}

impl BoxCgroup {
    pub(super) fn make(plan: &Cgroup<'_>, run_id: &str) -> Result<BoxCgroup, EngineError> {
        let path = plan.parent.as_path().join(format!("pinfold-{run_id}"));
        let made = make(&path, plan);
        made.map_err(|error| {
            let _ = std::fs::remove_dir(&path);
            EngineError::unfit(Unfit::NoCgroup, error)
        })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// All of it at once, also what has just been forked.
    pub(super) fn kill(&self) {
        // Kernels before 5.14 lack the file; the end of pid 1 does the same there.
        let _ = std::fs::write(self.path.join("cgroup.kill"), "1");
    }

    pub(super) fn remove(self) {
        self.kill();
        // The dead stay counted for a moment.
        for _ in 0..50 {
            match std::fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => return,
            }
        }
    }
}

fn make(path: &Path, plan: &Cgroup<'_>) -> io::Result<BoxCgroup> {
    std::fs::create_dir(path)?;
    std::fs::write(path.join("memory.max"), plan.memory.to_string())?;
    std::fs::write(path.join("pids.max"), plan.pids.to_string())?;
    // The memory limit is meant as one: no escape to swap, where the kernel counts it.
    let _ = std::fs::write(path.join("memory.swap.max"), "0");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty())?;
    Ok(BoxCgroup { path: path.to_path_buf(), folder })
}
