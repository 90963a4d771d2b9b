//! What init is told at its start, by a sealed memory file. The plan's own values; nothing decided here.

use crate::plan_view::PlanView;
use pinfold_plan::{BoxPath, Exec, LandlockRule, Limit, Probe};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InitConfig {
    pub(crate) limits: Vec<Limit>,
    pub(crate) landlock: Option<LandlockConfig>,
    pub(crate) seccomp: Option<String>,
    pub(crate) probes: Vec<Probe>,
    pub(crate) exec: Exec,
    pub(crate) workspace: Option<BoxPath>,
    /// The caller's terminal, when the box gets one of its own: rows, columns, and both in pixels.
    pub(crate) size: [u16; 4],
    /// Watch the box's repositories and offer their commits.
    pub(crate) offers: bool,
    /// The workspace's own, if it is to be watched.
    pub(crate) git: Option<BoxPath>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LandlockConfig {
    pub(crate) rules: Vec<LandlockRule>,
    pub(crate) scope_signals: bool,
    pub(crate) scope_abstract_sockets: bool,
}

impl InitConfig {
    pub(crate) fn of(view: &PlanView<'_>, size: [u16; 4], offers: bool) -> InitConfig {
        InitConfig {
            limits: view.limits.clone(),
            landlock: view.landlock.as_ref().map(|it| LandlockConfig {
                rules: it.rules.to_vec(),
                scope_signals: it.scope_signals,
                scope_abstract_sockets: it.scope_abstract_sockets,
            }),
            seccomp: view.seccomp.map(str::to_owned),
            probes: view.probes.iter().map(|probe| (*probe).clone()).collect(),
            exec: view.exec.clone(),
            workspace: view.workspace.cloned(),
            size,
            offers,
            git: view.box_git.filter(|_| offers).cloned(),
        }
    }
}
