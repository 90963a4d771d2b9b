//! The system calls that a box refuses, each with its reason: data, read by the assembler beside it and by people.
//!
//! It is a list of refusals, because an agent runs everything that a developer runs, debuggers included: `ptrace` stays,
//! confined by the box's own process namespace, no capabilities and `no_new_privs`. What is refused is what such work
//! does not need and what has been a way out: new namespaces and mounts, keys, kernel programs, other processes' memory,
//! descriptors without a path, sockets that know no namespaces. Most of it needs capabilities that the box does not have;
//! the filter is there for the day when one of those checks is wrong.
//!
//! Calls that are newer than this list do not exist in the box (`ENOSYS`, which programs take as an old kernel).

/// The processors that pinfold knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    X86_64,
    Aarch64,
}

/// Under which circumstances a call is refused. Arguments are compared by their low 32 bits: that is what the kernel looks
/// at in each of them, and whoever sets the upper half must not slip through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Always,
    /// One of these bits is set in argument `arg`.
    AnyBit {
        arg: u8,
        mask: u32,
    },
    /// Argument `arg` is one of these.
    OneOf {
        arg: u8,
        values: &'static [u32],
    },
    /// Argument `arg` is none of these.
    NoneOf {
        arg: u8,
        values: &'static [u32],
    },
    /// Not one of these pairs of argument 0 and argument 2; `None` stands for any.
    OtherSocket {
        families: &'static [(u32, Option<u32>)],
    },
}

#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub name: &'static str,
    pub x86_64: Option<u16>,
    pub aarch64: Option<u16>,
    pub when: When,
    /// The answer.
    pub errno: u16,
    pub why: &'static str,
}

impl Rule {
    pub fn number(&self, arch: Arch) -> Option<u16> {
        match arch {
            Arch::X86_64 => self.x86_64,
            Arch::Aarch64 => self.aarch64,
        }
    }
}

/// The newest call that was weighed for this list (`file_setattr`, Linux 6.17).
pub const NEWEST: u16 = 469;
/// The answer to anything newer, and to the numbers of x32.
pub const TOO_NEW: u16 = ENOSYS;

const EPERM: u16 = 1;
const ENOSYS: u16 = 38;
const EAFNOSUPPORT: u16 = 97;

/// Every CLONE_NEW* that `clone` knows: mnt, cgroup, uts, ipc, user, pid, net.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// The same, and time, which shares its bit with the exit signal of `clone`.
const NEW_NAMESPACES_AND_TIME: u32 = NEW_NAMESPACES | 0x80;

/// AF_UNIX, AF_INET, AF_INET6, and of AF_NETLINK the routing part, which `getifaddrs` asks.
const SOCKETS: &[(u32, Option<u32>)] = &[(1, None), (2, None), (10, None), (16, Some(0))];
/// TIOCSTI types into a terminal, TIOCLINUX pastes into a console, TIOCSETD loads a line discipline.
const TERMINAL_TRICKS: &[u32] = &[0x5412, 0x541c, 0x5423];
/// Linux, Linux32, each also with UNAME26; no address randomisation (gdb, `setarch -R`); and "which is it?".
const PERSONALITIES: &[u32] = &[0, 8, 0x2_0000, 0x2_0008, 0x4_0000, 0xffff_ffff];

const fn rule(name: &'static str, x86_64: u16, aarch64: u16, errno: u16, why: &'static str) -> Rule {
    Rule { name, x86_64: Some(x86_64), aarch64: Some(aarch64), when: When::Always, errno, why }
}

const fn x86_only(name: &'static str, number: u16, errno: u16, why: &'static str) -> Rule {
    Rule { name, x86_64: Some(number), aarch64: None, when: When::Always, errno, why }
}

const fn when(rule: Rule, when: When) -> Rule {
    Rule { when, ..rule }
}

