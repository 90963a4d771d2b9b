//! The thread that takes commits: import can take long, and the terminal must not wait for it.

use crate::EngineError;
use crate::host::{GitAnswer, GitDoor, Repository};
use pinfold_wire::{GitKnown, GitOffer, Oid};
use rustix::event::{EventfdFlags, eventfd};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// For imports that still run when the box is gone.
const MAX_END: Duration = Duration::from_secs(120);
/// Ids in one message; it fits with the longest ones.
const CHUNK: usize = 800;
/// Ids that the box is told of in all.
const MAX_KNOWN: usize = 8 << 10;

enum Work {
    Repository(Repository),
    Offer(GitOffer, OwnedFd),
}

#[derive(Debug)]
pub(super) enum Answer {
    /// What the host has; and where the repository is, if init does not know it yet.
    Opened {
        number: u32,
        at: Option<Vec<u8>>,
        known: Vec<GitKnown>,
    },
    Closed,
    Taken {
        known: Vec<GitKnown>,
        answer: GitAnswer,
    },
}

#[derive(Debug)]
pub(super) struct Door {
    work: Sender<Work>,
    answers: Receiver<Answer>,
    wake: Arc<OwnedFd>,
    /// Repositories that were brought here and are not answered for.
    opening: usize,
    _thread: JoinHandle<()>,
}

impl Door {
    pub(super) fn open(mut git: Box<dyn GitDoor>) -> Result<Door, EngineError> {
        let (work, incoming) = channel::<Work>();
        let (outgoing, answers) = channel();
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| EngineError::io("make an event descriptor")(errno.into()))?;
        let wake = Arc::new(wake);
        let waker = Arc::clone(&wake);
        let serve = move || {
            let say = |answer| {
                let _ = outgoing.send(answer);
                let _ = rustix::io::write(&*waker, &1u64.to_ne_bytes());
            };
            say(Answer::Opened { number: 0, at: None, known: chunks(0, 0, &git.known()) });
            while let Ok(work) = incoming.recv() {
                say(answer(&mut *git, work));
            }
        };
        let thread = Builder::new()
            .name("commits".into())
            .spawn(serve)
            .map_err(EngineError::io("start a thread for commits"))?;
        Ok(Door { work, answers, wake, opening: 0, _thread: thread })
    }

    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(super) fn offer(&self, offer: GitOffer, pack: OwnedFd) {
        let _ = self.work.send(Work::Offer(offer, pack));
    }

    pub(super) fn repository(&mut self, found: Repository) {
        self.opening += usize::from(self.work.send(Work::Repository(found)).is_ok());
    }

    /// Some repositories are not answered for yet.
    pub(super) fn is_opening(&self) -> bool {
        self.opening > 0
    }

    /// What was answered since the last time, with the known ids in messages that fit.
    pub(super) fn answers(&mut self) -> Vec<Answer> {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        let mut answers = Vec::new();
        while let Ok(answer) = self.answers.try_recv() {
            let opened = matches!(answer, Answer::Opened { at: Some(_), .. } | Answer::Closed);
            self.opening -= usize::from(opened);
            answers.push(answer);
        }
        answers
    }

    /// No more offers: waits for the ones that are under way.
    pub(super) fn close(self) -> Vec<GitAnswer> {
        drop(self.work);
        let deadline = Instant::now() + MAX_END;
        let mut answers = Vec::new();
        loop {
            match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Answer::Taken { answer, .. }) => answers.push(answer),
                Ok(Answer::Opened { .. } | Answer::Closed) => {}
                Err(RecvTimeoutError::Disconnected) => return answers,
                Err(RecvTimeoutError::Timeout) => {
                    answers.push(GitAnswer {
                        notes: vec!["commits of the box were still being taken in when pinfold gave up waiting".into()],
                        ..GitAnswer::default()
                    });
                    return answers;
                }
            }
        }
    }
}

fn answer(git: &mut dyn GitDoor, work: Work) -> Answer {
    match work {
        Work::Repository(found) => {
            let (number, at) = (found.number, found.at.clone());
            match git.repository(found) {
                Some(known) => Answer::Opened { number, at: Some(at), known: chunks(number, 0, &known) },
                None => Answer::Closed,
            }
        }
        Work::Offer(offer, pack) => {
            let (repository, number) = (offer.repository, offer.number);
            let answer = git.take(offer, File::from(pack));
            Answer::Taken { known: chunks(repository, number, &answer.known), answer }
        }
    }
}

/// An answer without a known id is still an answer.
fn chunks(repository: u32, number: u64, known: &[Oid]) -> Vec<GitKnown> {
    let known = &known[..known.len().min(MAX_KNOWN)];
    if known.is_empty() {
        return vec![GitKnown { repository, number, oids: Vec::new() }];
    }
    known.chunks(CHUNK).map(|oids| GitKnown { repository, number, oids: oids.to_vec() }).collect()
}
