//! Attacks that need nobody's help: the walls, what can be read, the secrets, the network.

use super::{Attack, checked, inside};

pub(super) const WALLS: &[Attack] = &[
    inside(
        "box",
        "run a command, and hear its words and its code",
        "sh -c 'echo alive; exit 7'; [ $? = 7 ] || win 'the exit code got lost'",
    ),
    inside(
        "box",
        "make new namespaces, for new rights in them",
        "need unshare; for kind in U m n p i u C; do unshare -$kind true 2>/dev/null && win \"unshare -$kind\"; done; \
         unshare -Urm true 2>/dev/null && win 'a root of its own'",
    ),
    inside(
        "box",
        "mount, unmount, change the root",
        "need mount; mkdir -p /tmp/m; mount -t tmpfs x /tmp/m 2>/dev/null && win mount; mount --bind / /tmp/m 2>/dev/null && win bind; \
         mount -o remount,rw / 2>/dev/null && win remount; for at in /workspace /workspace/.git /proc/kcore /; do \
         umount -l $at 2>/dev/null && win \"umount $at\"; done; chroot /tmp /bin/true 2>/dev/null && win chroot; true",
    ),
    inside(
        "box",
        "use a capability, gain one by a setuid program",
        "grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | grep -vq '0000000000000000$' && win \"$(grep CapEff /proc/self/status)\"; \
         grep -q 'NoNewPrivs:.*1' /proc/self/status || win 'programs may gain rights'; \
         cp /bin/sh /tmp/s && chmod 4755 /tmp/s && /tmp/s -p -c 'id -u' >/dev/null 2>&1; mknod /tmp/disk b 8 0 2>/dev/null && win mknod; true",
    ),
    inside(
        "box",
        "calls of the kernel that no agent needs: io_uring, bpf, userfaultfd, perf, keys, vsock, another processor's calls",
        r#"need python3; python3 - <<'P'
import ctypes, os, platform, socket
if platform.machine() != "x86_64": print("@skipped only written for x86_64"); raise SystemExit
libc = ctypes.CDLL(None, use_errno=True)
for number, name in [(425, "io_uring_setup"), (321, "bpf"), (323, "userfaultfd"), (298, "perf_event_open"), (250, "keyctl"),
                     (304, "open_by_handle_at"), (246, "kexec_load"), (175, "init_module"), (300, "fanotify_init"),
                     (428, "open_tree"), (308, "setns"), (438, "pidfd_getfd"), (0x40000000 + 39, "x32")]:
    ctypes.set_errno(0)
    libc.syscall(number, 1, 0, 0, 0, 0, 0)
    if ctypes.get_errno() not in (1, 38): print("@broken", name, os.strerror(ctypes.get_errno()))
for family, name in [(40, "vsock"), (17, "packet"), (38, "alg"), (31, "bluetooth")]:
    try: socket.socket(family, socket.SOCK_STREAM); print("@broken a socket of the family", name)
    except OSError as e:
        if e.errno not in (1, 97): print("@broken a socket of the family", name, e)
P"#,
    ),
    inside(
        "box",
        "inspect, stop and replace the box's first process",
        "for what in mem maps environ; do cat /proc/1/$what >/dev/null 2>&1 && win \"/proc/1/$what\"; done; \
         for what in root cwd exe fd/0 fd/3; do readlink /proc/1/$what && win \"/proc/1/$what\"; done; ls /proc/1/root/ /proc/1/cwd/ 2>/dev/null && win 'its root'; \
         kill -9 1 2>/dev/null; kill -STOP 1 2>/dev/null; true",
    ),
    inside(
        "box",
        "change the kernel's settings",
        "for file in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches /proc/sysrq-trigger /sys/kernel/uevent_helper; do \
         { echo x > $file; } 2>/dev/null && win \"$file\"; done; cat /proc/kcore /proc/kallsyms /dev/mem /dev/kmsg 2>/dev/null | head -c 9 | grep -q . && win 'memory of the kernel'; true",
    ),
    inside(
        "box",
        "fill processes, memory and the temporary folder without limit",
        "[ \"$(ulimit -u 2>/dev/null || echo 1)\" = unlimited ] && win 'no limit of processes'; \
         grep -q 'Max processes *unlimited' /proc/self/limits && win 'no limit of processes'; \
         [ \"$(ulimit -c)\" = 0 ] || win 'core dumps'; grep -qE ' /tmp .*tmpfs.*size=' /proc/mounts || win '/tmp has no limit'; true",
    ),
];

