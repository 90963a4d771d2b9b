//! Looks at the host, changes nothing, and says what is there.
//!
//! It runs no program and trusts nothing that a former box could have written: the repository is found by its place on
//! the disk, not by asking git; the user by the user database; the toolchains by where `PATH` really leads. What to make
//! of all this is the planner's question.
#![forbid(unsafe_code)]

mod cgroup;
mod config;
mod error;
mod gitfile;
mod repository;
mod roots;
mod system;
mod tools;
mod users;

pub use error::SurveyError;
pub use repository::{Found, find};
pub use roots::remember;

use pinfold_plan::*;
use rustix::process::{Resource, getegid, geteuid, getrlimit};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What to look at.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Where the person stands, physically.
    pub cwd: PathBuf,
    /// Take that folder itself, repository or not.
    pub here: bool,
    pub env: BTreeMap<OsString, OsString>,
    /// Variables that were asked for by name, beyond those that every plan wants.
    pub wanted: Vec<String>,
    /// The user database.
    pub users: PathBuf,
}

impl Ask {
    pub fn of_this_process(here: bool, wanted: Vec<String>) -> Result<Ask, SurveyError> {
        let cwd = std::env::current_dir().map_err(SurveyError::NoCwd)?;
        let env = std::env::vars_os().collect();
        Ok(Ask { cwd, here, env, wanted, users: "/etc/passwd".into() })
    }

    fn var(&self, name: &str) -> Option<&OsString> {
        self.env.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty())
    }

    /// A variable that must be an absolute path to mean anything.
    fn path_var(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// Who is asking, and where pinfold keeps things for them. Needed before a repository is looked for.
#[derive(Debug, Clone)]
pub struct Who {
    pub caller: Caller,
    /// `$HOME` as it is written, where that is a link to the caller's home.
    pub home_alias: Option<PathBuf>,
    pub state_dir: PathBuf,
    pub data_dir: PathBuf,
    pub config_dir: PathBuf,
}

/// The caller and their folders.
pub fn who(ask: &Ask) -> Result<Who, SurveyError> {
    let uid = geteuid().as_raw();
    let user = users::find(&ask.users, uid);
    let written = [ask.path_var("HOME"), user.as_ref().map(|user| user.home.clone())];
    let usable = |path: &PathBuf| path.metadata().is_ok_and(|seen| seen.is_dir() && seen.uid() == uid);
    let written = written.into_iter().flatten().find(usable).ok_or(SurveyError::NoHome { uid })?;
    let home = written.canonicalize().map_err(|error| SurveyError::io("resolve your home folder", &written, error))?;
    if home == Path::new("/") {
        return Err(SurveyError::NoHome { uid });
    }
    let base = |var: &str, fallback: &str| ask.path_var(var).unwrap_or_else(|| home.join(fallback));
    let (state, data) = (base("XDG_STATE_HOME", ".local/state"), base("XDG_DATA_HOME", ".local/share"));
    Ok(Who {
        state_dir: settled(&state).join("pinfold"),
        data_dir: settled(&data).join("pinfold"),
        config_dir: base("XDG_CONFIG_HOME", ".config").join("pinfold"),
        home_alias: (written != home).then_some(written),
        caller: Caller {
            uid,
            gid: getegid().as_raw(),
            name: user.as_ref().map_or_else(|| "user".into(), |user| user.name.clone()),
            home: HostPath::new(home),
            shell: HostPath::new(user.map_or_else(|| "/bin/sh".into(), |user| user.shell)),
        },
    })
}

/// The path without links as far as it exists: comparisons with other paths must not depend on how it was written.
fn settled(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (existing.canonicalize(), path.strip_prefix(existing)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_path_buf()
}

/// Everything that a plan wants to know.
pub fn look(ask: &Ask) -> Result<HostFacts, SurveyError> {
    let who = who(ask)?;
    let found = find(ask, &who)?;
    Ok(facts(ask, who, found))
}

/// The rest of the facts, once the caller and the repository are known. Nothing here can fail: what can't be read is
/// not there.
pub fn facts(ask: &Ask, who: Who, found: Found) -> HostFacts {
    let mut system = system::entries(&who, &found.repository);
    if let Some(alias) = &who.home_alias {
        let target = Some(who.caller.home.as_path().as_os_str().into());
        system.extend(
            entry(alias).filter(|link| link.seen.kind == SeenKind::Symlink).map(|link| Entry { target, ..link }),
        );
    }
    let path = tools::search_path(ask);
    let toolchains = tools::find(ask, &who, &found.repository, &system, &path);
    let env = ask.env.iter().filter_map(|(name, value)| {
        let name = name.to_str()?;
        (env_wanted(name) || ask.wanted.iter().any(|wanted| wanted == name))
            .then(|| (name.to_owned(), OsBytes::from(value.as_os_str())))
    });
    HostFacts {
        env: env.collect(),
        path: path.iter().map(HostPath::new).collect(),
        toolchains,
        system,
        identity: config::identity(ask, &who, &found.repository),
        state_dir: HostPath::new(&who.state_dir),
        data_dir: HostPath::new(&who.data_dir),
        cgroup: cgroup::delegated().map(HostPath::new),
        landlock_abi: pinfold_sys::landlock::abi(),
        nofile_hard: getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20),
        memory: {
            let info = rustix::system::sysinfo();
            (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
        },
        cpus: cpus(),
        caller: who.caller,
        repository: found.repository,
    }
}

fn cpus() -> String {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let text = text.trim();
    let list =
        !text.is_empty() && text.len() < 256 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b',');
    if list { text.into() } else { format!("0-{}", std::thread::available_parallelism().map_or(0, |n| n.get() - 1)) }
}

/// What stands at a path, without following a link there.
pub(crate) fn entry(path: &Path) -> Option<Entry> {
    let seen = path.symlink_metadata().ok()?;
    let kind = kind(&seen)?;
    let target = if kind == SeenKind::Symlink { Some(path.read_link().ok()?.into_os_string().into()) } else { None };
    Some(Entry { path: HostPath::new(path), seen: Seen { dev: seen.dev(), ino: seen.ino(), kind }, target })
}

fn kind(seen: &std::fs::Metadata) -> Option<SeenKind> {
    use std::os::unix::fs::FileTypeExt;
    let of = seen.file_type();
    match () {
        () if of.is_dir() => Some(SeenKind::Folder),
        () if of.is_file() => Some(SeenKind::File),
        () if of.is_symlink() => Some(SeenKind::Symlink),
        () if of.is_char_device() || of.is_block_device() => Some(SeenKind::Device),
        () => None,
    }
}
