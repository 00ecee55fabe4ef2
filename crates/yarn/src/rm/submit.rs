//! Orders that take a while: submit until accepted, kill until dead.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ResourceManager;
use crate::application::{AppState, Report, Submission};
use crate::convert;
use crate::error::{Kind, YarnError, sentence};
use crate::ids::ApplicationId;
use crate::proto::yarn;

/// The ResourceManager writes a new application down in some 10 ms; a state store under load takes seconds.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LAST_LOOK: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(120);

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(LAST_LOOK)
}

pub(super) async fn submit(rm: &ResourceManager, submission: &Submission) -> Result<Report, YarnError> {
    let operation = format!("submit {}", submission.id);
    let request = yarn::SubmitApplicationRequestProto { context: Some(convert::submission(submission)?) };
    let until = Instant::now() + PATIENCE;
    let send = async || -> Result<(), YarnError> {
        let _: yarn::SubmitApplicationResponseProto = rm.call(&operation, "submitApplication", &request).await?;
        Ok(())
    };
    send().await?;
    let mut pause = FIRST_LOOK;
    loop {
        match rm.report(submission.id).await {
            Ok(report) if matches!(report.state, AppState::Failed | AppState::Killed) => {
                return Err(rejected(operation, &report));
            }
            Ok(report) if !matches!(report.state, AppState::New | AppState::NewSaving | AppState::Submitted) => {
                return Ok(report);
            }
            Ok(_) => {}
            // It failed over before it had written the application down; the same context again is no second one.
            Err(error) if error.kind() == Kind::Gone => send().await?,
            Err(error) => return Err(error),
        }
        if Instant::now() > until {
            let what = format!("the ResourceManager did not accept it within {} s", PATIENCE.as_secs());
            return Err(YarnError::Late { operation, what });
        }
        sleep(pause).await;
        pause = longer(pause);
    }
}

fn rejected(operation: String, report: &Report) -> YarnError {
    let sentence = sentence(&report.diagnostics);
    YarnError::Refused { operation, class: report.state.word().to_owned(), sentence }
}

pub(super) async fn kill(rm: &ResourceManager, id: ApplicationId, why: &str) -> Result<(), YarnError> {
    let operation = format!("kill {id}");
    let request = yarn::KillApplicationRequestProto {
        application_id: Some(convert::application_to(id)),
        diagnostics: (!why.is_empty()).then(|| why.to_owned()),
    };
    let until = Instant::now() + PATIENCE;
    let mut pause = FIRST_LOOK;
    loop {
        let answer: yarn::KillApplicationResponseProto = rm.call(&operation, "forceKillApplication", &request).await?;
        if answer.is_kill_completed() {
            return Ok(());
        }
        if Instant::now() > until {
            let what = format!("the ResourceManager did not end it within {} s", PATIENCE.as_secs());
            return Err(YarnError::Late { operation, what });
        }
        sleep(pause).await;
        pause = longer(pause);
    }
}
