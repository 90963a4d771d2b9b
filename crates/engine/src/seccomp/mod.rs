//! The system-call filter: a table of refusals ([`rules`]), and the assembler that makes a kernel program of it.
//!
//! The program looks at the processor, then finds the rule of a number by bisection. Nothing here touches the kernel;
//! tests run every number and sampled arguments through both the table and the program.

pub mod rules;

use pinfold_sys::seccomp::Instruction;
use rules::{Arch, NEWEST, Rule, TOO_NEW, When};

// The classic BPF that is needed, by its kernel numbers.
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQ: u16 = 0x15;
const JUMP_GT: u16 = 0x25;
const JUMP_GE: u16 = 0x35;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;
const KILL: u32 = 0x8000_0000;

/// Offsets in `struct seccomp_data`.
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;
const ARGS_AT: u32 = 16;

/// What this build runs on; `None` on a processor that the table has no column for.
pub const fn this_arch() -> Option<Arch> {
    if cfg!(target_arch = "x86_64") {
        Some(Arch::X86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Arch::Aarch64)
    } else {
        None
    }
}

const fn audit_arch(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0xc000_003e,
        Arch::Aarch64 => 0xc000_00b7,
    }
}

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

const fn answer(errno: u16) -> Instruction {
    op(RETURN, 0, 0, ERRNO | errno as u32)
}

const PASS: Instruction = op(RETURN, 0, 0, ALLOW);

/// The kernel program for these rules.
pub fn assemble(table: &[Rule], arch: Arch) -> Vec<Instruction> {
    let mut sorted: Vec<(u16, &Rule)> = table.iter().filter_map(|rule| Some((rule.number(arch)?, rule))).collect();
    sorted.sort_by_key(|(number, _)| *number);
    let mut program = vec![
        op(LOAD, 0, 0, ARCH_AT),
        op(JUMP_EQ, 1, 0, audit_arch(arch)),
        // Another processor's calls have other numbers: nothing below would fit them.
        op(RETURN, 0, 0, KILL),
        op(LOAD, 0, 0, NUMBER_AT),
        op(JUMP_GT, 0, 1, u32::from(NEWEST)),
        answer(TOO_NEW),
    ];
    bisect(&sorted, &mut program);
    program
}

/// Few enough to be tried one after the other.
const LEAF: usize = 3;

fn bisect(rules: &[(u16, &Rule)], program: &mut Vec<Instruction>) {
    if rules.len() <= LEAF {
        for (number, rule) in rules {
            let body = body(rule);
            // A body is at most a few dozen instructions: a table test holds the largest against this.
            program.push(op(JUMP_EQ, 0, body.len() as u8, u32::from(*number)));
            program.extend(body);
        }
        program.push(PASS);
        return;
    }
    let middle = rules.len() / 2;
    let mut below = Vec::new();
    bisect(&rules[..middle], &mut below);
    program.push(op(JUMP_GE, 0, 1, u32::from(rules[middle].0)));
    // The short jumps reach 255 instructions, this one any number.
    program.push(op(JUMP, 0, 0, below.len() as u32));
    program.extend(below);
    bisect(&rules[middle..], program);
}

const fn load_arg(arg: u8) -> Instruction {
    // The low half; both processors are little-endian.
    op(LOAD, 0, 0, ARGS_AT + 8 * arg as u32)
}

/// The instructions for a number that matched; each way through ends in a return.
fn body(rule: &Rule) -> Vec<Instruction> {
    let no = answer(rule.errno);
    match rule.when {
        When::Always => vec![no],
        When::AnyBit { arg, mask } => vec![load_arg(arg), op(JUMP_SET, 0, 1, mask), no, PASS],
        When::OneOf { arg, values } => among(arg, values, no, PASS),
        When::NoneOf { arg, values } => among(arg, values, PASS, no),
        When::OtherSocket { families } => {
            let mut body = Vec::new();
            for &(family, protocol) in families {
                body.push(load_arg(0));
                match protocol {
                    None => body.extend([op(JUMP_EQ, 0, 1, family), PASS]),
                    Some(protocol) => {
                        body.extend([op(JUMP_EQ, 0, 3, family), load_arg(2), op(JUMP_EQ, 0, 1, protocol), PASS])
                    }
                }
            }
            body.push(no);
            body
        }
    }
}

