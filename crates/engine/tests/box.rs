//! Real boxes, as root and as an ordinary user: what the command finds in them, and what it can't do.

mod common;
use common::*;
use pinfold_plan::*;
use std::path::Path;

/// What a shell in the box says to this script.
#[track_caller]
fn says(who: Who, script: &str) -> String {
    TestBox::shell(who, script).run().ok()
}

#[test]
fn exit_codes_are_the_commands() {
    for who in everybody() {
        for (script, code) in
            [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)]
        {
            assert_eq!(TestBox::shell(who, script).run().code, Some(code), "{who:?} {script}");
        }
        let missing = TestBox::new(who, &["no-such-command"]).run();
        assert_eq!(missing.code, Some(127), "{}", missing.stderr);
        assert!(missing.stderr.contains("NotFound"), "{}", missing.stderr);
        let folder = TestBox::new(who, &["/usr"]).run();
        assert_eq!(folder.code, Some(126), "{}", folder.stderr);
        let mut gone = TestBox::new(who, &["true"]);
        gone.exec().cwd = BoxPath::new("/workspace/no/such/folder");
        assert_ne!(gone.run().code, Some(0));
    }
}

#[test]
fn a_script_without_a_first_line_runs_as_in_a_shell() {
    for who in everybody() {
        let test = TestBox::new(who, &["/workspace/script", "word"]);
        let script = test.work().join("script");
        std::fs::write(&script, "echo \"got $1\"\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(test.run().ok(), "got word\n");
    }
}

#[test]
fn nothing_of_the_host_is_there() {
    for who in everybody() {
        let list = says(who, "ls -A / | sort | tr '\\n' ' '");
        assert_eq!(list, "bin dev etc home lib lib64 proc run sbin tmp usr workspace ");
        assert_eq!(
            says(who, "ls -A /etc /home /tmp /run | tr '\\n' ' '"),
            "/etc: hosts passwd  /home: user  /run:  /tmp: "
        );
        let processes = says(who, "for p in /proc/[0-9]*; do cat $p/comm; done 2>/dev/null | sort | tr '\\n' ' '");
        assert!(!processes.contains("cargo") && processes.split(' ').count() <= 6, "{processes}");
        assert_eq!(says(who, "cat /proc/net/dev | tail -n +3 | cut -d: -f1").trim(), "lo");
        assert_eq!(says(who, "cat /proc/sys/kernel/hostname"), "box\n");
        assert_eq!(says(who, "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c").trim(), "0");
    }
}

#[test]
fn what_is_read_only_stays_as_it_is() {
    for who in everybody() {
        let script = "for p in /x /usr/x /etc/x /etc/passwd /dev/x /proc/sys/kernel/hostname /proc/sysrq-trigger; do \
                      (echo bad > $p) 2>/dev/null && echo \"wrote $p\"; done; \
                      chmod 777 /dev/null 2>/dev/null && echo 'changed /dev/null'; \
                      touch /tmp/x /run/x /dev/shm/x /workspace/x /home/user/x && echo fine";
        assert_eq!(says(who, script), "fine\n", "{who:?}");
    }
}

#[test]
fn devices_work() {
    for who in everybody() {
        let script = "echo x > /dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; \
                      (echo x > /dev/full) 2>/dev/null || echo full; ls /dev | tr '\\n' ' '; ls /dev/pts; \
                      (exec 3</dev/tty) 2>/dev/null || echo 'no terminal'; (echo via > /dev/stdout) | cat";
        let said = says(who, script);
        assert_eq!(
            said,
            "4\n4\nfull\nfd full null ptmx pts random shm stderr stdin stdout tty urandom zero ptmx\nno terminal\nvia\n"
        );
    }
}

#[test]
fn no_privilege_is_left() {
    for who in everybody() {
        let status = says(who, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | tr -d ' \\t' | tr '\\n' ' '");
        assert_eq!(
            status,
            "CapInh:0000000000000000 CapPrm:0000000000000000 CapEff:0000000000000000 CapBnd:0000000000000000 \
             CapAmb:0000000000000000 NoNewPrivs:1 Seccomp:2 "
        );
        let map = says(who, "cat /proc/self/uid_map | tr -s ' '");
        match who {
            Who::Root => assert_eq!(map.trim(), format!("0 {NOBODY_OUTSIDE} 1")),
            Who::Ordinary => assert!(!map.trim().starts_with("0 ") && !map.contains(" 0 "), "{map}"),
        }
        assert_eq!(says(who, "id -G | wc -w").trim(), "1", "no supplementary group came along");
    }
}

/// `syscall(number, …)` with all arguments zero but those given, by perl, which every Debian has.
fn calls(lines: &[(&str, &str)]) -> String {
    let mut script = String::from("no warnings;");
    for (name, args) in lines {
        script.push_str(&format!(
            "$! = 0; my $r = syscall({args}); print \"{name} \", ($r < 0 ? $!+0 : 'DONE'), \"\\n\";"
        ));
    }
    script
}

#[test]
fn forbidden_calls_are_refused() {
    if !must(cfg!(target_arch = "x86_64") && Path::new("/usr/bin/perl").exists(), "the test of raw system calls") {
        return;
    }
    let script = calls(&[
        ("unshare-user", "272, 0x10000000"),
        ("unshare-mount-dirty", "272, 0x7fff00020000"),
        ("unshare-files", "272, 0x400"),
        ("clone-newuser", "56, 0x10000011, 0, 0, 0, 0"),
        ("clone3", "435, 0, 0"),
        ("mount", "165, 0, 0, 0, 0, 0"),
        ("keyctl", "250, 0, -3, 0"),
        ("bpf", "321, 0, 0, 0"),
        ("ring", "425, 1, 0"),
        ("vsock", "41, 40, 1, 0"),
        ("packet", "41, 17, 3, 0"),
        ("alg", "41, 38, 5, 0"),
        ("netlink-audit", "41, 16, 3, 9"),
        ("netlink-route", "41, 16, 3, 0"),
        ("inet", "41, 2, 1, 0"),
        ("inet-dirty", "41, 0x7fff00000002, 1, 0"),
        ("tiocsti", "16, 0, 0x5412, 0"),
        ("tiocsti-dirty", "16, 0, 0x7fff00005412, 0"),
        ("handle", "304, -1, 0, 0"),
        ("future", "500, 0"),
        ("x32", "0x40000027"),
        ("personality-query", "135, 0xffffffff"),
        ("personality-exec", "135, 0x0400000"),
    ]);
    for who in everybody() {
        let said = TestBox::new(who, &["perl", "-e", &script]).run().ok();
        let expected = "unshare-user 1\nunshare-mount-dirty 1\nunshare-files DONE\nclone-newuser 1\nclone3 38\nmount 1\nkeyctl 1\n\
                        bpf 1\nring 1\nvsock 97\npacket 97\nalg 97\nnetlink-audit 97\nnetlink-route DONE\ninet DONE\n\
                        inet-dirty DONE\ntiocsti 1\ntiocsti-dirty 1\nhandle 1\nfuture 38\nx32 38\npersonality-query DONE\n\
                        personality-exec 1\n";
        assert_eq!(said, expected, "{who:?}");
    }
}

#[test]
fn pid_1_can_not_be_looked_into() {
    for who in everybody() {
        // Root in the box may see the numbers of its descriptors, and nothing behind them.
        let script = "for f in exe root cwd fd/3 fd/4; do readlink /proc/1/$f && echo \"read $f\"; done; \
                      for f in exe environ maps mem fd/3 fd/4 root/etc/passwd; do (exec 3</proc/1/$f) 2>/dev/null && \
                      echo \"opened $f\"; done; kill -0 1 2>/dev/null && echo signalled; echo end";
        assert_eq!(says(who, script), "end\n", "{who:?}");
    }
}

#[test]
fn a_fork_bomb_hits_its_limit() {
    for who in everybody() {
        // The limit of the plan is 200.
        let script = "n=0; while [ $n -lt 400 ]; do sleep 20 & n=$((n+1)); done 2>/dev/null; echo survived";
        let ran = TestBox::shell(who, script).run();
        assert!(ran.code != Some(0) || !ran.stdout.contains("survived"), "{who:?}: 400 processes were allowed");
    }
}

/// The worst hole of the field: a folder that somebody left open walks out of the box.
#[test]
fn inherited_descriptors_end_at_the_door() {
    for who in everybody() {
        let test =
            TestBox::shell(who, "ls -l /proc/self/fd | wc -l; cat /proc/self/fd/8/etc/hostname /proc/self/fd/77");
        let mut command = std::process::Command::new("sh");
        let inner = test.command();
        let words: Vec<String> = std::iter::once(inner.get_program())
            .chain(inner.get_args())
            .map(|word| word.to_str().unwrap().to_owned())
            .collect();
        command.arg("-c").arg(format!("exec {} 8</ 77</etc/hostname", words.join(" ")));
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        let ran = Ran::of(&mut command);
        assert_eq!(ran.stdout.lines().next(), Some("5"), "three streams, the listing, and a line for the total");
        assert_eq!(ran.code, Some(1), "{} {}", ran.stdout, ran.stderr);
    }
}

#[test]
fn each_probe_refuses_the_start_when_its_wall_is_missing() {
    for who in everybody() {
        let marker = "echo RAN";
        let broken: Vec<(&str, TestBox)> = vec![
            ("the system call mount", TestBox::shell(who, marker).without(|s| matches!(s, Step::Seccomp { .. }))),
            ("no privileges", TestBox::shell(who, marker).without(|s| matches!(s, Step::DropPrivileges))),
            (
                "/etc/passwd is not in the box",
                TestBox::shell(who, marker).probe(Probe::HostPathAbsent { path: BoxPath::new("/etc/passwd") }),
            ),
            ("a masked file", TestBox::shell(who, marker).probe(Probe::CanaryMask)),
            (
                "the system call getpid",
                TestBox::shell(who, marker).probe(Probe::SyscallRefused { name: "getpid".into() }),
            ),
        ];
        for (probe, test) in broken {
            let ran = test.run();
            assert!(!ran.stdout.contains("RAN"), "{probe}: the command ran");
            let told = ran.refused("ProbeFailed");
            assert!(told.contains(probe), "{probe}: {told}");
        }
    }
}

#[test]
fn what_changed_since_the_survey_is_refused() {
    for who in everybody() {
        let test = TestBox::shell(who, "echo RAN");
        let work = test.work();
        std::fs::rename(&work, work.with_extension("old")).unwrap();
        std::fs::create_dir(&work).unwrap();
        let ran = test.run();
        assert!(!ran.stdout.contains("RAN"));
        assert!(ran.refused("Changed").contains("/work changed"));

        let test = TestBox::shell(who, "echo RAN");
        let work = test.work();
        std::fs::remove_dir(&work).unwrap();
        std::os::unix::fs::symlink("/", &work).unwrap();
        test.run().refused("Changed");
    }
}

/// A former box wrote the home, and may have put a link where a mount point belongs.
#[test]
fn a_link_in_the_home_moves_no_mount() {
    for who in everybody() {
        let test = TestBox::shell(who, "echo RAN; ls /workspace/out");
        let (home, work) = (test.plan.home_dir.to_path_buf(), test.work());
        std::fs::create_dir(work.join("out")).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        std::os::unix::fs::symlink("/workspace/out", home.join("tools")).unwrap();
        chown_all(&test.base.path().join("state"), who);
        let tools = test.base.path().join("tools");
        std::fs::create_dir(&tools).unwrap();
        let test = test.before_seal(bind(&tools, "/home/user/tools/bin", Access::ReadOnly));
        let ran = test.run();
        assert!(!ran.stdout.contains("RAN"));
        let told = ran.refused("Io");
        assert!(told.contains("/home/user/tools/bin") && told.contains("something else stands there"), "{told}");
        assert_eq!(std::fs::read_dir(work.join("out")).unwrap().count(), 0, "nothing was made behind the link");
    }
}

fn chown_all(folder: &Path, who: Who) {
    if who == Who::Ordinary && rustix::process::geteuid().is_root() {
        let status = std::process::Command::new("chown").args(["-R", "1001:1001"]).arg(folder).status().unwrap();
        assert!(status.success());
    }
}

#[test]
fn the_home_survives_and_its_files_are_put_there_once() {
    for who in everybody() {
        let mut test =
            TestBox::shell(who, "cat ~/.config/agent.json; echo changed > ~/.config/agent.json; ls -ld ~ | cut -c1-10");
        test.plan.home_files = vec![(".config/agent.json".into(), "fresh\n".into())];
        assert_eq!(test.run().ok(), "fresh\ndrwx------\n");
        let run = test.plan.run_dir.to_path_buf();
        test.plan.run_dir = HostPath::new(run.with_file_name("second"));
        assert_eq!(test.run().ok(), "changed\ndrwx------\n");
    }
}

#[test]
fn a_program_that_was_replaced_on_disk_still_starts() {
    for who in everybody() {
        let test = TestBox::shell(who, "echo RAN");
        let copy = test.base.path().join("enginebox");
        std::fs::copy(program(), &copy).unwrap();
        std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut command = test.command();
        let words: Vec<_> = command.get_args().map(|w| w.to_owned()).collect();
        let mut swapped = std::process::Command::new(if who == Who::Ordinary && words.len() > 1 {
            "setpriv"
        } else {
            copy.to_str().unwrap()
        });
        for word in &words {
            swapped.arg(if Path::new(word) == program() { copy.as_os_str() } else { word });
        }
        command = swapped;
        command.env("ENGINEBOX_LOSE_ITSELF", "1");
        std::fs::set_permissions(test.base.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let said = Ran::of(&mut command).ok();
        assert_eq!(said, "RAN\n");
        assert!(!copy.exists(), "the test was meant to take the program away");
    }
}

#[test]
fn the_hosts_objects_are_readable_also_when_they_are_closed() {
    for who in everybody() {
        let test = TestBox::shell(
            who,
            "cat /run/objects/pack; echo x > /run/objects/pack; ls -l /run/objects/pack | cut -c1-10",
        );
        let store = test.base.path().join("objects");
        std::fs::create_dir(&store).unwrap();
        std::fs::write(store.join("pack"), "an object\n").unwrap();
        for (path, mode) in [(store.join("pack"), 0o400), (store.clone(), 0o700)] {
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        }
        chown_all(&store, who);
        let stat = std::fs::metadata(&store).unwrap();
        let seen = Seen {
            dev: std::os::unix::fs::MetadataExt::dev(&stat),
            ino: std::os::unix::fs::MetadataExt::ino(&stat),
            kind: SeenKind::Folder,
        };
        let step = Step::Objects { from: HostPath::new(&store), seen, at: BoxPath::new("/run/objects") };
        let test = test.before_seal(step);
        let said = test.run().ok();
        assert_eq!(said, "an object\n-r--------\n", "{who:?}");
        assert_eq!(std::fs::read(store.join("pack")).unwrap(), b"an object\n");
    }
}

#[test]
fn mounts_carry_their_restrictions() {
    for who in everybody() {
        let said = says(who, "awk '{print $5, $6}' /proc/self/mountinfo | sort");
        for line in said.lines() {
            let (at, flags) = line.split_once(' ').unwrap();
            let has = |flag| flags.split(',').any(|it| it == flag);
            assert!(has("nosuid"), "{line}");
            assert!(has("nodev") || at.starts_with("/dev") || flags.contains("ro"), "{line}");
            if ["/", "/usr", "/dev", "/proc/sys"].contains(&at) {
                assert!(has("ro"), "{line}");
            }
            if ["/run", "/dev", "/dev/shm", "/proc"].contains(&at) {
                assert!(has("noexec"), "{line}");
            }
        }
    }
}

#[test]
fn root_can_open_its_own_output_again() {
    for who in everybody().into_iter().filter(|who| *who == Who::Root) {
        assert_eq!(says(who, "echo again > /dev/stdout"), "again\n");
    }
}

#[test]
fn the_box_goes_first_when_memory_runs_out() {
    for who in everybody() {
        assert_eq!(says(who, "cat /proc/self/oom_score_adj"), "800\n", "{who:?}");
    }
}

#[test]
fn orphans_are_reaped() {
    for who in everybody() {
        let script =
            "for i in 1 2 3 4 5; do (sleep 0.05 &) ; done; sleep 0.3; grep -l 'State:.Z' /proc/[0-9]*/status; echo end";
        assert_eq!(says(who, script), "end\n");
    }
}

/// The second wall by itself: a place that the mounts would let the box write, and Landlock's rules do not.
#[test]
fn landlock_is_a_wall_of_its_own() {
    for who in everybody() {
        let script = "touch /tmp/x 2>/dev/null && echo 'wrote /tmp'; touch /workspace/x && echo 'wrote /workspace'; \
                      cat /etc/hosts >/dev/null && echo 'read /etc'";
        assert_eq!(says(who, script), "wrote /tmp\nwrote /workspace\nread /etc\n");
        let mut test = TestBox::shell(who, script);
        for step in &mut test.plan.steps {
            if let Step::Landlock { rules, .. } = step {
                rules.retain(|rule| rule.at.as_path() != Path::new("/tmp"));
            }
        }
        assert_eq!(test.run().ok(), "wrote /workspace\nread /etc\n", "{who:?}");
        let mut test = TestBox::shell(who, "echo RAN");
        for step in &mut test.plan.steps {
            if let Step::Landlock { rules, .. } = step {
                rules.push(LandlockRule { at: BoxPath::new("/nowhere"), access: Access::ReadOnly, execute: false });
            }
        }
        let ran = test.run();
        assert!(!ran.stdout.contains("RAN"), "a rule that can't be enforced was passed over");
        let told = ran.refused("Io");
        assert!(told.contains("Landlock") && told.contains("No such file"), "{told}");
    }
}

#[test]
fn limits_are_ceilings() {
    for who in everybody() {
        let mut test = TestBox::shell(who, "ulimit -Hc; ulimit -Sc; ulimit -Hp; ulimit -Hn; ulimit -Sn");
        let at = test.plan.steps.iter().position(|s| matches!(s, Step::Limit(_))).unwrap();
        test.plan.steps.insert(at, Step::Limit(Limit { resource: Resource::OpenFiles, value: 5000 }));
        let mut command = std::process::Command::new("sh");
        let inner = test.command();
        let words: Vec<&str> =
            std::iter::once(inner.get_program()).chain(inner.get_args()).map(|word| word.to_str().unwrap()).collect();
        command.args(["-c", &format!("ulimit -Sn 600; ulimit -Hn 4000; exec {}", words.join(" "))]);
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        // The caller's own lower limits stay, and the soft one is left where programs expect it.
        assert_eq!(Ran::of(&mut command).ok(), "0\n0\n200\n4000\n600\n", "{who:?}");
    }
}
