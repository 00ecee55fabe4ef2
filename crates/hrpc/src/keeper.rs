//! Whom a client talks to at present: a task that brings lines up and gives them their calls.
//!
//! A line that is left (for another server, or for a newer token) ends by itself when nobody waits on it any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::client::Target;
use crate::credentials::Token;
use crate::error::RpcError;
use crate::line::{self, ToLine};
use crate::random;
use crate::session::{Opening, Session};
use crate::target::Auth;

/// What a keeper is asked.
#[derive(Debug)]
pub(crate) enum Order {
    /// Make this call on the present server.
    Call(Try),
    /// This server does not serve: take the next one, unless that has been done.
    Leave { server: usize },
    /// A call was given up: the line may be dead.
    Late,
    /// Log in with this from now on.
    Token(Token),
}

/// One try of a call.
#[derive(Debug)]
pub(crate) struct Try {
    pub(crate) method: String,
    pub(crate) request: Bytes,
    /// How long a connection may take.
    pub(crate) connect: Duration,
    pub(crate) reply: oneshot::Sender<Result<Answered, Failure>>,
}

/// A call that was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The server, `host:port`.
    pub(crate) at: String,
    pub(crate) message: Bytes,
}

/// A failed try.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The server that was tried: its place in the target.
    pub(crate) server: usize,
    pub(crate) error: RpcError,
    /// The line had been in use before, and was lost without a word since the call went out.
    pub(crate) stale: bool,
}

/// Starts the task; it ends when the sender is dropped. `present` tells everybody which server it talks to.
pub(crate) fn start(target: Target, present: Arc<AtomicUsize>) -> mpsc::UnboundedSender<Order> {
    let (sender, orders) = mpsc::unbounded_channel();
    let again = sender.downgrade();
    let auth = target.auth.clone();
    let keeper = Keeper { target, auth, orders, again, present, line: None, client_id: None };
    tokio::spawn(keeper.run());
    sender
}

struct Keeper {
    target: Target,
    auth: Auth,
    orders: mpsc::UnboundedReceiver<Order>,
    again: mpsc::WeakUnboundedSender<Order>,
    present: Arc<AtomicUsize>,
    line: Option<mpsc::UnboundedSender<ToLine>>,
    client_id: Option<[u8; 16]>,
}

impl Keeper {
    async fn run(mut self) {
        while let Some(order) = self.orders.recv().await {
            match order {
                Order::Call(call) if call.reply.is_closed() => {}
                Order::Call(call) => self.serve(call).await,
                other => self.note(other),
            }
        }
    }

    fn server(&self) -> usize {
        self.present.load(Ordering::Relaxed)
    }

    fn note(&mut self, order: Order) {
        match order {
            Order::Leave { server } if server == self.server() => {
                self.present.store((server + 1) % self.target.addresses.len(), Ordering::Relaxed);
                self.line = None;
            }
            Order::Token(token) => {
                self.auth = Auth::Token(token);
                self.line = None;
            }
            Order::Late => {
                if let Some(line) = &self.line {
                    // A closed line needs no wake.
                    let _ = line.send(ToLine::Wake);
                }
            }
            Order::Leave { .. } | Order::Call(_) => {}
        }
    }

    /// Gives the call to the line; brings a new one up when there is none, or it has ended.
    async fn serve(&mut self, mut call: Try) {
        if let Some(line) = &self.line {
            match line.send(ToLine::Call(call)) {
                Ok(()) => return,
                Err(mpsc::error::SendError(ToLine::Call(back))) => call = back,
                Err(mpsc::error::SendError(ToLine::Wake)) => return,
            }
        }
        let server = self.server();
        let address = self.target.addresses[server].clone();
        let opening = self.opening();
        let opened = match opening {
            Ok(opening) => line::connect(&address, call.connect).await.map(|stream| (stream, opening)),
            Err(error) => Err(error),
        };
        match opened {
            Ok((stream, opening)) => {
                let (sender, calls) = mpsc::unbounded_channel();
                let place = line::Place { server, at: address.to_string(), ping: self.target.options.ping };
                line::start(stream, Session::new(opening), place, (calls, self.again.clone()));
                // The line has just begun to listen.
                let _ = sender.send(ToLine::Call(call));
                self.line = Some(sender);
            }
            Err(error) => self.nobody_there(call, server, &error),
        }
    }

    /// Everybody who asked in the meantime gets the same answer, so that nobody waits for it once more.
    fn nobody_there(&mut self, first: Try, server: usize, error: &RpcError) {
        self.line = None;
        let mut calls = vec![first];
        let mut others = Vec::new();
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Call(call) if others.is_empty() => calls.push(call),
                other => others.push(other),
            }
        }
        for call in calls {
            let _ = call.reply.send(Err(Failure { server, error: error.clone(), stale: false }));
        }
        for order in others {
            match (order, self.again.upgrade()) {
                (Order::Call(call), Some(again)) => {
                    // Fails only together with its caller.
                    let _ = again.send(Order::Call(call));
                }
                (order, _) => self.note(order),
            }
        }
    }

    fn opening(&mut self) -> Result<Opening, RpcError> {
        let unusable = |error: io::Error| RpcError::Local { what: format!("no random numbers: {error}") };
        let client_id = match self.client_id {
            Some(id) => id,
            None => *self.client_id.insert(random::bytes().map_err(unusable)?),
        };
        let options = &self.target.options;
        Ok(Opening {
            protocol: self.target.protocol.to_owned(),
            auth: self.auth.clone(),
            client_id,
            cnonce: random::text().map_err(unusable)?,
            protections: options.protections.clone(),
            largest_frame: options.largest_frame,
            caller: options.caller.clone(),
            secure: options.secure,
            fallback: options.fallback,
        })
    }
}
