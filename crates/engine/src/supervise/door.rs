//! The thread that takes commits: import can take long, and the terminal must not wait for it.

use crate::EngineError;
use crate::host::{GitAnswer, GitDoor};
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

#[derive(Debug)]
pub(super) struct Door {
    offers: Sender<(GitOffer, OwnedFd)>,
    answers: Receiver<(u64, GitAnswer)>,
    wake: Arc<OwnedFd>,
    _thread: JoinHandle<()>,
}

impl Door {
    pub(super) fn open(mut git: Box<dyn GitDoor>) -> Result<Door, EngineError> {
        let (offers, incoming) = channel::<(GitOffer, OwnedFd)>();
        let (outgoing, answers) = channel();
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| EngineError::io("make an event descriptor")(errno.into()))?;
        let wake = Arc::new(wake);
        let waker = Arc::clone(&wake);
        let work = move || {
            let say = |number, answer| {
                let _ = outgoing.send((number, answer));
                let _ = rustix::io::write(&*waker, &1u64.to_ne_bytes());
            };
            say(0, GitAnswer { known: git.known(), ..GitAnswer::default() });
            while let Ok((offer, pack)) = incoming.recv() {
                let number = offer.number;
                say(number, git.take(offer, File::from(pack)));
            }
        };
        let thread =
            Builder::new().name("commits".into()).spawn(work).map_err(EngineError::io("start a thread for commits"))?;
        Ok(Door { offers, answers, wake, _thread: thread })
    }

    pub(super) fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(super) fn offer(&self, offer: GitOffer, pack: OwnedFd) {
        let _ = self.offers.send((offer, pack));
    }

    /// What was answered since the last time, with the known ids in messages that fit.
    pub(super) fn answers(&self) -> Vec<(Vec<GitKnown>, GitAnswer)> {
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&*self.wake, &mut count);
        let mut answers = Vec::new();
        while let Ok((number, answer)) = self.answers.try_recv() {
            answers.push((chunks(number, &answer.known), answer));
        }
        answers
    }

    /// No more offers: waits for the ones that are under way.
    pub(super) fn close(self) -> Vec<GitAnswer> {
        drop(self.offers);
        let deadline = Instant::now() + MAX_END;
        let mut answers = Vec::new();
        loop {
            match self.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((_, answer)) => answers.push(answer),
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

/// An answer without a known id is still an answer.
fn chunks(number: u64, known: &[Oid]) -> Vec<GitKnown> {
    let known = &known[..known.len().min(MAX_KNOWN)];
    if known.is_empty() {
        return vec![GitKnown { number, oids: Vec::new() }];
    }
    known.chunks(CHUNK).map(|oids| GitKnown { number, oids: oids.to_vec() }).collect()
}
