//! How a box lives and dies: signals, streams, time, and that nothing of it is left.

mod common;
use common::*;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::process::{Child, Stdio};

/// A word that stands in the arguments of everything that one test starts.
fn marker() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}.{:05}{:03}", 3600, std::process::id() % 100_000, NEXT.fetch_add(1, Ordering::Relaxed))
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A background process, a daemon of its own session that ignores what it can, and the command itself.
fn stubborn(word: &str) -> String {
    format!(
        "sleep {word} & (trap '' TERM HUP INT; setsid sleep {word} & setsid sh -c \"trap '' TERM; sleep {word}; true\" &) ; \
         echo ready; sleep {word}"
    )
}

fn until_ready(child: &mut Child) {
    let mut line = [0u8; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"ready\n");
}

#[test]
fn nothing_survives_the_end_of_the_command() {
    for who in everybody() {
        let word = marker();
        let script = stubborn(&word).replace("; sleep", "; exit 7; sleep");
        let ran = TestBox::shell(who, &script).run();
        assert_eq!(ran.code, Some(7), "{}", ran.stderr);
        assert_eq!(TestBox::alive(&word), Vec::<i32>::new());
    }
}

#[test]
fn nothing_survives_the_death_of_the_supervisor() {
    for who in everybody() {
        let word = marker();
        let test = TestBox::shell(who, &stubborn(&word));
        let mut child = test.command().spawn().unwrap();
        until_ready(&mut child);
        TestBox::soon("all that shall die is alive", || TestBox::alive(&word).len() >= 4);
        signal(&child, Signal::KILL);
        child.wait().unwrap();
        TestBox::soon("everything in the box is dead", || TestBox::alive(&word).is_empty());
    }
}

#[test]
fn what_a_killed_run_left_behind_is_swept_by_the_next() {
    for who in everybody() {
        let word = marker();
        let mut test = TestBox::shell(who, &stubborn(&word));
        let mut child = test.command().spawn().unwrap();
        until_ready(&mut child);
        signal(&child, Signal::KILL);
        child.wait().unwrap();
        TestBox::soon("everything in the box is dead", || TestBox::alive(&word).is_empty());
        let dead = test.plan.run_dir.to_path_buf();
        // As MaskFs would have left it, with a folder that can't be entered.
        std::fs::create_dir_all(dead.join("private/a/b")).unwrap();
        std::fs::write(dead.join("private/a/b/secret"), "x").unwrap();
        std::fs::set_permissions(dead.join("private/a/b"), std::os::unix::fs::PermissionsExt::from_mode(0o000))
            .unwrap();
        if who == Who::Ordinary && rustix::process::geteuid().is_root() {
            std::process::Command::new("chown").args(["-R", "1001:1001"]).arg(dead.join("private")).status().unwrap();
        }
        *test.exec() = {
            let mut exec = test.exec().clone();
            exec.argv = vec![pinfold_plan::OsBytes::from("true")];
            exec
        };
        test.plan.run_dir = pinfold_plan::HostPath::new(dead.with_file_name("next"));
        test.run().ok();
        assert!(!dead.join("private").exists(), "the dead run was not cleaned up");
        assert!(dead.join("log.jsonl").exists(), "the record of a run stays");
        let marks = std::fs::read_dir(dead.parent().unwrap().join(".live")).unwrap().count();
        assert_eq!(marks, 0);
    }
}

#[test]
fn signals_reach_the_command() {
    for who in everybody() {
        for (number, sent) in
            [("TERM", Signal::TERM), ("INT", Signal::INT), ("HUP", Signal::HUP), ("USR1", Signal::USR1)]
        {
            let test = TestBox::shell(
                who,
                &format!("trap 'echo got; exit 5' {number}; echo ready; while :; do sleep 0.01; done"),
            );
            let mut child = test.command().spawn().unwrap();
            until_ready(&mut child);
            signal(&child, sent);
            let output = Ran::from(child.wait_with_output().unwrap());
            assert_eq!((output.code, output.stdout.as_str()), (Some(5), "got\n"), "{number}: {}", output.stderr);
        }
        let test = TestBox::shell(who, "echo ready; exec sleep 60");
        let mut child = test.command().spawn().unwrap();
        until_ready(&mut child);
        signal(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().code(), Some(128 + 15));
    }
}

#[test]
fn a_stopped_command_stops_us_and_goes_on_with_us() {
    for who in everybody() {
        let test = TestBox::shell(who, "echo ready; kill -STOP $$; echo on");
        let mut command = test.command();
        // In a group of its own, whose parent (this test) is in another group of the same session: as under a shell.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().unwrap();
        until_ready(&mut child);
        let pid = child.id();
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
        };
        TestBox::soon("the supervisor is stopped", || state() == 'T');
        signal(&child, Signal::CONT);
        let output = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "on\n"), "{}", output.stderr);
    }
}

