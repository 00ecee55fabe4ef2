//! The other end: agents, masters, people.

use std::time::Duration;

use dybox_model::roster::{BringOrder, NodeFacts, RosterView};
use dybox_model::sweep::SweepOrder;
use rustls::pki_types::ServerName;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::badge::Badge;
use super::desk::AgentOrder;
use super::pieces::Pieces;
use crate::client::{answered, channel_over, ended};
use crate::error::WireError;
use crate::proto::roster_client::RosterClient as Stub;
use crate::proto::{BringRequest, MarkRequest, NodeReport, NodesRequest, SweepRequest, ToNode};
use crate::tcp;
use crate::tls::TlsIdentity;

/// A roster of a thousand nodes has less than a megabyte.
const MESSAGE_MAX: usize = 32 << 20;
/// A server whose machine is gone says nothing at all.
const PING: Duration = Duration::from_secs(10);
const PONG: Duration = Duration::from_secs(10);

/// A connection to one state server. Every call ends within the time that it is given.
#[derive(Debug, Clone)]
pub struct RosterClient {
    stub: Stub<Channel>,
}

/// An agent's line.
#[derive(Debug)]
pub struct Attendance {
    /// What the agent says; `send` fails once the line is cut.
    pub reports: mpsc::Sender<super::NodeReport>,
    /// What the server wants; the last item says why the line was cut.
    pub orders: mpsc::Receiver<Result<AgentOrder, WireError>>,
}

impl RosterClient {
    /// Connects to the state server at `host:port`.
    ///
    /// # Errors
    /// [`WireError::Unreachable`], [`WireError::Stray`], [`WireError::Late`].
    pub async fn dial(address: &str, identity: &TlsIdentity, limit: Duration) -> Result<Self, WireError> {
        let end = Instant::now() + limit;
        let (host, port) = split(address)?;
        let name = ServerName::try_from(Badge::Server.name()).expect("a badge's name is a DNS name");
        let connecting = tcp::connect_to(name, (host, port), identity);
        let stream = timeout_at(end, connecting).await.map_err(|_| WireError::Late { what: "dial" })?.map_err(stray)?;
        let endpoint = Endpoint::from_static("http://state-server");
        let endpoint = endpoint.http2_keep_alive_interval(PING).keep_alive_timeout(PONG).keep_alive_while_idle(true);
        let opened = timeout_at(end, channel_over(stream, endpoint)).await;
        let channel = opened.map_err(|_| WireError::Late { what: "dial" })??;
        Ok(Self { stub: Stub::new(channel).max_decoding_message_size(MESSAGE_MAX) })
    }

    /// Opens an agent's line with its first report, which has facts.
    ///
    /// # Errors
    /// [`WireError`] when the server is gone, does not answer, or turns this agent away.
    pub async fn attend(&self, first: super::NodeReport, limit: Duration) -> Result<Attendance, WireError> {
        let (reports, said) = mpsc::channel(2);
        let (give, orders) = mpsc::channel(16);
        let mut stub = self.stub.clone();
        let saying = tokio_stream::once(first).chain(ReceiverStream::new(said)).map(|report| report_out(&report));
        let call = stub.attend(Pieces::of(saying));
        let mut replies = answered("attend", tokio::time::timeout(limit, call).await)?;
        tokio::spawn(async move {
            loop {
                let order = match replies.message().await {
                    Ok(Some(order)) => order_in(&order).map_err(|error| WireError::Garbled { why: error.to_string() }),
                    Ok(None) => Err(WireError::Ended { what: "attend", why: "the server has closed".to_owned() }),
                    Err(status) => Err(ended("attend", &status)),
                };
                let over = order.is_err();
                if give.send(order).await.is_err() || over {
                    break;
                }
            }
        });
        Ok(Attendance { reports, orders })
    }

