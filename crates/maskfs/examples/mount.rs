//! Serves a folder through the mask and runs a command in it, without a box: for tests of the file system alone.
//!
//! Run in a mount namespace of one's own: `unshare -Urm mount ROOT STORE AT -- COMMAND…`. Real boxes are built by
//! `pinfold run`; here the server shares the command's namespaces.

use pinfold_maskfs::{Admitted, GitDoor, Owners, Parts, Server, View};
use pinfold_policy::{PathPolicy, PolicySpec, RelPath};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

struct NoGit;

impl GitDoor for NoGit {
    fn admit(&self, _: BorrowedFd<'_>, _: RelPath<'_>, _: BorrowedFd<'_>) -> rustix::io::Result<Option<Admitted>> {
        Ok(None)
    }
}

fn folder(path: &str) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).expect("a folder")
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [root, store, at, dashes, command @ ..] = args.as_slice() else { panic!("usage: ROOT STORE AT -- COMMAND…") };
    assert_eq!(dashes, "--");
    let fuse = rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).expect("/dev/fuse");
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let options =
        format!("fd={},rootmode=40000,user_id={uid},group_id={gid},allow_other,default_permissions", fuse.as_raw_fd());
    let options = std::ffi::CString::new(options).expect("no NUL");
    let flags = rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV;
    let view = View::new(Parts {
        root: folder(root),
        store: folder(store),
        policy: PathPolicy::new(&PolicySpec::default()).expect("the built-in policy"),
        owners: Owners { uid, gid, uid_inside: uid, gid_inside: gid, all: false },
        git_mount: false,
        door: Box::new(NoGit),
        on_event: Box::new(|event| {
            if std::env::var_os("PINFOLD_MOUNT_EVENTS").is_some() {
                use std::io::Write;
                writeln!(std::io::stderr(), "{event:?}").ok();
            }
        }),
        folder_fds: 4096,
        canary: None,
    })
    .expect("a view");
    rustix::process::umask(Mode::empty());
    rustix::mount::mount("pinfold", at, "fuse", flags, options.as_c_str()).expect("mount");
    let _server = Server::start(view, fuse, 3).expect("threads");
    let status = Command::new(&command[0]).args(&command[1..]).current_dir(at).status().expect("the command starts");
    std::process::exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)));
}
