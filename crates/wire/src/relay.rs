//! Brings together a client that asks and the proxy that answers: the master says only over which line.
//!
//! One task owns all tickets; a ticket is what an answer names its question by.

use std::collections::BTreeMap;

use bytes::Bytes;
use dybox_model::{AttemptId, GrantId, Visit};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::convert;
use crate::message::Piece;
use crate::proto;
use crate::proto::to_proxy::Order;
use crate::server::LinkId;

/// Most bytes of one answer to a read.
pub const READ_MAX: u32 = 1 << 20;
/// Chunks of an attachment that may wait on their way.
pub(crate) const WAITING: usize = 16;

pub(crate) type Down = mpsc::Sender<Result<Bytes, Status>>;

/// Both ways between a client and its master.
#[derive(Debug)]
pub(crate) struct Sides {
    /// What the client says.
    pub(crate) up: mpsc::Receiver<Bytes>,
    /// What it is told.
    pub(crate) down: Down,
}

#[derive(Debug)]
enum What {
    Read { offset: u64, max: u32, answer: oneshot::Sender<Result<Piece, String>> },
    Attach { attempt: AttemptId, visit: Option<Box<Visit>>, sides: Sides },
}

/// What a client wants of the proxy of a grant. Who can't pass it on refuses it; dropped, it is refused too.
#[derive(Debug)]
pub struct Ask(What);

impl Ask {
    pub(crate) fn read(offset: u64, max: u32, answer: oneshot::Sender<Result<Piece, String>>) -> Self {
        Self(What::Read { offset, max: max.min(READ_MAX), answer })
    }

    pub(crate) fn attach(attempt: AttemptId, visit: Option<Box<Visit>>, sides: Sides) -> Self {
        Self(What::Attach { attempt, visit, sides })
    }

    /// Who wants to look into which attempt, and what for; nothing where only the payload's own streams are wanted.
    #[must_use]
    pub fn visit(&self) -> Option<(AttemptId, &Visit)> {
        match &self.0 {
            What::Attach { attempt, visit: Some(visit), .. } => Some((*attempt, visit)),
            _ => None,
        }
    }

    /// Tells the client why it gets nothing.
    pub fn refuse(self, why: &str) {
        match self.0 {
            What::Read { answer, .. } => drop(answer.send(Err(why.to_owned()))),
            What::Attach { sides, .. } => drop(sides.down.try_send(Err(Status::failed_precondition(why)))),
        }
    }

    fn order(&self, ticket: u64) -> Order {
        match &self.0 {
            What::Read { offset, max, .. } => Order::Read(proto::ReadOrder { ticket, offset: *offset, max: *max }),
            What::Attach { attempt, visit, .. } => {
                let visit = visit.as_ref().map(convert::json).unwrap_or_default();
                Order::Attach(proto::AttachOrder { ticket, attempt: attempt.to_string(), visit })
            }
        }
    }

    fn is_moot(&self) -> bool {
        match &self.0 {
            What::Read { answer, .. } => answer.is_closed(),
            What::Attach { sides, .. } => sides.down.is_closed(),
        }
    }
}

/// One line, as a way for clients' asks.
#[derive(Debug, Clone)]
pub struct Relay {
    asks: mpsc::UnboundedSender<Ask>,
}

impl Relay {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let (asks, asked) = mpsc::unbounded_channel();
        (Self { asks }, asked)
    }

    /// Hands an ask to the proxy at the other end; where that is gone the client is told.
    pub fn pass(&self, ask: Ask) {
        if let Err(lost) = self.asks.send(ask) {
            lost.0.refuse("the line to its proxy was just cut");
        }
    }
}

/// The grant that is meant has no line to a proxy.
#[must_use]
pub fn no_line(grant: GrantId) -> String {
    format!("there is no line to the proxy of {grant} now")
}

enum Plug {
    Asked { link: LinkId, ticket: u64, ask: Ask },
    Answered { ticket: u64, answer: Result<Piece, String> },
    Carried { ticket: u64, sides: oneshot::Sender<Sides> },
    Cut { link: LinkId },
}

/// The way to the task that owns the tickets.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    plugs: mpsc::UnboundedSender<Plug>,
}

impl Board {
    pub(crate) fn start() -> Self {
        let (plugs, given) = mpsc::unbounded_channel();
        tokio::spawn(tend(given));
        Self { plugs }
    }

    /// Takes a ticket for `ask`, and says what to tell the proxy.
    pub(crate) fn ask(&self, link: LinkId, ticket: u64, ask: Ask) -> proto::ToProxy {
        let order = ask.order(ticket);
        let _ = self.plugs.send(Plug::Asked { link, ticket, ask });
        proto::ToProxy { order: Some(order) }
    }

    pub(crate) fn answer(&self, ticket: u64, answer: Result<Piece, String>) {
        let _ = self.plugs.send(Plug::Answered { ticket, answer });
    }

    /// The client that waits with this ticket, if it still does.
    pub(crate) async fn carry(&self, ticket: u64) -> Option<Sides> {
        let (sides, given) = oneshot::channel();
        self.plugs.send(Plug::Carried { ticket, sides }).ok()?;
        given.await.ok()
    }

    pub(crate) fn cut(&self, link: LinkId) {
        let _ = self.plugs.send(Plug::Cut { link });
    }
}

async fn tend(mut plugs: mpsc::UnboundedReceiver<Plug>) {
    let mut open: BTreeMap<u64, (LinkId, Ask)> = BTreeMap::new();
    while let Some(plug) = plugs.recv().await {
        match plug {
            Plug::Asked { link, ticket, ask } => {
                open.retain(|_, (_, ask)| !ask.is_moot());
                open.insert(ticket, (link, ask));
            }
            Plug::Answered { ticket, answer } => match (open.remove(&ticket), answer) {
                (Some((_, Ask(What::Read { answer: asker, .. }))), answer) => drop(asker.send(answer)),
                (Some((_, ask)), Err(why)) => ask.refuse(&why),
                // Late, or no answer to what was asked.
                (Some(_), Ok(_)) | (None, _) => {}
            },
            Plug::Carried { ticket, sides } => {
                if let Some((_, Ask(What::Attach { sides: asker, .. }))) = open.remove(&ticket) {
                    let _ = sides.send(asker);
                }
            }
            Plug::Cut { link } => {
                let cut: Vec<_> = open.extract_if(.., |_, (of, _)| *of == link).collect();
                for (_, (_, ask)) in cut {
                    ask.refuse("the line to its proxy was just cut");
                }
            }
        }
    }
}
