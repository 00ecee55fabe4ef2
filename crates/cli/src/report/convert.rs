//! Errors of the crates below as failures of a command.

use dybox_client::ClientError;
use dybox_engine::EngineError;
use dybox_model::{ExitCode, RunId};
use dybox_store::StoreError;

use super::{Failure, codes};

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let advice = error.advice();
        match error {
            ClientError::Store(error) => error.into(),
            ClientError::NotFound { query } => {
                Self::coded(codes::NO_RUN, format!("there is no run {query:?}")).next(advice)
            }
            ClientError::Ambiguous { query, runs } => {
                let what = format!("{query:?} fits {} runs", runs.len());
                let ids: Vec<_> = runs.iter().take(10).map(RunId::as_str).collect();
                Self::coded(codes::MANY_RUNS, what).why(format!("they are {}", ids.join(", ")))
            }
            ClientError::Damaged { .. } => Self::coded(codes::RUN_DAMAGED, error.to_string()).next(advice),
            error => Self::new(error.exit(), error.to_string()).next(advice).because(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let next = error.advice();
        Self::coded(codes::STORE_READ, error.to_string()).next(next).because(error)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let advice = error.advice().trim_end_matches('.');
        let next = match advice.contains("dybox doctor") {
            true => advice.to_owned(),
            false => format!("{advice}; `dybox doctor` checks the rest"),
        };
        Self::coded(codes::ENGINE, "the Docker engine can't be used").why(error.to_string()).next(next)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(ExitCode::Internal, "an answer can't be written as JSON").source(error)
    }
}
