//! The process that serves the workspace: started before the box, watched while it lives, waited for at its end.

use crate::EngineError;
use pinfold_sys::channel::Channel;
use pinfold_sys::process::{self, ExecStrings};
use pinfold_wire::{FromMaskFs, ToMaskFs, decode, encode, maskfs_fd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For its work after the end of the box: a few files to remove.
const MAX_END: Duration = Duration::from_secs(5);
/// Bytes of its error output that go into a message.
const MAX_WORDS: usize = 400;

pub(super) type Heard = (FromMaskFs, Vec<OwnedFd>);

#[derive(Debug)]
pub(super) struct MaskFs {
    pidfd: OwnedFd,
    channel: Channel,
    /// It has closed its end.
    silent: bool,
    words: PathBuf,
    failed: Option<String>,
}

impl MaskFs {
    /// Starts it. The channel that comes back is where the builder sends the mounted `/dev/fuse`.
    pub(super) fn start(config: &[u8], run: &Path) -> Result<(MaskFs, Channel), EngineError> {
        let config = super::sealed(c"maskfs", config)?;
        let words = run.join("maskfs.stderr");
        let start = || -> io::Result<(MaskFs, Channel)> {
            let (channel, theirs) = Channel::pair()?;
            let (to_it, fuse) = Channel::pair()?;
            let null: OwnedFd = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            let output: File = OpenOptions::new().create(true).append(true).mode(0o600).open(&words)?;
            const _: () = assert!(maskfs_fd::CONFIG == 3 && maskfs_fd::CONTROL == 4 && maskfs_fd::FUSE == 5);
            let fds = [null.as_fd(), output.as_fd(), output.as_fd(), config.as_fd(), theirs.as_fd(), fuse.as_fd()];
            let argv = ExecStrings::new(["pinfold", pinfold_wire::ROLE_MASKFS])?;
            let (_, pidfd) = process::spawn(c"/proc/self/exe", &argv, &fds)?;
            Ok((MaskFs { pidfd, channel, silent: false, words: words.clone(), failed: None }, to_it))
        };
        start().map_err(EngineError::io("start the file server of the workspace"))
    }

    pub(super) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    pub(super) fn channel(&self) -> Option<&Channel> {
        (!self.silent).then_some(&self.channel)
    }

    /// Whether it has ended, or does within a moment: its descriptors go before it does.
    pub(super) fn is_gone(&self) -> bool {
        let moment = rustix::event::Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
        let mut poll = [rustix::event::PollFd::new(&self.pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&moment)).is_ok_and(|ready| ready > 0)
    }

    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    pub(super) fn go(&self) {
        self.say(&ToMaskFs::Go);
    }

    /// Nothing of the box is left to serve: it may clean up while the box's namespaces are taken down.
    pub(super) fn over(&self) {
        self.say(&ToMaskFs::Over);
    }

    fn say(&self, message: &ToMaskFs) {
        if let Ok(bytes) = encode(message) {
            let _ = self.channel.try_send(&bytes);
        }
    }

    /// What it has said since the last time, and the descriptors that came with it.
    pub(super) fn hear(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        loop {
            match self.channel.try_recv() {
                Ok(Some(message)) => match decode(&message.bytes) {
                    Ok(FromMaskFs::Failed { doing, errno }) => {
                        self.failed = Some(format!("could not {doing}: {}", io::Error::from_raw_os_error(errno)));
                    }
                    Ok(said) => heard.push((said, message.fds)),
                    // Not our vocabulary: nothing to act on. If it can't go on, it ends.
                    Err(_) => {}
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return heard,
                Ok(None) | Err(_) => {
                    self.silent = true;
                    return heard;
                }
            }
        }
    }

    /// Why it ended, as far as it said, in a form to be put after a sentence.
    pub(super) fn last_words(&self) -> String {
        if let Some(failed) = &self.failed {
            return format!(": it {failed}");
        }
        let text = std::fs::read(&self.words).unwrap_or_default();
        let tail = text.len().saturating_sub(MAX_WORDS);
        let text: String = String::from_utf8_lossy(&text[tail..]).chars().filter(|c| !c.is_control()).collect();
        if text.trim().is_empty() { String::new() } else { format!(": {}", text.trim()) }
    }

    /// The mount is gone, so it ends by itself; if not, it is ended.
    pub(super) fn end(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        let deadline = Instant::now() + MAX_END;
        loop {
            heard.extend(self.hear());
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
                break;
            }
            let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
            let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
            if !self.silent {
                fds.push(PollFd::new(&self.channel, PollFlags::IN));
            }
            if poll(&mut fds, Some(&wait)).is_ok() && !fds[0].revents().is_empty() {
                break;
            }
        }
        let _ = rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        heard.extend(self.hear());
        heard
    }
}

impl Drop for MaskFs {
    /// Without effect on one that has ended.
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }
}
