//! The half of the new mount API that rustix lacks, with the flags by name.

use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ffi::CStr;
use std::io;

/// What `mount_setattr` shall change. Bits are only ever added: a box never loosens a mount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attributes<'fd> {
    pub read_only: bool,
    pub no_suid: bool,
    pub no_dev: bool,
    pub no_exec: bool,
    /// Neither receives nor passes on later mounts of the host.
    pub private: bool,
    /// Shows the ids on disk through the maps of this user namespace.
    pub idmap: Option<BorrowedFd<'fd>>,
}

/// Applies `attributes` to the mount behind `fd`, and with `recursive` to all below it.
pub fn set_attributes(fd: impl AsFd, attributes: Attributes<'_>, recursive: bool) -> io::Result<()> {
    let mut bits = 0;
    for (wanted, bit) in [
        (attributes.read_only, libc::MOUNT_ATTR_RDONLY),
        (attributes.no_suid, libc::MOUNT_ATTR_NOSUID),
        (attributes.no_dev, libc::MOUNT_ATTR_NODEV),
        (attributes.no_exec, libc::MOUNT_ATTR_NOEXEC),
        (attributes.idmap.is_some(), libc::MOUNT_ATTR_IDMAP),
    ] {
        if wanted {
            bits |= bit;
        }
    }
    let attr = libc::mount_attr {
        attr_set: bits,
        attr_clr: 0,
        propagation: if attributes.private { libc::MS_PRIVATE } else { 0 },
        userns_fd: attributes.idmap.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let empty: &CStr = c"";
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated constant, `attr` is a live `mount_attr` of the size that is passed, and both
    // descriptors are open for the length of the call because they are borrowed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_fd().as_raw_fd(),
            empty.as_ptr(),
            flags,
            &attr as *const libc::mount_attr,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
