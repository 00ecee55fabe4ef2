//! The applications of runs, as the ResourceManager reports them.

use std::collections::BTreeMap;

use dybox_model::{Millis, RunId, SubDagId};
use dybox_store::layout::RunDir;
use dybox_yarn::{
    AppState, ApplicationId, FinalStatus, KIND, Kind, Query, Report, YarnError, run_tag, session_named, tagged,
};

use super::Cluster;
use crate::ClientError;

/// Most bytes of a sentence of YARN's.
const LONGEST: usize = 400;

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
    /// Whether it is a session, which runs share.
    pub session: bool,
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
    pub(super) fn of(report: Report) -> Self {
        let (run, subdag) = tagged(&report.tags);
        Self {
            id: report.id.to_string(),
            subdag,
            phase: Phase::of(report.state),
            state: report.state.word(),
            name: report.name,
            user: report.user,
            queue: report.queue,
            master: report.master.filter(|(host, port)| *port > 0 && !host.is_empty() && host != "N/A"),
            page: report.tracking_url,
            diagnostics: plain(&report.diagnostics.replace(&format!("Application {} ", report.id), "it ")),
            attempt: report.attempt.and_then(|attempt| u32::try_from(attempt.number).ok()).unwrap_or(0),
            submitted: report.submitted.unwrap_or_default(),
            ended: report.finished,
            succeeded: report.final_status == FinalStatus::Succeeded,
            session: session_named(&report.tags).is_some(),
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

/// The sentence of YARN's diagnostics that matters: where a master died, what it wrote last.
fn plain(text: &str) -> String {
    if let Some(died) = died(text) {
        return died;
    }
    let text = text.trim();
    // `[Sat Nov 21 11:00:00 +0000 2026] Application is ...`
    let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((stamp, rest)) if stamp.len() < 40 && stamp.contains(':') => rest,
        _ => text,
    };
    // What follows is for the scheduler's administrators.
    let text = text.split("For more detailed output").next().unwrap_or(text);
    let text = text.split("Details :").next().unwrap_or(text);
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > LONGEST {
        line.truncate(line.floor_char_boundary(LONGEST));
        line.push('…');
    }
    line
}

/// "its master ended with exit code 2: error: ..." of YARN's page-long report about that.
fn died(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("exitCode: ")?;
    let code: String = rest.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    let times = text.split_once("failed ").and_then(|(_, rest)| rest.split_once(" times")).map(|(times, _)| times);
    let times = times.filter(|times| times.chars().all(|c| c.is_ascii_digit()) && *times != "1");
    let head = match times {
        Some(times) => format!("its master failed {times} times, last with exit code {code}"),
        None => format!("its master ended with exit code {code}"),
    };
    let stderr = text.rsplit_once("bytes of stderr :").map(|(_, rest)| rest).unwrap_or_default();
    let lines: Vec<_> = stderr
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("For more detailed output") && !line.starts_with("[20"))
        .filter(|line| !line.is_empty())
        .collect();
    let said = lines.iter().find(|line| line.starts_with("error")).or(lines.last());
    // What the ResourceManager did itself (a node that is lost, memory exceeded) stands before the next full stop.
    let other = || {
        let (_, rest) = text.split_once("Diagnostics: ")?;
        let line = rest.lines().next()?.trim();
        let line = line.split_once(']').map_or(line, |(_, rest)| rest).trim();
        (!line.is_empty() && !line.starts_with("Exception from container-launch")).then(|| line.to_owned())
    };
    let why = lines.iter().find_map(|line| line.strip_prefix("= why: "));
    let said = said.map(|line| why.map_or_else(|| (*line).to_owned(), |why| format!("{line}: {why}")));
    match said.or_else(other) {
        Some(said) => Some(format!("{head}: {said}")),
        None => Some(head),
    }
}

impl Cluster {
    /// The applications of a run, the newest of each sub-DAG.
    pub(crate) async fn applications(&self, run: &RunId) -> Result<BTreeMap<SubDagId, Application>, ClientError> {
        let mut newest: BTreeMap<SubDagId, Application> = BTreeMap::new();
        let tags = vec![run_tag(run)];
        for application in self.query(Query { tags, ..Query::default() }).await? {
            let known = newest.get(&application.subdag).is_some_and(|known| known.yarn > application.yarn);
            if !known {
                newest.insert(application.subdag, application);
            }
        }
        // A run that goes on in a session had applications of its own before, or none.
        if newest.values().all(|application| !application.phase.is_live()) {
            newest.extend(self.in_sessions(run).await?);
        }
        Ok(newest)
    }

