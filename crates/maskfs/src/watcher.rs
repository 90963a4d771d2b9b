//! What the kernel may remember of the host's tree, and how it is told to forget.
//!
//! A folder is marked before anything in it is looked at. From then on every change that the host makes there becomes an
//! event, and every event an invalidation, so names and attributes of a marked folder may be remembered for long. Where a
//! folder can't be marked nothing in it is remembered: slow, never stale. No byte of a file depends on any of this: reads
//! are checked when they are answered, and what the page cache keeps was public when it was read.

use crate::nodes::Node;
use pinfold_sys::watch::{FileHandle, FolderEvent, Interest, Watch, file_handle};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub struct Watcher {
    watch: Option<Watch>,
    /// Marked folders by the handle that events name them by.
    folders: Mutex<HashMap<FileHandle, Weak<Node>>>,
    refused: AtomicBool,
    /// Until then nothing is marked. See [`Watcher::rest`].
    resting: Mutex<Option<Instant>>,
    /// Ends a wait from another thread.
    wake: Option<OwnedFd>,
}

/// Something of the host changed that the kernel may remember.
#[derive(Debug, Clone)]
pub enum Stale {
    /// A name in this folder, and whether the name itself changed or only what it stands for.
    Name { folder: Arc<Node>, name: Vec<u8>, names: bool },
    /// The folder itself got other attributes.
    Folder(Arc<Node>),
    /// Anything.
    All,
}

impl Watcher {
    pub fn new() -> Self {
        Watcher {
            watch: Watch::new().ok(),
            folders: Mutex::default(),
            refused: AtomicBool::new(false),
            resting: Mutex::default(),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok(),
        }
    }

    /// Marks nothing for this long, so that nothing may be remembered either. The kernel waits several milliseconds before
    /// it gives up marks, as long as it takes to start a whole box: one that is done sooner should not have any.
    pub fn rest(&self, time: Duration) {
        *self.resting.lock().unwrap() = Some(Instant::now() + time);
    }

    fn rests(&self) -> bool {
        let mut resting = self.resting.lock().unwrap();
        resting.take_if(|until| Instant::now() >= *until);
        resting.is_some()
    }

    /// Marks a folder; whether what is in it may be remembered. Must come before the first look into it.
    pub fn mark(&self, node: &Arc<Node>, fd: BorrowedFd<'_>) -> bool {
        if node.marked.load(Ordering::Acquire) {
            return true;
        }
        let Some(watch) = self.watch.as_ref().filter(|_| !self.rests()) else { return false };
        let Ok(handle) = file_handle(fd) else { return false };
        self.folders.lock().unwrap().insert(handle, Arc::downgrade(node));
        let marked = watch.mark_folder(fd, Interest::Contents).is_ok();
        node.marked.store(marked, Ordering::Release);
        self.refused.fetch_or(!marked, Ordering::Relaxed);
        marked
    }

    /// Whether a mark was refused since this was last asked.
    pub fn was_refused(&self) -> bool {
        self.refused.swap(false, Ordering::Relaxed)
    }

    /// Waits for changes by anybody but this process, not longer than `patience`. `None`: there will be none, ever.
    pub fn wait(&self, patience: Option<Duration>) -> Option<Vec<Stale>> {
        let watch = self.watch.as_ref()?;
        let patience = patience.and_then(|time| rustix::event::Timespec::try_from(time).ok());
        let wake = self.wake.as_ref().map(|wake| PollFd::new(wake, PollFlags::IN));
        let mut poll: Vec<PollFd<'_>> = [PollFd::new(watch, PollFlags::IN)].into_iter().chain(wake).collect();
        loop {
            match rustix::event::poll(&mut poll, patience.as_ref()) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
        if let Some(wake) = &self.wake {
            rustix::io::read(wake, &mut [0; 8]).ok();
        }
        let events = watch.drain().ok()?;
        let folders = self.folders.lock().unwrap();
        let mut stale = Vec::new();
        for event in events {
            match event {
                FolderEvent::Overflow => return Some(vec![Stale::All]),
                FolderEvent::Changed(change) if change.own => {}
                FolderEvent::Changed(change) => {
                    let Some(folder) = folders.get(&change.folder).and_then(Weak::upgrade) else { continue };
                    stale.push(match change.name.as_slice() {
                        b"." => Stale::Folder(folder),
                        _ => Stale::Name { folder, name: change.name, names: change.names },
                    });
                }
            }
        }
        Some(stale)
    }

    /// Lets a wait return at once.
    pub fn wake(&self) {
        if let Some(wake) = &self.wake {
            rustix::io::write(wake, &1u64.to_ne_bytes()).ok();
        }
    }

    /// Forgets folders that nobody holds any more. Called now and then: an entry is small.
    pub fn sweep(&self) {
        self.folders.lock().unwrap().retain(|_, node| node.strong_count() > 0);
    }
}

/// What may be remembered of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remember {
    /// That the name stands for this object (or for nothing).
    pub name: bool,
    /// The object's attributes.
    pub attributes: bool,
}

impl Remember {
    pub const NOTHING: Remember = Remember { name: false, attributes: false };
    pub const ALL: Remember = Remember { name: true, attributes: true };
}
