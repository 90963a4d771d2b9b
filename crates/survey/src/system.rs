//! The parts of the system that a box may be shown: where programs live, and what of `/etc` is harmless.

use crate::{Who, entry};
use pinfold_plan::{Entry, Repository, SeenKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where programs and libraries live. Links among them are made again in the box.
const PROGRAMS: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/run/current-system",
    "/etc/static",
    // Where SUSE keeps what its /etc/ssl/certs links to.
    "/var/lib/ca-certificates",
];

/// Of `/etc`: certificates and tables that programs fail or hang without. Each costs a mount, so what is only nice to
/// have is not here, and each was looked at for keys: of `ssl` and `pki` only what is public, and no tool's global settings,
/// which may hold tokens (`gitconfig`, `npmrc`, `pip.conf`, `maven/settings.xml`).
const ETC: &[&str] = &[
    "alpine-release",
    "alternatives",
    "ca-certificates/extracted",
    "crypto-policies",
    "debian_version",
    "fedora-release",
    "fonts",
    "gnutls",
    "java",
    "ld-musl-aarch64.path",
    "ld-musl-x86_64.path",
    "ld.so.cache",
    "localtime",
    "lsb-release",
    "maven/logging",
    "maven/m2.conf",
    "mime.types",
    "os-release",
    "pki/ca-trust/extracted",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "protocols",
    "redhat-release",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ssl/openssl.cnf.d",
    "system-release",
    "terminfo",
    "timezone",
];

/// Of `/etc`, with a version in the name.
const ETC_VERSIONED: &[&str] = &["java-", "python3."];

/// Programs below `/opt` that are looked at. More is no longer a machine but an archive.
const MAX_OPT: usize = 256;

pub(crate) fn entries(who: &Who, repository: &Repository) -> Vec<Entry> {
    let mut found: Vec<Entry> = PROGRAMS.iter().filter_map(|path| entry(Path::new(path))).collect();
    found.extend(opt(who, repository));
    found.extend(ETC.iter().filter_map(|name| entry(&Path::new("/etc").join(name))));
    found.extend(versioned());
    found.retain(|entry| entry.seen.kind != SeenKind::Device);
    found
}

/// What was installed into `/opt`: folders of root that anybody may read. One that somebody works in, with their home,
/// their repositories or pinfold's own folders in it, is not a program.
fn opt(who: &Who, repository: &Repository) -> Vec<Entry> {
    let Ok(listing) = Path::new("/opt").read_dir() else { return vec![] };
    let mut children: Vec<_> = listing.take(MAX_OPT).flatten().map(|child| child.path()).collect();
    children.sort();
    let held = [repository.root.as_path(), who.caller.home.as_path(), &who.state_dir, &who.data_dir];
    let git = repository.git.iter().flat_map(|git| [git.git_dir.as_path(), git.common_dir.as_path()]);
    let held: Vec<&Path> = held.into_iter().chain(git).collect();
    children.retain(|child| {
        let programs = child.symlink_metadata().is_ok_and(|seen| {
            let open = seen.mode() & 0o005 == 0o005 && seen.mode() & 0o002 == 0;
            seen.uid() == 0 && (seen.is_symlink() || (seen.is_dir() && open))
        });
        let worked_in = held.iter().any(|own| own.starts_with(child)) || child.join(".git").symlink_metadata().is_ok();
        programs && !worked_in
    });
    children.iter().filter_map(|child| entry(child)).collect()
}

fn versioned() -> Vec<Entry> {
    let Ok(listing) = Path::new("/etc").read_dir() else { return vec![] };
    let mut names: Vec<_> = listing.flatten().map(|child| child.file_name()).collect();
    names.retain(|name| name.to_str().is_some_and(|name| ETC_VERSIONED.iter().any(|start| name.starts_with(start))));
    names.sort();
    names.iter().filter_map(|name| entry(&Path::new("/etc").join(name))).collect()
}