pub(super) const READS: &[Attack] = &[
    inside(
        "P1",
        "read another project beside this one, the password file, the keys of the home",
        "cat \"$OUTSIDE/other-project\" ../../../../../../../../\"$OUTSIDE/other-project\" to-outside 2>/dev/null && win 'another project'; \
         cat /etc/shadow ~/.ssh/* ~/.netrc ~/.aws/* ~/.config/gh/* 2>/dev/null | grep -q . && win 'keys'; ls \"$OUTSIDE\" 2>/dev/null && win 'its folder'; true",
    ),
    inside(
        "P1",
        "find a process of the host",
        "n=$(ls /proc | grep -c '^[0-9]'); [ \"$n\" -lt 20 ] || win \"$n processes\"",
    ),
    inside(
        "P1",
        "find a socket of the host: docker, D-Bus, agents of keys, a service in the tree",
        "find / -xdev -type s 2>/dev/null | grep . && win 'a socket'; ls service.sock 2>/dev/null && win 'the socket in the tree'; \
         ls /var/run/docker.sock /run/dbus/* /run/user/*/* 2>/dev/null && win 'a socket'; [ -z \"$SSH_AUTH_SOCK$DBUS_SESSION_BUS_ADDRESS\" ] || win 'its address'",
    ),
    inside(
        "P1",
        "use a descriptor that pinfold or its caller left open",
        "for fd in /proc/$$/fd/*; do case ${fd##*/} in 0|1|2|10) ;; *) win \"$fd: $(readlink $fd)\";; esac; done",
    ),
    inside(
        "P1",
        "write system folders, programs and the folder beside the repository",
        "for at in /usr/bin/x /etc/passwd /bin/x /lib/x /opt/x \"$OUTSIDE/x\"; do { : >> \"$at\"; } 2>/dev/null && win \"$at\"; done; true",
    ),
    checked(
        "P1",
        "write through a hard link to a file outside, as package managers make them",
        "echo planted > store.js; echo more >> store.js; chmod 777 store.js; cat store.js >/dev/null",
        |stage| {
            let store = std::fs::read_to_string(stage.beside("store.js"))?;
            Ok(if store == "original\n" { Ok(()) } else { Err("the file outside was changed".into()) })
        },
    ),
    inside(
        "P1",
        "learn names of secrets from the table of mounts",
        "grep -E '\\.env|server\\.pem|secrets/|other-project' /proc/self/mountinfo /proc/self/mounts && win 'a name'; true",
    ),
    inside(
        "P1",
        "leave something in the box's home for the box of another repository",
        "echo from-the-first > ~/left; mkdir -p ~/.config",
    ),
    inside(
        "P7",
        "find keys in the environment of the caller",
        "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'; true",
    ),
];

/// In another repository, after the first box.
pub(super) const SECOND_BOX: Attack = inside(
    "P1",
    "read what the box of another repository left in its home",
    "cat ~/left 2>/dev/null && win 'the home is shared'; true",
);

