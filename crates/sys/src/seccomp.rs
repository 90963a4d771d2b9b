//! Installs a ready system-call filter. The program is made, and tested against its table, in `engine`.

use std::io;

/// One instruction of classic BPF, as the kernel lays it out.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
const _: () = assert!(align_of::<Instruction>() == align_of::<libc::sock_filter>());

/// Puts `program` over the calling thread and all it will make, for good. `no_new_privs` must be on.
///
/// The kernel checks the program; a wrong one is refused with `EINVAL`, and can't harm memory.
pub fn install(program: &[Instruction]) -> io::Result<()> {
    let Ok(len) = u16::try_from(program.len()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `filter` points to `len` instructions of the kernel's layout (asserted above), which the kernel copies and
    // does not write to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0 as libc::c_ulong,
            &prog as *const libc::sock_fprog,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
