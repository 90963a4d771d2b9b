//! The FUSE kernel protocol, version 7.45: numbers, request parsing, reply building.
//!
//! Requests come from the kernel, but their names and bytes come from the box, so parsing is bounded and never panics.
//! Nothing here knows what a request means; `serve` maps it onto the view. Source: `include/uapi/linux/fuse.h`.

/// The protocol version this file was written against.
pub const MAJOR: u32 = 7;
pub const MINOR: u32 = 45;

pub const IN_HEADER: usize = 40;
pub const OUT_HEADER: usize = 16;

/// The node id of the mount's root.
pub const ROOT_ID: u64 = 1;

macro_rules! opcodes {
    ($($name:ident = $value:expr),* $(,)?) => {
        /// What the kernel asks for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Op { $($name),* }

        impl Op {
            pub fn from_code(code: u32) -> Option<Op> {
                match code { $($value => Some(Op::$name),)* _ => None }
            }
        }
    };
}

opcodes! {
    Lookup = 1, Forget = 2, Getattr = 3, Setattr = 4, Readlink = 5, Symlink = 6, Mknod = 8, Mkdir = 9, Unlink = 10,
    Rmdir = 11, Rename = 12, Link = 13, Open = 14, Read = 15, Write = 16, Statfs = 17, Release = 18, Fsync = 20,
    Setxattr = 21, Getxattr = 22, Listxattr = 23, Removexattr = 24, Flush = 25, Init = 26, Opendir = 27, Readdir = 28,
    Releasedir = 29, Fsyncdir = 30, Access = 34, Create = 35, Interrupt = 36, Destroy = 38, BatchForget = 42,
    Fallocate = 43, Readdirplus = 44, Rename2 = 45, Lseek = 46, CopyFileRange = 47, Syncfs = 50, Tmpfile = 51,
}

/// INIT flags that we use, each bit as in the kernel's header.
pub mod init {
    pub const ASYNC_READ: u64 = 1 << 0;
    pub const BIG_WRITES: u64 = 1 << 5;
    pub const AUTO_INVAL_DATA: u64 = 1 << 12;
    pub const DO_READDIRPLUS: u64 = 1 << 13;
    pub const READDIRPLUS_AUTO: u64 = 1 << 14;
    pub const ASYNC_DIO: u64 = 1 << 15;
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    pub const MAX_PAGES: u64 = 1 << 22;
    pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    pub const INIT_EXT: u64 = 1 << 30;
    pub const NO_EXPORT_SUPPORT: u64 = 1 << 38;
}

/// SETATTR's `valid` bits.
pub mod fattr {
    pub const MODE: u32 = 1 << 0;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const FH: u32 = 1 << 6;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
}

/// OPEN reply: the page cache may stay; AUTO_INVAL_DATA throws it away when size or mtime moved.
pub const FOPEN_KEEP_CACHE: u32 = 1 << 1;
/// OPENDIR reply: the kernel may keep the list of names.
pub const FOPEN_CACHE_DIR: u32 = 1 << 3;
/// OPEN reply: close sends no FLUSH.
pub const FOPEN_NOFLUSH: u32 = 1 << 5;
/// GETATTR: `fh` is valid.
pub const GETATTR_FH: u32 = 1 << 0;
/// WRITE: the writer has no right to leave set-id bits standing.
pub const WRITE_KILL_SUIDGID: u32 = 1 << 2;
/// FSYNC: data only.
pub const FSYNC_DATASYNC: u32 = 1 << 0;

/// Notification codes (sent with `unique` 0 and the code in the error field).
pub const NOTIFY_INVAL_INODE: i32 = 2;
pub const NOTIFY_INVAL_ENTRY: i32 = 3;

/// A malformed request: shorter than its own header says, or a name without its NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed FUSE request")]
pub struct Malformed;

/// A request's fixed header.
#[derive(Debug, Clone, Copy)]
pub struct Header {
    pub opcode: u32,
    pub unique: u64,
    pub node: u64,
    pub pid: u32,
}

/// Takes fields off the front of a message, in order.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Splits a message into its header and its body.
    pub fn message(bytes: &'a [u8]) -> Result<(Header, Reader<'a>), Malformed> {
        let mut r = Reader { rest: bytes };
        let len = r.u32()? as usize;
        if len != bytes.len() {
            return Err(Malformed);
        }
        let opcode = r.u32()?;
        let unique = r.u64()?;
        let node = r.u64()?;
        let _uid = r.u32()?;
        let _gid = r.u32()?;
        let pid = r.u32()?;
        // Security contexts and group lists may trail the body; we ask for none, so there are none to cut off.
        let _extension = r.u32()?;
        Ok((Header { opcode, unique, node, pid }, r))
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(u32::from_ne_bytes(*head))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(u64::from_ne_bytes(*head))
    }

    /// A NUL-terminated string, without its NUL.
    pub fn name(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.rest.iter().position(|&b| b == 0).ok_or(Malformed)?;
        let name = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Ok(name)
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }
}

/// Builds a reply body.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.u32(value.cast_unsigned())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_ne_bytes());
        self
    }

    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn pad_to(&mut self, multiple: usize) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(multiple), 0);
        self
    }

    /// Bytes so far.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((_, mut r)) = Reader::message(&bytes) {
                let _ = (r.u64(), r.name(), r.u32(), r.bytes(7));
            }
        }
    }

    #[test]
    fn a_wrong_length_is_refused() {
        let mut bytes = vec![0u8; IN_HEADER];
        bytes[..4].copy_from_slice(&(IN_HEADER as u32 + 1).to_ne_bytes());
        assert!(Reader::message(&bytes).is_err());
        bytes[..4].copy_from_slice(&(IN_HEADER as u32).to_ne_bytes());
        assert!(Reader::message(&bytes).is_ok());
    }
}
