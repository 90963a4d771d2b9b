//! What never stands in a tracked file, whatever its kind: where it was written.

/// Folders of machines that pinfold was written on. Spelled in two, so that this file does not break its own rule.
const MACHINE: [&str; 2] = [concat!("/wo", "rk/"), concat!("/tmp", "/pf")];

/// A path counts where it begins: `target/work/` is nobody's machine.
pub fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for folder in MACHINE {
            let begins = |at: usize| {
                !line[..at].ends_with(|before: char| before.is_alphanumeric() || "._-/}*)~".contains(before))
            };
            if line.match_indices(folder).any(|(at, _)| begins(at)) {
                found.push(format!("{path}:{}: `{folder}` is a folder of one machine", number + 1));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::complains;

    #[test]
    fn machine_paths_are_found_and_others_are_not() {
        complains(&machine_paths("a.md", &format!("see \"{}main\"", MACHINE[0])), "a.md:1");
        complains(&machine_paths("a.sh", &format!("\n{}/x", MACHINE[1])), "a.sh:2");
        assert_eq!(machine_paths("a.rs", "/workspace/x target/work/x"), Vec::<String>::new());
    }
}
