//! The errors of the other crates as [`Failure`]s: which kind each is, and its hint.

use crate::exit::Trouble;
use crate::report::Failure;
use pinfold_engine::{EngineError, Kind};
use pinfold_plan::{CheckError, PlanError};
use pinfold_survey::SurveyError;

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Failure {
        let kind = if error.is_refusal() { Trouble::Refused } else { Trouble::Host };
        Failure::of(kind, &error).maybe_hint(error.hint())
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Failure {
        let kind = if matches!(error, PlanError::CannotKeep { .. }) { Trouble::Unfit } else { Trouble::Usage };
        Failure::of(kind, &error).maybe_hint(error.hint())
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Failure {
        Failure::of(Trouble::Bug, &error).hint("nothing was started; please report it with these lines")
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        let kind = match error.kind() {
            Kind::Unfit => Trouble::Unfit,
            Kind::ProbeFailed => Trouble::Unproven,
            Kind::Changed => Trouble::Changed,
            Kind::MaskFsDied | Kind::Io => Trouble::Host,
            Kind::Bug => Trouble::Bug,
        };
        Failure::of(kind, &error).maybe_hint(error.hint())
    }
}
