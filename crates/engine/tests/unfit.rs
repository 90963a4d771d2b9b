//! Hosts that can't run a box: each is refused with its own words and a remedy, and nothing is left behind.
//!
//! The host is made unfit inside of namespaces that `unshare` makes for the test, never the machine itself.

mod common;
use common::*;
use pinfold_plan::{BoxPath, HostPath, Step};
use std::process::{Command, Stdio};

/// Runs the plan in a shell that first does something to its own surroundings.
fn after(test: &TestBox, unshare: &[&str], surroundings: &str) -> Ran {
    let inner = test.command();
    let words: Vec<&str> =
        std::iter::once(inner.get_program()).chain(inner.get_args()).map(|word| word.to_str().unwrap()).collect();
    let mut command = Command::new("unshare");
    command.env("ENGINEBOX_MASKFS", "wait").args(unshare).args([
        "sh",
        "-c",
        &format!("{surroundings} && exec {}", words.join(" ")),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ran::of(&mut command)
}

fn as_root(what: &str) -> bool {
    must(rustix::process::geteuid().is_root(), what)
}

#[test]
fn user_namespaces_switched_off() {
    if !as_root("the test with user namespaces switched off") {
        return;
    }
    // In a user namespace of its own, the number of further ones is that namespace's setting.
    let test = TestBox::shell(Who::Ordinary, "echo RAN");
    test.command();
    let script = format!(
        "echo 0 > /proc/sys/user/max_user_namespaces && exec {} {}",
        program().display(),
        test.base.path().join("plan.json").display()
    );
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "1001", "--regid", "1001", "--clear-groups"]);
    command.args(["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", &script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let told = Ran::of(&mut command).refused("Unfit");
    assert!(
        told.contains("user.max_user_namespaces is 0") && told.contains("sysctl -w user.max_user_namespaces"),
        "{told}"
    );
}

/// A `/dev` with everything that a box wants, and what `fuse` says.
fn dev(fuse: &str) -> String {
    format!(
        "mount -t tmpfs t /mnt && for n in null zero full random urandom tty; do \
         touch /mnt/$n && mount --bind /dev/$n /mnt/$n; done && {fuse} && mount --rbind /mnt /dev"
    )
}

fn with_workspace(who: Who) -> TestBox {
    TestBox::shell(who, "echo RAN")
        .without(|s| matches!(s, Step::Bind { at, .. } if at.as_path() == std::path::Path::new("/workspace")))
        .before_seal(Step::Workspace { at: BoxPath::new("/workspace") })
}

#[test]
fn no_fuse() {
    if !as_root("the test without /dev/fuse") {
        return;
    }
    for who in everybody() {
        let told = after(&with_workspace(who), &["--mount"], &dev("true")).refused("Unfit");
        assert!(told.contains("there is no /dev/fuse") && told.contains("modprobe fuse"), "{told}");
    }
    let told =
        after(&with_workspace(Who::Ordinary), &["--mount"], &dev("mknod -m 600 /mnt/fuse c 10 229")).refused("Unfit");
    assert!(told.contains("/dev/fuse may not be opened") && told.contains("chmod 0666"), "{told}");
}

/// As in a container: parts of `/proc` are covered, so the kernel shows no new one.
#[test]
fn a_covered_proc() {
    if !as_root("the test with a covered /proc") {
        return;
    }
    for who in everybody() {
        let test = TestBox::shell(who, "echo RAN");
        let told = after(&test, &["--mount"], "mount -t tmpfs t /proc/irq && mount -o bind /dev/null /proc/kallsyms")
            .refused("Unfit");
        assert!(told.contains("/proc") && told.contains("systempaths=unconfined"), "{told}");
    }
}

#[test]
fn a_cgroup_that_limits_nothing() {
    for who in everybody() {
        let parent = std::path::Path::new("/sys/fs/cgroup/unified");
        let mut test = TestBox::shell(who, "echo RAN");
        let parent = if parent.exists() { parent.to_path_buf() } else { test.base.path().to_path_buf() };
        test.plan.steps.insert(0, Step::Cgroup { parent: HostPath::new(&parent), memory: 1 << 30, pids: 100 });
        // Where the controllers are delegated this is a plain run, and that is tested elsewhere.
        if parent.join("memory.max").exists() {
            continue;
        }
        test.run().refused("Unfit");
        assert!(!parent.join(format!("pinfold-{}", test.plan.run_id)).exists(), "the cgroup was left behind");
    }
}

#[test]
fn folders_that_can_not_be_made() {
    for who in everybody().into_iter().filter(|who| *who == Who::Ordinary) {
        let mut test = TestBox::shell(who, "echo RAN");
        test.plan.run_dir = HostPath::new("/proc/nobody/runs/x");
        let told = test.run().refused("Io");
        assert!(told.contains("make the folder /proc/nobody/runs"), "{told}");
    }
}

/// Room for folders and no byte more.
#[test]
fn a_full_disk() {
    if !as_root("the test with a full disk") {
        return;
    }
    for who in everybody() {
        let mut test = TestBox::shell(who, "echo RAN");
        test.plan.run_dir = HostPath::new("/mnt/runs/x");
        let ran = after(&test, &["--mount"], "mount -t tmpfs -o mode=1777,nr_inodes=4 t /mnt");
        assert!(!ran.stdout.contains("RAN"));
        let told = ran.refused("Io");
        assert!(told.contains("the disk is full"), "{told}");
    }
}