fn among(arg: u8, values: &[u32], hit: Instruction, miss: Instruction) -> Vec<Instruction> {
    let mut body = vec![load_arg(arg)];
    for &value in values {
        body.extend([op(JUMP_EQ, 0, 1, value), hit]);
    }
    body.push(miss);
    body
}

#[cfg(test)]
mod tests {
    use super::rules::DEFAULT;
    use super::*;
    use proptest::prelude::*;

    /// What the kernel would look at.
    #[derive(Debug, Clone, Copy)]
    struct Call {
        arch: u32,
        number: u32,
        args: [u64; 6],
    }

    impl Call {
        fn word(&self, at: u32) -> u32 {
            match at {
                NUMBER_AT => self.number,
                ARCH_AT => self.arch,
                _ => {
                    let index = (at - ARGS_AT) as usize;
                    assert!(index.is_multiple_of(4) && index < 48, "an offset outside of seccomp_data: {at}");
                    (self.args[index / 8] >> (8 * (index % 8))) as u32
                }
            }
        }
    }

    /// The kernel's interpreter, as far as the assembler uses it.
    fn run(program: &[Instruction], call: Call) -> u32 {
        let (mut at, mut a) = (0usize, 0u32);
        loop {
            let Instruction { code, jt, jf, k } = program[at];
            at += 1;
            let jump = |taken: bool| if taken { jt as usize } else { jf as usize };
            match code {
                LOAD => a = call.word(k),
                JUMP => at += k as usize,
                JUMP_EQ => at += jump(a == k),
                JUMP_GT => at += jump(a > k),
                JUMP_GE => at += jump(a >= k),
                JUMP_SET => at += jump(a & k != 0),
                RETURN => return k,
                other => panic!("unknown code {other:#x}"),
            }
        }
    }

    /// The table, read the plain way.
    fn by_the_table(table: &[Rule], arch: Arch, call: Call) -> u32 {
        if call.arch != audit_arch(arch) {
            return KILL;
        }
        if call.number > u32::from(NEWEST) {
            return ERRNO | u32::from(TOO_NEW);
        }
        let Some(rule) = table.iter().find(|rule| rule.number(arch).map(u32::from) == Some(call.number)) else {
            return ALLOW;
        };
        let arg = |n: u8| call.args[n as usize] as u32;
        let refused = match rule.when {
            When::Always => true,
            When::AnyBit { arg: n, mask } => arg(n) & mask != 0,
            When::OneOf { arg: n, values } => values.contains(&arg(n)),
            When::NoneOf { arg: n, values } => !values.contains(&arg(n)),
            When::OtherSocket { families } => !families
                .iter()
                .any(|&(family, protocol)| arg(0) == family && protocol.is_none_or(|protocol| arg(2) == protocol)),
        };
        if refused { ERRNO | u32::from(rule.errno) } else { ALLOW }
    }

    /// Values at which something in the table changes, and their neighbours, also with dirt in the upper half.
    fn interesting() -> Vec<u64> {
        let mut values = vec![0, 1, 2, 10, 16, 17, 38, 40, u64::MAX, 0x8000_0000, 0x7e02_0000, 0x80];
        for rule in DEFAULT {
            match rule.when {
                When::OneOf { values: v, .. } | When::NoneOf { values: v, .. } => {
                    values.extend(v.iter().map(|&v| v as u64))
                }
                When::AnyBit { mask, .. } => {
                    values.extend((0..32).map(|bit| 1u64 << bit).filter(|b| b & mask as u64 != 0))
                }
                _ => {}
            }
        }
        let near: Vec<u64> = values.iter().flat_map(|&v| [v.wrapping_sub(1), v, v.wrapping_add(1)]).collect();
        near.iter().flat_map(|&v| [v, v | 0xdead_beef_0000_0000, v & 0xffff_ffff]).collect()
    }

    const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

