//! Configuration files and flags, joined. The person's own file may say anything; the project's `pinfold.toml` may only
//! narrow, unless the person trusted exactly this content.
//!
//! What is trusted is kept as a whole copy outside the repository, not as a hash: comparing bytes needs no cryptography,
//! and what changed since can be shown.

use crate::args::BoxFlags;
use crate::exit::Trouble;
use crate::report::{Failure, Report};
use pinfold_config::{ConfigErrors, Layer, Limits, MAX_TEXT, Origin, parse, resolve};
use pinfold_plan::{EnvRequest, LimitsRequest, OsBytes, Repository};
use pinfold_policy::{PolicySpec, RuleSource, UserRule, Verdict};
use pinfold_survey::Who;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub const PROJECT_FILE: &str = "pinfold.toml";
const USER_FILE: &str = "config.toml";

/// What an untrusted project can't go above where the person says nothing: pinfold's defaults are lower or equal.
const CEILINGS: Limits = Limits { memory: None, pids: Some(4096), tmp: Some(8 << 30), timeout: None };

#[derive(Debug, Default)]
pub struct Settings {
    pub policy: PolicySpec,
    pub env: Vec<EnvRequest>,
    pub limits: LimitsRequest,
    /// More arguments for each agent.
    pub agents: BTreeMap<String, Vec<String>>,
}

pub fn load(who: &Who, repository: &Repository, flags: &BoxFlags, report: &Report) -> Result<Settings, Failure> {
    let user = match text(&who.config_dir.join(USER_FILE))? {
        Some(text) => Some(layer(&who.config_dir.join(USER_FILE), &text, Origin::User)?),
        None => None,
    };
    let project = project(who, repository, report)?;
    let joined = resolve(user, project, &CEILINGS);
    for refusal in &joined.refusals {
        report.note(&format!("{refusal}; `pinfold trust` lets it, as it stands now"));
    }
    let mut policy = joined.policy;
    let rule = |pattern: &String, verdict| UserRule { pattern: pattern.clone(), verdict, source: RuleSource::Flag };
    policy.rules.extend(flags.mask.iter().map(|pattern| rule(pattern, Verdict::Mask)));
    policy.rules.extend(flags.show.iter().map(|pattern| rule(pattern, Verdict::Share)));
    let set = joined.env.set.into_iter().map(|(name, value)| EnvRequest { name, value: Some(value.as_str().into()) });
    // A name in a file is a wish for every machine; only a flag insists that it is set here.
    let here = joined.env.pass.into_iter().filter_map(|name| {
        let value = std::env::var_os(&name)?;
        Some(EnvRequest { name, value: Some(OsBytes::from(value)) })
    });
    Ok(Settings {
        policy,
        env: set.chain(here).collect(),
        limits: LimitsRequest {
            memory: joined.limits.memory,
            pids: joined.limits.pids,
            tmp: joined.limits.tmp,
            timeout: joined.limits.timeout,
        },
        agents: joined.agents.into_iter().map(|(name, agent)| (name, agent.args)).collect(),
    })
}

fn project(who: &Who, repository: &Repository, report: &Report) -> Result<Option<Layer>, Failure> {
    let Some(text) = project_text(repository)? else { return Ok(None) };
    let file = repository.root.as_path().join(PROJECT_FILE);
    let kept = kept(who, repository);
    let trusted = kept.as_deref() == Some(text.as_str());
    if kept.is_some() && !trusted {
        report.note(&format!(
            "{} changed since you trusted it, and may only narrow now; `pinfold trust` trusts it as it is",
            file.display()
        ));
    }
    layer(&file, &text, Origin::Project { trusted }).map(Some)
}

fn layer(file: &Path, text: &str, origin: Origin) -> Result<Layer, Failure> {
    let name = OsBytes::from(file.as_os_str()).to_string();
    parse(&name, text, origin).map_err(|errors: ConfigErrors| {
        let failure = Failure::new(Trouble::Config, errors.to_string());
        let hinted = errors.0.iter().any(|error| error.hint.is_some());
        if hinted { failure } else { failure.hint("nothing was started; correct the file or move it away") }
    })
}

/// Whether the project's file can be read at all; what it says is not asked.
pub fn check_project(text: &str, file: &Path) -> Result<(), Failure> {
    layer(file, text, Origin::Project { trusted: true }).map(drop)
}

pub fn project_text(repository: &Repository) -> Result<Option<String>, Failure> {
    text(&repository.root.as_path().join(PROJECT_FILE))
}

/// A small plain file as text; `None` when there is none. Links are not followed: the project's would choose what is read.
fn text(file: &Path) -> Result<Option<String>, Failure> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(nofollow.bits() as i32).open(file);
    let failed = |error: io::Error| {
        Failure::of(Trouble::Config, &io::Error::new(error.kind(), format!("can't read {}: {error}", file.display())))
            .hint("it must be a plain file of its own that you can read")
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    if !opened.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a plain file")));
    }
    let mut bytes = Vec::new();
    opened.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    String::from_utf8(bytes).map(Some).map_err(|_| failed(io::Error::other("it is not UTF-8")))
}

fn trust_file(who: &Who, repository: &Repository) -> PathBuf {
    who.data_dir.join("trust").join(&repository.key)
}

fn kept(who: &Who, repository: &Repository) -> Option<String> {
    std::fs::read_to_string(trust_file(who, repository)).ok()
}

/// Keeps the content as trusted.
pub fn trust(who: &Who, repository: &Repository, text: &str) -> io::Result<()> {
    let file = trust_file(who, repository);
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let fresh = file.with_extension("new");
    let mut open = OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?.write_all(text.as_bytes())?;
    std::fs::rename(fresh, file)
}

/// Whether there was a trust to take back.
pub fn distrust(who: &Who, repository: &Repository) -> io::Result<bool> {
    match std::fs::remove_file(trust_file(who, repository)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
