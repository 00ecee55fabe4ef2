//! Handing sub-DAGs to a session: its master may die in the middle, and afterwards it must be certain who has them.

use std::time::Duration;

use dybox_model::{RunId, SubDagId};
use dybox_store::layout::RunDir;
use dybox_wire::{SessionClient, WireError};
use dybox_yarn::Kind;
use tokio::time::{Instant, sleep};

use super::{Application, Cluster, Phase};
use crate::ClientError;

/// How long the next master of a session may take: YARN sees the death of the last one, starts it, and it reads what it
/// has.
#[cfg(not(test))]
const STARTS: Duration = Duration::from_secs(90);
#[cfg(test)]
const STARTS: Duration = Duration::from_secs(2);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(200);

/// A session that is to take sub-DAGs.
pub(super) struct Taker<'a> {
    cluster: &'a Cluster,
    name: &'a str,
    pub(super) application: Application,
    line: Option<SessionClient>,
}

/// How one try ended.
enum Tried {
    /// The session answered: its answer holds.
    No(WireError),
    /// It was never heard.
    Unheard(WireError),
    /// It may have been heard.
    Perhaps(WireError),
}

impl Cluster {
    /// The session of this name, once YARN has started its master.
    pub(super) async fn taker<'a>(&'a self, name: &'a str) -> Result<Taker<'a>, ClientError> {
        let (application, line) = match self.dialled(name).await {
            Some((application, line)) => (application, Some(line)),
            None => (self.started_session(name).await?, None),
        };
        Ok(Taker { cluster: self, name, application, line })
    }
}

impl Taker<'_> {
    /// Hands a sub-DAG over. On return the session has written it down; where its master listens, unless that ended
    /// before it could be asked.
    ///
    /// # Errors
    /// `NotTaken`: it is certain that nobody will do it. `Unsure` where that can't be found out in time.
    pub(super) async fn hand(
        &mut self,
        (run, subdag): (&RunId, SubDagId),
        bundle: &[u8],
    ) -> Result<Option<(String, u16)>, ClientError> {
        let until = Instant::now() + STARTS;
        let mut perhaps = false;
        loop {
            // The same bundle a second time is answered like the first time.
            let (source, certain) = match self.try_once(bundle).await {
                Ok(at) => return Ok(Some(at)),
                Err(Tried::No(source)) => (source, true),
                Err(Tried::Unheard(source)) => (source, false),
                Err(Tried::Perhaps(source)) => {
                    perhaps = true;
                    (source, false)
                }
            };
            let lives = self.look_again().await?;
            let over = certain || !lives;
            if !over && Instant::now() < until {
                sleep(LOOK).await;
                continue;
            }
            let name = self.name.to_owned();
            return match perhaps {
                true if self.began(run, subdag).await? => Ok(None),
                true if !over => Err(ClientError::Unsure { name, run: run.clone(), source }),
                _ => Err(ClientError::NotTaken { name, source }),
            };
        }
    }

    async fn try_once(&mut self, bundle: &[u8]) -> Result<(String, u16), Tried> {
        let line = match &self.line {
            Some(line) => line.clone(),
            None => match self.cluster.dial_session(&self.application).await {
                Ok(line) => self.line.insert(line).clone(),
                Err(error @ WireError::Denied { .. }) => return Err(Tried::No(error)),
                Err(error) => return Err(Tried::Unheard(error)),
            },
        };
        line.submit(bundle.to_vec()).await.map_err(|error| {
            self.line = None;
            match error {
                WireError::Refused { .. } | WireError::Denied { .. } => Tried::No(error),
                error => Tried::Perhaps(error),
            }
        })
    }

    /// Whether the session lives, as far as the ResourceManager can be asked; where its master is now.
    async fn look_again(&mut self) -> Result<bool, ClientError> {
        match self.cluster.conf.rm.report(self.application.yarn).await {
            Ok(report) => self.application = Application::of(report),
            Err(error) if error.kind() == Kind::Gone => self.application.phase = Phase::Finished,
            Err(error) if matches!(error.kind(), Kind::Unreachable | Kind::NotReady) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
        Ok(self.application.phase.is_live())
    }

    /// Whether a master of it ever was in control: it has written that down. An epoch proves nothing, for a master makes
    /// one while the session still writes down that it has the sub-DAG.
    async fn began(&self, run: &RunId, subdag: SubDagId) -> Result<bool, ClientError> {
        let journal = RunDir::new(run).sub(subdag).journal();
        Ok(self.cluster.store.len(&journal).await?.is_some_and(|len| len > 0))
    }
}

#[cfg(test)]
mod tests;
