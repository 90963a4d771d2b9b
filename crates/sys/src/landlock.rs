//! What the kernel's Landlock can do. Building and applying rule sets is safe elsewhere; only the question is here.

/// `LANDLOCK_CREATE_RULESET_VERSION`: answer with the version instead of making a rule set.
const ASK_VERSION: u32 = 1;

/// The version of the kernel's Landlock; 0 where it has none or it is switched off.
pub fn abi() -> i32 {
    // SAFETY: with a null pointer, size 0 and this flag the call reads no memory and makes nothing; it answers a number.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0usize, ASK_VERSION) };
    i32::try_from(version).unwrap_or(0).max(0)
}
