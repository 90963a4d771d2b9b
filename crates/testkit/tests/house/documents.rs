//! Every relative link in a document leads somewhere, heading included, and every path of ours in backquotes exists.

use crate::tree::Tree;

/// Where a backquoted path of ours begins. Any repository has a `docs/`, so only its documents count.
const OURS: [&str; 5] = ["crates/", "escape/", "e2e/", "benches/", "fuzz/"];

pub fn complaints(tree: &Tree, path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for target in links(line) {
            if let Some(what) = dead(tree, path, target) {
                found.push(format!("{path}:{number}: the link to `{target}` is dead: {what}"));
            }
        }
        for quoted in line.split('`').skip(1).step_by(2) {
            let plain = (OURS.iter().any(|ours| quoted.starts_with(ours))
                || quoted.starts_with("docs/") && quoted.ends_with(".md"))
                && quoted.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if plain && !tree.has(quoted) {
                found.push(format!("{path}:{number}: there is no `{quoted}`"));
            }
        }
    }
    found
}

/// The numbered lines that are not in a code block.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        (!code && !fence).then_some((index + 1, line))
    })
}

/// The targets of `[text](target)` in a line, inline code left out.
fn links(line: &str) -> Vec<&str> {
    let parts = line.split('`').step_by(2);
    let targets = parts.flat_map(|part| part.match_indices("](").map(move |(at, _)| &part[at + 2..]));
    // A link's text may be code, and then its target begins the part after it.
    targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target.trim())).collect()
}

/// Why a link leads nowhere, if it does.
fn dead(tree: &Tree, from: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let path = if file.is_empty() { Some(from.to_owned()) } else { resolve(from, file) };
    let Some(path) = path.filter(|path| tree.has(path)) else {
        return Some(format!("there is no {file}"));
    };
    let heading = heading?;
    let text = tree.text(&path)?;
    let has =
        prose(text).any(|(_, line)| line.starts_with('#') && slug(line.trim_start_matches('#').trim()) == heading);
    (!has).then(|| format!("{path} has no heading #{heading}"))
}

fn resolve(from: &str, to: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// A heading's anchor, as the forges make it.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complains;

    #[test]
    fn dead_links_are_found() {
        let tree = Tree::of(&[("docs/a.md", "# One thing: `x`\n"), ("README.md", "")]);
        complains(&complaints(&tree, "docs/b.md", "see [a](c.md)"), "there is no c.md");
        complains(&complaints(&tree, "docs/b.md", "see [`a`](../../a.md)"), "there is no ../../a.md");
        complains(&complaints(&tree, "docs/b.md", "[a](a.md#another)"), "no heading #another");
        complains(&complaints(&tree, "README.md", "\n`docs/gone.md`"), "README.md:2: there is no `docs/gone.md`");
    }

    #[test]
    fn living_links_are_not() {
        let tree = Tree::of(&[("docs/a.md", "# One thing: `x`\n"), ("README.md", "")]);
        let text = "[a](a.md#one-thing-x) [up](../README.md) [web](https://example.org/x) [dir](../docs)\n```\n[x](no)\n```\n`[x](no)` `docs/<name>.md`";
        assert_eq!(complaints(&tree, "docs/b.md", text), Vec::<String>::new());
    }
}
