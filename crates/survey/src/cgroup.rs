//! A cgroup v2 folder in which the caller may make children with limits.
//!
//! A process is only moved below a folder that its mover may write, and limits only exist where the parent hands the
//! controllers down. So the folder is looked for on the way up from our own: the first that is writable and does that.

use rustix::fs::{Access, access, statfs};
use std::path::{Path, PathBuf};

const CGROUP2_MAGIC: i64 = 0x6367_7270;
const MAX_CLIMB: usize = 32;

pub(crate) fn delegated() -> Option<PathBuf> {
    let mount =
        ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new).into_iter().find(|path| is_cgroup2(path))?;
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    if own.split('/').any(|part| part == "..") {
        return None;
    }
    let own = mount.join(own);
    own.ancestors()
        .take(MAX_CLIMB)
        .take_while(|folder| folder.starts_with(mount))
        .find(|folder| hands_down(folder))
        .map(Path::to_path_buf)
}

fn is_cgroup2(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.f_type == CGROUP2_MAGIC)
}

fn hands_down(folder: &Path) -> bool {
    let writable = |path: &Path| access(path, Access::WRITE_OK).is_ok();
    let controllers = std::fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    let has = |name: &str| controllers.split_ascii_whitespace().any(|it| it == name);
    has("memory") && has("pids") && writable(folder) && writable(&folder.join("cgroup.procs"))
}
