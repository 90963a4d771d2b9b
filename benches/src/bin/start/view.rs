//! What a box shows, taken from pinfold's own plan, so that every other launcher is asked for the same view: the same folders, links,
//! files, binds and file systems. What only pinfold does (mask, own `.git`, filter, Landlock, probes) is left out for the others.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// One thing in the box's root, in the order in which it is made.
#[derive(Debug, Clone)]
pub enum Item {
    Folder { at: String, mode: u32 },
    Symlink { at: String, target: String },
    File { at: String, content: String },
    Bind { from: PathBuf, at: String, writable: bool },
    Tmpfs { at: String, mode: u32 },
    Devices { at: String },
    Proc { at: String, read_only: Vec<String>, hidden: Vec<String> },
}

/// The whole view.
#[derive(Debug, Clone)]
pub struct View {
    pub items: Vec<Item>,
    pub env: Vec<(String, String)>,
    pub workspace: String,
    pub uid_inside: u32,
    pub gid_inside: u32,
}

impl View {
    /// Reads a plan as `pinfold run --dry-run --json` prints it. The box home is an empty folder of the launcher's own.
    pub fn of_plan(plan: &Value, repo: &Path, home: &Path) -> Result<View, String> {
        let steps = plan["steps"].as_array().ok_or("the plan has no steps")?;
        let mut view =
            View { items: Vec::new(), env: Vec::new(), workspace: String::new(), uid_inside: 0, gid_inside: 0 };
        for step in steps {
            let text = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| step[name].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
            let list = |name: &str| -> Vec<String> {
                step[name].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
            };
            let at = text("at");
            view.items.push(match text("step").as_str() {
                "folder" => Item::Folder { at, mode: number("mode") },
                "symlink" => Item::Symlink { at, target: text("target") },
                "file" => Item::File { at, content: text("content") },
                "bind" => Item::Bind { from: text("from").into(), at, writable: text("access") == "read-write" },
                "objects" => Item::Bind { from: text("from").into(), at, writable: false },
                "home" => Item::Bind { from: home.to_owned(), at, writable: true },
                "tmpfs" => Item::Tmpfs { at, mode: number("mode") },
                "devices" => Item::Devices { at },
                "proc" => Item::Proc { at, read_only: list("read_only"), hidden: list("hidden") },
                "workspace" => {
                    view.workspace.clone_from(&at);
                    Item::Bind { from: repo.to_owned(), at, writable: true }
                }
                "map-ids" => {
                    (view.uid_inside, view.gid_inside) = (number("uid_inside"), number("gid_inside"));
                    continue;
                }
                "exec" => {
                    let pairs = step["env"].as_array().into_iter().flatten();
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    view.env = pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
                    continue;
                }
                _ => continue,
            });
        }
        if view.workspace.is_empty() || !view.items.iter().any(|item| matches!(item, Item::Proc { .. })) {
            return Err(
                "the plan shows no workspace or no /proc: its format is not the one this was written for".into()
            );
        }
        Ok(view)
    }

    /// How many mounts the view asks for.
    pub fn mounts(&self) -> usize {
        self.items.iter().map(Item::mounts).sum()
    }

    /// The view without its mounts, as an unpacked image: what an OCI runtime's root file system is.
    pub fn unpack(&self, root: &Path) -> std::io::Result<()> {
        let place = |at: &str| root.join(at.trim_start_matches('/'));
        for item in &self.items {
            match item {
                Item::Symlink { at, target } => {
                    std::fs::create_dir_all(place(at).parent().unwrap_or(root))?;
                    std::os::unix::fs::symlink(target, place(at))?;
                }
                Item::File { at, content } => {
                    std::fs::create_dir_all(place(at).parent().unwrap_or(root))?;
                    std::fs::write(place(at), content)?;
                }
                Item::Bind { from, at, .. } if from.is_file() => {
                    std::fs::create_dir_all(place(at).parent().unwrap_or(root))?;
                    std::fs::write(place(at), "")?;
                }
                Item::Folder { at, .. }
                | Item::Bind { at, .. }
                | Item::Tmpfs { at, .. }
                | Item::Devices { at }
                | Item::Proc { at, .. } => std::fs::create_dir_all(place(at))?,
            }
        }
        Ok(())
    }
}

impl Item {
    fn mounts(&self) -> usize {
        match self {
            Item::Folder { .. } | Item::Symlink { .. } | Item::File { .. } => 0,
            Item::Bind { .. } | Item::Tmpfs { .. } => 1,
            // The tmpfs, six devices, pts and shm.
            Item::Devices { .. } => 9,
            Item::Proc { read_only, hidden, .. } => 1 + existing(read_only).count() + existing(hidden).count(),
        }
    }
}

/// Those of the paths in `/proc` that this kernel has: nobody can cover what is not there.
pub fn existing(paths: &[String]) -> impl Iterator<Item = &String> {
    paths.iter().filter(|path| Path::new(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_becomes_a_view() {
        let plan = serde_json::json!({ "steps": [
            { "step": "map-ids", "uid_inside": 7, "gid_inside": 8 },
            { "step": "bind", "from": "/usr", "at": "/usr", "access": "read-only" },
            { "step": "proc", "at": "/proc", "read_only": ["/proc/sys"], "hidden": ["/proc/no-such-file"] },
            { "step": "workspace", "at": "/workspace" },
            { "step": "exec", "env": [["HOME", "/home/x"]] },
        ]});
        let view = View::of_plan(&plan, Path::new("/repo"), Path::new("/home")).expect("it is a plan");
        assert_eq!((view.mounts(), view.uid_inside, view.workspace.as_str()), (4, 7, "/workspace"));
        assert_eq!(view.env, [("HOME".to_owned(), "/home/x".to_owned())]);
        assert!(View::of_plan(&serde_json::json!({ "steps": [] }), Path::new("/"), Path::new("/")).is_err());
    }
}
