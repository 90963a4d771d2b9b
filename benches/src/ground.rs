//! Where the race is run: repositories of known sizes, each with the caller's own git.

use pinfold_testkit::{Caller, TestRepo};

/// How many files a folder of a made-up repository has.
const PER_FOLDER: usize = 100;

/// A repository with this many tracked files, and this many that have secret names: half of them tracked, half of them ignored.
pub fn repository<'a>(caller: &'a Caller, name: &str, files: usize, secrets: usize) -> TestRepo<'a> {
    let repo = TestRepo::new(caller, name);
    if files == 0 {
        return repo;
    }
    let script = r#"
import os, sys
files, secrets, per = (int(word) for word in sys.argv[1:])
for n in range(files):
    folder = f"src/part{n // per // 100}/module{n // per}"
    if n % per == 0:
        os.makedirs(folder)
    with open(f"{folder}/file{n % per}.txt", "w") as out:
        out.write(f"file {n}\n")
every = max(1, files // per // max(1, secrets))
for n in range(secrets):
    place = (n * every) % max(1, files // per)
    folder = f"src/part{place // 100}/module{place}"
    name = f"key{n}.pem" if n % 2 else f".env.n{n}"
    with open(f"{folder}/{name}", "w") as out:
        out.write(f"SECRET=number-{n}\n")
"#;
    let words = [files, secrets, PER_FOLDER].map(|number| number.to_string());
    let patience = std::time::Duration::from_secs(600);
    repo.command("python3").args(["-c", script]).args(words).deadline(patience).ok();
    repo.command("sh")
        .args(["-c", "git add -A && git ls-files -o -z -- '*.pem' | xargs -0r git add -f && git commit -q -m Files"])
        .deadline(patience)
        .ok();
    repo
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinfold_testkit::{As, require};

    #[test]
    fn it_has_the_files_and_the_secrets_and_is_clean() {
        let caller = require!(Caller::new(As::User));
        let repo = repository(&caller, "big", 250, 10);
        let tracked = repo.git(["ls-files"]).lines().count();
        assert_eq!(tracked, 250 + 5 + 3, "files, tracked secrets, and what every test repository has");
        assert_eq!(repo.git(["ls-files", "-o"]).lines().count(), 5, "ignored secrets");
        assert_eq!(repo.git(["status", "--porcelain"]), "");
    }
}
