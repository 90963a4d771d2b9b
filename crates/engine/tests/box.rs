//! Real boxes: what the command finds in them.

mod common;
use common::*;

#[test]
fn a_command_runs() {
    for who in everybody() {
        let ran = TestBox::shell(who, "echo hello; cat /proc/sys/kernel/hostname; exit 3").run();
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), "hello\nbox\n"), "{}", ran.stderr);
    }
}
