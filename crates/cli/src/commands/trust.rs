//! `pinfold trust`: lets the project's `pinfold.toml` widen what a box may do, as it stands now.

use crate::args::TrustArgs;
use crate::exit::Trouble;
use crate::report::{Failure, Report};
use crate::settings::{self, PROJECT_FILE};
use pinfold_survey::Ask;
use std::process::ExitCode;

pub fn run(args: &TrustArgs, report: &Report) -> Result<ExitCode, Failure> {
    let ask = Ask::of_this_process(false, vec![])?;
    let who = pinfold_survey::who(&ask)?;
    let found = pinfold_survey::find(&ask, &who)?;
    let file = found.repository.root.as_path().join(PROJECT_FILE);
    let failed = |error: std::io::Error| {
        Failure::of(Trouble::Host, &error).hint(format!("what is trusted is kept in {}", who.data_dir.display()))
    };
    if args.remove {
        let was = settings::distrust(&who, &found.repository).map_err(failed)?;
        report.note(if was { "it may only narrow from now on" } else { "it was not trusted" });
        return Ok(ExitCode::SUCCESS);
    }
    let text = settings::project_text(&found.repository)?.ok_or_else(|| {
        Failure::new(Trouble::Config, format!("there is no {}", file.display()))
            .hint("nothing needs to be trusted then")
    })?;
    settings::check_project(&text, &file)?;
    settings::trust(&who, &found.repository, &text).map_err(failed)?;
    report.note(&format!("{} may widen what a box may do, as long as it stays as it is now", file.display()));
    Ok(ExitCode::SUCCESS)
}
