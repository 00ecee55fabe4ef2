//! The ResourceManager as clients see it.

pub(crate) mod address;
mod submit;

use std::time::Duration;

use dybox_hrpc::{Auth, Call, Client, Options, Settings, Target};
use prost::Message;

use crate::application::{AttemptReport, ContainerReport, NewApplication, Query, Report, Submission};
use crate::cluster::{ClusterMetrics, Label, NodeReport, Queue, QueueRights};
use crate::convert;
use crate::error::YarnError;
use crate::ids::{ApplicationId, AttemptId};
use crate::proto::yarn;

const PROTOCOL: &str = "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB";
const DEADLINE: Duration = Duration::from_secs(30);
const USUAL_LIMIT: u32 = 1000;

/// A client of the ResourceManager. Cheap to clone; connects with the first call.
#[derive(Clone, Debug)]
pub struct ResourceManager {
    client: Client,
    deadline: Duration,
}

/// The target of one of the ResourceManager's services.
pub(crate) fn target(
    settings: &Settings,
    service: address::Service,
    protocol: &'static str,
    auth: Auth,
) -> Result<Target, YarnError> {
    let options = Options::from_settings(settings)
        .map_err(|error| YarnError::Conf { what: error.to_string(), advice: error.advice() })?;
    Ok(Target { addresses: address::addresses(settings, service)?, protocol, auth, options })
}

impl ResourceManager {
    /// The ResourceManager of a configuration, as `user` by word alone.
    pub fn from_settings(settings: &Settings, user: &str) -> Result<Self, YarnError> {
        Self::with_auth(settings, Auth::Simple { user: user.to_owned() })
    }

    /// The ResourceManager of a configuration.
    pub fn with_auth(settings: &Settings, auth: Auth) -> Result<Self, YarnError> {
        let target = target(settings, address::CLIENTS, PROTOCOL, auth)?;
        Ok(Self { client: Client::new(target), deadline: DEADLINE })
    }

