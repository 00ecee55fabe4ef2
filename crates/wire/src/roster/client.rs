//! The other end of what is asked: masters, people.

use std::time::Duration;

use dybox_model::roster::{BringOrder, RosterView};
use dybox_model::sweep::SweepOrder;
use rustls::pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tonic::transport::{Channel, Endpoint};

use super::badge::Badge;
use super::view::roster_in;
use crate::client::{answered, channel_over};
use crate::error::WireError;
use crate::proto::roster_client::RosterClient as Stub;
use crate::proto::{BringRequest, MarkRequest, NodesRequest, SweepRequest};
use crate::tcp;
use crate::tls::{Speech, TlsIdentity};

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

impl RosterClient {
    /// Connects to the state server at `host:port`.
    ///
    /// # Errors
    /// [`WireError::Unreachable`], [`WireError::Stray`], [`WireError::Late`].
    pub async fn dial(address: &str, identity: &TlsIdentity, limit: Duration) -> Result<Self, WireError> {
        let end = Instant::now() + limit;
        let connecting = tcp::connect_to(server_name(), split(address)?, (identity, Speech::Grpc));
        let stream = timeout_at(end, connecting).await.map_err(|_| WireError::Late { what: "dial" })?.map_err(stray)?;
        let endpoint = Endpoint::from_static("http://state-server");
        let endpoint = endpoint.http2_keep_alive_interval(PING).keep_alive_timeout(PONG).keep_alive_while_idle(true);
        let opened = timeout_at(end, channel_over(stream, endpoint)).await;
        let channel = opened.map_err(|_| WireError::Late { what: "dial" })??;
        Ok(Self { stub: Stub::new(channel).max_decoding_message_size(MESSAGE_MAX) })
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
        let host = host.unwrap_or_default().to_owned();
        self.ask(NodesRequest { host, images, advice: false }, limit).await
    }

    /// Of all nodes only what a master goes by, and which of these images each has: health and what is wrong, drains,
    /// whether its agent brings images, and which it brought. Everything else is as in a new one. Shorter than the whole
    /// answer, for who asks every few seconds.
    ///
    /// # Errors
    /// [`WireError`] when the server is gone or does not answer.
    pub async fn advice(&self, images: Vec<String>, limit: Duration) -> Result<RosterView, WireError> {
        self.ask(NodesRequest { host: String::new(), images, advice: true }, limit).await
    }

    async fn ask(&self, request: NodesRequest, limit: Duration) -> Result<RosterView, WireError> {
        let mut stub = self.stub.clone();
        let reply = answered("nodes", tokio::time::timeout(limit, stub.nodes(request)).await)?;
        roster_in(reply).map_err(|why| WireError::Garbled { why })
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

/// The name that every state server's leaf has, whatever its machine is called.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from(Badge::Server.name()).expect("a badge's name is a DNS name")
}

/// Host and port.
pub(super) fn split(address: &str) -> Result<(&str, u16), WireError> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts
        .filter(|(host, _)| !host.is_empty())
        .ok_or_else(|| WireError::Stray { address: address.to_owned(), why: "an address is HOST:PORT".to_owned() })
}

/// The words of a run's handshake, about an authority that is not a run's.
pub(super) fn stray(error: WireError) -> WireError {
    match error {
        WireError::Untrusted { address, why } => {
            let why = why.replace("another run", "another authority").replace("a master's", "a state server's");
            WireError::Stray { address, why }
        }
        other => other,
    }
}
