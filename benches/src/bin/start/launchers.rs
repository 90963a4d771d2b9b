//! The launchers that are compared, each asked for the same view. Those that need more than their program (an unpacked image, a
//! daemon) have that made before the race; it is not measured.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinfold_benches::race::Ready;
use pinfold_testkit::Caller;
use serde_json::{Value, json};

use crate::view::{Item, View, existing};

/// What every launcher runs.
pub const TRUE: &str = "/usr/bin/true";

/// A command of this caller, with a login's environment and nothing between the fork and the program.
pub fn as_caller(caller: &Caller, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let home = caller.home();
    command.env_clear().current_dir(caller.base());
    command.env("HOME", &home).env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin").env("LANG", "C.UTF-8");
    for (name, below) in [
        ("STATE_HOME", ".local/state"),
        ("DATA_HOME", ".local/share"),
        ("CONFIG_HOME", ".config"),
        ("CACHE_HOME", ".cache"),
    ] {
        command.env(format!("XDG_{name}"), home.join(below));
    }
    if rustix::process::geteuid().is_root() && caller.uid() != 0 {
        command.uid(caller.uid()).gid(caller.gid());
    }
    command
}

pub fn fork_and_exec(caller: &Caller) -> Command {
    as_caller(caller, TRUE)
}

pub fn pinfold(caller: &Caller, binary: &Path, repo: &Path) -> Command {
    let mut command = as_caller(caller, binary);
    command.current_dir(repo).args(["run", "--", TRUE]);
    command
}

/// bubblewrap: files come through descriptors, as its users do it; every other item is an option of its own.
pub fn bwrap(caller: &Caller, view: &View, repo: &Path) -> std::io::Result<Ready> {
    let mut command = as_caller(caller, "bwrap");
    command.current_dir(repo).args([
        "--unshare-all",
        "--unshare-user",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
    ]);
    command.args(["--uid", &view.uid_inside.to_string(), "--gid", &view.gid_inside.to_string()]);
    command.args(["--hostname", "pinfold", "--cap-drop", "ALL"]);
    let mut keep = Vec::new();
    for item in &view.items {
        match item {
            Item::Folder { at, mode } => words(&mut command, &["--perms", &format!("{mode:04o}"), "--dir", at]),
            Item::Symlink { at, target } => words(&mut command, &["--symlink", target, at]),
            Item::File { at, content } => {
                let file = inherited(content)?;
                words(&mut command, &["--perms", "0444", "--file", &file.as_raw_fd().to_string(), at]);
                keep.push(file);
            }
            Item::Bind { from, at, writable } => {
                command.arg(if *writable { "--bind" } else { "--ro-bind" }).arg(from).arg(at);
            }
            Item::Tmpfs { at, mode } => words(&mut command, &["--perms", &format!("{mode:04o}"), "--tmpfs", at]),
            Item::Devices { at } => words(&mut command, &["--dev", at]),
            Item::Proc { at, read_only, hidden } => {
                words(&mut command, &["--proc", at]);
                existing(read_only).for_each(|path| words(&mut command, &["--ro-bind", path, path]));
                existing(hidden).for_each(|path| match Path::new(path).is_dir() {
                    true => words(&mut command, &["--tmpfs", path]),
                    false => words(&mut command, &["--ro-bind", "/dev/null", path]),
                });
            }
        }
    }
    command.args(["--remount-ro", "/"]);
    for (name, value) in &view.env {
        command.args(["--setenv", name, value]);
    }
    command.args(["--chdir", &view.workspace, "--", TRUE]);
    Ok(Ready { command, keep })
}

fn words(command: &mut Command, words: &[&str]) {
    command.args(words);
}

/// A descriptor with this content that a new program keeps.
fn inherited(content: &str) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("file", rustix::fs::MemfdFlags::empty())?);
    file.write_all(content.as_bytes())?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// An OCI runtime and a bundle for it.
#[derive(Debug)]
pub struct Oci {
    program: &'static str,
    bundle: PathBuf,
    state: PathBuf,
    started: Cell<u32>,
}

impl Oci {
    /// Unpacks the view for `caller`.
    pub fn new(program: &'static str, caller: &Caller, view: &View, name: &str) -> std::io::Result<Oci> {
        let bundle = caller.base().join(format!("bundle-{program}-{name}"));
        view.unpack(&bundle.join("rootfs"))?;
        fs::write(bundle.join("config.json"), config(program, caller, view).to_string())?;
        let state = bundle.join("state");
        fs::create_dir(&state)?;
        own_all(caller, &bundle)?;
        Ok(Oci { program, bundle, state, started: Cell::new(0) })
    }

