//! Performs the machine: one task that owns it, one call on its way.

use std::time::Duration;

use dybox_hrpc::{Auth, Call, Client, Options, RpcError};
use dybox_model::{Millis, Node};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::conf::Conf;
use super::event::{Event, Order};
use super::machine::{Am, Effect, Input, Rules};
use crate::convert;
use crate::error::YarnError;
use crate::ids::NodeId;
use crate::nm::NodeManagers;
use crate::proto::yarn;
use crate::rm::{ResourceManager, address, target};

const PROTOCOL: &str = "org.apache.hadoop.yarn.api.ApplicationMasterProtocolPB";
/// Registering may wait for a ResourceManager that is loading its state.
const REGISTER: (&str, Duration) = ("registerApplicationMaster", Duration::from_secs(30));
const BEAT: Duration = Duration::from_secs(10);
const NODES: Duration = Duration::from_secs(10);

/// The master's hand on the ApplicationMaster's line. Cheap to clone; the line closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    nodes: NodeManagers,
}

impl Handle {
    /// Gives an order; never blocks. Asks that are ordered before [`Event::Registered`] go with the first heartbeat.
    /// Orders after the end are dropped.
    pub fn order(&self, order: Order) {
        // The line is closed only after `Finished` or `Dead`: nobody is left to take orders.
        let _ = self.orders.send(order);
    }

    /// The NodeManagers, with this application's tokens.
    #[must_use]
    pub fn node_managers(&self) -> NodeManagers {
        self.nodes.clone()
    }
}

/// Registers, beats, asks: until [`Event::Finished`] or [`Event::Dead`]. Must run inside a tokio runtime.
#[must_use]
pub fn start(conf: Conf) -> (Handle, mpsc::UnboundedReceiver<Event>) {
    let (orders, order_box) = mpsc::unbounded_channel();
    let (events, event_box) = mpsc::unbounded_channel();
    let nodes = NodeManagers::new(Options::from_settings(&conf.settings).unwrap_or_default());
    let handle = Handle { orders, nodes: nodes.clone() };
    match Line::open(conf, nodes, events.clone()) {
        Ok(line) => {
            tokio::spawn(line.run(order_box));
        }
        Err(error) => {
            // The receiver is in the caller's hand.
            let _ = events.send(Event::Dead { why: format!("{error} ({})", error.advice()) });
        }
    }
    (handle, event_box)
}

struct Line {
    machine: Am,
    client: Client,
    cluster: Option<ResourceManager>,
    nodes: NodeManagers,
    events: mpsc::UnboundedSender<Event>,
    began: Instant,
    host: String,
    rpc_port: u16,
    nodes_every: Duration,
}

impl Line {
    fn open(conf: Conf, nodes: NodeManagers, events: mpsc::UnboundedSender<Event>) -> Result<Self, YarnError> {
        let millis = |span: Duration| Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
        let rules =
            Rules { beat: millis(conf.beat), quick_beat: millis(conf.quick_beat), patience: millis(conf.patience) };
        let target = target(&conf.settings, address::SCHEDULER, PROTOCOL, Auth::Token(conf.token))?;
        let cluster =
            conf.user.as_ref().map(|user| ResourceManager::from_settings(&conf.settings, user)).transpose()?;
        Ok(Self {
            machine: Am::new(rules, conf.attempt, conf.tracking_url),
            client: Client::new(target),
            cluster: cluster.map(|cluster| cluster.with_deadline(NODES)),
            nodes,
            events,
            began: Instant::now(),
            host: conf.host,
            rpc_port: conf.rpc_port,
            nodes_every: conf.nodes_every,
        })
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let (answers, mut answer_box) = mpsc::unbounded_channel();
        let mut look_at_nodes = self.began;
        let mut effects = Vec::new();
        while !self.machine.is_over() {
            let wake = self.machine.wake().map(|at| self.began + Duration::from_millis(at.0));
            let input = tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => Input::Order(order),
                    // The master is gone without a goodbye: whoever starts it again goes on.
                    None => return,
                },
                Some(answer) = answer_box.recv() => answer,
                () = sleep_until(look_at_nodes), if self.cluster.is_some() => {
                    look_at_nodes = Instant::now() + self.nodes_every;
                    self.read_nodes(&answers);
                    continue;
                }
                () = sleep_until(wake.unwrap_or(self.began)), if wake.is_some() => Input::Tick,
            };
            let now = self.now();
            self.machine.handle(now, input, &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect, &answers);
            }
        }
    }

    fn perform(&self, effect: Effect, answers: &mpsc::UnboundedSender<Input>) {
        match effect {
            Effect::Register { tracking } => {
                let request = yarn::RegisterApplicationMasterRequestProto {
                    host: Some(self.host.clone()),
                    rpc_port: Some(self.rpc_port.into()),
                    tracking_url: Some(tracking),
                };
                let read =
                    |answer: yarn::RegisterApplicationMasterResponseProto| Input::Registered(convert::welcome(&answer));
                self.call(REGISTER.0, request, read, answers);
            }
            Effect::Beat(heartbeat) => {
                let read = |answer: yarn::AllocateResponseProto| Input::Answered(Box::new(convert::answer(&answer)));
                self.call("allocate", convert::heartbeat(&heartbeat), read, answers);
            }
            Effect::Finish { status, diagnostics, url } => {
                let request = yarn::FinishApplicationMasterRequestProto {
                    diagnostics: Some(diagnostics),
                    tracking_url: Some(url),
                    final_status: Some(convert::final_status_number(status)),
                };
                let read =
                    |answer: yarn::FinishApplicationMasterResponseProto| Input::Unregistered(answer.is_unregistered());
                self.call("finishApplicationMaster", request, read, answers);
            }
            Effect::Token(token) => self.client.set_token(token),
            Effect::NodeToken(node, token) => self.nodes.token(node, token),
            // A master that does not listen any more drops its handle too, which ends this task.
            Effect::Tell(event) => drop(self.events.send(event)),
        }
    }

    fn call<Req, Resp>(
        &self,
        method: &'static str,
        request: Req,
        read: impl FnOnce(Resp) -> Input + Send + 'static,
        answers: &mpsc::UnboundedSender<Input>,
    ) where
        Req: Message + 'static,
        Resp: Message + Default + 'static,
    {
        let (client, answers) = (self.client.clone(), answers.clone());
        let deadline = if method == REGISTER.0 { REGISTER.1 } else { BEAT };
        tokio::spawn(async move {
            // The machine sends the same again when no answer came, and YARN knows a repetition by its number: so the
            // client below may do so too.
            let limits = Call { deadline, idempotent: true };
            let answer: Result<Resp, RpcError> = client.call(method, &request, limits).await;
            let input = answer.map_or_else(|error| Input::Failed(convert::failure(&error)), read);
            // The line may have ended meanwhile.
            let _ = answers.send(input);
        });
    }

    fn read_nodes(&self, answers: &mpsc::UnboundedSender<Input>) {
        let Some(cluster) = self.cluster.clone() else { return };
        let answers = answers.clone();
        tokio::spawn(async move {
            match cluster.nodes().await {
                Ok(nodes) => {
                    let nodes: Vec<(NodeId, Node)> = nodes.into_iter().map(|node| (node.id, node.node)).collect();
                    // The line may have ended meanwhile.
                    let _ = answers.send(Input::Nodes(nodes));
                }
                // The heartbeat tells about troubles of the ResourceManager; nodes only help to place tasks.
                Err(error) => tracing::debug!(%error, "the list of nodes can't be read"),
            }
        });
    }
}
