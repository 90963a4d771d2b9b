//! What a run needs from whoever starts it, and what it gives back.

use pinfold_wire::{FromMaskFs, GitOffer, HostRef, Oid};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

/// The world around a run. The engine never imports the crates that serve the workspace or take commits back; the caller
/// hands them in here.
pub struct RunHost<'a> {
    /// The configuration of the MaskFs process, as it shall read it. Needed when the plan has a workspace.
    pub maskfs_config: Vec<u8>,
    /// Hears what happens, on the thread that called `perform`.
    pub events: &'a mut dyn FnMut(Event),
    /// Takes commits. Without one, or without git in the plan, none are offered.
    pub git: Option<Box<dyn GitDoor>>,
}

impl fmt::Debug for RunHost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunHost").field("git", &self.git.is_some()).finish_non_exhaustive()
    }
}

/// Takes the commits of a box into the host's repository. Called on a thread of its own; one offer at a time.
pub trait GitDoor: Send {
    /// Commits that the host has already, such as its branches. Asked for once, before the first offer.
    fn known(&mut self) -> Vec<Oid>;

    /// The box has a copy of this repository below the workspace. Says which commits the host has of it; `None`: nothing
    /// of it is to be offered.
    fn repository(&mut self, found: Repository) -> Option<Vec<Oid>>;

    /// An offer, and the pack that comes with it: both are the box's words. Must read no more than it wants to keep, and
    /// may stop early. Says which commits the host has now.
    fn take(&mut self, offer: GitOffer, pack: File) -> GitAnswer;
}

/// A repository of the host below the workspace. `at` is where it stood when its folders were opened; the box may have
/// put something else there since.
#[derive(Debug)]
pub struct Repository {
    pub number: u32,
    /// Its `.git`, from the top of the workspace.
    pub at: Vec<u8>,
    pub git_dir: OwnedFd,
    pub common_dir: OwnedFd,
}

#[derive(Debug, Clone, Default)]
pub struct GitAnswer {
    pub known: Vec<Oid>,
    /// Branches of the host that the box should see.
    pub host_refs: Vec<HostRef>,
    /// For the person.
    pub notes: Vec<String>,
}

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The probes have passed, and the command runs.
    Started,
    /// Something the person should know.
    Note(String),
    /// Counts and log lines of the workspace.
    MaskFs(FromMaskFs),
}

/// How the command ended.
#[derive(Debug)]
pub enum End {
    Exited(u8),
    Killed(i32),
    /// The box has no such command.
    NotFound,
    /// It is there and can't be executed.
    NotExecutable(io::Error),
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    pub end: End,
    /// The plan's time was over, and the box was stopped.
    pub timed_out: bool,
}

impl Outcome {
    /// As shells say it.
    pub fn exit_code(&self) -> u8 {
        match self.end {
            End::Exited(code) => code,
            End::Killed(signal) => 128u8.saturating_add(signal.clamp(0, 127) as u8),
            End::NotFound => 127,
            End::NotExecutable(_) => 126,
        }
    }
}
