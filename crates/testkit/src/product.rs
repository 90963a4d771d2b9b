//! pinfold itself, as a person would start it: the built binary, by its command line and nothing else.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

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

/// Copies an executable to where the ordinary user can run it: a build directory is often below a closed home.
pub(crate) fn install(from: &Path, name: &str) -> Result<PathBuf, Missing> {
    let dir = parent_of_bases()?.join(format!("bin-{}", std::process::id()));
    let to = dir.join(name);
    let copy = || -> std::io::Result<()> {
        std::fs::create_dir_all(&dir)?;
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755))?;
        std::fs::copy(from, &to)?;
        std::fs::set_permissions(&to, PermissionsExt::from_mode(0o755))
    };
    copy().map_err(|error| Missing::new(format!("cannot copy {} to {}: {error}", from.display(), to.display())))?;
    Ok(to)
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