pub(super) const SECRETS: &[Attack] = &[
    inside(
        "P2",
        "read .env, a key and a folder of secrets: cat, dd, head, grep, tar, find, a copy",
        "cat .env server.pem secrets/* secrets/token; dd if=.env 2>/dev/null; dd if=.env iflag=direct 2>/dev/null; head -c 99 ./config/../.env; \
         grep -r . . 2>/dev/null; find . -type f -exec cat {} + 2>/dev/null; tar cf - . 2>/dev/null; cp .env /tmp/copy; cat /tmp/copy; \
         exec 8< .env; cat /proc/self/fd/8 <&8; true",
    ),
    inside(
        "P2",
        "read secrets by other spellings, leftovers of editors, odd folders",
        "for file in .ENV.production server.KEY Secrets/deep/key .env.local .env~ .env.bak id_ed25519 .npmrc service-account.json prod.key; do cat \"$file\"; done; \
         cat */.env */*/.env .env* 2>/dev/null; ls -1 | while IFS= read -r d; do cat \"$d/.env\"; done; cat 'odd \n $name/.env'; true",
    ),
    inside(
        "P2",
        "read .env by a symbolic link, and by a hard link under a harmless name",
        "cat link.txt alias.txt; ln -s .env another; cat another; rm -f another",
    ),
    inside(
        "P2",
        "learn the size of a secret, and see it listed",
        "for file in .env server.pem config/.env; do [ \"$(stat -c %s $file 2>/dev/null || echo 0)\" = 0 ] || win \"the size of $file\"; done; \
         ls -A . config | grep -E '^(\\.env|server\\.pem|secrets)$' && win listed; true",
    ),
    checked(
        "P2",
        "change, truncate, move, link and remove masked files",
        "echo x > .env; echo x >> server.pem; truncate -s 0 server.pem; chmod 777 .env; touch -d 2001-01-01 .env; mv .env e; ln .env l; ln server.pem m; \
         mv -f readme.txt .env; cp -f readme.txt server.pem; rm -f .env server.pem; rm -rf secrets; cat e l m .env; true",
        |stage| {
            let secret = format!("KEY={}\n", super::CANARY);
            let changed =
                [".env", "server.pem", "secrets/token"].into_iter().find(|path| stage.host_file(path) != secret);
            Ok(changed.map_or(Ok(()), |path| Err(format!("{path} of the host was changed"))))
        },
    ),
    checked(
        "P2",
        "move the folder of a secret to another name, and put one over it",
        "mv depot moved; cat moved/.env depot/.env; mkdir new; mv -T new depot; mv -T new secrets; rm -rf depot; cat depot/.env; mkdir secrets/x; cat secrets/token; true",
        |stage| {
            let there = stage.host_file("depot/.env").contains(super::CANARY);
            Ok(if there { Ok(()) } else { Err("the secret went with the folder".into()) })
        },
    ),
    checked(
        "P2",
        "make a secret in the box: it works there, and stays there",
        "echo mine > made.pem; [ \"$(cat made.pem)\" = mine ] || win 'it can not be read back'; mv made.pem also.key; mkdir -p .aws; echo mine > .aws/credentials",
        |stage| {
            let landed =
                ["made.pem", "also.key", ".aws/credentials"].into_iter().find(|path| stage.repo.join(path).exists());
            Ok(landed.map_or(Ok(()), |path| Err(format!("{path} landed on the host"))))
        },
    ),
];

pub(super) const NETWORK: &[Attack] = &[
    inside(
        "P6",
        "connect to this machine, to a metadata service, to the internet",
        "need bash; need timeout; for at in 127.0.0.1/22 127.0.0.1/80 169.254.169.254/80 1.1.1.1/443 192.168.0.1/80; do \
         timeout 3 bash -c \"exec 3<>/dev/tcp/$at\" 2>/dev/null && win \"reached $at\"; done; true",
    ),
    inside("P6", "find an interface that leads out", "grep -vE 'lo:|\\|' /proc/net/dev && win 'an interface'; true"),
    inside(
        "P6",
        "type into the caller's terminal",
        r#"need python3; python3 - <<'P'
import fcntl, os, pty
leader, follower = pty.openpty()
for name, request in [("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541c), ("TIOCSETD", 0x5423)]:
    try: fcntl.ioctl(follower, request, b"x\0\0\0"); print("@broken", name)
    except OSError as e:
        if e.errno != 1: print("@broken", name, e)
try: print("@broken", os.ttyname(os.open("/dev/tty", os.O_RDWR)))
except OSError: pass
P"#,
    ),
];