    #[test]
    fn program_and_table_agree_on_every_number() {
        for arch in ARCHES {
            let program = assemble(DEFAULT, arch);
            for number in (0..2048).chain([0x4000_0000, 0x4000_0010, 0x4000_01b3, u32::MAX, 0x8000_0000]) {
                for value in interesting() {
                    for args in
                        [[value; 6], [value, 0, 0, 0, 0, 0], [16, value, value, 0, 0, 0], [0, value, 0, 0, 0, 0]]
                    {
                        let call = Call { arch: audit_arch(arch), number, args };
                        assert_eq!(run(&program, call), by_the_table(DEFAULT, arch, call), "{arch:?} {call:x?}");
                    }
                }
            }
            for foreign in [0x4000_0003, 0, audit_arch(if arch == Arch::X86_64 { Arch::Aarch64 } else { Arch::X86_64 })]
            {
                assert_eq!(run(&program, Call { arch: foreign, number: 1, args: [0; 6] }), KILL);
            }
        }
    }

    proptest! {
        #[test]
        fn program_and_table_agree_on_anything(number in 0u32..600, args in any::<[u64; 6]>(), small in any::<[u8; 6]>()) {
            for arch in ARCHES {
                let program = assemble(DEFAULT, arch);
                for args in [args, small.map(u64::from)] {
                    let call = Call { arch: audit_arch(arch), number, args };
                    prop_assert_eq!(run(&program, call), by_the_table(DEFAULT, arch, call));
                }
            }
        }
    }

    #[test]
    fn the_table_is_one_rule_per_call() {
        for arch in ARCHES {
            let mut seen = std::collections::HashMap::new();
            for rule in DEFAULT {
                assert!(!rule.why.is_empty() && rule.errno != 0, "{}", rule.name);
                assert!(body(rule).len() < 255, "{}: the jump over it would not reach", rule.name);
                if let Some(number) = rule.number(arch) {
                    assert!(number <= NEWEST, "{}", rule.name);
                    assert_eq!(seen.insert(number, rule.name), None, "{arch:?} {number} twice");
                }
            }
        }
    }

    /// The column of this machine, against the C library's numbers.
    #[test]
    fn numbers_are_the_kernels() {
        macro_rules! known {
            ($($name:ident)*) => { [$((stringify!($name), libc::$name)),*] };
        }
        let known = known!(SYS_clone SYS_clone3 SYS_unshare SYS_setns SYS_mount SYS_umount2 SYS_mount_setattr SYS_open_tree
            SYS_move_mount SYS_fsopen SYS_fsconfig SYS_fsmount SYS_fspick SYS_pivot_root SYS_chroot SYS_open_by_handle_at
            SYS_name_to_handle_at SYS_add_key SYS_request_key SYS_keyctl SYS_bpf SYS_perf_event_open SYS_userfaultfd
            SYS_io_uring_setup SYS_io_uring_enter SYS_io_uring_register SYS_fanotify_init SYS_lookup_dcookie SYS_kcmp
            SYS_syslog SYS_process_vm_readv SYS_process_vm_writev SYS_process_madvise SYS_move_pages SYS_migrate_pages
            SYS_pidfd_getfd SYS_kexec_load SYS_init_module SYS_finit_module SYS_delete_module SYS_reboot SYS_swapon
            SYS_swapoff SYS_acct SYS_quotactl SYS_quotactl_fd SYS_settimeofday SYS_clock_settime SYS_socket SYS_ioctl
            SYS_vhangup SYS_personality SYS_nfsservctl);
        let arch = this_arch().expect("tests run on a known processor");
        for (name, number) in known {
            let name = name.trim_start_matches("SYS_");
            let rule = DEFAULT.iter().find(|rule| rule.name == name).unwrap_or_else(|| panic!("{name} is not refused"));
            assert_eq!(rule.number(arch).map(libc::c_long::from), Some(number), "{name}");
        }
    }

    #[test]
    fn what_can_be_probed_is_refused() {
        for name in pinfold_sys::probe::names() {
            assert!(DEFAULT.iter().any(|rule| rule.name == name), "{name} has a probe and no rule");
        }
    }

    #[test]
    fn it_stays_small() {
        for arch in ARCHES {
            let program = assemble(DEFAULT, arch);
            assert!(program.len() < 300, "{} instructions cost time at every start", program.len());
        }
    }
}
