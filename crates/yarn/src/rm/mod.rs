//! The ResourceManager as clients see it.

use dybox_hrpc::{Auth, Settings};

use crate::application::{AttemptReport, ContainerReport, NewApplication, Query, Report, Submission};
use crate::cluster::{ClusterMetrics, Label, NodeReport, Queue, QueueRights};
use crate::error::YarnError;
use crate::ids::{ApplicationId, AttemptId};

/// A client of the ResourceManager. Cheap to clone; connects with the first call.
#[derive(Clone, Debug)]
pub struct ResourceManager {}

fn not_yet<T>(operation: &str) -> Result<T, YarnError> {
    Err(YarnError::invalid(operation, "not built yet", "wait for the next commit"))
}

impl ResourceManager {
    /// The ResourceManager of a configuration, as `user` by word alone.
    pub fn from_settings(settings: &Settings, user: &str) -> Result<Self, YarnError> {
        Self::with_auth(settings, Auth::Simple { user: user.to_owned() })
    }

    /// The ResourceManager of a configuration.
    pub fn with_auth(_settings: &Settings, _auth: Auth) -> Result<Self, YarnError> {
        Ok(Self {})
    }

    /// A new id, and the largest container.
    pub async fn new_application(&self) -> Result<NewApplication, YarnError> {
        not_yet("get an application id")
    }

    /// Submits, and waits until YARN has accepted or rejected it. Sent again when the ResourceManager forgot it.
    pub async fn submit(&self, _submission: &Submission) -> Result<Report, YarnError> {
        not_yet("submit the application")
    }

    /// What YARN knows about an application.
    pub async fn report(&self, _id: ApplicationId) -> Result<Report, YarnError> {
        not_yet("read the application's report")
    }

    /// Applications that match, newest first.
    pub async fn applications(&self, _query: &Query) -> Result<Vec<Report>, YarnError> {
        not_yet("list applications")
    }

    /// Kills an application and waits until that is done.
    pub async fn kill(&self, _id: ApplicationId, _why: &str) -> Result<(), YarnError> {
        not_yet("kill the application")
    }

    /// All nodes, in every state.
    pub async fn nodes(&self) -> Result<Vec<NodeReport>, YarnError> {
        not_yet("list the nodes")
    }

    /// A queue; `None` = there is none of this name.
    pub async fn queue(&self, _name: &str) -> Result<Option<Queue>, YarnError> {
        not_yet("read the queue")
    }

    /// What this user may do in which queue.
    pub async fn queue_rights(&self) -> Result<Vec<QueueRights>, YarnError> {
        not_yet("read the queues' access lists")
    }

    /// The cluster's node labels.
    pub async fn labels(&self) -> Result<Vec<Label>, YarnError> {
        not_yet("list the node labels")
    }

    /// Counts of nodes.
    pub async fn metrics(&self) -> Result<ClusterMetrics, YarnError> {
        not_yet("read the cluster's metrics")
    }

    /// An application's masters, oldest first.
    pub async fn attempts(&self, _id: ApplicationId) -> Result<Vec<AttemptReport>, YarnError> {
        not_yet("list the attempts")
    }

    /// An attempt's YARN containers. Ended ones are forgotten unless the cluster keeps a history.
    pub async fn containers(&self, _id: AttemptId) -> Result<Vec<ContainerReport>, YarnError> {
        not_yet("list the containers")
    }
}
