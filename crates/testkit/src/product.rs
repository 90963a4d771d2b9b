//! pinfold itself, as a person would start it: the built binary, by its command line and nothing else.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::baseline::Baseline;
use crate::caller::{Caller, parent_of_bases};
use crate::cmd::Cmd;
use crate::need::Missing;

/// The binary under test: `PINFOLD_BIN`, or built once with `--profile fast`. It is copied to where every caller can reach it.
pub fn pinfold_binary() -> Result<PathBuf, Missing> {
    static BINARY: OnceLock<Result<PathBuf, Missing>> = OnceLock::new();
    BINARY.get_or_init(|| install(&find_or_build()?, "pinfold")).clone()
}

/// The model server, built and copied likewise.
pub fn mockmodel_binary() -> Result<PathBuf, Missing> {
    static BINARY: OnceLock<Result<PathBuf, Missing>> = OnceLock::new();
    let make = || install(&build("pinfold-testkit", "pinfold-mockmodel")?, "pinfold-mockmodel");
    BINARY.get_or_init(make).clone()
}

fn find_or_build() -> Result<PathBuf, Missing> {
    if let Some(given) = std::env::var_os("PINFOLD_BIN") {
        let given = PathBuf::from(given);
        return if given.is_file() {
            Ok(given)
        } else {
            Err(Missing::new(format!("PINFOLD_BIN names {}, which is not a file", given.display())))
        };
    }
    build("pinfold", "pinfold")
}

fn build(package: &str, binary: &str) -> Result<PathBuf, Missing> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "-p", package, "--bin", binary, "--profile", "fast"])
        .current_dir(&workspace)
        .output()
        .map_err(|error| Missing::new(format!("cannot run cargo to build {binary}: {error}")))?;
    if !built.status.success() {
        return Err(Missing::new(format!("{binary} does not build:\n{}", String::from_utf8_lossy(&built.stderr))));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    Ok(target.join("fast").join(binary))
}

/// How long copies are kept for other test processes that may be using them.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Copies an executable to where the ordinary user can run it: a build directory is often below a closed home. Every build has a copy
/// of its own, which all test processes share.
fn install(from: &Path, name: &str) -> Result<PathBuf, Missing> {
    let parent = parent_of_bases()?;
    let copy = || -> std::io::Result<PathBuf> {
        let seen = from.metadata()?;
        let dir = parent.join(format!("bin-{:x}-{:x}-{:x}", seen.ino(), seen.mtime(), seen.mtime_nsec()));
        let to = dir.join(name);
        if !to.exists() {
            std::fs::create_dir_all(&dir)?;
            std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755))?;
            let half = dir.join(format!("{name}.{}", std::process::id()));
            std::fs::copy(from, &half)?;
            std::fs::set_permissions(&half, PermissionsExt::from_mode(0o755))?;
            std::fs::rename(&half, &to)?;
        }
        Ok(to)
    };
    remove_old_copies(&parent);
    copy().map_err(|error| Missing::new(format!("cannot copy {} to {}: {error}", from.display(), parent.display())))
}

fn remove_old_copies(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_copy = entry.file_name().to_string_lossy().starts_with("bin-");
        let made = entry.metadata().and_then(|seen| seen.modified()).ok();
        if is_copy && made.and_then(|made| made.elapsed().ok()).is_some_and(|age| age > KEPT) {
            // Another test process may be doing the same.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Something that runs a command in a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launcher {
    Baseline(Baseline),
    Pinfold(PathBuf),
}

impl Launcher {
    pub fn pinfold() -> Result<Launcher, Missing> {
        pinfold_binary().map(Launcher::Pinfold)
    }

    pub fn name(&self) -> &'static str {
        match self {
            Launcher::Baseline(baseline) => baseline.name(),
            Launcher::Pinfold(_) => "pinfold",
        }
    }

    pub fn is_pinfold(&self) -> bool {
        matches!(self, Launcher::Pinfold(_))
    }

    /// The command that runs `argv` in a box on `repo` as `caller`.
    pub fn command<S: AsRef<OsStr>>(&self, caller: &Caller, repo: &Path, argv: impl IntoIterator<Item = S>) -> Cmd {
        match self {
            Launcher::Baseline(baseline) => baseline.command(caller, repo, argv),
            Launcher::Pinfold(binary) => {
                let mut cmd = caller.command(binary);
                cmd.cwd(repo).args(["run", "--"]).args(argv);
                cmd
            }
        }
    }
}
