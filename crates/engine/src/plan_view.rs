//! The plan's steps sorted by the process that carries them out. The order within each stays the plan's.

use crate::EngineError;
use pinfold_plan::{
    BoxPath, Exec, HostPath, IdMap, LandlockRule, Limit, Namespaces, PLAN_VERSION, Plan, Probe, Seen, Step,
};

#[derive(Debug)]
pub(crate) struct PlanView<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) namespaces: Namespaces,
    pub(crate) ids: IdMap,
    pub(crate) cgroup: Option<Cgroup<'p>>,
    /// For the builder.
    pub(crate) building: Vec<&'p Step>,
    pub(crate) drop_privileges: bool,
    pub(crate) workspace: Option<&'p BoxPath>,
    pub(crate) box_git: Option<&'p BoxPath>,
    // For init.
    pub(crate) limits: Vec<Limit>,
    pub(crate) landlock: Option<Landlock<'p>>,
    pub(crate) seccomp: Option<&'p str>,
    pub(crate) probes: Vec<&'p Probe>,
    pub(crate) exec: &'p Exec,
}

#[derive(Debug)]
pub(crate) struct Cgroup<'p> {
    pub(crate) parent: &'p HostPath,
    pub(crate) memory: u64,
    pub(crate) pids: u64,
}

#[derive(Debug)]
pub(crate) struct Landlock<'p> {
    pub(crate) rules: &'p [LandlockRule],
    pub(crate) scope_signals: bool,
    pub(crate) scope_abstract_sockets: bool,
}

impl<'p> PlanView<'p> {
    pub(crate) fn of(plan: &'p Plan) -> Result<Self, EngineError> {
        let bug = |what: &str| EngineError::Bug(what.to_owned());
        if plan.version != PLAN_VERSION {
            return Err(bug(&format!("a plan of version {}, and this engine knows {PLAN_VERSION}", plan.version)));
        }
        let mut namespaces = None;
        let mut ids = None;
        let mut exec = None;
        let (mut cgroup, mut landlock, mut seccomp) = (None, None, None);
        let (mut building, mut limits, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        let mut drop_privileges = false;
        let (mut workspace, mut box_git) = (None, None);
        for step in &plan.steps {
            match step {
                Step::Namespaces(it) => namespaces = Some(*it),
                Step::MapIds(it) => ids = Some(*it),
                Step::Cgroup { parent, memory, pids } => {
                    cgroup = Some(Cgroup { parent, memory: *memory, pids: *pids });
                }
                Step::DropPrivileges => drop_privileges = true,
                Step::Limit(it) => limits.push(*it),
                Step::Landlock { rules, scope_signals, scope_abstract_sockets } => {
                    landlock = Some(Landlock {
                        rules,
                        scope_signals: *scope_signals,
                        scope_abstract_sockets: *scope_abstract_sockets,
                    });
                }
                Step::Seccomp { profile } => seccomp = Some(profile.as_str()),
                Step::Probe(it) => probes.push(it),
                Step::Exec(it) => exec = Some(it),
                _ => {
                    match step {
                        Step::Workspace { at } => workspace = Some(at),
                        Step::BoxGit { at } => box_git = Some(at),
                        _ => {}
                    }
                    building.push(step);
                }
            }
        }
        Ok(PlanView {
            plan,
            namespaces: namespaces.ok_or_else(|| bug("the plan makes no namespaces"))?,
            ids: ids.ok_or_else(|| bug("the plan maps no ids"))?,
            cgroup,
            building,
            drop_privileges,
            workspace,
            box_git,
            limits,
            landlock,
            seccomp,
            probes,
            exec: exec.ok_or_else(|| bug("the plan executes nothing"))?,
        })
    }

    /// The object stores that the box borrows from.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&'p HostPath, Seen)> {
        self.building.iter().filter_map(|step| match step {
            Step::Objects { from, seen, .. } => Some((from, *seen)),
            _ => None,
        })
    }

    /// Whether somebody outside has to write the id maps.
    pub(crate) fn foreign_ids(&self) -> bool {
        self.ids.uid_inside != self.ids.uid_outside || self.ids.gid_inside != self.ids.gid_outside
    }
}
