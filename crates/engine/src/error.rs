//! What can go wrong between a checked plan and a running box, told apart by whose turn it is: the host's, the person's,
//! or ours.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The kernel, or how it is set up, does not allow a box.
    #[error("this host can't run a box: {what}")]
    Unfit {
        what: Unfit,
        #[source]
        source: Option<io::Error>,
    },
    /// A protection could not be shown to work, so nothing was started.
    #[error("the box was not started: the probe \"{probe}\" found {found}")]
    ProbeFailed { probe: String, found: String },
    /// The host is not what it was a moment ago, when the plan was made.
    #[error("{path} changed while the box was being started: {found}")]
    Changed { path: String, found: String },
    /// The process that serves the workspace ended before the box did.
    #[error("the workspace's file server ended while the box was running{detail}")]
    MaskFsDied { detail: String },
    /// An operation failed.
    #[error("could not {doing}")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    /// What must not happen.
    #[error("a bug in pinfold: {0}")]
    Bug(String),
}

/// What about the host does not allow a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("user namespaces are switched off (user.max_user_namespaces is 0)")]
    UserNamespacesNone,
    #[error("user namespaces are switched off for ordinary users (kernel.unprivileged_userns_clone is 0)")]
    UserNamespacesPrivileged,
    #[error(
        "AppArmor keeps ordinary programs from using user namespaces (kernel.apparmor_restrict_unprivileged_userns)"
    )]
    UserNamespacesAppArmor,
    #[error("the kernel refuses a new user namespace")]
    UserNamespacesDenied,
    #[error("the kernel refuses mounts in a user namespace")]
    MountsDenied,
    #[error("/proc can't be mounted in the box, because parts of it are covered here")]
    ProcCovered,
    #[error("there is no /dev/fuse")]
    NoFuse,
    #[error("/dev/fuse may not be opened")]
    FuseDenied,
    #[error("the kernel is too old: it lacks {0}")]
    KernelTooOld(&'static str),
    #[error("the kernel enforces no Landlock rules")]
    NoLandlock,
    #[error("the system-call filter can't be installed")]
    NoSeccomp,
    #[error("the cgroup for the box can't be set up")]
    NoCgroup,
    #[error("this root has no user to give the box away to: it is root of a user namespace with few ids")]
    NoSpareUser,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unfit,
    ProbeFailed,
    Changed,
    MaskFsDied,
    Io,
    Bug,
}

impl EngineError {
    pub fn kind(&self) -> Kind {
        match self {
            EngineError::Unfit { .. } => Kind::Unfit,
            EngineError::ProbeFailed { .. } => Kind::ProbeFailed,
            EngineError::Changed { .. } => Kind::Changed,
            EngineError::MaskFsDied { .. } => Kind::MaskFsDied,
            EngineError::Io { .. } => Kind::Io,
            EngineError::Bug(_) => Kind::Bug,
        }
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            EngineError::Unfit { what, .. } => Some(what.hint()),
            EngineError::ProbeFailed { .. } => {
                Some("`pinfold doctor` shows which protections hold on this machine".into())
            }
            EngineError::Changed { .. } => {
                Some("run it again; if it happens each time, something keeps replacing it".into())
            }
            EngineError::MaskFsDied { .. } => {
                Some("what the box had written before is on your disk; run it again".into())
            }
            EngineError::Io { source, .. } => io_hint(source),
            EngineError::Bug(_) => Some("please report it with the output of `pinfold run --dry-run`".into()),
        }
    }

    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> EngineError {
        let doing = doing.into();
        move |source| EngineError::Io { doing, source }
    }

    pub(crate) fn unfit(what: Unfit, source: io::Error) -> EngineError {
        EngineError::Unfit { what, source: Some(source) }
    }
}

fn io_hint(source: &io::Error) -> Option<String> {
    let text = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full; make room and run it again",
        io::ErrorKind::ReadOnlyFilesystem => {
            "that file system is read-only; set XDG_STATE_HOME and XDG_DATA_HOME to folders that you can write"
        }
        io::ErrorKind::PermissionDenied => {
            "check who owns it; XDG_STATE_HOME and XDG_DATA_HOME say where pinfold keeps its own files"
        }
        _ => return None,
    };
    Some(text.into())
}

/// The profile that lets one program use user namespaces where AppArmor restricts them (Ubuntu 23.10 and later).
fn apparmor_profile() -> String {
    let path = std::env::current_exe().map_or_else(|_| "/usr/local/bin/pinfold".into(), |p| p.display().to_string());
    format!(
        "let this one program use them, and leave the restriction on for all others:\n\
         sudo tee /etc/apparmor.d/pinfold >/dev/null <<'EOF'\n\
         abi <abi/4.0>,\n\
         include <tunables/global>\n\
         profile pinfold {path} flags=(unconfined) {{\n  userns,\n  include if exists <local/pinfold>\n}}\n\
         EOF\n\
         sudo apparmor_parser -r /etc/apparmor.d/pinfold"
    )
}

impl Unfit {
    fn hint(self) -> String {
        match self {
            Unfit::UserNamespacesNone => "switch them on: sudo sysctl -w user.max_user_namespaces=15000".into(),
            Unfit::UserNamespacesPrivileged => {
                "switch them on: sudo sysctl -w kernel.unprivileged_userns_clone=1".into()
            }
            Unfit::UserNamespacesAppArmor => apparmor_profile(),
            Unfit::UserNamespacesDenied => {
                "inside of a container, its runtime has to allow them (Docker: --security-opt seccomp=unconfined); \
                 in a chroot they are never allowed"
                    .into()
            }
            Unfit::MountsDenied => {
                "a security module or a container runtime is in the way; its log tells which rule".into()
            }
            Unfit::ProcCovered => {
                "this happens inside of containers; start the container so that its /proc is not masked \
                 (Docker: --security-opt systempaths=unconfined)"
                    .into()
            }
            Unfit::NoFuse => "load the module: sudo modprobe fuse; in a container, pass --device /dev/fuse".into(),
            Unfit::FuseDenied => "let users open it: sudo chmod 0666 /dev/fuse (the usual mode)".into(),
            Unfit::KernelTooOld(_) => "pinfold wants Linux 5.14 or later".into(),
            Unfit::NoLandlock => {
                "add landlock to the lsm= line of the kernel's command line, or give it up by name: --accept landlock"
                    .into()
            }
            Unfit::NoSeccomp => "the kernel needs CONFIG_SECCOMP_FILTER".into(),
            Unfit::NoSpareUser => {
                "rootless containers are such a place; run pinfold as an ordinary user of it, or give it more ids"
                    .into()
            }
            Unfit::NoCgroup => "`pinfold doctor` shows which limits this host can enforce".into(),
        }
    }
}

/// Why a user namespace, or a right in it, was refused: the switches are read only now, when something did fail.
pub(crate) fn why_no_user_namespace(otherwise: Unfit, source: io::Error) -> EngineError {
    let switch = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let what = if switch("/proc/sys/user/max_user_namespaces").as_deref() == Some("0") {
        Unfit::UserNamespacesNone
    } else if rustix::process::geteuid().is_root() {
        otherwise
    } else if switch("/proc/sys/kernel/unprivileged_userns_clone").as_deref() == Some("0") {
        Unfit::UserNamespacesPrivileged
    } else if switch("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref() == Some("1") {
        Unfit::UserNamespacesAppArmor
    } else {
        otherwise
    };
    EngineError::unfit(what, source)
}
