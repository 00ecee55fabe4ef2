//! Starts and stops YARN containers on their nodes.

use dybox_hrpc::Token;

use crate::container::{Container, ContainerStatus};
use crate::error::YarnError;
use crate::ids::{ContainerId, NodeId};
use crate::launch::Launch;

/// All NodeManagers, one line each. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeManagers {}

impl NodeManagers {
    /// Starts a grant's process. `Ok` = the node took the order, not that the process runs.
    pub async fn start(&self, _container: &Container, _launch: &Launch) -> Result<(), YarnError> {
        not_yet("start a container")
    }

    /// Ends a grant's process; SIGKILL follows SIGTERM after 250 ms. An ended one is no error.
    pub async fn stop(&self, _node: &NodeId, _id: ContainerId) -> Result<(), YarnError> {
        not_yet("stop a container")
    }

    /// What the node says about a grant.
    pub async fn status(&self, _node: &NodeId, _id: ContainerId) -> Result<ContainerStatus, YarnError> {
        not_yet("ask about a container")
    }

    /// Tells the node a grant's new size, after [`crate::am::Event::Updated`].
    pub async fn update(&self, _container: &Container) -> Result<(), YarnError> {
        not_yet("resize a container")
    }

    /// A token for a node from elsewhere.
    pub fn token(&self, _node: NodeId, _token: Token) {}
}

fn not_yet<T>(operation: &str) -> Result<T, YarnError> {
    Err(YarnError::invalid(operation, "not built yet", "wait for the next commit"))
}