    /// What is known of one node, or of all in short, and which of these images each has.
    ///
    /// # Errors
    /// [`WireError`] when the server is gone or does not answer.
    pub async fn nodes(
        &self,
        host: Option<&str>,
        images: Vec<String>,
        limit: Duration,
    ) -> Result<RosterView, WireError> {
        let mut stub = self.stub.clone();
        let request = NodesRequest { host: host.unwrap_or_default().to_owned(), images };
        let reply = answered("nodes", tokio::time::timeout(limit, stub.nodes(request)).await)?;
        serde_json::from_slice(&reply.roster).map_err(|error| WireError::Garbled { why: error.to_string() })
    }

    /// Drains a node, or ends that. Answered once the server has kept it.
    ///
    /// # Errors
    /// [`WireError`]; `Denied` without an operator's certificate.
    pub async fn mark(&self, host: &str, said: (bool, &str, &str), limit: Duration) -> Result<(), WireError> {
        let (drained, why, by) = said;
        let mut stub = self.stub.clone();
        let request = MarkRequest { host: host.to_owned(), drained, why: why.to_owned(), by: by.to_owned() };
        answered("mark", tokio::time::timeout(limit, stub.mark(request)).await).map(|_| ())
    }

    /// Orders the agent of `host`, or all, to sweep now. Returns the machines whose agents were told; what they did is
    /// in their reports.
    ///
    /// # Errors
    /// [`WireError`]; `Denied` without an operator's certificate.
    pub async fn sweep(
        &self,
        host: Option<&str>,
        order: &SweepOrder,
        limit: Duration,
    ) -> Result<Vec<String>, WireError> {
        let mut stub = self.stub.clone();
        let order = serde_json::to_vec(order).expect("an order is JSON");
        let request = SweepRequest { host: host.unwrap_or_default().to_owned(), order: order.into() };
        answered("sweep", tokio::time::timeout(limit, stub.sweep(request)).await).map(|reply| reply.hosts)
    }

    /// Has the agents of these machines bring an image. Returns the machines whose agents were told: healthy ones, not
    /// drained, with agents that do so. What came is in their reports.
    ///
    /// # Errors
    /// [`WireError`]; `Denied` without a master's certificate.
    pub async fn bring(
        &self,
        hosts: Vec<String>,
        order: &BringOrder,
        limit: Duration,
    ) -> Result<Vec<String>, WireError> {
        let mut stub = self.stub.clone();
        let order = serde_json::to_vec(order).expect("an order is JSON");
        let request = BringRequest { hosts, order: order.into() };
        answered("bring", tokio::time::timeout(limit, stub.bring(request)).await).map(|reply| reply.hosts)
    }
}

fn order_in(order: &ToNode) -> Result<AgentOrder, serde_json::Error> {
    if !order.sweep.is_empty() {
        serde_json::from_slice(&order.sweep).map(AgentOrder::Sweep)
    } else if !order.bring.is_empty() {
        serde_json::from_slice(&order.bring).map(AgentOrder::Bring)
    } else {
        serde_json::from_slice(&order.mark).map(AgentOrder::Carry)
    }
}

fn split(address: &str) -> Result<(&str, u16), WireError> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| WireError::Stray { address: address.to_owned(), why: "an address is HOST:PORT".to_owned() })
}

/// The words of a run's handshake, about an authority that is not a run's.
fn stray(error: WireError) -> WireError {
    match error {
        WireError::Untrusted { address, why } => {
            let why = why.replace("another run", "another authority").replace("a master's", "a state server's");
            WireError::Stray { address, why }
        }
        other => other,
    }
}

fn report_out(report: &super::NodeReport) -> NodeReport {
    let facts = |facts: &NodeFacts| serde_json::to_vec(facts).expect("facts are JSON");
    NodeReport {
        host: report.host.clone(),
        seq: report.seq,
        pulse: serde_json::to_vec(&report.pulse).expect("a pulse is JSON").into(),
        facts: report.facts.as_ref().map(facts).unwrap_or_default().into(),
        more: false,
    }
}
