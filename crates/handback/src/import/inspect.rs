//! What new commits hold: their objects, their folders, the paths they change.

use super::error::ImportError;
use super::limits::Limits;
use super::quarantine::by_the_box;
use super::trees::{check_tree, leads_out};
use crate::door::printable;
use crate::git::{Call, Git, GitError, Input};
use crate::names::{HashKind, Oid};
use pinfold_policy::{Kind, PathPolicy, RelPath, RelPathBuf, Verdict};
use std::collections::BTreeMap;

const MAX_LINKS_READ: usize = 1000;
const MAX_LINK_TEXT: u64 = 4096;
/// Bytes of one list of changed paths.
const MAX_DIFF: usize = 256 << 20;
/// More are not listed.
const MAX_LISTED: usize = 20;

/// The new objects of an offer.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub all: Vec<Oid>,
    trees: Vec<Oid>,
}

/// What to weigh before a branch is moved over these commits.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Concerns {
    /// In plain words; empty when there is nothing against moving.
    pub against: Vec<String>,
    /// Changed paths that the host may run later.
    pub watched: Vec<RelPathBuf>,
}

fn lines(ids: &[Oid]) -> Vec<u8> {
    ids.iter().flat_map(|oid| [oid.as_bytes(), b"\n"].concat()).collect()
}

/// For `rev-list --stdin`: what to leave out.
fn without(ids: &[Oid]) -> Vec<u8> {
    ids.iter().flat_map(|oid| [b"^", oid.as_bytes(), b"\n"].concat()).collect()
}

/// Whether the host has both and `new` holds everything of `old`.
pub(super) fn is_ancestor(git: &Git, old: Oid, new: Oid) -> Result<bool, ImportError> {
    match git.asks(Call::new(["merge-base", "--is-ancestor", old.as_str(), new.as_str()])) {
        // One of them is not there: then it is no ancestor.
        Err(GitError::Failed { .. }) => Ok(false),
        other => Ok(other?),
    }
}

/// Each id must name a commit.
pub(super) fn must_be_commits(git: &Git, ids: &[Oid]) -> Result<(), ImportError> {
    let call = Call::new(["cat-file", "--batch-check=%(objecttype)"]).input(Input::Bytes(lines(ids)));
    let out = git.run(call)?;
    for (oid, kind) in ids.iter().zip(out.split(|&b| b == b'\n')) {
        if kind != b"commit" {
            return Err(ImportError::refused(format!("{oid} is not a commit that it sent")));
        }
    }
    Ok(())
}

/// Lists what `tips` reach beyond `known` (beyond all refs, if empty) and checks sizes and folders. Anything missing is
/// an error.
pub(super) fn new_objects(git: &Git, tips: &[Oid], known: &[Oid], limits: &Limits) -> Result<Objects, ImportError> {
    let mut call = Call::new(["rev-list", "--objects", "--no-object-names", "--stdin"]);
    if known.is_empty() {
        if git.is_pinned() {
            // It has no other; git would look for them by path.
            call = call.arg("--single-worktree");
        }
        call = call.args(["--not", "--all"]);
    }
    let call = call
        .input(Input::Bytes([lines(tips), without(known)].concat()))
        .max_output(limits.objects.saturating_mul(65))
        .limit(limits.time);
    let out = git.run(call).map_err(by_the_box)?;
    let mut all = Vec::new();
    for line in out.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
        all.push(Oid::parse(line).map_err(|e| ImportError::refused(format!("its objects can't be listed: {e}")))?);
    }
    if all.len() > limits.objects {
        return Err(ImportError::refused(format!("it has more than {} new objects", limits.objects)));
    }
    let trees = check_sizes(git, &all, limits)?;
    Ok(Objects { all, trees })
}

/// Checks the size of every object and returns which are folders.
fn check_sizes(git: &Git, all: &[Oid], limits: &Limits) -> Result<Vec<Oid>, ImportError> {
    let call = Call::new(["cat-file", "--batch-check=%(objecttype) %(objectsize)", "--buffer"])
        .input(Input::Bytes(lines(all)))
        .max_output(all.len() * 40 + 64)
        .limit(limits.time);
    let out = git.run(call)?;
    let mut trees = Vec::new();
    let mut together: u64 = 0;
    for (oid, line) in all.iter().zip(out.split(|&b| b == b'\n')) {
        let text = std::str::from_utf8(line).unwrap_or_default();
        let parsed = text.split_once(' ').and_then(|(kind, size)| Some((kind, size.parse::<u64>().ok()?)));
        let Some((kind, size)) = parsed else {
            return Err(ImportError::refused(format!("its object {oid} is missing")));
        };
        let most = if kind == "blob" { limits.blob_bytes } else { limits.meta_bytes };
        if size > most {
            return Err(ImportError::refused(format!("its {kind} {oid} has {size} bytes; {most} are allowed")));
        }
        if kind == "tree" {
            trees.push(*oid);
            together += size;
        }
    }
    if together > limits.trees_bytes {
        return Err(ImportError::refused("its folders are too large"));
    }
    Ok(trees)
}