    pub fn command(&self, caller: &Caller) -> Command {
        let mut command = as_caller(caller, self.program);
        let id = format!("start-{}-{}", std::process::id(), self.started.get());
        self.started.set(self.started.get() + 1);
        command.current_dir(&self.bundle).arg("--root").arg(&self.state);
        if self.program == "crun" {
            command.args(["--cgroup-manager", "disabled"]);
        } else if caller.uid() != 0 {
            command.args(["--rootless", "true"]);
        }
        command.args(["run", "--bundle"]).arg(&self.bundle).arg(id);
        command
    }
}

fn own_all(caller: &Caller, path: &Path) -> std::io::Result<()> {
    caller.own(path)?;
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path)? {
            own_all(caller, &entry?.path())?;
        }
    }
    Ok(())
}

/// The bundle's config.json: no capability, no new privileges, namespaces of its own.
fn config(program: &str, caller: &Caller, view: &View) -> Value {
    // runc refuses a user namespace in which there is no root.
    let (uid, gid) = if program == "runc" { (0, 0) } else { (view.uid_inside, view.gid_inside) };
    let mut mounts = Vec::new();
    let (mut masked, mut read_only_paths) = (Vec::new(), Vec::new());
    let mut mount = |at: &str, kind: &str, source: &str, options: &[&str]| {
        mounts.push(json!({ "destination": at, "type": kind, "source": source, "options": options }));
    };
    for item in &view.items {
        match item {
            Item::Folder { .. } | Item::Symlink { .. } | Item::File { .. } => {}
            Item::Bind { from, at, writable } => {
                let access = if *writable { "rw" } else { "ro" };
                mount(at, "bind", &from.to_string_lossy(), &["rbind", access, "nosuid", "nodev"]);
            }
            Item::Tmpfs { at, mode } => mount(at, "tmpfs", "tmpfs", &["nosuid", "nodev", &format!("mode={mode:o}")]),
            Item::Devices { at } => {
                mount(at, "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]);
                mount(
                    &format!("{at}/pts"),
                    "devpts",
                    "devpts",
                    &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
                );
                mount(&format!("{at}/shm"), "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777"]);
            }
            Item::Proc { at, read_only, hidden } => {
                mount(at, "proc", "proc", &["nosuid", "noexec", "nodev"]);
                masked.extend(existing(hidden).cloned());
                read_only_paths.extend(existing(read_only).cloned());
            }
        }
    }
    let kinds: &[&str] = if caller.uid() == 0 {
        &["pid", "network", "ipc", "uts", "mount", "cgroup"]
    } else {
        &["pid", "network", "ipc", "uts", "mount", "cgroup", "user"]
    };
    let namespaces: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let mut linux = json!({ "namespaces": namespaces, "maskedPaths": masked, "readonlyPaths": read_only_paths });
    if caller.uid() != 0 {
        linux["uidMappings"] = json!([{ "containerID": uid, "hostID": caller.uid(), "size": 1 }]);
        linux["gidMappings"] = json!([{ "containerID": gid, "hostID": caller.gid(), "size": 1 }]);
    }
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": uid, "gid": gid },
            "args": [TRUE],
            "env": view.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            "cwd": view.workspace,
            "capabilities": { "bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": [] },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "pinfold",
        "mounts": mounts,
        "linux": linux,
    })
}

/// The words for `docker run` and `podman run` that ask for the view.
pub fn container_run(view: &View, image: &str, extra: &[&str]) -> Vec<String> {
    let mut words: Vec<String> =
        ["run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL"].map(Into::into).to_vec();
    words.extend(["--security-opt".into(), "no-new-privileges".into(), "--workdir".into(), view.workspace.clone()]);
    words.extend(extra.iter().map(|word| (*word).to_owned()));
    for item in &view.items {
        match item {
            Item::Bind { from, at, writable } => {
                let access = if *writable { "rw" } else { "ro" };
                words.extend(["--volume".into(), format!("{}:{at}:{access}", from.display())]);
            }
            Item::Tmpfs { at, mode } => words.extend(["--tmpfs".into(), format!("{at}:mode={mode:o}")]),
            // The image holds these, and the engine brings /proc and /dev.
            Item::Folder { .. }
            | Item::Symlink { .. }
            | Item::File { .. }
            | Item::Devices { .. }
            | Item::Proc { .. } => {}
        }
    }
    for (name, value) in &view.env {
        words.extend(["--env".into(), format!("{name}={value}")]);
    }
    words.extend([image.to_owned(), TRUE.to_owned()]);
    words
}
