//! The resource manager as the loop sees it: the embedded one, or YARN's.
//!
//! Enters: orders of the machine, and what proxies say about grants. Leaves: [`News`], the same for both. Never: a
//! decision about a task.

mod desk;
mod exit;
mod held;
mod launch;
mod line;
mod machine;
mod own;
mod pace;
mod report;
mod size;
mod sweep;
#[cfg(test)]
mod tests;
mod waits;
mod words;
mod yarn;

use std::time::Duration;

use dybox_local as local;
use dybox_model::{AttemptId, Cause, Exit, GrantId, Node, Resources, Wish};
use dybox_store::{Store, Trouble};
use dybox_yarn::am;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::MasterError;

pub(crate) use desk::Desk;
pub(crate) use launch::{Launcher, program};
pub(crate) use line::Line;
pub(crate) use machine::OneMachine;
pub(crate) use words::Room;
pub(crate) use yarn::Cluster;

/// What the machine wants of it.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// So many more grants of this wish; replaces the last ask of it.
    Ask { wish: Wish, count: u32 },
    /// Start the proxy of a grant.
    Launch { grant: GrantId },
    /// End what a lost proxy left.
    Sweep { grant: GrantId },
    /// End a proxy that does not answer.
    Kill { grant: GrantId },
    /// Make a grant larger or smaller.
    Resize { grant: GrantId, size: Resources },
    /// Nothing more on this machine.
    Blacklist { host: String },
    /// It may be used again.
    Forgive { host: String },
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum News {
    /// A grant is given.
    Granted { grant: GrantId, size: Resources, host: String, container: String, wish: Option<Wish> },
    /// A grant has another size.
    Resized { grant: GrantId, size: Resources },
    /// A grant keeps its size.
    NotResized { grant: GrantId, why: String },
    /// A proxy's process is gone; `clean`: it left nothing.
    Gone { grant: GrantId, clean: bool, how: String },
    /// The resource manager took a grant back.
    Taken { grant: GrantId, cause: Cause, how: String },
    /// Nothing of a lost proxy's grant runs any more.
    Swept { grant: GrantId, exits: Vec<(AttemptId, Option<Exit>)> },
    /// The proxy of an earlier master's grant should say Hello.
    Expect { grant: GrantId },
    /// The resource manager will take this grant soon.
    Preempts { grant: GrantId },
    /// Tell a proxy to sweep after another one.
    OrderSweep { by: GrantId, grant: GrantId },
    /// Tell a proxy that was there only to sweep to leave.
    OrderLeave { grant: GrantId },
    /// All machines of the cluster.
    Nodes(Vec<Node>),
    /// An ask that can never be granted.
    Refused { wish: Wish, why: String },
    /// The run is to end.
    Stop { why: String },
    /// Why asks wait; empty when none does.
    Waits { why: String },
    /// Whether other runs wait for room.
    OthersWait { any: bool, first: bool },
    /// What a person should know.
    Trouble { text: String, cause: Option<Cause> },
    /// This master is over: another one takes its place, or nobody wants it any more.
    Over { why: String },
    /// The resource manager knows that the application is finished.
    Finished,
}

/// What the ports of the resource manager tell, on its way to becoming [`News`].
#[derive(Debug)]
pub(crate) enum FromRm {
    /// The embedded one.
    Local(local::Event),
    /// The line to YARN's.
    Am(Box<am::Event>),
    /// What was done for it.
    Did(yarn::Did),
    /// Why asks wait, as the session says that gives the grants.
    Waits(String),
    /// The journal's file is in trouble, or out of it.
    Store(Trouble),
    /// The run's directory says that the run is to end, and why.
    Marked(String),
}

/// What proxies say that concerns the resource manager.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// It has a line.
    Joined,
    /// A task was given to it.
    Given,
    /// A task of its runs, or has ended.
    Works,
    /// Its line is cut.
    Cut,
    /// It leaves.
    Leaving,
    /// It has swept after another one.
    Swept { grant: GrantId, exits: Vec<(AttemptId, Option<Exit>)> },
}

type Told = mpsc::UnboundedReceiver<FromRm>;

