//! What state servers are told and asked, and what happens to each call: the certificate is checked, then it goes into
//! the mailbox.

use dybox_model::roster::{BringOrder, Mark};
use dybox_model::sweep::SweepOrder;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};

use super::badge::{Badge, Holder};
use super::view::RosterTold;
use crate::proto::roster_server::Roster;
use crate::proto::{
    BringReply, BringRequest, MarkReply, MarkRequest, NodesReply, NodesRequest, SweepReply, SweepRequest,
};

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
        /// Of all, only what a master goes by ([`super::RosterClient::advice`]).
        advice: bool,
        /// What is known.
        answer: oneshot::Sender<RosterTold>,
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
}

fn closing<T>(_: T) -> Status {
    Status::unavailable("the state server is about to end")
}

fn holder<T>(request: &Request<T>) -> Holder {
    // Every peer came through the handshake, which left this.
    request.extensions().get::<Holder>().cloned().or_else(|| Holder::know(None)).expect("nobody is somebody too")
}

impl Desk {
    pub(super) const fn new(mailbox: mpsc::Sender<RosterCall>) -> Self {
        Self { mailbox }
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
    async fn nodes(&self, request: Request<NodesRequest>) -> Result<Response<NodesReply>, Status> {
        // Who got through the handshake may read: it shows a certificate, or reading is open.
        let NodesRequest { host, images, advice } = request.into_inner();
        let (answer, answered) = oneshot::channel();
        let host = Some(host).filter(|host| !host.is_empty());
        self.call(RosterCall::Nodes { host, images, advice, answer }).await?;
        Ok(Response::new(answered.await.map_err(closing)?.into()))
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
