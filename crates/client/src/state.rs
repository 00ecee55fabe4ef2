//! Where a run stands: what its journals say, and whether its masters live.

use dybox_journal::{Run, RunState, RunView, State, decode, fold};
use dybox_model::{RunId, SubDagId};
use dybox_store::layout::{MASTER_SOCKET, RunDir, SubDir};
use dybox_wire::{MasterClient, Waiting};

use crate::{Client, ClientError};

/// A run as it stands now.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What the journals add up to.
    pub view: RunView,
    /// Sub-DAGs whose master lives.
    pub held: Vec<SubDagId>,
    /// What is wrong with journals, where anything is: the sub-DAG and a sentence.
    pub damaged: Vec<(SubDagId, String)>,
}

/// A journal as it was read.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// What its facts add up to.
    pub run: Run,
    /// What is wrong with it.
    pub damage: Option<String>,
    /// Bytes of whole records.
    pub whole: u64,
}

impl Standing {
    /// Whether the run has not ended and nobody drives it: its masters are gone, `dybox resume` goes on with it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        !self.view.state().is_over() && self.held.is_empty()
    }

    /// The word for where it stands; `lost` for a run that has not ended and that nobody drives.
    #[must_use]
    pub fn word(&self) -> &'static str {
        if self.is_lost() { RunState::Lost.word() } else { self.view.state().word() }
    }
}

impl Client {
    /// Looks at a run of so many sub-DAGs.
    ///
    /// # Errors
    /// The store's.
    pub async fn standing(&self, run: &RunId, subdags: u32) -> Result<Standing, ClientError> {
        let mut standing = Standing { view: RunView::new(subdags), held: Vec::new(), damaged: Vec::new() };
        for subdag in (0..subdags).map(SubDagId) {
            // First the lock: a master that ends in between has written its end before it lets go.
            if self.is_held(run, subdag)? {
                standing.held.push(subdag);
            }
            let Folded { run: folded, damage, .. } = self.folded(run, subdag).await?;
            standing.view.put(subdag, folded);
            standing.damaged.extend(damage.map(|damage| (subdag, damage)));
        }
        Ok(standing)
    }

    /// One sub-DAG's journal, folded.
    pub(crate) async fn folded(&self, run: &RunId, subdag: SubDagId) -> Result<Folded, ClientError> {
        let name = RunDir::new(run).sub(subdag).journal();
        let Some(bytes) = self.store.get_opt(&name).await? else { return Ok(Folded::default()) };
        let decoded = decode(&bytes);
        let damage = match decoded.state {
            State::Clean | State::Torn { .. } => None,
            State::Broken { offset } => Some(format!("damaged at byte {offset}")),
            State::Foreign { version, .. } => Some(format!("written by a newer DYbox (version {version})")),
        };
        Ok(Folded { run: fold(decoded.facts), damage, whole: decoded.consumed as u64 })
    }

    /// Why tasks wait, as the live masters of a run see it now. Masters that do not answer are left out.
    pub async fn why(&self, run: &RunId, subdags: u32) -> Vec<Waiting> {
        let mut waiting = Vec::new();
        for subdag in (0..subdags).map(SubDagId) {
            let dir = self.sub_path(run, subdag, SubDir::root);
            if let Ok(master) = MasterClient::dial(&dir, MASTER_SOCKET, std::time::Duration::ZERO).await {
                waiting.extend(master.why().await.unwrap_or_default());
            }
        }
        waiting
    }
}
