//! Starts and stops YARN containers on their nodes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dybox_hrpc::{Address, Auth, Call, Client, Options, Target, Token};
use prost::Message;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use crate::container::{Container, ContainerStatus};
use crate::convert;
use crate::error::{Kind, YarnError, sentence};
use crate::ids::{ContainerId, NodeId};
use crate::launch::Launch;
use crate::proto::yarn;

const PROTOCOL: &str = "org.apache.hadoop.yarn.api.ContainerManagementProtocolPB";
/// One call, connection included. A node that is slower is as good as gone for a start.
const CALL: Duration = Duration::from_secs(20);
/// All tries of one order.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);
/// How many starts are on their way at once.
const STARTS: usize = 64;
/// What it says of containers that it had or never had: the class of its exception does not tell.
const ENDED: [&str; 2] = ["was recently stopped on node manager", "is not handled by this NodeManager"];
const NOT_FOUND: &str = "ContainerNotFoundException";

/// All NodeManagers, one line each, with the tokens that the ResourceManager gave. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeManagers {
    asks: mpsc::UnboundedSender<Ask>,
    starts: Arc<Semaphore>,
    patience: Duration,
}

/// What the keeper of the lines is asked.
#[derive(Debug)]
enum Ask {
    /// A newer token for a node.
    Token(NodeId, Token),
    /// The line to a node, if there is a token for it.
    Line(NodeId, oneshot::Sender<Option<Client>>),
}

/// Owns tokens and lines.
struct Keeper {
    options: Options,
    nodes: BTreeMap<NodeId, (Token, Client)>,
}

impl Keeper {
    fn take(&mut self, node: NodeId, token: Token) {
        match self.nodes.get_mut(&node) {
            Some((old, _)) if *old == token => {}
            Some((old, client)) => {
                client.set_token(token.clone());
                *old = token;
            }
            None => {
                let target = Target {
                    addresses: vec![Address::new(node.host.clone(), node.port)],
                    protocol: PROTOCOL,
                    auth: Auth::Token(token.clone()),
                    options: self.options.clone(),
                };
                self.nodes.insert(node, (token, Client::new(target)));
            }
        }
    }

    async fn keep(mut self, mut asks: mpsc::UnboundedReceiver<Ask>) {
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::Token(node, token) => self.take(node, token),
                Ask::Line(node, answer) => {
                    // Whoever asked may have given up meanwhile.
                    let _ = answer.send(self.nodes.get(&node).map(|(_, client)| client.clone()));
                }
            }
        }
    }
}

impl NodeManagers {
    /// No token yet: each node's comes by [`NodeManagers::token`].
    #[must_use]
    pub fn new(options: Options) -> Self {
        let (asks, inbox) = mpsc::unbounded_channel();
        tokio::spawn(Keeper { options, nodes: BTreeMap::new() }.keep(inbox));
        Self { asks, starts: Arc::new(Semaphore::new(STARTS)), patience: PATIENCE }
    }

    /// The same, but an order is given up after so long.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A newer token for a node. Those that come with heartbeats are taken by themselves.
    pub fn token(&self, node: NodeId, token: Token) {
        // The keeper ends with the runtime only.
        let _ = self.asks.send(Ask::Token(node, token));
    }

    /// Starts a grant's process. `Ok` = the node took the order, not that the process runs.
    pub async fn start(&self, container: &Container, launch: &Launch) -> Result<(), YarnError> {
        let operation = format!("start {} on {}", container.id, container.node);
        let request = yarn::StartContainersRequestProto {
            requests: vec![yarn::StartContainerRequestProto {
                launch_context: Some(convert::launch_context(&operation, launch)?),
                container_token: Some(convert::token_to(&container.token)),
            }],
        };
        let _permit = self.starts.acquire().await;
        let started = self
            .until_done(
                (&operation, &container.node),
                ("startContainers", &request),
                |answer: yarn::StartContainersResponseProto| all_went_well(&operation, &answer.failed),
            )
            .await;
        match started {
            // An earlier try arrived, only its answer was lost.
            Err(YarnError::Refused { sentence, .. }) if sentence.contains("already is running on this node") => Ok(()),
            other => other,
        }
    }

    /// Ends a grant's process; SIGKILL follows SIGTERM after 250 ms. An ended one is no error.
    pub async fn stop(&self, node: &NodeId, id: ContainerId) -> Result<(), YarnError> {
        let operation = format!("stop {id} on {node}");
        let request = yarn::StopContainersRequestProto { container_id: vec![convert::container_to(id)] };
        let settle = |answer: yarn::StopContainersResponseProto| all_went_well(&operation, &answer.failed);
        match self.until_done((&operation, node), ("stopContainers", &request), settle).await {
            Err(error) if error.kind() == Kind::Gone => Ok(()),
            other => other,
        }
    }

