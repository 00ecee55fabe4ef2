//! What happens to each call of a peer: its role is checked, then it goes into the mailbox.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use dybox_model::GrantId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status, Streaming};

use crate::message::MasterOrder;
use crate::proto::answer_request::Answer;
use crate::proto::master_server::Master;
use crate::proto::{
    AnswerReply, AnswerRequest, AttachChunk, CarryChunk, Chunk, FromProxy, GrantsReply, GrantsRequest, Piece,
    ReadRequest, StopReply, StopRequest, ToProxy, WatchReply, WatchRequest, WhyReply, WhyRequest,
};
use crate::relay::{Ask, Board, Relay, Sides, WAITING};
use crate::server::{Call, LinkId};
use crate::tcp::Peer;
use crate::tls::Role;
use crate::{attached, convert};

/// A proxy answers a read from its disk.
const READ: Duration = Duration::from_secs(8);
/// For the first message of a stream.
const FIRST: Duration = Duration::from_secs(5);

pub(crate) struct Desk {
    mailbox: mpsc::Sender<Call>,
    board: Board,
    links: AtomicU64,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(crate) fn closing<T>(_: T) -> Status {
    Status::unavailable("the master is about to end")
}

/// Whether whoever calls may. Who came over the unix socket is the user, or root, and may all.
pub(crate) fn allow<T>(request: &Request<T>, role: Role) -> Result<(), Status> {
    match request.extensions().get::<Peer>() {
        Some(peer) if peer.role != role => {
            Err(Status::permission_denied(format!("the peer is a {}, not a {}", peer.role.name(), role.name())))
        }
        _ => Ok(()),
    }
}

/// Who calls, where the kernel tells it: over the unix socket.
fn uid_of<T>(request: &Request<T>) -> Option<u32> {
    Some(request.extensions().get::<UdsConnectInfo>()?.peer_cred?.uid())
}

async fn first<M>(stream: &mut Streaming<M>) -> Result<M, Status> {
    let message = timeout(FIRST, stream.message()).await;
    message.map_err(|_| Status::deadline_exceeded("no first message"))??.ok_or_else(|| Status::cancelled("gone"))
}

fn invalid(why: impl std::fmt::Display) -> Status {
    Status::invalid_argument(why.to_string())
}

impl Desk {
    pub(crate) fn new(mailbox: mpsc::Sender<Call>) -> Self {
        Self { mailbox, board: Board::start(), links: AtomicU64::new(1) }
    }

    async fn call(&self, call: Call) -> Result<(), Status> {
        self.mailbox.send(call).await.map_err(closing)
    }
}

#[tonic::async_trait]
impl Master for Desk {
    type LinkStream = Replies<ToProxy>;
    type WatchStream = Replies<WatchReply>;
    type AttachStream = Replies<Chunk>;
    type CarryStream = Replies<Chunk>;

