//! What happens to each call: the certificate is checked, then it goes into the mailbox.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dybox_model::roster::{BringOrder, Mark, NodeFacts, Pulse};
use dybox_model::sweep::SweepOrder;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::badge::{Badge, Holder};
use super::pieces::whole;
use crate::proto::roster_server::Roster;
use crate::proto::{
    BringReply, BringRequest, MarkReply, MarkRequest, NodeReport, NodesReply, NodesRequest, SweepReply, SweepRequest,
    ToNode,
};

/// For the first report of a line, whose facts come in pieces.
const FIRST: Duration = Duration::from_secs(15);

/// What peers want from a state server. Answers are dropped in silence when the peer is gone.
#[derive(Debug)]
pub enum RosterCall {
    /// An agent opened a line; its certificate is for this host.
    Opened {
        /// A number that never repeats in a server's life.
        session: u64,
        /// Whose.
        host: String,
        /// To talk to it; dropping it cuts the line. Boxed: a channel has room for 32 of what it carries, for ever.
        orders: mpsc::UnboundedSender<Box<AgentOrder>>,
    },
    /// An agent said something.
    Reported {
        /// Over which line.
        session: u64,
        /// What.
        report: Box<super::NodeReport>,
    },
    /// A line is cut.
    Closed {
        /// Which.
        session: u64,
    },
    /// Somebody was turned away before it could say anything.
    Denied {
        /// In a word: `no_agent`, `other_host`, `garbled`, `no_right`.
        why: &'static str,
    },
    /// What is known of one node, or of all.
    Nodes {
        /// Which; nothing = all.
        host: Option<String>,
        /// Names of images: each node says which of them it has.
        images: Vec<String>,
        /// JSON of a [`dybox_model::roster::RosterView`].
        answer: oneshot::Sender<Bytes>,
    },
    /// Drain a node, or end that.
    Mark {
        /// Which.
        host: String,
        /// No new tasks.
        drained: bool,
        /// Why.
        why: String,
        /// Who.
        by: String,
        /// To be answered once it is kept, or with the reason why it can't be.
        done: oneshot::Sender<Result<(), String>>,
    },
    /// Agents are to sweep now.
    Sweep {
        /// Of which machine; nothing = of all.
        host: Option<String>,
        /// What they are told.
        order: SweepOrder,
        /// The machines whose agents were told.
        answer: oneshot::Sender<Vec<String>>,
    },
    /// A master wants an image on machines before tasks need it there.
    Bring {
        /// Which machines.
        hosts: Vec<String>,
        /// What their agents are told.
        order: BringOrder,
        /// The machines whose agents were told.
        answer: oneshot::Sender<Vec<String>>,
    },
}

/// What a server says to an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentOrder {
    /// Carry this mark.
    Carry(Mark),
    /// Sweep now.
    Sweep(SweepOrder),
    /// Bring this image, where there is room for it.
    Bring(BringOrder),
    /// The line is cut, because.
    Leave(String),
}

pub(super) struct Desk {
    mailbox: mpsc::Sender<RosterCall>,
    sessions: AtomicU64,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn closing<T>(_: T) -> Status {
    Status::unavailable("the state server is about to end")
}

fn holder<T>(request: &Request<T>) -> Holder {
    // Every peer came through the handshake, which left this.
    request.extensions().get::<Holder>().cloned().or_else(|| Holder::know(None)).expect("nobody is somebody too")
}

impl Desk {
    pub(super) fn new(mailbox: mpsc::Sender<RosterCall>) -> Self {
        Self { mailbox, sessions: AtomicU64::new(1) }
    }

    async fn call(&self, call: RosterCall) -> Result<(), Status> {
        self.mailbox.send(call).await.map_err(closing)
    }

    async fn deny(&self, why: &'static str, text: String) -> Status {
        let _ = self.mailbox.send(RosterCall::Denied { why }).await;
        Status::permission_denied(text)
    }
}

#[tonic::async_trait]
impl Roster for Desk {
    type AttendStream = Replies<ToNode>;

