//! A run's news, from all its sub-DAGs, until all have ended.

use std::collections::BTreeMap;

use dybox_job::Plan;
use dybox_journal::RunView;
use dybox_model::{RunId, SubDagId};
use tokio::process::Child;
use tokio::sync::{mpsc, watch};

use crate::feed::{Feed, Update};
use crate::{Client, Submitted};

/// Updates that may wait for a slow reader.
const WAITING: usize = 256;

/// How to follow.
#[derive(Debug, Default)]
pub struct Way {
    /// Start masters again that die, at most twice each.
    pub supervise: bool,
    /// Masters that this process started.
    pub(crate) masters: Vec<(SubDagId, Child)>,
    /// On the cluster: sub-DAGs to submit again, with whether each had ended.
    pub(crate) again: Vec<(SubDagId, bool)>,
    /// Ends before these places of the journals are not the end: the run was reopened after them.
    pub(crate) past: BTreeMap<SubDagId, u64>,
}

impl Way {
    /// Follows what was just submitted and started.
    #[must_use]
    pub fn of(submitted: Submitted, supervise: bool) -> Self {
        Self { supervise, masters: submitted.masters, ..Self::default() }
    }
}

/// News of a run. Dropping it ends the following, not the run.
#[derive(Debug)]
pub struct Follow {
    view: RunView,
    updates: mpsc::Receiver<(SubDagId, Update)>,
    given_up: Vec<SubDagId>,
    killed: bool,
}

impl Client {
    /// Follows a run from its beginning to its end.
    #[must_use]
    pub fn follow(&self, run: &RunId, plan: &Plan, way: Way) -> Follow {
        let (out, updates) = mpsc::channel(WAITING);
        let (ends, _) = watch::channel(vec![false; plan.subdags.len()]);
        let mut masters: BTreeMap<_, _> = way.masters.into_iter().collect();
        let mut count = 0;
        for sub in &plan.subdags {
            let subdag = SubDagId(count);
            count += 1;
            let feed = Feed {
                client: self.clone(),
                run: run.clone(),
                subdag,
                needs: sub.needs.clone(),
                from: 0,
                past: way.past.get(&subdag).copied().unwrap_or(0),
                child: masters.remove(&subdag),
                supervise: way.supervise,
                out: out.clone(),
            };
            tokio::spawn(feed.run(ends.clone()));
        }
        Follow { view: RunView::new(count), updates, given_up: Vec::new(), killed: false }
    }
}

impl Follow {
    /// The next news, already taken into [`Follow::view`]; nothing when every sub-DAG has ended or was given up.
    /// May be dropped while it waits.
    pub async fn next(&mut self) -> Option<(SubDagId, Update)> {
        let (subdag, update) = self.updates.recv().await?;
        match &update {
            Update::Fact(fact) | Update::Past(fact) => self.view.apply(subdag, fact),
            Update::Note(note) => self.view.note(subdag, note),
            Update::Died { again: true, .. } | Update::Waits { .. } => {}
            Update::Gone { killed, .. } => {
                self.killed |= killed;
                self.given_up.push(subdag);
            }
            Update::Died { again: false, .. } | Update::Unreadable { .. } => self.given_up.push(subdag),
        }
        Some((subdag, update))
    }

    /// What all news so far adds up to.
    #[must_use]
    pub const fn view(&self) -> &RunView {
        &self.view
    }

    /// Sub-DAGs whose master is gone, or whose journal can't be read.
    #[must_use]
    pub fn given_up(&self) -> &[SubDagId] {
        &self.given_up
    }

    /// Whether somebody killed an application of it.
    #[must_use]
    pub const fn is_killed(&self) -> bool {
        self.killed
    }
}
