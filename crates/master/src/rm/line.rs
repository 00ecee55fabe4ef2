//! Who gives grants: YARN itself, or a session that has some already.

use std::time::Duration;

use dybox_model::GrantId;
use dybox_yarn::{Container, NodeManagers, am};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::FromRm;
use super::launch::Start;
use super::yarn::Did;
use crate::session::Hand;

/// For a NodeManager to stop a proxy that does not answer.
const STOP: Duration = Duration::from_secs(20);

/// One of the two.
#[derive(Debug)]
pub(crate) enum Line {
    /// YARN.
    Yarn {
        /// The ApplicationMaster's line.
        am: am::Handle,
        /// For what runs in grants.
        nodes: NodeManagers,
    },
    /// The session in whose process this master is.
    Session(Hand),
}

impl Line {
    pub(crate) fn yarn(am: am::Handle) -> Self {
        let nodes = am.node_managers();
        Self::Yarn { am, nodes }
    }

    pub(crate) const fn session(hand: Hand) -> Self {
        Self::Session(hand)
    }

    pub(super) fn order(&self, order: am::Order) {
        match self {
            Self::Yarn { am, .. } => am.order(order),
            Self::Session(hand) => hand.order(order),
        }
    }

    /// Starts a proxy. Where that fails it is told; in a session an agent's end is.
    pub(super) fn start(
        &self,
        (grant, container): (GrantId, &Container),
        start: &Start<'_>,
        tell: mpsc::UnboundedSender<FromRm>,
    ) {
        match self {
            Self::Session(hand) => hand.start(grant, container.id, start.bundle.clone()),
            Self::Yarn { nodes, .. } => {
                let (nodes, container, launch) = (nodes.clone(), container.clone(), start.launch());
                tokio::spawn(async move {
                    let outcome = nodes.start(&container, &launch).await;
                    let _ = tell.send(FromRm::Did(Did::Started { grant, outcome }));
                });
            }
        }
    }

    /// Tells a container's NodeManager its new size. A session changes none.
    pub(super) fn grow(&self, container: Container, tell: mpsc::UnboundedSender<FromRm>) {
        let Self::Yarn { nodes, .. } = self else { return };
        let nodes = nodes.clone();
        tokio::spawn(async move {
            let outcome = nodes.update(&container).await;
            let container = Box::new(container);
            let _ = tell.send(FromRm::Did(Did::Grown { container, outcome }));
        });
    }

    pub(super) fn stop(&self, grant: GrantId, container: &Container) {
        match self {
            Self::Session(hand) => hand.order(am::Order::Release(container.id)),
            Self::Yarn { nodes, .. } => {
                let (nodes, container) = (nodes.clone(), container.clone());
                tokio::spawn(async move {
                    match timeout(STOP, nodes.stop(&container.node, container.id)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::warn!("the proxy of {grant} could not be stopped: {error}"),
                        Err(_) => tracing::warn!("the NodeManager of {grant} does not answer"),
                    }
                });
            }
        }
    }
}
