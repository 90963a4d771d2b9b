//! The folders of a run on the host, and what former runs left behind.
//!
//! A run holds a lock on its folder for as long as its supervisor lives. Whoever finds a marked run with a free lock knows
//! that it died without cleaning up, and does it.

use crate::EngineError;
use crate::error::Unfit;
use crate::plan_view::PlanView;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Dead runs that one run cleans up after; the rest is left for the next.
const MAX_SWEEP: usize = 32;
/// Beside the runs: one empty file for each that has something to clean up.
const MARKS: &str = ".live";

#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    mark: PathBuf,
    // Locked while open.
    _lock: File,
}

fn private_folder(path: &Path) -> Result<(), EngineError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(EngineError::io(format!("make the folder {}", path.display())))
}

impl RunDir {
    /// Makes the run's folder and the box home.
    pub(crate) fn make(view: &PlanView<'_>) -> Result<RunDir, EngineError> {
        let path = view.plan.run_dir.to_path_buf();
        let runs = path.parent().ok_or_else(|| EngineError::Bug("a run folder without a parent".into()))?;
        let marks = runs.join(MARKS);
        private_folder(&marks)?;
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(EngineError::io(format!("make the folder {}", path.display())))?;
        let lock = lock(&path.join("lock"))
            .and_then(|lock| lock.ok_or_else(|| io::ErrorKind::WouldBlock.into()))
            .map_err(EngineError::io(format!("lock {}", path.display())))?;
        let mark = marks.join(path.file_name().unwrap_or_default());
        File::create(&mark).map_err(EngineError::io(format!("write {}", mark.display())))?;
        let home = view.plan.home_dir.as_path();
        private_folder(home)?;
        give_to_box(home, view)?;
        Ok(RunDir { path, mark, _lock: lock })
    }

    /// Makes what belongs to the running box only. MaskFs must be running already: whenever this process is killed from
    /// here on, MaskFs removes it.
    pub(crate) fn make_private(&self, view: &PlanView<'_>) -> Result<(), EngineError> {
        if view.workspace.is_some() {
            private_folder(&self.path.join("private"))?;
        }
        if view.box_git.is_some() {
            let git = self.path.join("git");
            private_folder(&git)?;
            give_to_box(&git, view)?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what belongs to the running box only. The log stays.
    pub(crate) fn clean(&self) -> io::Result<()> {
        clean(&self.path)?;
        fs::remove_file(&self.mark)
    }

    /// Cleans up after runs that died. Best effort: what can't be done now is tried again by the next run.
    pub(crate) fn sweep(&self) {
        let Some(marks) = self.mark.parent() else { return };
        let Some(runs) = self.path.parent() else { return };
        let Ok(entries) = fs::read_dir(marks) else { return };
        for entry in entries.flatten().filter(|entry| entry.path() != self.mark).take(MAX_SWEEP) {
            let run = runs.join(entry.file_name());
            let dead = match lock(&run.join("lock")) {
                Ok(lock) => lock,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Killed between making the mark's folder and the lock, or the person removed the run.
                    let _ = fs::remove_file(entry.path());
                    continue;
                }
                Err(_) => continue,
            };
            if dead.is_some() && clean(&run).is_ok() {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// `None`: somebody else has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file: OwnedFd = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file.into())),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn clean(run: &Path) -> io::Result<()> {
    for name in ["git", "private"] {
        match pinfold_sys::tree::remove(&run.join(name)) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A folder that the box writes natively belongs to the box's outside ids.
fn give_to_box(folder: &Path, view: &PlanView<'_>) -> Result<(), EngineError> {
    if !view.foreign_ids() {
        return Ok(());
    }
    let (uid, gid) = (view.ids.uid_outside, view.ids.gid_outside);
    let ids = (Some(rustix::fs::Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)));
    rustix::fs::chownat(rustix::fs::CWD, folder, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| match errno {
        // An id that this user namespace does not have.
        Errno::INVAL => EngineError::unfit(Unfit::NoSpareUser, errno.into()),
        errno => EngineError::io(format!("give {} to the box", folder.display()))(errno.into()),
    })
}
