//! Message channels between our own processes: SEQPACKET sockets that also carry descriptors.
//!
//! One `send` is one `recv`; a message that would not fit whole is an error, never half a message. What the bytes mean
//! is `wire`'s business.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;

/// Bytes of the longest message.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Descriptors that one message can carry.
pub const MAX_FDS: usize = 4;

#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// One message as it came in.
#[derive(Debug)]
pub struct Received {
    pub bytes: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

impl Channel {
    /// Two connected ends, close-on-exec.
    pub fn pair() -> io::Result<(Channel, Channel)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Channel { socket: a }, Channel { socket: b }))
    }

    pub fn from_fd(socket: OwnedFd) -> Channel {
        Channel { socket }
    }

    pub fn into_fd(self) -> OwnedFd {
        self.socket
    }

    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send_with(bytes, fds, SendFlags::NOSIGNAL)
    }

    /// Like `send`, but fails with `WouldBlock` when the other side does not keep up.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_with(bytes, &[], SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    fn send_with(&self, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> io::Result<()> {
        if bytes.is_empty() || bytes.len() > MAX_MESSAGE || fds.len() > MAX_FDS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let sent = loop {
            match sendmsg(&self.socket, &[IoSlice::new(bytes)], &mut ancillary, flags) {
                Err(Errno::INTR) => continue,
                other => break other?,
            }
        };
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The next message; `None` when the other end is gone. Blocks.
    pub fn recv(&self) -> io::Result<Option<Received>> {
        self.recv_with(RecvFlags::CMSG_CLOEXEC)
    }

    /// The next message if one waits. `WouldBlock` when none does.
    pub fn try_recv(&self) -> io::Result<Option<Received>> {
        self.recv_with(RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)
    }

    /// Whether the other end is closed. Takes no message that may wait.
    pub fn closed_by_peer(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::empty())];
        retry_on_intr(|| poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })))?;
        Ok(fds[0].revents().contains(PollFlags::HUP))
    }

    fn recv_with(&self, flags: RecvFlags) -> io::Result<Option<Received>> {
        let mut bytes = vec![0u8; MAX_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            loop {
                match recvmsg(&self.socket, &mut parts, &mut ancillary, flags) {
                    // The other end died with messages of ours unread. The kernel says so once, and before what that end
                    // had said last, which is still there to be read.
                    Err(Errno::INTR | Errno::CONNRESET) => {}
                    other => break other?,
                }
            }
        };
        let mut fds = Vec::new();
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(carried) = part {
                fds.extend(carried);
            }
        }
        if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message was longer than the channel allows"));
        }
        if message.bytes == 0 {
            return Ok(None);
        }
        bytes.truncate(message.bytes);
        Ok(Some(Received { bytes, fds }))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_heard_though_ours_were_not() {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.send(b"unread", &[]).unwrap();
        theirs.send(b"one", &[]).unwrap();
        theirs.send(b"two", &[]).unwrap();
        drop(theirs);
        for word in [&b"one"[..], b"two"] {
            assert_eq!(ours.recv().unwrap().unwrap().bytes, word);
        }
        assert!(ours.recv().unwrap().is_none() && ours.try_recv().unwrap().is_none());
    }

    #[test]
    fn messages_keep_their_borders_and_descriptors() {
        let (a, b) = Channel::pair().unwrap();
        let (r, w) = rustix::pipe::pipe().unwrap();
        a.send(b"one", &[w.as_fd()]).unwrap();
        a.send(b"two", &[]).unwrap();
        drop(w);
        let first = b.recv().unwrap().unwrap();
        assert_eq!((first.bytes.as_slice(), first.fds.len()), (&b"one"[..], 1));
        rustix::io::write(&first.fds[0], b"x").unwrap();
        let mut byte = [0u8; 1];
        assert_eq!(rustix::io::read(&r, &mut byte).unwrap(), 1);
        assert_eq!(b.recv().unwrap().unwrap().bytes, b"two");
        drop(a);
        assert!(b.recv().unwrap().is_none());
    }

    #[test]
    fn too_long_is_refused_before_it_is_sent() {
        let (a, b) = Channel::pair().unwrap();
        assert!(a.send(&vec![0; MAX_MESSAGE + 1], &[]).is_err());
        assert!(a.send(b"", &[]).is_err(), "an empty message would read as the end");
        assert_eq!(b.try_recv().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        a.send(&vec![7; MAX_MESSAGE], &[]).unwrap();
        assert_eq!(b.recv().unwrap().unwrap().bytes.len(), MAX_MESSAGE);
    }
}