/// The profile `default`.
pub const DEFAULT: &[Rule] = &[
    // Namespaces: a new user namespace would give back all capabilities over new mounts and networks.
    when(rule("clone", 56, 220, EPERM, "new namespaces"), When::AnyBit { arg: 0, mask: NEW_NAMESPACES }),
    rule(
        "clone3",
        435,
        435,
        ENOSYS,
        "its flags are in memory, where a filter can't look; C libraries fall back to clone",
    ),
    when(rule("unshare", 272, 97, EPERM, "new namespaces"), When::AnyBit { arg: 0, mask: NEW_NAMESPACES_AND_TIME }),
    rule("setns", 308, 268, EPERM, "other namespaces"),
    // Mounts: they are what the box is made of.
    rule("mount", 165, 40, EPERM, "mounts"),
    rule("umount2", 166, 39, EPERM, "mounts"),
    rule("mount_setattr", 442, 442, EPERM, "mounts"),
    rule("open_tree", 428, 428, EPERM, "mounts"),
    rule("open_tree_attr", 467, 467, EPERM, "mounts"),
    rule("move_mount", 429, 429, EPERM, "mounts"),
    rule("fsopen", 430, 430, EPERM, "mounts"),
    rule("fsconfig", 431, 431, EPERM, "mounts"),
    rule("fsmount", 432, 432, EPERM, "mounts"),
    rule("fspick", 433, 433, EPERM, "mounts"),
    rule("pivot_root", 155, 41, EPERM, "another root"),
    rule("chroot", 161, 51, EPERM, "another root"),
    // Files without a path: a handle reaches whatever the file system holds.
    rule("open_by_handle_at", 304, 265, EPERM, "opens files past every mount and mask"),
    rule("name_to_handle_at", 303, 264, EPERM, "makes the handles for it"),
    // Keys: the key store knows users, not boxes.
    rule("add_key", 248, 217, EPERM, "the kernel's keys are not per box"),
    rule("request_key", 249, 218, EPERM, "the kernel's keys are not per box; this one even starts a host program"),
    rule("keyctl", 250, 219, EPERM, "the kernel's keys are not per box"),
    // Programs in the kernel, and windows into it.
    rule("bpf", 321, 280, EPERM, "programs in the kernel"),
    rule("perf_event_open", 298, 241, EPERM, "watches kernel and neighbours, and a long list of holes"),
    rule("userfaultfd", 323, 282, EPERM, "stops the kernel half-way in a copy: what exploits of races need"),
    rule("io_uring_setup", 425, 425, EPERM, "does calls that this filter never sees"),
    rule("io_uring_enter", 426, 426, EPERM, "does calls that this filter never sees"),
    rule("io_uring_register", 427, 427, EPERM, "does calls that this filter never sees"),
    rule("fanotify_init", 300, 262, EPERM, "sees files that others open; hands out descriptors of them"),
    rule("lookup_dcookie", 212, 18, EPERM, "names of files by number"),
    rule("kcmp", 312, 272, EPERM, "tells where kernel objects are"),
    rule("syslog", 103, 116, EPERM, "the kernel's messages tell of the host"),
    // Other processes' memory and descriptors. With the answer ENOSYS, strace and gdb take the way by ptrace.
    rule("process_vm_readv", 310, 270, ENOSYS, "other processes' memory"),
    rule("process_vm_writev", 311, 271, ENOSYS, "other processes' memory"),
    rule("process_madvise", 440, 440, EPERM, "other processes' memory"),
    rule("move_pages", 279, 239, EPERM, "other processes' memory"),
    rule("migrate_pages", 256, 238, EPERM, "other processes' memory"),
    rule("pidfd_getfd", 438, 438, EPERM, "other processes' descriptors"),
    // The machine.
    rule("kexec_load", 246, 104, EPERM, "another kernel"),
    rule("kexec_file_load", 320, 294, EPERM, "another kernel"),
    rule("init_module", 175, 105, EPERM, "kernel modules"),
    rule("finit_module", 313, 273, EPERM, "kernel modules"),
    rule("delete_module", 176, 106, EPERM, "kernel modules"),
    rule("reboot", 169, 142, EPERM, "the machine"),
    rule("swapon", 167, 224, EPERM, "the machine"),
    rule("swapoff", 168, 225, EPERM, "the machine"),
    rule("acct", 163, 89, EPERM, "writes a record of every process into a file"),
    rule("quotactl", 179, 60, EPERM, "the machine's quotas"),
    rule("quotactl_fd", 443, 443, EPERM, "the machine's quotas"),
    rule("settimeofday", 164, 170, EPERM, "the machine's clock"),
    rule("clock_settime", 227, 112, EPERM, "the machine's clock"),
    x86_only("iopl", 172, EPERM, "ports of the hardware"),
    x86_only("ioperm", 173, EPERM, "ports of the hardware"),
    x86_only("modify_ldt", 154, EPERM, "odd segments, and a history of holes; only 16-bit programs want it"),
    // Sockets: some families know no network namespace, others are seldom used code. The answer is "unknown family".
    when(
        rule(
            "socket",
            41,
            198,
            EAFNOSUPPORT,
            "vsock reaches the hypervisor; packet, alg, bluetooth and the like, old code",
        ),
        When::OtherSocket { families: SOCKETS },
    ),
    // Terminals.
    when(
        rule("ioctl", 16, 29, EPERM, "typing into a terminal that others read"),
        When::OneOf { arg: 1, values: TERMINAL_TRICKS },
    ),
    rule("vhangup", 153, 58, EPERM, "the terminal of others"),
    // How programs are loaded.
    when(
        rule("personality", 135, 92, EPERM, "old layouts switch protections of memory off"),
        When::NoneOf { arg: 0, values: PERSONALITIES },
    ),
    // Long dead.
    x86_only("uselib", 134, ENOSYS, "obsolete"),
    x86_only("ustat", 136, ENOSYS, "obsolete"),
    x86_only("sysfs", 139, ENOSYS, "obsolete"),
    x86_only("_sysctl", 156, ENOSYS, "obsolete"),
    x86_only("create_module", 174, ENOSYS, "obsolete"),
    x86_only("get_kernel_syms", 177, ENOSYS, "obsolete"),
    x86_only("query_module", 178, ENOSYS, "obsolete"),
    rule("nfsservctl", 180, 42, ENOSYS, "obsolete"),
];

/// The rules of a profile that a plan names.
pub fn profile(name: &str) -> Option<&'static [Rule]> {
    match name {
        "default" => Some(DEFAULT),
        _ => None,
    }
}