    /// The sub-DAGs of a run that sessions have in hand, as their marks in its directory say: each with the session's
    /// application.
    async fn in_sessions(&self, run: &RunId) -> Result<BTreeMap<SubDagId, Application>, ClientError> {
        let mut all = BTreeMap::new();
        for entry in self.store.list(&RunDir::new(run).sessions()).await? {
            let Some((subdag, application)) = RunDir::of_session(&entry.name) else { continue };
            let Ok(id) = application.parse() else { continue };
            if let Some(application) = self.reported(run, subdag, id).await? {
                all.insert(subdag, application);
            }
        }
        Ok(all)
    }

    /// An application by its id; a session's does not say where the masters of its runs listen.
    pub(crate) async fn reported(
        &self,
        run: &RunId,
        subdag: SubDagId,
        id: ApplicationId,
    ) -> Result<Option<Application>, ClientError> {
        match self.conf.rm.report(id).await {
            Ok(report) => {
                let application = Application { subdag, run: Some(run.clone()), ..Application::of(report) };
                let master = application.master.clone().filter(|_| !application.session);
                Ok(Some(Application { master, ..application }))
            }
            Err(error) if error.kind() == Kind::Gone => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The application of a sub-DAG; nothing while there is none.
    pub(crate) async fn application(&self, run: &RunId, subdag: SubDagId) -> Result<Option<Application>, ClientError> {
        let own = self.own(run).filter(|own| !own.in_session);
        if let Some(&id) = own.and_then(|own| own.applications.get(&subdag)) {
            return self.reported(run, subdag, id).await;
        }
        Ok(self.applications(run).await?.remove(&subdag))
    }

    /// Whether YARN has given its master a container: it is about to run.
    pub(crate) async fn has_container(&self, application: &Application) -> bool {
        let attempts = self.conf.rm.attempts(application.yarn).await.unwrap_or_default();
        attempts.iter().max_by_key(|attempt| attempt.id).is_some_and(|attempt| attempt.container.is_some())
    }

    /// All applications of runs of this user that the ResourceManager remembers.
    pub(crate) async fn all(&self) -> Result<Vec<Application>, ClientError> {
        let query = Query { kinds: vec![KIND.to_owned()], users: vec![self.conf.user.clone()], ..Query::default() };
        self.query(query).await
    }

    pub(super) async fn query(&self, query: Query) -> Result<Vec<Application>, ClientError> {
        let found: Result<Vec<Report>, YarnError> = self.conf.rm.applications(&query).await;
        Ok(found?.into_iter().map(Application::of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_that_died_is_told_by_its_last_words() {
        let text = "Application application_1_0005 failed 4 times in previous 600000 milliseconds due to AM Container \
                    for appattempt_1_0005_000004 exited with  exitCode: 2\nFailing this attempt.Diagnostics: \
                    [2026-11-21 11:25:45.588]Exception from container-launch.\nContainer id: container_1_0005_04_000001\n\
                    Exit code: 2\n\n[2026-11-21 11:25:45.590]Container exited with a non-zero exit code 2. Error file: \
                    prelaunch.err.\nLast 4096 bytes of prelaunch.err :\nLast 4096 bytes of stderr :\nerror: no store\n\
                      = why: it is gone\n  = next: make one\n\n\nFor more detailed output, check the application tracking page: x";
        assert_eq!(plain(text), "its master failed 4 times, last with exit code 2: error: no store: it is gone");
        let text = "AM Container for appattempt_1_0005_000001 exited with  exitCode: -104\nDiagnostics: \
                    [2026-11-21 11:25:45.588]Container is running beyond physical memory limits.";
        let want = "its master ended with exit code -104: Container is running beyond physical memory limits.";
        assert_eq!(plain(text), want);
    }

    #[test]
    fn diagnostics_become_one_line_without_the_time() {
        let text = "[Sat Nov 21 11:00:00 +0000 2026] Application is added to the scheduler.\n  Details : none ; ";
        assert_eq!(plain(text), "Application is added to the scheduler.");
        assert_eq!(plain("[1] is a list"), "[1] is a list");
    }
}