#[test]
fn bytes_pass_through_untouched() {
    use pinfold_plan::StdStream::Pipe;
    for who in everybody() {
        let test = TestBox::new(who, &["cat"]).streams(Pipe, Pipe, Pipe);
        let mut child = test.command().stdin(Stdio::piped()).spawn().unwrap();
        let sent: Vec<u8> = (0..300_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut stdin = child.stdin.take().unwrap();
        let copy = sent.clone();
        let writer = std::thread::spawn(move || stdin.write_all(&copy));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(output.stdout == sent, "bytes were lost or changed");
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn time_is_limited() {
    for who in everybody() {
        let word = marker();
        let mut test = TestBox::shell(who, &format!("trap 'exit 9' TERM; sleep {word} & wait"));
        test.plan.timeout = Some(1);
        let start = std::time::Instant::now();
        let ran = test.run();
        assert_eq!(ran.code, Some(9), "{}", ran.stderr);
        assert!(ran.stderr.contains("\"timed-out\":true"));
        assert!(start.elapsed().as_secs() < 5);
        assert_eq!(TestBox::alive(&word), Vec::<i32>::new());
    }
}

/// The stand-in for MaskFs ends at once: the box must be refused, with a message of its own.
#[test]
fn no_box_without_its_file_server() {
    use pinfold_plan::{BoxPath, Step};
    if !must(std::path::Path::new("/dev/fuse").exists(), "the test with a dead file server") {
        return;
    }
    for who in everybody() {
        let test = TestBox::shell(who, "echo RAN; sleep 60")
            .without(|s| matches!(s, Step::Bind { at, .. } if at.as_path() == std::path::Path::new("/workspace")))
            .before_seal(Step::Workspace { at: BoxPath::new("/workspace") });
        test.run().refused("MaskFsDied");
    }
}

#[test]
fn many_boxes_at_once() {
    for who in everybody() {
        let boxes: Vec<_> = (0..8).map(|_| TestBox::shell(who, "echo $$")).collect();
        let children: Vec<_> = boxes.iter().map(|test| test.command().spawn().unwrap()).collect();
        for child in children {
            let ran = Ran::from(child.wait_with_output().unwrap());
            assert_eq!(ran.ok(), "2\n", "each box counts its own processes");
        }
    }
}

/// Killed at any moment of its life, the supervisor takes everything along, and the next run finds nothing in its way.
#[test]
fn killed_at_any_moment() {
    for who in everybody() {
        let word = marker();
        let mut test = TestBox::shell(who, &stubborn(&word));
        let first = test.plan.run_dir.to_path_buf();
        for round in 0..60u64 {
            test.plan.run_dir = pinfold_plan::HostPath::new(first.with_file_name(format!("round-{round}")));
            let mut child = test.command().spawn().unwrap();
            // From before the first system call to well after the start.
            std::thread::sleep(std::time::Duration::from_micros(round * 250));
            signal(&child, Signal::KILL);
            child.wait().unwrap();
        }
        TestBox::soon("everything in all of them is dead", || {
            TestBox::alive(&word).is_empty() && TestBox::alive(test.base.path().to_str().unwrap()).is_empty()
        });
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(test.base.path().to_str().unwrap()), "a mount was left behind: {mounts}");
        *test.exec() = {
            let mut exec = test.exec().clone();
            exec.argv = vec![pinfold_plan::OsBytes::from("true")];
            exec
        };
        // Each run cleans up after some of the dead.
        for round in 0..3 {
            test.plan.run_dir = pinfold_plan::HostPath::new(first.with_file_name(format!("after-{round}")));
            test.run().ok();
        }
        assert_eq!(std::fs::read_dir(first.with_file_name(".live")).unwrap().count(), 0);
    }
}

/// A file server that never answers: the command waits for it and can't be killed, and the run ends all the same.
#[test]
fn a_silent_file_server_holds_nobody() {
    use pinfold_plan::{BoxPath, Step};
    if !must(std::path::Path::new("/dev/fuse").exists(), "the test with a silent file server") {
        return;
    }
    for who in everybody() {
        let word = marker();
        let mut test = TestBox::shell(who, &format!("ls /workspace & sleep {word}"))
            .without(|s| matches!(s, Step::Bind { at, .. } if at.as_path() == std::path::Path::new("/workspace")))
            .without(|s| matches!(s, Step::Landlock { .. }))
            .before_seal(Step::Workspace { at: BoxPath::new("/workspace") });
        test.exec().cwd = BoxPath::new("/");
        test.plan.timeout = Some(1);
        let start = std::time::Instant::now();
        let ran = Ran::of(test.command().env("ENGINEBOX_MASKFS", "wait"));
        assert!(start.elapsed() < std::time::Duration::from_secs(25), "it took {:?}", start.elapsed());
        assert_ne!(ran.code, Some(0));
        assert_eq!(TestBox::alive(&word), Vec::<i32>::new());
    }
}

/// What the caller ignores and blocks is the caller's: the box works, and its command starts with a clean slate.
#[test]
fn the_callers_signal_settings_stay_outside() {
    if !must(std::path::Path::new("/usr/bin/perl").exists(), "the test with ignored signals, which wants perl") {
        return;
    }
    for who in everybody() {
        let test = TestBox::shell(who, "grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t'; kill -TERM $$");
        let inner = test.command();
        let words: Vec<&str> =
            std::iter::once(inner.get_program()).chain(inner.get_args()).map(|word| word.to_str().unwrap()).collect();
        let mut command = std::process::Command::new("perl");
        let ignore = "use POSIX; $SIG{$_} = 'IGNORE' for qw(CHLD PIPE TERM USR1); \
                      sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGCHLD, SIGUSR2, SIGALRM)); exec @ARGV";
        command.args(["-e", ignore]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = Ran::of(&mut command);
        assert_eq!(ran.code, Some(143), "{}", ran.stderr);
        let ours = |line: &str| {
            let bits = u64::from_str_radix(line.split(':').nth(1).unwrap().trim(), 16).unwrap();
            // Two that the C library keeps for itself can't be changed through it.
            bits & !(0b11 << 31)
        };
        let left: Vec<u64> = ran.stdout.lines().map(ours).collect();
        assert_eq!(left, [0, 0], "{}", ran.stdout);
    }
}
