//! Forbidden things, tried: each call here must fail in a finished box. Arguments are fixed and chosen so that a kernel
//! without our filter answers something else than the filter would, or at least does no harm to anybody but the box.

use std::io;

/// The calls that can be tried, by the name that a plan uses.
const CALLS: &[(&str, libc::c_long, [usize; 6])] = &[
    ("add_key", libc::SYS_add_key, [0, 0, 0, 0, 0, 0]),
    ("bpf", libc::SYS_bpf, [usize::MAX, 0, 0, 0, 0, 0]),
    ("chroot", libc::SYS_chroot, [0, 0, 0, 0, 0, 0]),
    ("clone3", libc::SYS_clone3, [0, 0, 0, 0, 0, 0]),
    ("fsopen", libc::SYS_fsopen, [0, 0, 0, 0, 0, 0]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0, 0, 0, 0, 0]),
    ("kexec_load", libc::SYS_kexec_load, [0, usize::MAX, 0, usize::MAX, 0, 0]),
    // KEYCTL_GET_KEYRING_ID of the session keyring, without creating it.
    ("keyctl", libc::SYS_keyctl, [0, (-3isize) as usize, 0, 0, 0, 0]),
    ("mount", libc::SYS_mount, [0, 0, 0, 0, 0, 0]),
    ("move_mount", libc::SYS_move_mount, [usize::MAX, 0, usize::MAX, 0, 0, 0]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [usize::MAX, 0, 0, 0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0, 0, 0, 0, 0]),
    ("pivot_root", libc::SYS_pivot_root, [0, 0, 0, 0, 0, 0]),
    ("process_vm_readv", libc::SYS_process_vm_readv, [0, 0, 0, 0, 0, 0]),
    ("setns", libc::SYS_setns, [usize::MAX, 0, 0, 0, 0, 0]),
    ("umount2", libc::SYS_umount2, [0, 0, 0, 0, 0, 0]),
    ("unshare", libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0, 0, 0, 0]),
];

/// Tries the call of this name. `None`: there is no such name here. `Some(Ok)`: the kernel did it.
pub fn attempt(name: &str) -> Option<io::Result<()>> {
    let (_, number, [a, b, c, d, e, f]) = *CALLS.iter().find(|(n, ..)| *n == name)?;
    // SAFETY: the calls of the table get null pointers and bad descriptors only, so that none can read or write our
    // memory; those that could succeed make at most a new descriptor or namespace.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    Some(if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) })
}

/// The names that [`attempt`] knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    CALLS.iter().map(|(name, ..)| *name)
}
