//! What the machine offers a box, without building one.

use super::{Finding, Outcome};
use std::path::PathBuf;

pub(super) fn findings() -> Vec<Finding> {
    let finding = |tried: &str, outcome, seen: String| Finding { promise: "host", tried: tried.into(), outcome, seen };
    let file = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default();
    let kernel = file("/proc/sys/kernel/osrelease");
    let mut found =
        vec![finding("the kernel", outcome(new_enough(&kernel, (5, 14))), format!("{kernel}; 5.14 is the least"))];

    let fuse = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse");
    let said = fuse.as_ref().map_or_else(|error| error.to_string(), |_| "can be opened".into());
    found.push(finding("/dev/fuse, for the masked workspace", outcome(fuse.is_ok()), said));

    let none = file("/proc/sys/user/max_user_namespaces") == "0";
    let switched_off = file("/proc/sys/kernel/unprivileged_userns_clone") == "0";
    let apparmor = file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1";
    let said = match () {
        () if none => "switched off: user.max_user_namespaces is 0",
        () if switched_off => "switched off for ordinary users: kernel.unprivileged_userns_clone is 0",
        () if apparmor => "restricted by AppArmor; a profile for this program allows them",
        () => "not switched off",
    };
    found.push(finding(
        "user namespaces",
        if none || switched_off { Outcome::Broken } else { Outcome::Held },
        said.into(),
    ));

    let lsm = file("/sys/kernel/security/lsm");
    let abi = landlock();
    let state = match abi {
        0 => Outcome::Broken,
        1..6 => Outcome::Weaker,
        _ => Outcome::Held,
    };
    let said = match abi {
        0 => format!("none (active: {lsm}); a box can only start with --accept landlock"),
        1..6 => format!("version {abi}: files are walled off twice, signals and abstract sockets once"),
        _ => format!("version {abi}"),
    };
    found.push(finding("Landlock, the second wall", state, said));

    let delegated = cgroup();
    let said = match &delegated {
        Some(path) => format!("delegated below {path}"),
        None => {
            "no cgroup with memory control is delegated to you: memory is not limited; processes, /tmp and time are"
                .into()
        }
    };
    found.push(finding("limits of memory", if delegated.is_some() { Outcome::Held } else { Outcome::Weaker }, said));
    found
}

fn outcome(good: bool) -> Outcome {
    if good { Outcome::Held } else { Outcome::Broken }
}

fn new_enough(release: &str, least: (u32, u32)) -> bool {
    let mut numbers = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= least
}

/// The survey's own answers, asked of a folder that always exists.
fn facts() -> Option<pinfold_plan::HostFacts> {
    use pinfold_survey::{Ask, look};
    let mut ask = Ask::of_this_process(true, vec![]).ok()?;
    let place = tempfolder()?;
    ask.cwd = place.path.clone();
    look(&ask).ok()
}

fn landlock() -> i32 {
    facts().map_or(0, |facts| facts.landlock_abi)
}

fn cgroup() -> Option<String> {
    facts()?.cgroup.map(|path| path.to_string())
}

struct Removed {
    path: PathBuf,
}

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}

fn tempfolder() -> Option<Removed> {
    let path = std::env::temp_dir().canonicalize().ok()?.join(format!("pinfold-look-{}", std::process::id()));
    std::fs::create_dir(&path).ok()?;
    Some(Removed { path })
}

#[cfg(test)]
mod tests {
    use super::new_enough;

    #[test]
    fn kernels_are_compared_by_number() {
        for (release, good) in
            [("6.18.44", true), ("5.14.0-generic", true), ("5.4.0", false), ("4.19", false), ("", false)]
        {
            assert_eq!(new_enough(release, (5, 14)), good, "{release}");
        }
    }
}
