//! A host repository, a box on it, and the way back for the box's commits.

use super::*;
use pinfold_handback::import::{Forward, ImportAsk, ImportError, ImportReport, Importer, Limits, Offer};
use pinfold_handback::names::{BranchName, Oid};
use pinfold_policy::RelPathBuf;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use tempfile::TempDir;

pub struct World {
    pub temp: TempDir,
    pub host: PathBuf,
    pub boxed: PathBuf,
    pub facts: GitFacts,
}

pub fn world() -> World {
    world_with(&[])
}

pub fn world_with(init: &[&str]) -> World {
    let temp = TempDir::new().unwrap();
    let host = repo_with(&temp.path().join("host"), init);
    write(&host, "config/.env", "TOKEN=real-secret\n");
    git(&host, &["add", "-A"]);
    git(&host, &["commit", "-q", "-m", "with a secret"]);
    let facts = main_facts(&host);
    let boxed = temp.path().join("box");
    box_of(&host, &facts, &boxed);
    World { temp, host, boxed, facts }
}

pub fn oid(dir: &Path, name: &str) -> Oid {
    Oid::parse(git(dir, &["rev-parse", name]).trim().as_bytes()).unwrap()
}

impl World {
    pub fn importer(&self) -> Importer {
        self.importer_with(Limits::default())
    }

    pub fn importer_with(&self, limits: Limits) -> Importer {
        let base = output(&self.host, &["rev-parse", "--verify", "-q", "main"]);
        let ask = ImportAsk {
            run_id: "run1".into(),
            branch: Some(BranchName::parse(b"refs/heads/main").unwrap()),
            base: Oid::parse(base.stdout.trim_ascii_end()).ok(),
            policy: Arc::new(policy()),
            prefix: RelPathBuf::root(),
            limits,
        };
        Importer::new(&self.facts, ask).unwrap()
    }

    /// Like [`World::importer`], where git refuses to speak to us about the repository.
    pub fn somebodys_importer(&self) -> Importer {
        let base = git(&self.host, &["-c", "safe.directory=*", "rev-parse", "main"]);
        let ask = ImportAsk {
            run_id: "run1".into(),
            branch: Some(BranchName::parse(b"refs/heads/main").unwrap()),
            base: Oid::parse(base.trim().as_bytes()).ok(),
            policy: Arc::new(policy()),
            prefix: RelPathBuf::root(),
            limits: Limits::default(),
        };
        Importer::new(&self.facts, ask).unwrap()
    }

    pub fn commit(&self, name: &str, text: &str) -> Oid {
        commit_in(&self.boxed, name, text)
    }

    /// Offers all branches of the box with a pack of what the host lacks.
    pub fn import(&self, importer: &mut Importer) -> ImportReport {
        self.try_import(importer).unwrap()
    }

    pub fn try_import(&self, importer: &mut Importer) -> Result<ImportReport, ImportError> {
        let listed = git(&self.boxed, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"]);
        let refs: Vec<(Vec<u8>, Vec<u8>)> =
            listed.lines().map(|l| l.split_once(' ').unwrap()).map(|(n, o)| (n.into(), o.into())).collect();
        let tips: String = refs.iter().map(|(_, o)| String::from_utf8_lossy(o).into_owned() + "\n").collect();
        let known = git(&self.host, &["rev-parse", "--all"]);
        let known: String = known.lines().map(|o| format!("^{o}\n")).collect();
        let pack = pack(&self.boxed, &["--revs", "--thin"], &(tips + &known));
        importer.import(&Offer { refs, head: Some(b"refs/heads/main".to_vec()), detached: None }, Some(stream(pack)))
    }

    /// Offers `main` at this id with a pack of exactly these objects.
    pub fn offer_objects(
        &self,
        importer: &mut Importer,
        tip: &str,
        objects: &[&str],
    ) -> Result<ImportReport, ImportError> {
        let pack = pack(&self.boxed, &[], &(objects.join("\n") + "\n"));
        importer.import(&main_at(tip), Some(stream(pack)))
    }

    /// Nothing of an import is left but what a report says.
    pub fn host_is_untouched(&self, before: &Snapshot) {
        assert_eq!(&self.snapshot(), before);
    }

    pub fn snapshot(&self) -> Snapshot {
        let git_dir = self.host.join(".git");
        Snapshot {
            files: walk(&git_dir)
                .into_iter()
                .map(|f| {
                    let bytes = fs::read(&f).unwrap();
                    (f, bytes)
                })
                .collect(),
        }
    }
}

#[derive(PartialEq, Eq)]
pub struct Snapshot {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.files.iter().map(|(p, b)| (p, b.len()))).finish()
    }
}

pub fn commit_in(dir: &Path, name: &str, text: &str) -> Oid {
    write(dir, name, text);
    git(dir, &["add", "-f", "--sparse", name]);
    git(dir, &["commit", "-q", "-m", name]);
    oid(dir, "HEAD")
}

pub fn main_at(tip: &str) -> Offer {
    Offer { refs: vec![(b"refs/heads/main".to_vec(), tip.into())], ..Offer::default() }
}

pub fn pack(dir: &Path, args: &[&str], input: &str) -> Vec<u8> {
    fed(dir, &[&["pack-objects", "--stdout", "-q"], args].concat(), input.as_bytes())
}

pub fn fed(dir: &Path, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = command(dir, args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(out.status.success(), "git {args:?}");
    out.stdout
}

/// A pipe that gives these bytes, as a box would.
pub fn stream(bytes: Vec<u8>) -> OwnedFd {
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::thread::spawn(move || {
        // The reader may hang up at any time.
        let _ = writer.write_all(&bytes);
    });
    reader.into()
}

pub fn object(dir: &Path, kind: &str, bytes: &[u8]) -> String {
    String::from_utf8(fed(dir, &["hash-object", "-t", kind, "--literally", "-w", "--stdin"], bytes))
        .unwrap()
        .trim()
        .to_owned()
}

pub fn raw(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

pub fn tree(dir: &Path, entries: &[(&str, &[u8], &str)]) -> String {
    let bytes: Vec<u8> =
        entries.iter().flat_map(|(mode, name, id)| [mode.as_bytes(), b" ", name, b"\0", &raw(id)].concat()).collect();
    object(dir, "tree", &bytes)
}

pub fn commit_of(dir: &Path, tree: &str) -> String {
    let parent = git(dir, &["rev-parse", "HEAD"]);
    let who = "A <a@b> 1700000000 +0000";
    object(
        dir,
        "commit",
        format!("tree {tree}\nparent {}\nauthor {who}\ncommitter {who}\n\nx\n", parent.trim()).as_bytes(),
    )
}

pub fn waits(report: &ImportReport) -> &str {
    match &report.forward {
        Forward::Waits { because } => &because[0],
        other => panic!("the branch does not wait: {other:?}"),
    }
}

pub fn refused(result: Result<ImportReport, ImportError>) -> String {
    match result {
        Err(ImportError::Refused(why)) => why,
        other => panic!("the offer was not refused: {other:?}"),
    }
}

pub fn no_traces(w: &World) {
    for file in walk(&w.host.join(".git")) {
        let name = file.to_string_lossy();
        assert!(
            !name.contains("tmp_objdir") && !name.contains("index.pinfold") && !name.ends_with("index.lock"),
            "{name}"
        );
    }
}
