//! What a file says, and what all files together say.

use crate::{Origin, Refusal};
use pinfold_policy::{PolicySpec, UserRule};
use std::collections::BTreeMap;

/// Most that a box may use. `None`: the file does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Bytes of `/tmp`.
    pub tmp: Option<u64>,
    /// Seconds.
    pub timeout: Option<u64>,
}

/// Variables of the box beyond the allow-list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env {
    /// Names whose value the host has.
    pub pass: Vec<String>,
    pub set: BTreeMap<String, String>,
}

/// `[agent.<name>]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agent {
    /// Added to what the adapter gives.
    pub args: Vec<String>,
}

/// One file. What an untrusted project may not ask is not in here but in `refusals`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub file: String,
    pub origin: Origin,
    /// In the order of their lines.
    pub rules: Vec<UserRule>,
    pub env: Env,
    pub limits: Limits,
    /// Where each limit stands: line and column, in the order of [`Limits`]'s fields.
    pub(crate) limits_at: [(u32, u32); 4],
    pub agents: BTreeMap<String, Agent>,
    pub refusals: Vec<Refusal>,
}

/// Everything that configuration decides. Flags go on top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub policy: PolicySpec,
    pub env: Env,
    pub limits: Limits,
    pub agents: BTreeMap<String, Agent>,
    /// To be shown to the person.
    pub refusals: Vec<Refusal>,
}

/// Joins the layers. `ceilings` are pinfold's own limits: what an untrusted project can't go above where the user's
/// file says nothing.
pub fn resolve(user: Option<Layer>, project: Option<Layer>, ceilings: &Limits) -> Settings {
    let mut settings = user.map_or_else(Settings::default, Settings::from_user);
    match project {
        Some(layer) if layer.origin == (Origin::Project { trusted: false }) => settings.narrow(layer, ceilings),
        Some(layer) => settings.fill(layer),
        None => {}
    }
    settings
}

impl Settings {
    fn from_user(layer: Layer) -> Self {
        Settings {
            policy: PolicySpec { rules: layer.rules },
            env: layer.env,
            limits: layer.limits,
            agents: layer.agents,
            refusals: layer.refusals,
        }
    }

    /// A trusted project speaks where the user does not. Rules keep their source, so the policy knows whose they are.
    fn fill(&mut self, layer: Layer) {
        self.policy.rules.extend(layer.rules);
        self.env.pass.extend(layer.env.pass.into_iter().filter(|name| !self.env.set.contains_key(name)));
        for (name, value) in layer.env.set {
            if !self.env.pass.contains(&name) {
                self.env.set.entry(name).or_insert(value);
            }
        }
        for (mine, theirs) in self.limits.fields_mut().into_iter().zip(layer.limits.fields()) {
            *mine = mine.or(theirs);
        }
        for (name, agent) in layer.agents {
            self.agents.entry(name).or_insert(agent);
        }
        self.refusals.extend(layer.refusals);
    }

    /// Any other project may hide more and allow less.
    fn narrow(&mut self, layer: Layer, ceilings: &Limits) {
        self.policy.rules.extend(layer.rules);
        self.refusals.extend(layer.refusals);
        let asked = layer.limits.fields().into_iter().zip(ceilings.fields()).zip(layer.limits_at).zip(Limits::NAMES);
        for (mine, (((theirs, ceiling), (line, column)), name)) in self.limits.fields_mut().into_iter().zip(asked) {
            match (theirs, mine.or(ceiling)) {
                (Some(theirs), Some(most)) if theirs > most => self.refusals.push(Refusal {
                    file: layer.file.clone(),
                    line,
                    column,
                    asks: format!("for a higher limit than yours: {name} = {theirs}, where {most} is the most"),
                }),
                (Some(theirs), _) => *mine = Some(theirs),
                (None, _) => {}
            }
        }
        self.refusals.sort_by_key(|refusal| (refusal.line, refusal.column));
    }
}

impl Limits {
    pub(crate) const NAMES: [&'static str; 4] = ["memory", "pids", "tmp", "timeout"];

    fn fields(&self) -> [Option<u64>; 4] {
        [self.memory, self.pids, self.tmp, self.timeout]
    }

    pub(crate) fn fields_mut(&mut self) -> [&mut Option<u64>; 4] {
        [&mut self.memory, &mut self.pids, &mut self.tmp, &mut self.timeout]
    }
}