    async fn attend(&self, request: Request<Streaming<NodeReport>>) -> Result<Response<Self::AttendStream>, Status> {
        let holder = holder(&request);
        let mut reports = request.into_inner();
        let first = timeout(FIRST, whole(&mut reports)).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no first report"))??;
        let first = first.ok_or_else(|| Status::cancelled("gone"))?;
        let host = first.host.clone();
        if !holder.has(&Badge::Agent(host.clone())) {
            let why = if holder.is_nobody() { "no_agent" } else { "other_host" };
            return Err(self.deny(why, format!("the certificate is not of the agent of {host}")).await);
        }
        let Ok(first) = report_in(&first) else {
            let _ = self.mailbox.send(RosterCall::Denied { why: "garbled" }).await;
            return Err(Status::invalid_argument("the report can't be understood"));
        };
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (orders, given) = mpsc::unbounded_channel();
        let hung_up = orders.clone();
        self.call(RosterCall::Opened { session, host, orders }).await?;
        self.call(RosterCall::Reported { session, report: Box::new(first) }).await?;
        tokio::spawn(listen(session, reports, self.mailbox.clone(), hung_up.downgrade()));
        drop(hung_up);
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(given).map(|order| order_out(*order)))))
    }

    async fn nodes(&self, request: Request<NodesRequest>) -> Result<Response<NodesReply>, Status> {
        // Who got through the handshake may read: it shows a certificate, or reading is open.
        let NodesRequest { host, images } = request.into_inner();
        let (answer, answered) = oneshot::channel();
        self.call(RosterCall::Nodes { host: Some(host).filter(|host| !host.is_empty()), images, answer }).await?;
        let roster = answered.await.map_err(closing)?;
        Ok(Response::new(NodesReply { roster }))
    }

    async fn mark(&self, request: Request<MarkRequest>) -> Result<Response<MarkReply>, Status> {
        if !holder(&request).has(&Badge::Operator) {
            return Err(self.deny("no_right", "only an operator's certificate drains nodes".to_owned()).await);
        }
        let MarkRequest { host, drained, why, by } = request.into_inner();
        if host.is_empty() {
            return Err(Status::invalid_argument("no host is named"));
        }
        let (done, answer) = oneshot::channel();
        self.call(RosterCall::Mark { host, drained, why, by, done }).await?;
        match answer.await.map_err(closing)? {
            Ok(()) => Ok(Response::new(MarkReply {})),
            Err(why) => Err(Status::failed_precondition(why)),
        }
    }

    async fn sweep(&self, request: Request<SweepRequest>) -> Result<Response<SweepReply>, Status> {
        if !holder(&request).has(&Badge::Operator) {
            return Err(self.deny("no_right", "only an operator's certificate orders sweeps".to_owned()).await);
        }
        let SweepRequest { host, order } = request.into_inner();
        let order = serde_json::from_slice(&order)
            .map_err(|error| Status::invalid_argument(format!("the order can't be understood: {error}")))?;
        let (answer, told) = oneshot::channel();
        self.call(RosterCall::Sweep { host: Some(host).filter(|host| !host.is_empty()), order, answer }).await?;
        Ok(Response::new(SweepReply { hosts: told.await.map_err(closing)? }))
    }

    async fn bring(&self, request: Request<BringRequest>) -> Result<Response<BringReply>, Status> {
        if !holder(&request).has(&Badge::Master) {
            return Err(self.deny("no_right", "only a master's certificate has images brought".to_owned()).await);
        }
        let BringRequest { hosts, order } = request.into_inner();
        let order = serde_json::from_slice(&order)
            .map_err(|error| Status::invalid_argument(format!("the wish can't be understood: {error}")))?;
        let (answer, told) = oneshot::channel();
        self.call(RosterCall::Bring { hosts, order, answer }).await?;
        Ok(Response::new(BringReply { hosts: told.await.map_err(closing)? }))
    }
}

/// Brings an agent's reports in, until its line is cut from either side.
async fn listen(
    session: u64,
    mut reports: Streaming<NodeReport>,
    mailbox: mpsc::Sender<RosterCall>,
    cut: mpsc::WeakUnboundedSender<Box<AgentOrder>>,
) {
    while let Ok(Some(message)) = whole(&mut reports).await {
        let call = match report_in(&message) {
            Ok(report) => RosterCall::Reported { session, report: Box::new(report) },
            Err(_) => RosterCall::Denied { why: "garbled" },
        };
        let garbled = matches!(call, RosterCall::Denied { .. });
        if mailbox.send(call).await.is_err() || garbled || cut.upgrade().is_none() {
            break;
        }
    }
    let _ = mailbox.send(RosterCall::Closed { session }).await;
}

fn report_in(message: &NodeReport) -> Result<super::NodeReport, serde_json::Error> {
    let pulse: Pulse = serde_json::from_slice(&message.pulse)?;
    let facts: Option<NodeFacts> =
        if message.facts.is_empty() { None } else { Some(serde_json::from_slice(&message.facts)?) };
    Ok(super::NodeReport { host: message.host.clone(), seq: message.seq, pulse, facts })
}

fn order_out(order: AgentOrder) -> Result<ToNode, Status> {
    // An agent that is older than an order takes the mark, which is less than any other, and nothing else.
    let no_mark = || serde_json::to_vec(&Mark::default()).expect("a mark is JSON").into();
    match order {
        AgentOrder::Carry(mark) => {
            let mark = serde_json::to_vec(&mark).expect("a mark is JSON");
            Ok(ToNode { mark: mark.into(), ..ToNode::default() })
        }
        AgentOrder::Sweep(order) => {
            let sweep = serde_json::to_vec(&order).expect("an order is JSON");
            Ok(ToNode { mark: no_mark(), sweep: sweep.into(), ..ToNode::default() })
        }
        AgentOrder::Bring(order) => {
            let bring = serde_json::to_vec(&order).expect("an order is JSON");
            Ok(ToNode { mark: no_mark(), bring: bring.into(), ..ToNode::default() })
        }
        AgentOrder::Leave(why) => Err(Status::failed_precondition(why)),
    }
}
