//! The applications of runs, as the ResourceManager reports them.

use std::collections::BTreeMap;

use dybox_model::{Millis, RunId, SubDagId};
use dybox_yarn::{AppState, ApplicationId, FinalStatus, Kind, Query, Report, YarnError};

use super::Cluster;
use crate::ClientError;

/// The type of DYbox's applications.
pub(crate) const KIND: &str = "DYBOX";
const RUN_TAG: &str = "dybox-run:";
const SUB_TAG: &str = "dybox-sub:";

/// Where an application is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its master does not run yet, or not again yet.
    Waits,
    /// Its master is registered.
    Runs,
    /// Its master said goodbye.
    Finished,
    /// Its masters died, or it was rejected.
    Failed,
    /// Somebody killed it.
    Killed,
}

/// One application of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// Its id (`application_1732147200000_0042`).
    pub id: String,
    /// Which sub-DAG it is of.
    pub subdag: SubDagId,
    /// Where it is in its life.
    pub phase: Phase,
    /// YARN's own word for that (`ACCEPTED`).
    pub state: &'static str,
    /// Its name: the job's.
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// Where it waits or runs.
    pub queue: String,
    /// Where its master listens.
    pub master: Option<(String, u16)>,
    /// Its page.
    pub page: String,
    /// Why it is not running, or how it ended, in YARN's or its master's words.
    pub diagnostics: String,
    /// Which try of its master this is, from 1; 0 where there is none yet.
    pub attempt: u32,
    /// When it was submitted.
    pub submitted: Millis,
    /// When it ended.
    pub ended: Option<Millis>,
    /// Whether its master said that all went well.
    pub succeeded: bool,
    pub(crate) yarn: ApplicationId,
    pub(crate) run: Option<RunId>,
}

impl Phase {
    /// Whether something of it may live.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Waits | Self::Runs)
    }

    const fn of(state: AppState) -> Self {
        match state {
            AppState::Running => Self::Runs,
            AppState::Finished => Self::Finished,
            AppState::Failed => Self::Failed,
            AppState::Killed => Self::Killed,
            _ => Self::Waits,
        }
    }
}

impl Application {
    fn of(report: Report) -> Self {
        let tagged = |lead: &str| report.tags.iter().find_map(|tag| tag.strip_prefix(lead));
        let run = tagged(RUN_TAG).and_then(|run| run.parse().ok());
        let subdag = tagged(SUB_TAG).and_then(|n| n.parse().ok()).unwrap_or(0);
        Self {
            id: report.id.to_string(),
            subdag: SubDagId(subdag),
            phase: Phase::of(report.state),
            state: report.state.word(),
            name: report.name,
            user: report.user,
            queue: report.queue,
            master: report.master.filter(|(host, port)| *port > 0 && !host.is_empty() && host != "N/A"),
            page: report.tracking_url,
            diagnostics: plain(&report.diagnostics),
            attempt: report.attempt.and_then(|attempt| u32::try_from(attempt.number).ok()).unwrap_or(0),
            submitted: report.submitted.unwrap_or_default(),
            ended: report.finished,
            succeeded: report.final_status == FinalStatus::Succeeded,
            yarn: report.id,
            run,
        }
    }

    /// Why it waits for its master, in words; nothing where YARN gives no reason.
    #[must_use]
    pub fn waits(&self) -> Option<&str> {
        (self.phase == Phase::Waits && !self.diagnostics.is_empty()).then_some(self.diagnostics.as_str())
    }
}

/// The tags of the application of a sub-DAG.
pub(crate) fn tags(run: &RunId, subdag: SubDagId) -> Vec<String> {
    vec![format!("{RUN_TAG}{run}"), format!("{SUB_TAG}{}", subdag.0)]
}

/// YARN's diagnostics on one line, without its time stamps and repeated blanks.
fn plain(text: &str) -> String {
    let text = text.trim();
    // `[Sat Nov 21 11:00:00 +0000 2026] Application is ...`
    let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((stamp, rest)) if stamp.len() < 40 && stamp.contains(':') => rest,
        _ => text,
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Cluster {
    /// The applications of a run, the newest of each sub-DAG.
    pub(crate) async fn applications(&self, run: &RunId) -> Result<BTreeMap<SubDagId, Application>, ClientError> {
        let mut newest: BTreeMap<SubDagId, Application> = BTreeMap::new();
        let tags = vec![format!("{RUN_TAG}{run}")];
        for application in self.query(Query { tags, ..Query::default() }).await? {
            let known = newest.get(&application.subdag).is_some_and(|known| known.yarn > application.yarn);
            if !known {
                newest.insert(application.subdag, application);
            }
        }
        Ok(newest)
    }

    /// The application of a sub-DAG; nothing while there is none.
    pub(crate) async fn application(&self, run: &RunId, subdag: SubDagId) -> Result<Option<Application>, ClientError> {
        if let Some(&id) = self.own(run).and_then(|own| own.applications.get(&subdag)) {
            return match self.conf.rm.report(id).await {
                Ok(report) => Ok(Some(Application { subdag, ..Application::of(report) })),
                Err(error) if error.kind() == Kind::Gone => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        Ok(self.applications(run).await?.remove(&subdag))
    }

    /// All applications of runs of this user that the ResourceManager remembers.
    pub(crate) async fn all(&self) -> Result<Vec<Application>, ClientError> {
        let query = Query { kinds: vec![KIND.to_owned()], users: vec![self.conf.user.clone()], ..Query::default() };
        self.query(query).await
    }

    async fn query(&self, query: Query) -> Result<Vec<Application>, ClientError> {
        let found: Result<Vec<Report>, YarnError> = self.conf.rm.applications(&query).await;
        Ok(found?.into_iter().map(Application::of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnostics_become_one_line_without_the_time() {
        let text = "[Sat Nov 21 11:00:00 +0000 2026] Application is added to the scheduler.\n  Details : none ; ";
        assert_eq!(plain(text), "Application is added to the scheduler. Details : none ;");
        assert_eq!(plain("[1] is a list"), "[1] is a list");
    }
}