    /// The same with another limit for each call, retries included.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    async fn call<Req: Message, Resp: Message + Default>(
        &self,
        operation: &str,
        method: &str,
        request: &Req,
    ) -> Result<Resp, YarnError> {
        // Every call of this protocol that we use may be run twice: Hadoop marks them idempotent.
        let limits = Call { deadline: self.deadline, idempotent: true };
        self.client.call(method, request, limits).await.map_err(|error| YarnError::rpc(operation, error))
    }

    /// A new id, and the largest container.
    pub async fn new_application(&self) -> Result<NewApplication, YarnError> {
        let operation = "get an application id";
        let request = yarn::GetNewApplicationRequestProto {};
        let answer: yarn::GetNewApplicationResponseProto = self.call(operation, "getNewApplication", &request).await?;
        let id = answer.application_id.as_ref().ok_or_else(|| missing(operation, "an id"))?;
        let max = convert::size_from(answer.maximum_capability.as_ref());
        Ok(NewApplication { id: convert::application_from(id), max })
    }

    /// Submits, and waits until YARN has accepted or rejected it. Sent again when the ResourceManager forgot it.
    pub async fn submit(&self, submission: &Submission) -> Result<Report, YarnError> {
        submit::submit(self, submission).await
    }

    /// What YARN knows about an application.
    pub async fn report(&self, id: ApplicationId) -> Result<Report, YarnError> {
        let operation = format!("read the report of {id}");
        let request = yarn::GetApplicationReportRequestProto { application_id: Some(convert::application_to(id)) };
        let answer: yarn::GetApplicationReportResponseProto =
            self.call(&operation, "getApplicationReport", &request).await?;
        answer.report.as_ref().and_then(convert::report).ok_or_else(|| missing(&operation, "a report"))
    }

    /// Applications that match, newest first.
    pub async fn applications(&self, query: &Query) -> Result<Vec<Report>, YarnError> {
        let request = yarn::GetApplicationsRequestProto {
            application_types: query.kinds.clone(),
            application_states: query.states.iter().map(|state| convert::app_state_number(*state)).collect(),
            users: query.users.clone(),
            queues: query.queues.clone(),
            limit: Some(query.limit.unwrap_or(USUAL_LIMIT).into()),
            application_tags: query.tags.iter().map(|tag| tag.to_ascii_lowercase()).collect(),
        };
        let answer: yarn::GetApplicationsResponseProto =
            self.call("list applications", "getApplications", &request).await?;
        let mut found: Vec<_> = answer.applications.iter().filter_map(convert::report).collect();
        found.sort_by_key(|report| std::cmp::Reverse(report.id));
        Ok(found)
    }

    /// Kills an application and waits until that is done.
    pub async fn kill(&self, id: ApplicationId, why: &str) -> Result<(), YarnError> {
        submit::kill(self, id, why).await
    }

    /// All nodes, in every state.
    pub async fn nodes(&self) -> Result<Vec<NodeReport>, YarnError> {
        const ALL_STATES: i32 = 8;
        let request = yarn::GetClusterNodesRequestProto { node_states: (1..=ALL_STATES).collect() };
        let answer: yarn::GetClusterNodesResponseProto =
            self.call("list the nodes", "getClusterNodes", &request).await?;
        let mut nodes: Vec<_> = answer.nodes.iter().filter_map(convert::node).collect();
        nodes.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(nodes)
    }

    /// A queue with the queues inside it; `None` = there is none of this name.
    pub async fn queue(&self, name: &str) -> Result<Option<Queue>, YarnError> {
        let operation = format!("read the queue {name}");
        let request = yarn::GetQueueInfoRequestProto {
            queue_name: Some(name.to_owned()),
            include_applications: Some(false),
            include_children: Some(true),
            recursive: Some(true),
        };
        let answer: Result<yarn::GetQueueInfoResponseProto, _> = self.call(&operation, "getQueueInfo", &request).await;
        match answer {
            Ok(answer) => Ok(answer.queue.as_ref().map(convert::queue).filter(|queue| !queue.name.is_empty())),
            Err(YarnError::Refused { sentence, .. }) if sentence.starts_with("Unknown queue") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What this user may do in which queue.
    pub async fn queue_rights(&self) -> Result<Vec<QueueRights>, YarnError> {
        let request = yarn::GetQueueUserAclsRequestProto {};
        let answer: yarn::GetQueueUserAclsResponseProto =
            self.call("read the queues' access lists", "getQueueUserAcls", &request).await?;
        Ok(answer.queues.iter().map(convert::queue_rights).collect())
    }

    /// The cluster's node labels.
    pub async fn labels(&self) -> Result<Vec<Label>, YarnError> {
        let request = yarn::GetClusterNodeLabelsRequestProto {};
        let answer: yarn::GetClusterNodeLabelsResponseProto =
            self.call("list the node labels", "getClusterNodeLabels", &request).await?;
        let old = answer.deprecated_labels.iter().map(|name| Label { name: name.clone(), exclusive: true });
        let new =
            answer.labels.iter().map(|label| Label { name: label.name().to_owned(), exclusive: label.exclusive() });
        let labels: Vec<_> = if answer.labels.is_empty() { old.collect() } else { new.collect() };
        Ok(labels.into_iter().filter(|label| !label.name.is_empty()).collect())
    }

    /// Counts of nodes.
    pub async fn metrics(&self) -> Result<ClusterMetrics, YarnError> {
        let request = yarn::GetClusterMetricsRequestProto {};
        let answer: yarn::GetClusterMetricsResponseProto =
            self.call("read the cluster's metrics", "getClusterMetrics", &request).await?;
        Ok(answer.metrics.as_ref().map(convert::metrics).unwrap_or_default())
    }

    /// An application's masters, oldest first.
    pub async fn attempts(&self, id: ApplicationId) -> Result<Vec<AttemptReport>, YarnError> {
        let request = yarn::GetApplicationAttemptsRequestProto { application_id: Some(convert::application_to(id)) };
        let answer: yarn::GetApplicationAttemptsResponseProto =
            self.call(&format!("list the attempts of {id}"), "getApplicationAttempts", &request).await?;
        let mut attempts: Vec<_> = answer.attempts.iter().filter_map(convert::attempt_report).collect();
        attempts.sort_by_key(|report| report.id);
        Ok(attempts)
    }

    /// An attempt's YARN containers. Ended ones are forgotten unless the cluster keeps a history.
    pub async fn containers(&self, id: AttemptId) -> Result<Vec<ContainerReport>, YarnError> {
        let request = yarn::GetContainersRequestProto { attempt_id: Some(convert::attempt_to(id)) };
        let answer: yarn::GetContainersResponseProto =
            self.call(&format!("list the containers of {id}"), "getContainers", &request).await?;
        let mut containers: Vec<_> = answer.containers.iter().filter_map(convert::container_report).collect();
        containers.sort_by_key(|report| report.id);
        Ok(containers)
    }
}

fn missing(operation: &str, what: &str) -> YarnError {
    YarnError::Refused {
        operation: operation.to_owned(),
        class: "IncompleteAnswer".to_owned(),
        sentence: format!("the ResourceManager's answer lacks {what}"),
    }
}
