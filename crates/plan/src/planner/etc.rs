//! The written part of `/etc`. The host's own is never shown as a whole: it holds keys, other users and the plan of the
//! network. What is harmless in it (certificates, the linker's cache, time zone …) comes bound, by the survey's list.

use super::root::Draft;
use crate::*;
use std::path::Path;

pub(super) const HOSTNAME: &str = "pinfold";

/// Login shells (`bash -lc`, which agents use) must not lose the `PATH` of the plan; the host's own file resets it.
const PROFILE: &str = "# Written by pinfold. PATH is the plan's; it is not set here.\numask 022\n";

const BASHRC: &str = "# Written by pinfold.\n[ -n \"$PS1\" ] && PS1='[pinfold] \\w \\$ '\n";

/// `files` alone, and no resolver service: the host's would not be there to answer, and asking it would only hang.
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\n\
                        services: files\nethers: files\nrpc: files\n";

/// Nobody listens there, so a look-up fails at once instead of after a minute.
const RESOLV: &str =
    "# Written by pinfold: this box has no network.\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n";

const SHELLS: &[&str] = &["/bin/sh", "/bin/bash", "/usr/bin/bash", "/usr/bin/zsh", "/usr/bin/fish", "/usr/bin/dash"];

pub(super) fn write(draft: &mut Draft, request: &Request, facts: &HostFacts, ids: IdMap) {
    draft.folder(Path::new("/etc"), 0o755);
    let shell = shell(draft, facts);
    draft.file("/etc/passwd", passwd(&facts.caller, ids, &shell));
    draft.file("/etc/group", group(&facts.caller, ids));
    draft.file("/etc/hosts", format!("127.0.0.1 localhost {HOSTNAME}\n::1 localhost ip6-localhost ip6-loopback\n"));
    draft.file("/etc/hostname", format!("{HOSTNAME}\n"));
    draft.file("/etc/machine-id", format!("{}\n", machine_id(&request.run_id)));
    draft.file("/etc/nsswitch.conf", NSSWITCH.into());
    draft.file("/etc/resolv.conf", RESOLV.into());
    draft.file("/etc/host.conf", "multi on\n".into());
    draft.file("/etc/profile", PROFILE.into());
    draft.file("/etc/bash.bashrc", BASHRC.into());
    let shells: Vec<_> = SHELLS.iter().filter(|shell| draft.reaches(Path::new(shell))).collect();
    draft.file("/etc/shells", shells.iter().map(|shell| format!("{shell}\n")).collect());
    draft.symlink(Path::new("/etc/mtab"), OsBytes::from("/proc/self/mounts"));
}

/// The caller's shell where the box shows it, and where it is one.
pub(super) fn shell(draft: &Draft, facts: &HostFacts) -> String {
    let shell = facts.caller.shell.as_path();
    let refuses = |name: &str| shell.ends_with(name);
    match shell.to_str() {
        Some(text) if draft.reaches(shell) && !refuses("nologin") && !refuses("false") && plain(text) => text.into(),
        _ => "/bin/sh".into(),
    }
}

/// Fit for a field of `/etc/passwd`.
fn plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == ':' || c.is_control())
}

fn passwd(caller: &Caller, ids: IdMap, shell: &str) -> String {
    let home = caller.home.to_string();
    let home = if plain(&home) { home.as_str() } else { "/" };
    let mut text = String::new();
    if ids.uid_inside != 0 {
        text.push_str("root:x:0:0:root:/root:/bin/sh\n");
    }
    text.push_str(&format!("{}:x:{}:{}::{home}:{shell}\n", name(caller), ids.uid_inside, ids.gid_inside));
    text.push_str("nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n");
    text
}

fn group(caller: &Caller, ids: IdMap) -> String {
    let mut text = String::new();
    if ids.gid_inside != 0 {
        text.push_str("root:x:0:\n");
    }
    text.push_str(&format!("{}:x:{}:\nnogroup:x:65534:\n", name(caller), ids.gid_inside));
    text
}

pub(super) fn name(caller: &Caller) -> &str {
    if plain(&caller.name) { &caller.name } else { "user" }
}

/// Looks like one, and says nothing about the host: made from the run's random id.
fn machine_id(run_id: &str) -> String {
    let hex: String = run_id.chars().filter(char::is_ascii_hexdigit).take(32).collect();
    format!("{hex:0<32}")
}
