//! What a hostile box can't do with the commits that it sends. Where plain git lets an attack pass, that is shown first.

mod common;

use common::back::*;
use common::*;
use pinfold_handback::import::{Forward, Limits, Offer};
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

/// What a plain `git fetch` from the box would do, for comparison.
fn fetched(w: &World) -> std::process::Output {
    output(
        &w.host,
        &["-c", "protocol.file.allow=always", "fetch", "-q", w.boxed.to_str().unwrap(), "main:refs/review/main"],
    )
}

#[test]
fn a_tag_named_like_the_branch_does_not_come_along() {
    let w = world();
    w.commit("evil", "evil\n");
    git(&w.boxed, &["tag", "main"]);
    let baseline = world();
    baseline.commit("evil", "evil\n");
    git(&baseline.boxed, &["tag", "review-me"]);
    assert!(fetched(&baseline).status.success());
    assert_eq!(git(&baseline.host, &["tag"]), "review-me\n", "the baseline does not follow tags");

    let mut importer = w.importer();
    let tip = git(&w.boxed, &["rev-parse", "refs/heads/main"]);
    let tip = tip.trim();
    let pack = pack(&w.boxed, &["--revs"], &format!("{tip}\n"));
    let refs = [("refs/tags/main", tip), ("refs/heads/main", tip), ("refs/remotes/origin/main", tip), ("HEAD", tip)];
    let refs = refs.map(|(n, o)| (n.as_bytes().to_vec(), o.as_bytes().to_vec())).to_vec();
    let report = importer.import(&Offer { refs, ..Offer::default() }, Some(stream(pack))).unwrap();
    assert_eq!(report.refused.len(), 3);
    assert_eq!(report.stored.len(), 1);
    assert_eq!(git(&w.host, &["tag"]), "");
}

#[test]
fn names_that_mislead_are_left_out() {
    let w = world();
    let mut importer = w.importer();
    let tip = w.commit("x", "x\n").to_string();
    let names = [
        "refs/heads/../../config",
        "refs/heads/-x",
        "refs/heads/HEAD",
        "refs/heads/a\x1b[2J",
        "refs/pinfold/other/heads/main",
        "../x",
        "refs/heads/x.lock",
    ];
    let refs = names.iter().map(|n| (n.as_bytes().to_vec(), tip.clone().into())).collect();
    let pack = pack(&w.boxed, &["--revs"], &format!("{tip}\n"));
    let before = git(&w.host, &["for-each-ref"]);
    let report = importer.import(&Offer { refs, ..Offer::default() }, Some(stream(pack))).unwrap();
    assert_eq!((report.stored.len(), report.refused.len()), (0, names.len()));
    assert!(report.refused.iter().all(|(name, _)| !name.contains('\x1b')));
    assert_eq!(git(&w.host, &["for-each-ref"]), before);
}

#[test]
fn ids_that_are_not_ids_spoil_the_offer() {
    let w = world();
    let before = w.snapshot();
    let mut importer = w.importer();
    for id in ["--all", "HEAD", "main", &"0".repeat(40), &"A".repeat(40), &"a".repeat(64), ""] {
        refused(importer.import(&main_at(id), None));
    }
    refused(importer.import(&main_at(&"a".repeat(40)), None));
    let blob = git(&w.host, &["rev-parse", "HEAD:app.js"]);
    refused(importer.import(&main_at(blob.trim()), None));
    let refs = (0..1001).map(|n| (format!("refs/heads/b{n}").into(), "a".repeat(40).into())).collect();
    refused(importer.import(&Offer { refs, ..Offer::default() }, None));
    w.host_is_untouched(&before);
}

#[test]
fn trees_with_a_git_directory_are_refused() {
    let w = world();
    let blob = object(&w.boxed, "blob", b"[core]\n\tfsmonitor = evil\n");
    let inner = tree(&w.boxed, &[("100644", b"config", &blob)]);
    let good = git(&w.boxed, &["rev-parse", "HEAD^{tree}"]);
    for name in [&b".git"[..], b".GIT", b"git~1", b".git.", ".g\u{200c}it".as_bytes(), b"..", b"."] {
        let bad = tree(&w.boxed, &[("40000", name, &inner)]);
        let tip = commit_of(&w.boxed, &bad);
        let before = w.snapshot();
        let mut importer = w.importer();
        refused(w.offer_objects(&mut importer, &tip, &[&tip, &bad, &inner, &blob]));
        w.host_is_untouched(&before);
    }
    // The baseline takes the first of them without a word.
    let bad = tree(&w.boxed, &[("40000", b".git", &inner)]);
    let tip = commit_of(&w.boxed, &bad);
    git(&w.boxed, &["update-ref", "refs/heads/main", &tip]);
    assert!(fetched(&w).status.success(), "the baseline refuses .git entries by itself");
    let _ = good;
}

