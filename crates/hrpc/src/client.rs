//! A client of one Hadoop service: calls with deadlines, retried and failed over by Hadoop's rules.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::credentials::Token;
use crate::error::RpcError;
use crate::keeper::{self, Answered, Failure, Order, Try};
use crate::options::Options;
use crate::retry::{Next, Tries};
use crate::target::{Address, Auth};

/// After a failed try no other is begun with less time than this: all it could add is that it came too late, in the
/// place of what the first was told.
const LEAST: Duration = Duration::from_millis(100);

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
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Target,
    keeper: OnceLock<mpsc::UnboundedSender<Order>>,
    /// The server that the keeper talks to.
    present: Arc<AtomicUsize>,
}

impl Client {
    /// Makes a client; nothing is connected yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { shared: Arc::new(Shared { target, keeper: OnceLock::new(), present: Arc::default() }) }
    }

    /// Calls `method`, waits for its answer. Safe to drop: an answer that comes later is thrown away. Must run inside
    /// a tokio runtime with time and network.
    pub async fn call<Req: Message, Resp: Message + Default>(
        &self,
        method: &str,
        request: &Req,
        limits: Call,
    ) -> Result<Resp, RpcError> {
        let request = Bytes::from(request.encode_to_vec());
        let Answered { at, message } = self.call_bytes(method, request, limits).await?;
        Resp::decode(message)
            .map_err(|error| RpcError::Garbled { at, what: format!("the answer to {method}: {error}") })
    }

    /// Takes a newer token: every later connection logs in with it, and the present one is left as soon as no call
    /// waits on it.
    pub fn set_token(&self, token: Token) {
        self.order(Order::Token(token));
    }

    async fn call_bytes(&self, method: &str, request: Bytes, limits: Call) -> Result<Answered, RpcError> {
        let Target { addresses, options, .. } = &self.shared.target;
        if addresses.is_empty() {
            return Err(RpcError::Local { what: format!("no server is known for {method}") });
        }
        if request.len() >= options.largest_frame.saturating_sub(1024) {
            let (bytes, most) = (request.len(), options.largest_frame);
            return Err(RpcError::TooLarge { method: method.to_owned(), bytes, most });
        }
        let began = Instant::now();
        let mut tries = Tries::new(addresses.len(), options.patience, limits.idempotent);
        loop {
            let left = limits.deadline.saturating_sub(began.elapsed());
            let failure = match self.attempt(method, request.clone(), left).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Failure { server, error, stale } = failure;
            let next = tries.next(&error, stale, began.elapsed());
            tracing::debug!(%error, ?next, method, "a try failed");
            if matches!(next, Next::Other | Next::Later) {
                self.order(Order::Leave { server });
            }
            let pause = if matches!(next, Next::Later | Next::Wait) { options.pause } else { Duration::ZERO };
            if next == Next::Fail || began.elapsed() + pause + LEAST >= limits.deadline {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// One try. A connection may take a server's share of what is left of the deadline, so that one that can't be
    /// reached leaves time for the next.
    async fn attempt(&self, method: &str, request: Bytes, left: Duration) -> Result<Answered, Failure> {
        let Target { addresses, options, .. } = &self.shared.target;
        let (reply, answer) = oneshot::channel();
        let servers = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let connect = options.connect.min(left.mul_f32(0.9) / servers);
        let began = Instant::now();
        let server = self.shared.present.load(Ordering::Relaxed);
        self.order(Order::Call(Try { method: method.to_owned(), request, connect, reply }));
        let patience = left.min(options.answer);
        match timeout(patience, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(self.lost(method)),
            Err(_) => {
                self.order(Order::Late);
                let at = addresses[server].to_string();
                let error = RpcError::Late { at, method: method.to_owned(), waited: began.elapsed() };
                Err(Failure { server, error, stale: false })
            }
        }
    }

    fn lost(&self, method: &str) -> Failure {
        let error = RpcError::Local { what: format!("{method} was given up: the runtime that it ran in has ended") };
        Failure { server: 0, error, stale: false }
    }

    fn order(&self, order: Order) {
        let Shared { target, keeper, present } = &*self.shared;
        let keeper = keeper.get_or_init(|| keeper::start(target.clone(), Arc::clone(present)));
        // A closed channel means that the keeper's runtime has ended; whoever waits for a reply sees that.
        let _ = keeper.send(order);
    }
}