impl Objects {
    /// Looks into every new folder. What no folder may hold is an error; what a person should know goes to `concerns`.
    pub(super) fn look_into_folders(
        &self,
        git: &Git,
        hash: HashKind,
        limits: &Limits,
        concerns: &mut Concerns,
    ) -> Result<(), ImportError> {
        let most = limits.trees_bytes as usize + self.trees.len() * 96 + 64;
        let call = Call::new(["cat-file", "--batch", "--buffer"])
            .input(Input::Bytes(lines(&self.trees)))
            .max_output(most)
            .limit(limits.time);
        let out = git.run(call)?;
        let mut rest = &out[..];
        let (mut bare, mut names) = (false, Vec::new());
        for oid in &self.trees {
            let cut = || ImportError::refused(format!("its folder {oid} can't be read"));
            let (body, after) = batch_item(rest).ok_or_else(cut)?;
            rest = after;
            let found = check_tree(body, hash).map_err(ImportError::Refused)?;
            bare |= found.bare_repository;
            names.extend(found.control_names);
        }
        if bare {
            concerns.against.push("it holds a bare repository inside the tree, which git would enter and obey".into());
        }
        if let Some(first) = names.first() {
            concerns.against.push(format!("it holds file names with control characters, such as {first:?}"));
        }
        Ok(())
    }
}

/// `<oid> <type> <size>\n<bytes>\n`
fn batch_item(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    let size = std::str::from_utf8(&bytes[..end]).ok()?.rsplit(' ').next()?.parse::<usize>().ok()?;
    let body = bytes.get(end + 1..)?;
    (body.get(size) == Some(&b'\n')).then(|| (&body[..size], &body[size + 1..]))
}