    /// What the node says about a grant.
    pub async fn status(&self, node: &NodeId, id: ContainerId) -> Result<ContainerStatus, YarnError> {
        let operation = format!("ask {node} about {id}");
        let request = yarn::GetContainerStatusesRequestProto { container_id: vec![convert::container_to(id)] };
        let settle = |answer: yarn::GetContainerStatusesResponseProto| {
            all_went_well(&operation, &answer.failed)?;
            answer.status.first().and_then(convert::status).ok_or_else(|| YarnError::Refused {
                operation: operation.clone(),
                class: NOT_FOUND.to_owned(),
                sentence: "the NodeManager does not know it".to_owned(),
            })
        };
        self.until_done((&operation, node), ("getContainerStatuses", &request), settle).await
    }

    /// Tells the node a grant's new size, after [`crate::am::Event::Updated`]. Only one that grew needs it.
    pub async fn update(&self, container: &Container) -> Result<(), YarnError> {
        let operation = format!("resize {} on {}", container.id, container.node);
        let request =
            yarn::ContainerUpdateRequestProto { update_container_token: vec![convert::token_to(&container.token)] };
        let settle = |answer: yarn::ContainerUpdateResponseProto| all_went_well(&operation, &answer.failed);
        self.until_done((&operation, &container.node), ("updateContainer", &request), settle).await
    }

    /// Tries until it works, is refused, or took too long: a node that restarts is not ready for some seconds.
    async fn until_done<Req: Message, Resp: Message + Default, T>(
        &self,
        (operation, node): (&str, &NodeId),
        (method, request): (&str, &Req),
        settle: impl Fn(Resp) -> Result<T, YarnError>,
    ) -> Result<T, YarnError> {
        let until = Instant::now() + self.patience;
        loop {
            let error = match self.line(operation, node).await {
                Ok(client) => match call(&client, operation, method, request).await.and_then(&settle) {
                    Err(error) if matches!(error.kind(), Kind::Unreachable | Kind::NotReady) => error,
                    settled => return settled,
                },
                Err(error) => return Err(error),
            };
            if Instant::now() + PAUSE > until {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    async fn line(&self, operation: &str, node: &NodeId) -> Result<Client, YarnError> {
        let (answer, line) = oneshot::channel();
        // Without a keeper the answer never comes, which is told below.
        let _ = self.asks.send(Ask::Line(node.clone(), answer));
        line.await.ok().flatten().ok_or_else(|| {
            let what = format!("the ResourceManager gave no token for the NodeManager {node}");
            YarnError::invalid(operation, what, "the node has restarted on another port: its grants are lost")
        })
    }
}

async fn call<Req: Message, Resp: Message + Default>(
    client: &Client,
    operation: &str,
    method: &str,
    request: &Req,
) -> Result<Resp, YarnError> {
    // Starting, stopping and asking twice is the same as once: the node knows each container by its id.
    let limits = Call { deadline: CALL, idempotent: true };
    client.call(method, request, limits).await.map_err(|error| YarnError::rpc(operation, error))
}

/// An answer that names failures is one, though the call itself worked.
fn all_went_well(operation: &str, failed: &[yarn::ContainerExceptionMapProto]) -> Result<(), YarnError> {
    let Some(first) = failed.first() else { return Ok(()) };
    let exception = first.exception.as_ref();
    let class = exception.map(|e| e.class_name()).filter(|class| !class.is_empty()).unwrap_or("YarnException");
    let message = exception.map(yarn::SerializedExceptionProto::message).unwrap_or_default();
    let ended = ENDED.iter().any(|words| message.contains(words));
    let class = if ended { NOT_FOUND } else { class }.to_owned();
    Err(YarnError::Refused { operation: operation.to_owned(), class, sentence: sentence(message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_inside_a_good_answer_is_a_failure() {
        let exception = yarn::SerializedExceptionProto {
            message: Some("This token is expired. current time is 2 found 1\nNote: clocks".into()),
            class_name: Some("org.apache.hadoop.yarn.exceptions.YarnException".into()),
            cause: None,
        };
        let failed = yarn::ContainerExceptionMapProto { container_id: None, exception: Some(exception) };
        let error = all_went_well("start c", &[failed]).unwrap_err();
        assert_eq!(error.to_string(), "could not start c: This token is expired. current time is 2 found 1");
        assert!(all_went_well("start c", &[]).is_ok());
    }

    #[test]
    fn a_container_that_has_ended_is_gone() {
        let exception = yarn::SerializedExceptionProto {
            message: Some("Container container_1 was recently stopped on node manager.".into()),
            class_name: Some("org.apache.hadoop.yarn.exceptions.YarnException".into()),
            cause: None,
        };
        let failed = yarn::ContainerExceptionMapProto { container_id: None, exception: Some(exception) };
        assert_eq!(all_went_well("resize c", &[failed]).unwrap_err().kind(), Kind::Gone);
    }

    #[tokio::test]
    async fn a_node_without_a_token_is_told_at_once() {
        let nodes = NodeManagers::new(Options::default());
        let id = "container_1_0001_01_000002".parse().unwrap();
        let error = nodes.stop(&NodeId { host: "h".into(), port: 1 }, id).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains("no token for the NodeManager h:1"), "{error}");
    }
}