#[test]
fn odd_modes_and_duplicate_entries_are_refused() {
    let w = world();
    let blob = object(&w.boxed, "blob", b"x");
    let trees = [
        tree(&w.boxed, &[("100777", b"x", &blob)]),
        tree(&w.boxed, &[("100644", b"x", &blob), ("100755", b"x", &blob)]),
        tree(&w.boxed, &[("100644", b"z", &blob), ("100644", b"a", &blob)]),
        tree(&w.boxed, &[("0100644", b"x", &blob)]),
    ];
    for bad in trees {
        let tip = commit_of(&w.boxed, &bad);
        let before = w.snapshot();
        let mut importer = w.importer();
        refused(w.offer_objects(&mut importer, &tip, &[&tip, &bad, &blob]));
        w.host_is_untouched(&before);
    }
}

#[test]
fn huge_files_and_huge_packs_are_refused() {
    let w = world();
    let limits = Limits { blob_bytes: 1 << 20, ..Limits::default() };
    w.commit("big", &"0".repeat(2 << 20));
    let before = w.snapshot();
    assert!(refused(w.try_import(&mut w.importer_with(limits))).contains("bytes"));
    w.host_is_untouched(&before);
    assert!(fetched(&w).status.success(), "the baseline has a limit by itself");

    let w = world();
    let mut noise = String::new();
    let mut state = 1u64;
    while noise.len() < 200_000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        noise += &format!("{state:x}");
    }
    w.commit("noise", &noise);
    let before = w.snapshot();
    refused(w.try_import(&mut w.importer_with(Limits { pack_bytes: 10_000, ..Limits::default() })));
    refused(w.try_import(&mut w.importer_with(Limits { objects: 2, ..Limits::default() })));
    w.host_is_untouched(&before);
}

#[test]
fn bytes_that_are_no_pack_are_refused() {
    let w = world();
    w.commit("x", "x\n");
    let tip = oid(&w.boxed, "main").to_string();
    let good = pack(&w.boxed, &["--revs"], &format!("{tip}\n"));
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x55;
    let mut counted = good.clone();
    counted[8..12].copy_from_slice(&0xffff_ffffu32.to_be_bytes());
    let mut more = good.clone();
    more[11] += 1;
    let bombs = [
        Vec::new(),
        b"PACK".to_vec(),
        b"GIF89a--------------".to_vec(),
        good[..good.len() - 21].to_vec(),
        flipped,
        counted,
        more,
    ];
    let before = w.snapshot();
    for bytes in bombs {
        refused(w.importer().import(&main_at(&tip), Some(stream(bytes))));
        w.host_is_untouched(&before);
    }
}

#[test]
fn a_box_that_sends_nothing_is_not_waited_for() {
    let w = world();
    let tip = w.commit("x", "x\n").to_string();
    let (reader, writer) = std::io::pipe().unwrap();
    let limits = Limits { time: std::time::Duration::from_millis(300), ..Limits::default() };
    assert!(refused(w.importer_with(limits).import(&main_at(&tip), Some(reader.into()))).contains("in time"));
    // Starts, then stops.
    let good = pack(&w.boxed, &["--revs"], &format!("{tip}\n"));
    let (reader, mut writer2) = std::io::pipe().unwrap();
    writer2.write_all(&good[..40]).unwrap();
    assert!(refused(w.importer_with(limits).import(&main_at(&tip), Some(reader.into()))).contains("longer than"));
    no_traces(&w);
    drop((writer, writer2));
}

#[test]
fn history_with_holes_is_refused() {
    let w = world();
    let tip = w.commit("x", "x\n").to_string();
    let tree = git(&w.boxed, &["rev-parse", "HEAD^{tree}"]);
    let before = w.snapshot();
    // The commit without its folder; the folder without its file; a tip that was not sent at all.
    refused(w.offer_objects(&mut w.importer(), &tip, &[&tip]));
    refused(w.offer_objects(&mut w.importer(), &tip, &[&tip, tree.trim()]));
    refused(w.offer_objects(&mut w.importer(), &tip, &[tree.trim()]));
    // A thin pack whose base the host does not have.
    let base = "line\n".repeat(4000);
    w.commit("delta", &base);
    let tip = w.commit("delta", &(base + "one more\n")).to_string();
    let thin = pack(&w.boxed, &["--revs", "--thin"], &format!("{tip}\n^{tip}~1\n"));
    refused(w.importer().import(&main_at(&tip), Some(stream(thin))));
    w.host_is_untouched(&before);
}

#[test]
fn objects_nobody_asked_for_do_not_come_along() {
    let w = world();
    let mut importer = w.importer();
    let tip = w.commit("x", "x\n").to_string();
    let stowaway = object(&w.boxed, "blob", b"stowaway");
    let tree = git(&w.boxed, &["rev-parse", "HEAD^{tree}"]);
    let blob = git(&w.boxed, &["rev-parse", "HEAD:x"]);
    w.offer_objects(&mut importer, &tip, &[&tip, tree.trim(), blob.trim(), &stowaway]).unwrap();
    assert!(!output(&w.host, &["cat-file", "-e", &stowaway]).status.success());
}

