//! The terminal: what a person's keys and windows do to the box, and that the box does nothing to the person's terminal.

use std::time::Duration;

use pinfold_testkit::{As, Baseline, Caller, Cmd, Launcher, Terminal, TestRepo, require};

/// Pushes keys into the terminal's input: at the end of the box, the caller's shell would run them.
const INJECT: &str = r#"
import fcntl, os
for fd in (0, 1, 2, os.open("/dev/tty", os.O_RDWR)):
    for key in b"echo PWNED\n":
        try: fcntl.ioctl(fd, 0x5412, bytes([key]))
        except OSError as error: print("refused", error.errno); break
"#;

fn on_terminal(launcher: &Launcher, caller: &Caller, argv: &[&str], then: impl FnOnce(&mut Terminal)) {
    let repo = TestRepo::new(caller, "repo");
    let mut cmd: Cmd = launcher.command(caller, repo.path(), argv);
    cmd.deadline(Duration::from_secs(20));
    then(&mut Terminal::start(&cmd));
}

#[test]
fn keys_can_be_pushed_into_the_callers_terminal_without_pinfold() {
    require!(Baseline::available());
    let legacy = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").unwrap_or_else(|_| "1".into());
    if legacy.trim() != "1" {
        pinfold_testkit::need::skip("this kernel refuses TIOCSTI to everybody (dev.tty.legacy_tiocsti = 0)");
        return;
    }
    let caller = require!(Caller::new(As::User));
    on_terminal(&Launcher::Baseline(Baseline::Open), &caller, &["python3", "-c", INJECT], |terminal| {
        terminal.finish();
        let unread = terminal.unread();
        assert!(unread.starts_with(b"echo PWNED"), "{:?}", String::from_utf8_lossy(&unread));
    });
}

#[test]
fn no_key_is_pushed_into_the_callers_terminal() {
    let launcher = require!(Launcher::pinfold());
    for who in As::BOTH {
        let caller = require!(Caller::new(who));
        on_terminal(&launcher, &caller, &["python3", "-c", INJECT], |terminal| {
            let out = terminal.finish();
            assert!(out.text().contains("refused"), "{out}");
            assert_eq!(String::from_utf8_lossy(&terminal.unread()), "", "{out}");
        });
    }
}

#[test]
fn the_window_and_the_keys_reach_the_box() {
    let launcher = require!(Launcher::pinfold());
    for who in As::BOTH {
        let caller = require!(Caller::new(who));
        let script = "stty size; read line; echo got:$line; trap 'stty size' WINCH; trap 'echo INT; exit 7' INT; echo @ready; while :; do sleep 0.05; done";
        on_terminal(&launcher, &caller, &["sh", "-c", script], |terminal| {
            assert!(terminal.wait_for("24 80"), "{}", String::from_utf8_lossy(&terminal.screen()));
            terminal.send(b"word\r");
            assert!(terminal.wait_for("got:word") && terminal.wait_for("@ready"));
            terminal.resize(41, 99);
            assert!(terminal.wait_for("41 99"), "the box did not notice its new size");
            terminal.send(b"\x03");
            let out = terminal.finish();
            assert!(out.text().contains("INT"), "{out}");
            assert_eq!(out.code, 7, "{out}");
        });
    }
}

#[test]
fn the_callers_terminal_is_as_it_was() {
    let launcher = require!(Launcher::pinfold());
    let caller = require!(Caller::new(As::User));
    let scripts =
        ["stty raw -echo; stty -a", "stty raw -echo < /dev/tty; kill -KILL $$", "stty 9600 rows 5 cols 5; exit 3"];
    for script in scripts {
        let repo = TestRepo::new(&caller, "repo");
        let mut cmd = launcher.command(&caller, repo.path(), ["sh", "-c", script]);
        cmd.wrap_in(["sh", "-c", "stty -a > before; \"$@\"; stty -a > after", "sh"]);
        let mut terminal = Terminal::start(&cmd);
        terminal.finish();
        let read = |name: &str| std::fs::read_to_string(repo.path().join(name)).unwrap_or_default();
        assert!(!read("before").is_empty());
        assert_eq!(read("before"), read("after"), "after `{script}`");
        repo.sh("cd ..; rm -rf repo");
    }
}

#[test]
fn the_box_ends_with_its_terminal() {
    let launcher = require!(Launcher::pinfold());
    let caller = require!(Caller::new(As::User));
    let repo = TestRepo::new(&caller, "repo");
    let script = "trap '' HUP; setsid sleep 86398 & echo @ready; sleep 86398";
    let mut terminal = Terminal::start(&launcher.command(&caller, repo.path(), ["sh", "-c", script]));
    assert!(terminal.wait_for("@ready"));
    let pid = rustix::process::Pid::from_raw(terminal.pid().cast_signed()).expect("a process id is positive");
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("the test may signal what it started");
    let out = terminal.finish();
    assert!(!out.timed_out, "{out}");
    std::thread::sleep(Duration::from_millis(500));
    let left = pinfold_escape::trial::processes_naming(&[&caller.base().to_string_lossy()]);
    assert!(left.is_empty(), "{left:?}");
}

/// Through a pipe, bytes are bytes: no terminal stands between.
#[test]
fn pipes_are_plain() {
    let launcher = require!(Launcher::pinfold());
    let caller = require!(Caller::new(As::User));
    let repo = TestRepo::new(&caller, "repo");
    let bytes: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_le_bytes()).collect();
    let mut cmd = launcher.command(&caller, repo.path(), ["sh", "-c", "cat; echo problem >&2; exit 42"]);
    cmd.stdin(pinfold_testkit::Stdin::Bytes(bytes.clone()));
    let out = cmd.run();
    assert_eq!(out.code, 42, "{}", out.errors());
    assert!(out.stdout == bytes, "{} bytes went in, {} came out", bytes.len(), out.stdout.len());
    assert!(out.errors().contains("problem\n"));
    for (script, code) in
        [("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -SEGV $$", 139), ("no-such-command", 127)]
    {
        let out = launcher.command(&caller, repo.path(), ["sh", "-c", script]).run();
        assert_eq!(out.code, code, "{script}: {out}");
    }
    assert_eq!(launcher.command(&caller, repo.path(), ["no-such-command"]).run().code, 127);
    assert_eq!(launcher.command(&caller, repo.path(), ["/workspace/README.md"]).run().code, 126);
}