    async fn link(&self, request: Request<Streaming<FromProxy>>) -> Result<Response<Self::LinkStream>, Status> {
        allow(&request, Role::Proxy)?;
        let link = LinkId(self.links.fetch_add(1, Ordering::Relaxed));
        let (orders, given) = mpsc::unbounded_channel();
        let (relay, asked) = Relay::new();
        self.call(Call::Linked { link, orders, relay }).await?;
        tokio::spawn(listen_to(link, request.into_inner(), self.mailbox.clone(), self.board.clone()));
        let given = UnboundedReceiverStream::new(given);
        Ok(Response::new(Box::pin(Orders { link, given, asked, board: self.board.clone(), tickets: 0 })))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        allow(&request, Role::Client)?;
        let WatchRequest { from, notes } = request.into_inner();
        let (watcher, seen) = mpsc::channel(64);
        self.call(Call::Watch { from, notes, watcher }).await?;
        let replies = ReceiverStream::new(seen).map(|watched| Ok(convert::watched_out(watched)));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopReply>, Status> {
        allow(&request, Role::Client)?;
        let uid = uid_of(&request);
        let StopRequest { why, now } = request.into_inner();
        let (done, written) = oneshot::channel();
        self.call(Call::Stop { why, now, uid, done }).await?;
        written.await.map_err(closing)?;
        Ok(Response::new(StopReply {}))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyReply>, Status> {
        allow(&request, Role::Client)?;
        let (answer, answered) = oneshot::channel();
        self.call(Call::Why { answer }).await?;
        let waiting = answered.await.map_err(closing)?;
        Ok(Response::new(WhyReply { waiting: waiting.into_iter().map(convert::waiting_out).collect() }))
    }

    async fn grants(&self, request: Request<GrantsRequest>) -> Result<Response<GrantsReply>, Status> {
        allow(&request, Role::Client)?;
        let (answer, answered) = oneshot::channel();
        self.call(Call::Grants { answer }).await?;
        let grants = answered.await.map_err(closing)?;
        Ok(Response::new(GrantsReply { grants: grants.into_iter().map(convert::grant_out).collect() }))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Piece>, Status> {
        allow(&request, Role::Client)?;
        let ReadRequest { grant, offset, max } = request.into_inner();
        let (answer, answered) = oneshot::channel();
        self.call(Call::Relay { grant: GrantId(grant), ask: Ask::read(offset, max, answer) }).await?;
        let answer = timeout(READ, answered).await;
        let answer = answer.map_err(|_| Status::deadline_exceeded("its proxy does not answer"))?;
        let piece = answer.map_err(closing)?.map_err(Status::failed_precondition)?;
        Ok(Response::new(convert::piece_out(piece)))
    }

    async fn attach(&self, request: Request<Streaming<AttachChunk>>) -> Result<Response<Self::AttachStream>, Status> {
        allow(&request, Role::Client)?;
        let uid = uid_of(&request);
        let mut said = request.into_inner();
        let AttachChunk { grant, attempt, visit, .. } = first(&mut said).await?;
        let attempt = convert::attempt(&attempt).map_err(invalid)?;
        let mut visit = convert::visit(&visit).map_err(invalid)?;
        if let (Some(visit), Some(uid)) = (&mut visit, uid) {
            visit.by = format!("{}, uid {uid}", visit.by);
        }
        let (to_proxy, up) = mpsc::channel(WAITING);
        let (down, told) = mpsc::channel(WAITING);
        let ask = Ask::attach(attempt, visit, Sides { up, down });
        self.call(Call::Relay { grant: GrantId(grant), ask }).await?;
        tokio::spawn(attached::pass(said, to_proxy));
        let replies = ReceiverStream::new(told).map(|told| told.map(|bytes| Chunk { bytes }));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn answer(&self, request: Request<AnswerRequest>) -> Result<Response<AnswerReply>, Status> {
        allow(&request, Role::Proxy)?;
        let AnswerRequest { ticket, answer } = request.into_inner();
        let answer = match answer.ok_or_else(|| invalid("an answer of an unknown kind"))? {
            Answer::Piece(piece) => Ok(convert::piece_in(piece)),
            Answer::Refusal(why) => Err(why),
        };
        self.board.answer(ticket, answer);
        Ok(Response::new(AnswerReply {}))
    }

    async fn carry(&self, request: Request<Streaming<CarryChunk>>) -> Result<Response<Self::CarryStream>, Status> {
        allow(&request, Role::Proxy)?;
        let mut said = request.into_inner();
        let opening = first(&mut said).await?;
        let sides = self.board.carry(opening.ticket).await;
        let Sides { up, down } = sides.ok_or_else(|| Status::failed_precondition("the client is gone"))?;
        // Says that it is attached.
        let _ = down.send(Ok(opening.bytes)).await;
        tokio::spawn(attached::pass(said, down));
        Ok(Response::new(Box::pin(ReceiverStream::new(up).map(|bytes| Ok(Chunk { bytes })))))
    }
}

/// What goes to one proxy: its master's orders, and what clients ask of it. It ends with the orders.
struct Orders {
    link: LinkId,
    given: UnboundedReceiverStream<MasterOrder>,
    asked: mpsc::UnboundedReceiver<Ask>,
    board: Board,
    tickets: u32,
}

impl Stream for Orders {
    type Item = Result<ToProxy, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Poll::Ready(order) = Pin::new(&mut this.given).poll_next(cx) {
            return Poll::Ready(order.map(|order| Ok(convert::order_out(order))));
        }
        match this.asked.poll_recv(cx) {
            Poll::Ready(Some(ask)) => {
                this.tickets = this.tickets.wrapping_add(1);
                // No two lines of one master ever give out the same.
                let ticket = (this.link.0 << 32) | u64::from(this.tickets);
                Poll::Ready(Some(Ok(this.board.ask(this.link, ticket, ask))))
            }
            // Relays may all be gone while orders still come.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Brings what one proxy says into the mailbox, until its line is cut.
async fn listen_to(link: LinkId, mut said: Streaming<FromProxy>, mailbox: mpsc::Sender<Call>, board: Board) {
    let why = loop {
        let news = match said.message().await {
            Ok(Some(message)) => convert::news_in(message),
            Ok(None) => break String::new(),
            Err(status) => break status.message().to_owned(),
        };
        match news {
            Ok(news) => {
                if mailbox.send(Call::News { link, news }).await.is_err() {
                    return;
                }
            }
            Err(garbled) => break garbled.to_string(),
        }
    };
    board.cut(link);
    let _ = mailbox.send(Call::Unlinked { link, why }).await;
}