#[test]
fn replaced_objects_and_the_boxes_settings_do_not_matter() {
    let w = world();
    let mut importer = w.importer();
    let real = w.commit("x", "x\n");
    let evil = commit_of(&w.boxed, git(&w.boxed, &["rev-parse", "HEAD~1^{tree}"]).trim());
    git(&w.boxed, &["replace", real.as_str(), &evil]);
    // Whatever stands in the box's git directory is never read by the host.
    let marker = w.temp.path().join("marker");
    let run = format!("touch {}", marker.display());
    git(&w.boxed, &["config", "core.fsmonitor", &run]);
    git(&w.boxed, &["config", "core.hooksPath", "."]);
    let listed = format!("{real}\n");
    let mut child = command(&w.boxed, &["-c", "core.fsmonitor=", "pack-objects", "--stdout", "-q", "--revs"]);
    let mut child =
        child.env("GIT_NO_REPLACE_OBJECTS", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(listed.as_bytes()).unwrap();
    let pack = child.wait_with_output().unwrap().stdout;
    let report = importer.import(&main_at(real.as_str()), Some(stream(pack))).unwrap();
    assert!(matches!(report.forward, Forward::Moved { to, .. } if to == real));
    assert!(!marker.exists());
}

#[test]
fn hooks_and_monitors_of_the_host_do_not_run_either() {
    let w = world();
    let marker = w.temp.path().join("marker");
    let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
    for hook in ["reference-transaction", "post-index-change", "update", "post-update"] {
        let path = w.host.join(".git/hooks").join(hook);
        fs::write(&path, &script).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    git(&w.host, &["config", "core.alternateRefsCommand", &format!("touch {}", marker.display())]);
    let _ = fs::remove_file(&marker);
    let mut importer = w.importer();
    w.commit("x", "x\n");
    assert!(matches!(w.import(&mut importer).forward, Forward::Moved { .. }));
    assert!(!marker.exists());
    // The baseline runs them.
    git(&w.host, &["update-ref", "refs/heads/y", "HEAD"]);
    assert!(marker.exists());
}

#[test]
fn a_small_pack_that_unpacks_to_much_is_refused() {
    let w = world();
    w.commit("bomb", &"\0".repeat(150 << 20));
    let before = w.snapshot();
    assert!(refused(w.try_import(&mut w.importer())).contains("bytes"));
    w.host_is_untouched(&before);
}

/// `size` in the seven-bit groups of a delta.
fn delta_size(mut size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while size >= 128 {
        out.push(size as u8 | 128);
        size >>= 7;
    }
    out.push(size as u8);
    out
}

fn zlib_stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 1];
    let chunks: Vec<&[u8]> = bytes.chunks(0xffff).collect();
    for (at, chunk) in chunks.iter().enumerate() {
        out.push(u8::from(at + 1 == chunks.len()));
        out.extend_from_slice(&(chunk.len() as u16).to_le_bytes());
        out.extend_from_slice(&(!(chunk.len() as u16)).to_le_bytes());
        out.extend_from_slice(chunk);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in bytes {
        a = (a + u32::from(byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend_from_slice(&(b << 16 | a).to_be_bytes());
    out
}

fn pack_entry(kind: u8, size: usize) -> Vec<u8> {
    let mut out = vec![kind << 4 | (size & 15) as u8];
    let mut rest = size >> 4;
    while rest > 0 {
        *out.last_mut().unwrap() |= 128;
        out.push((rest & 127) as u8);
        rest >>= 7;
    }
    out
}

#[test]
fn a_delta_that_copies_itself_to_gigabytes_is_refused() {
    const MIB: usize = 1 << 20;
    const TIMES: usize = 8192;
    let base = vec![b'x'; MIB];
    let mut delta = [delta_size(MIB as u64), delta_size((MIB * TIMES) as u64)].concat();
    for _ in 0..TIMES {
        // Copy from offset 0, a size of three bytes.
        delta.extend_from_slice(&[0x80 | 0x70, 0, 0, 0x10]);
    }
    let base_id = raw(&object_id("blob", &base));
    let mut pack = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
    pack.extend_from_slice(&pack_entry(3, base.len()));
    pack.extend_from_slice(&zlib_stored(&base));
    pack.extend_from_slice(&pack_entry(7, delta.len()));
    pack.extend_from_slice(&base_id);
    pack.extend_from_slice(&zlib_stored(&delta));
    let sum = <sha1::Sha1 as sha1::Digest>::digest(&pack);
    pack.extend_from_slice(&sum);
    assert!(pack.len() < 2 * MIB);

    let w = world();
    let before = w.snapshot();
    let tip = w.commit("x", "x\n").to_string();
    let started = std::time::Instant::now();
    let why = refused(w.importer().import(&main_at(&tip), Some(stream(pack))));
    assert!(why.contains("memory"), "{why}");
    assert!(started.elapsed() < std::time::Duration::from_secs(30));
    w.host_is_untouched(&before);
}

fn object_id(kind: &str, bytes: &[u8]) -> String {
    let whole = [format!("{kind} {}\0", bytes.len()).as_bytes(), bytes].concat();
    <sha1::Sha1 as sha1::Digest>::digest(&whole).iter().map(|b| format!("{b:02x}")).collect()
}