/// Weighs every path that some commit between `base` (nothing, if `None`) and `tip` changes. A merge counts where it
/// differs from all its parents.
pub(super) fn weigh_paths(
    git: &Git,
    base: Option<Oid>,
    tip: Oid,
    (policy, prefix): (&PathPolicy, RelPath<'_>),
    limits: &Limits,
    concerns: &mut Concerns,
) -> Result<(), ImportError> {
    let changed = changed_paths(git, base, tip, limits)?;
    let mut hidden = Vec::new();
    for (path, mode) in &changed {
        let Ok(full) = in_workspace(prefix, path) else {
            concerns.against.push(format!("it changes the impossible path {:?}", printable(path)));
            continue;
        };
        match policy.decide(full.as_path(), mode.kind()).verdict {
            Verdict::Mask => hidden.push(format!("{full} (masked)")),
            Verdict::Private => hidden.push(format!("{full} (private to the box)")),
            Verdict::Watch => concerns.watched.push(full),
            Verdict::Share => {}
        }
    }
    if let Some(first) = hidden.first() {
        let more = if hidden.len() > 1 { format!(" and {} more", hidden.len() - 1) } else { String::new() };
        concerns.against.push(format!("it changes {first}{more}"));
    }
    weigh_links(git, &changed, concerns)
}

fn in_workspace(prefix: RelPath<'_>, path: &[u8]) -> Result<RelPathBuf, pinfold_policy::BadPath> {
    if prefix.is_root() {
        return RelPathBuf::new(path.to_vec());
    }
    RelPathBuf::new([prefix.as_bytes(), b"/", path].concat())
}

/// What a path became. Where several commits changed it, the kinds add up.
#[derive(Debug, Default, Clone)]
struct Became {
    links: Vec<Oid>,
    folder: bool,
}

impl Became {
    fn kind(&self) -> Kind {
        match self {
            Became { folder: true, .. } => Kind::Folder,
            Became { links, .. } if !links.is_empty() => Kind::Symlink,
            _ => Kind::File,
        }
    }
}

fn changed_paths(
    git: &Git,
    base: Option<Oid>,
    tip: Oid,
    limits: &Limits,
) -> Result<BTreeMap<Vec<u8>, Became>, ImportError> {
    let known: Vec<Oid> = base.into_iter().collect();
    let range = [lines(&[tip]), without(&known)].concat();
    let call = Call::new(["rev-list", "--stdin"]).input(Input::Bytes(range)).limit(limits.time);
    let commits = git.run(call.max_output(limits.objects.saturating_mul(65))).map_err(by_the_box)?;
    let each = Call::new(DIFF).args(["--stdin", "-c", "--root", "--no-commit-id"]).input(Input::Bytes(commits));
    // A merge that takes a path from an old parent changes nothing against all its parents, and still changes the branch.
    let base = base.unwrap_or(tip.kind().empty_tree());
    let whole = Call::new(DIFF).args([base.as_str(), tip.as_str()]);
    let mut found = BTreeMap::new();
    for call in [each, whole] {
        let out = git.run(call.max_output(MAX_DIFF).limit(limits.time)).map_err(by_the_box)?;
        parse_raw(&out, &mut found).ok_or_else(|| ImportError::refused("its changes can't be listed"))?;
    }
    Ok(found)
}

const DIFF: [&str; 9] = [
    "diff-tree",
    "-r",
    "-z",
    "--raw",
    "--no-renames",
    "--full-index",
    "--no-ext-diff",
    "--no-textconv",
    "--ignore-submodules=none",
];

/// `:<mode> <mode> <id> <id> <letter>\0<path>\0`, with one more colon, mode and id for each further parent.
fn parse_raw(out: &[u8], found: &mut BTreeMap<Vec<u8>, Became>) -> Option<()> {
    let mut fields = out.split(|&b| b == 0);
    while let Some(head) = fields.next() {
        let head = head.strip_prefix(b"\n").unwrap_or(head);
        if head.is_empty() {
            continue;
        }
        let parents = head.iter().take_while(|&&b| b == b':').count();
        let words: Vec<&[u8]> = head.get(parents..)?.split(|&b| b == b' ').collect();
        if parents == 0 || words.len() != 2 * (parents + 1) + 1 {
            return None;
        }
        let became = found.entry(fields.next()?.to_vec()).or_default();
        let (mode, oid) = (words[parents], words[2 * parents + 1]);
        match mode {
            b"120000" => became.links.push(Oid::parse(oid).ok()?),
            b"160000" => became.folder = true,
            _ => {}
        }
    }
    Some(())
}

/// Reads the new links and names those that lead out of the tree.
fn weigh_links(git: &Git, changed: &BTreeMap<Vec<u8>, Became>, concerns: &mut Concerns) -> Result<(), ImportError> {
    let links: Vec<(&[u8], Oid)> =
        changed.iter().flat_map(|(path, became)| became.links.iter().map(|&oid| (&path[..], oid))).collect();
    if links.is_empty() {
        return Ok(());
    }
    if links.len() > MAX_LINKS_READ {
        concerns.against.push(format!("it changes {} symbolic links", links.len()));
        return Ok(());
    }
    let ids: Vec<Oid> = links.iter().map(|(_, oid)| *oid).collect();
    let sizes = git.run(Call::new(["cat-file", "--batch-check=%(objectsize)"]).input(Input::Bytes(lines(&ids))))?;
    for line in sizes.split(|&b| b == b'\n').filter(|l| !l.is_empty()) {
        let size = std::str::from_utf8(line).ok().and_then(|s| s.parse::<u64>().ok());
        if size.is_none_or(|size| size > MAX_LINK_TEXT) {
            concerns.against.push("it has a symbolic link that is too long".into());
            return Ok(());
        }
    }
    let call = Call::new(["cat-file", "--batch"]).input(Input::Bytes(lines(&ids))).max_output(16 << 20);
    let out = git.run(call)?;
    let mut rest = &out[..];
    let mut out_of_tree = Vec::new();
    for (path, oid) in &links {
        let (text, after) =
            batch_item(rest).ok_or_else(|| ImportError::refused(format!("its link {oid} can't be read")))?;
        rest = after;
        if leads_out(path, text) {
            out_of_tree.push(format!("{:?}", printable(path)));
        }
    }
    if !out_of_tree.is_empty() {
        out_of_tree.truncate(MAX_LISTED);
        concerns.against.push(format!("it has symbolic links that lead out of the tree: {}", out_of_tree.join(", ")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_diffs_of_plain_commits_and_merges() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let text = format!(
            ":100644 120000 {a} {b} T\0x y\0::100644 100644 100755 {a} {a} {b} MM\0z\0:160000 160000 {a} {b} M\0sub\0"
        );
        let mut found = BTreeMap::new();
        parse_raw(text.as_bytes(), &mut found).unwrap();
        assert_eq!(found.keys().map(|k| &k[..]).collect::<Vec<_>>(), [&b"sub"[..], b"x y", b"z"]);
        assert_eq!(found[&b"x y"[..]].kind(), Kind::Symlink);
        assert_eq!(found[&b"sub"[..]].kind(), Kind::Folder);
        assert!(parse_raw(b"100644 what\0x\0", &mut found).is_none());
        assert!(parse_raw(b":100644\0", &mut found).is_none());
    }
}