/// One of the two.
#[derive(Debug)]
pub(crate) enum Rm {
    /// The embedded one.
    Machine(OneMachine),
    /// YARN's.
    Cluster(Box<Cluster>),
}

impl Rm {
    pub(crate) fn order(&mut self, order: Order) -> Vec<News> {
        match self {
            Self::Machine(machine) => {
                machine.order(order);
                Vec::new()
            }
            Self::Cluster(cluster) => cluster.order(order),
        }
    }

    /// The run needs these images too, wherever its grants are from now on.
    pub(crate) fn need_images(&mut self, images: impl Iterator<Item = String>) {
        if let Self::Cluster(cluster) = self {
            cluster.need_images(images);
        }
    }

    /// Takes in what its ports told.
    pub(crate) fn take(&mut self, event: FromRm) -> Vec<News> {
        match (self, event) {
            (_, FromRm::Local(event)) => vec![machine::news(event)],
            (_, FromRm::Store(Trouble { text, .. })) => {
                vec![News::Trouble { text, cause: Some(Cause::StoreFailed) }]
            }
            (_, FromRm::Marked(why)) => vec![News::Stop { why }],
            (Self::Cluster(cluster), FromRm::Am(event)) => cluster.told(*event),
            (Self::Cluster(cluster), FromRm::Did(did)) => cluster.did(did),
            (Self::Cluster(cluster), FromRm::Waits(why)) => cluster.waits_for_session(why),
            (Self::Machine(_), FromRm::Am(_) | FromRm::Did(_) | FromRm::Waits(_)) => Vec::new(),
        }
    }

    /// Takes in what a proxy said.
    pub(crate) fn heard(&mut self, grant: GrantId, heard: Heard) -> Vec<News> {
        match self {
            Self::Machine(_) => Vec::new(),
            Self::Cluster(cluster) => cluster.heard(grant, heard),
        }
    }

    /// The time that [`Rm::wake`] named has come.
    pub(crate) fn tick(&mut self) -> Vec<News> {
        match self {
            Self::Machine(_) => Vec::new(),
            Self::Cluster(cluster) => cluster.tick(),
        }
    }

    pub(crate) fn wake(&self) -> Option<Instant> {
        match self {
            Self::Machine(_) => None,
            Self::Cluster(cluster) => cluster.wake(),
        }
    }

    /// Whether the machine knows nothing of this grant, which is there to sweep.
    pub(crate) fn is_sweeper(&self, grant: GrantId) -> bool {
        match self {
            Self::Machine(_) => false,
            Self::Cluster(cluster) => cluster.is_sweeper(grant),
        }
    }

    /// Whether the resource manager has it no more, although its proxy may live.
    pub(crate) fn is_over(&self, grant: GrantId) -> bool {
        match self {
            Self::Machine(_) => false,
            Self::Cluster(cluster) => cluster.is_over(grant),
        }
    }

    /// How much of the work is done, for those who look at the resource manager.
    pub(crate) fn progress(&mut self, part: f32) {
        match self {
            Self::Machine(_) => {}
            Self::Cluster(cluster) => cluster.progress(part),
        }
    }

    /// Ends it, in order where the sub-DAG has ended: `report` is where its journal can be read then.
    pub(crate) async fn close(self, report: Option<(Store, String)>, told: Told) -> Result<(), MasterError> {
        match self {
            Self::Machine(machine) => machine.close().await,
            Self::Cluster(cluster) => return cluster.close(report, told).await,
        }
        Ok(())
    }

    /// For how long a proxy may look for its master before it leaves.
    pub(crate) fn patience(&self) -> Duration {
        match self {
            Self::Machine(_) => Duration::from_secs(12),
            // It leaves by itself after 45 s.
            Self::Cluster(_) => Duration::from_secs(60),
        }
    }

    /// For how long a proxy's process may take to say its first word.
    pub(crate) fn birth(&self) -> Duration {
        match self {
            Self::Machine(_) => Duration::from_secs(20),
            // The program comes to the machine first.
            Self::Cluster(_) => Duration::from_secs(300),
        }
    }
}
