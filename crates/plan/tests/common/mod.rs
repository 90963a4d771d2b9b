//! Fixed requests and facts: a plain developer's machine, and the same started by root.
#![allow(dead_code, reason = "not every test file uses every fact")]

use pinfold_plan::*;
use pinfold_policy::PolicySpec;

pub fn entry(path: &str, kind: SeenKind, ino: u64) -> Entry {
    Entry { path: HostPath::new(path), seen: Seen { dev: 1, ino, kind }, target: None }
}

pub fn link(path: &str, target: &str) -> Entry {
    Entry { target: Some(target.into()), ..entry(path, SeenKind::Symlink, 9) }
}

pub fn request() -> Request {
    Request {
        run_id: "00112233445566778899aabbccddeeff".into(),
        argv: vec!["make".into(), "it's".into()],
        agent: None,
        subdir: OsBytes::new(""),
        env: vec![],
        home_files: vec![],
        streams: Streams { stdin: StdStream::Terminal, stdout: StdStream::Terminal, stderr: StdStream::Terminal },
        limits: LimitsRequest::default(),
        policy: PolicySpec::default(),
        accepted: vec![],
    }
}

pub fn facts() -> HostFacts {
    use SeenKind::{File, Folder};
    HostFacts {
        caller: Caller {
            uid: 1001,
            gid: 1002,
            name: "ada".into(),
            home: HostPath::new("/home/ada"),
            shell: HostPath::new("/bin/bash"),
        },
        repository: Repository {
            root: HostPath::new("/home/ada/src/engine"),
            seen: Seen { dev: 1, ino: 70, kind: Folder },
            key: "engine-0123".into(),
            git: Some(GitFacts {
                layout: GitLayout::Main,
                git_dir: HostPath::new("/home/ada/src/engine/.git"),
                common_dir: HostPath::new("/home/ada/src/engine/.git"),
                objects: vec![entry("/home/ada/src/engine/.git/objects", Folder, 71)],
            }),
        },
        system: vec![
            entry("/usr", Folder, 2),
            link("/bin", "usr/bin"),
            link("/lib64", "usr/lib64"),
            entry("/opt/tool", Folder, 3),
            entry("/etc/ssl/certs", Folder, 4),
            entry("/etc/ld.so.cache", File, 5),
            link("/etc/localtime", "/usr/share/zoneinfo/Europe/London"),
        ],
        toolchains: vec![
            Toolchain { name: "cargo".into(), entry: entry("/home/ada/.cargo/bin", Folder, 20) },
            Toolchain { name: "rustup".into(), entry: entry("/home/ada/.rustup", Folder, 21) },
        ],
        env: vec![
            ("TERM".into(), "xterm-256color".into()),
            ("LANG".into(), "en_GB.UTF-8".into()),
            ("RUSTUP_HOME".into(), "/home/ada/.rustup".into()),
            ("JAVA_HOME".into(), "/home/ada/hidden".into()),
        ],
        path: ["/home/ada/.cargo/bin", "/home/ada/src/engine/bin", "/home/ada/elsewhere", "/usr/bin"]
            .map(HostPath::new)
            .into(),
        identity: Some(Identity { name: "Ada".into(), email: "ada@example.org".into() }),
        state_dir: HostPath::new("/home/ada/.local/state/pinfold"),
        data_dir: HostPath::new("/home/ada/.local/share/pinfold"),
        cgroup: None,
        landlock_abi: 7,
        nofile_hard: 1 << 20,
        memory: 16 << 30,
        cpus: "0-7".into(),
    }
}

pub fn root_facts() -> HostFacts {
    let mut facts = facts();
    facts.caller = Caller {
        uid: 0,
        gid: 0,
        name: "root".into(),
        home: HostPath::new("/root"),
        shell: HostPath::new("/usr/sbin/nologin"),
    };
    facts.repository.root = HostPath::new("/usr/src/app");
    facts.repository.git.as_mut().unwrap().git_dir = HostPath::new("/usr/src/app/.git");
    facts.repository.git.as_mut().unwrap().common_dir = HostPath::new("/usr/src/app/.git");
    facts.state_dir = HostPath::new("/root/.local/state/pinfold");
    facts.data_dir = HostPath::new("/root/.local/share/pinfold");
    facts.toolchains.clear();
    facts.cgroup = Some(HostPath::new("/sys/fs/cgroup/user.slice/ada"));
    facts
}
