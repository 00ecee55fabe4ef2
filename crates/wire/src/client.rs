//! The client's end: proxies link and answer; people watch, stop and ask.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use dybox_model::{AttemptId, GrantId, Visit};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::address::Address;
use crate::error::WireError;
use crate::message::{LiveGrant, MasterOrder, Piece, ProxyNews, Waiting, Watched};
use crate::proto::answer_request::Answer;
use crate::proto::master_client::MasterClient as Stub;
use crate::proto::{
    AnswerRequest, AttachChunk, CarryChunk, GrantsRequest, ReadRequest, StopRequest, WatchReply, WatchRequest,
    WhyRequest,
};
use crate::server::{PING, PONG};
use crate::{attached, convert, socket, tcp};

/// Most bytes of one message; a spec with its needs is at most 4 MiB.
pub(crate) const MESSAGE_MAX: usize = 32 << 20;
pub(crate) const CALL: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(20);
/// What a peer may send before it is read: enough for a fast network, little where many lines are open.
pub(crate) const STREAM_WINDOW: u32 = 256 << 10;
pub(crate) const WINDOW: u32 = 1 << 20;

/// A connection to one master.
#[derive(Debug, Clone)]
pub struct MasterClient {
    stub: Stub<Channel>,
}

/// A proxy's line to its master.
#[derive(Debug)]
pub struct Link {
    /// What the proxy says; `send` fails once the line is cut.
    pub news: mpsc::Sender<ProxyNews>,
    /// What the master says; `None` once the line is cut.
    pub orders: mpsc::Receiver<MasterOrder>,
}

/// What a watcher gets to see.
#[derive(Debug)]
pub struct Watching {
    replies: Streaming<WatchReply>,
}

impl MasterClient {
    /// Connects to the master that listens on `name` in `dir`. Where nobody listens yet it tries again until
    /// `patience` is over (zero: once).
    ///
    /// # Errors
    /// [`WireError`]; `NobodyThere` when no master came up.
    pub async fn dial(dir: &Path, name: &str, patience: Duration) -> Result<Self, WireError> {
        Self::over(patient(patience, || socket::connect(dir, name)).await?, Endpoint::from_static("http://master"))
            .await
    }

    /// Connects to the master at an address. Where nobody listens yet it tries again until `patience` is over (zero:
    /// once).
    ///
    /// # Errors
    /// [`WireError`]; `NobodyThere` or `Unreachable` when no master came up, `Untrusted` when somebody else is there.
    pub async fn dial_at(address: &Address, patience: Duration) -> Result<Self, WireError> {
        match address {
            Address::Socket { dir, name } => Self::dial(dir, name, patience).await,
            Address::Tcp { host, port, identity } => {
                let stream = patient(patience, || tcp::connect(host, *port, identity)).await?;
                // A master whose machine is gone says nothing at all; over a socket the kernel tells.
                let endpoint = Endpoint::from_static("http://master")
                    .http2_keep_alive_interval(PING)
                    .keep_alive_timeout(PONG)
                    .keep_alive_while_idle(true);
                Self::over(stream, endpoint).await
            }
        }
    }

    async fn over<S>(stream: S, endpoint: Endpoint) -> Result<Self, WireError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let stub = Stub::new(channel_over(stream, endpoint).await?);
        Ok(Self { stub: stub.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX) })
    }

    /// Opens a proxy's line. The first thing to send is [`ProxyNews::Hello`].
    ///
    /// # Errors
    /// [`WireError`] when the master is gone or does not answer.
    pub async fn link(&self) -> Result<Link, WireError> {
        let (news, sent) = mpsc::channel(64);
        let (give, orders) = mpsc::channel(64);
        let mut stub = self.stub.clone();
        let call = stub.link(ReceiverStream::new(sent).map(convert::news_out));
        let mut replies = answered("link", timeout(CALL, call).await)?;
        tokio::spawn(async move {
            // A message that can't be understood cuts the line: the master says everything again after a Hello.
            while let Ok(Some(Ok(order))) = replies.message().await.map(|reply| reply.map(convert::order_in)) {
                if give.send(order).await.is_err() {
                    break;
                }
            }
        });
        Ok(Link { news, orders })
    }

    /// Watches the journal from byte `from` on, with notes in between if wanted.
    ///
    /// # Errors
    /// [`WireError`] when the master is gone or does not answer.
    pub async fn watch(&self, from: u64, notes: bool) -> Result<Watching, WireError> {
        let mut stub = self.stub.clone();
        let replies = answered("watch", timeout(CALL, stub.watch(WatchRequest { from, notes })).await)?;
        Ok(Watching { replies })
    }

    /// Asks the master to end its sub-DAG; `now`: without the stages' grace. Answered once it is written down.
    ///
    /// # Errors
    /// [`WireError`] when the master is gone or does not answer.
    pub async fn stop(&self, why: &str, now: bool) -> Result<(), WireError> {
        let mut stub = self.stub.clone();
        let request = StopRequest { why: why.to_owned(), now };
        answered("stop", timeout(CALL, stub.stop(request)).await).map(|_| ())
    }

    /// Why things wait, as the master sees it now.
    ///
    /// # Errors
    /// [`WireError`] when the master is gone or does not answer.
    pub async fn why(&self) -> Result<Vec<Waiting>, WireError> {
        let mut stub = self.stub.clone();
        let reply = answered("why", timeout(CALL, stub.why(WhyRequest {})).await)?;
        Ok(reply.waiting.into_iter().map(convert::waiting_in).collect())
    }

    /// The grants that live now.
    ///
    /// # Errors
    /// [`WireError`] when the master is gone or does not answer.
    pub async fn grants(&self) -> Result<Vec<LiveGrant>, WireError> {
        let mut stub = self.stub.clone();
        let reply = answered("grants", timeout(CALL, stub.grants(GrantsRequest {})).await)?;
        reply.grants.into_iter().map(convert::grant_in).collect()
    }

    /// At most `max` bytes, but no more than [`crate::READ_MAX`], of the archive that the proxy of `grant` writes,
    /// from byte `offset` on. Nothing to read yet is an empty piece.
    ///
    /// # Errors
    /// [`WireError::Refused`] when that proxy can't be asked; others when the master is gone or does not answer.
    pub async fn read(&self, grant: GrantId, offset: u64, max: u32) -> Result<Piece, WireError> {
        let mut stub = self.stub.clone();
        let request = ReadRequest { grant: grant.0, offset, max };
        answered("read", timeout(CALL, stub.read(request)).await).map(convert::piece_in)
    }

    /// The attach socket of an attempt's init, through the master and the proxy of `grant`: the same bytes.
    ///
    /// # Errors
    /// [`WireError::Refused`] when that can't be; others when the master is gone or does not answer.
    pub async fn attach(&self, grant: GrantId, attempt: AttemptId) -> Result<DuplexStream, WireError> {
        self.open(AttachChunk { grant: grant.0, attempt: attempt.to_string(), ..AttachChunk::default() }).await
    }

    /// Something beside the payload of an attempt, through the master and the proxy of `grant`.
    ///
    /// # Errors
    /// [`WireError::Refused`] when that can't be; others when the master is gone or does not answer.
    pub async fn visit(&self, grant: GrantId, attempt: AttemptId, visit: &Visit) -> Result<DuplexStream, WireError> {
        let visit = convert::json(visit);
        self.open(AttachChunk { grant: grant.0, attempt: attempt.to_string(), visit, ..AttachChunk::default() }).await
    }

    async fn open(&self, first: AttachChunk) -> Result<DuplexStream, WireError> {
        let (said, saying) = mpsc::channel::<Bytes>(1);
        let rest = ReceiverStream::new(saying).map(|bytes| AttachChunk { bytes, ..AttachChunk::default() });
        let mut stub = self.stub.clone();
        let call = stub.attach(tokio_stream::once(first).chain(rest));
        let mut replies = answered("attach", timeout(CALL, call).await)?;
        match timeout(CALL, replies.message()).await {
            Ok(Ok(Some(_))) => Ok(attached::pipe(replies, said)),
            Ok(Ok(None)) => Err(WireError::Ended { what: "attach", why: "the proxy went".to_owned() }),
            Ok(Err(status)) => Err(ended("attach", &status)),
            Err(_) => Err(WireError::Late { what: "attach" }),
        }
    }

    /// A proxy's answer to [`MasterOrder::Read`], or its refusal of [`MasterOrder::Attach`].
    ///
    /// # Errors
    /// [`WireError`] when the master is gone or does not answer.
    pub async fn answer(&self, ticket: u64, answer: Result<Piece, String>) -> Result<(), WireError> {
        let answer = answer.map_or_else(Answer::Refusal, |piece| Answer::Piece(convert::piece_out(piece)));
        let mut stub = self.stub.clone();
        let request = AnswerRequest { ticket, answer: Some(answer) };
        answered("answer", timeout(CALL, stub.answer(request)).await).map(|_| ())
    }

    /// A proxy's end of what [`MasterOrder::Attach`] asked for: what is read from the pipe came from the client.
    ///
    /// # Errors
    /// [`WireError`] when the client or the master is gone, or does not answer.
    pub async fn carry(&self, ticket: u64) -> Result<DuplexStream, WireError> {
        let (said, saying) = mpsc::channel::<Bytes>(1);
        let first = CarryChunk { ticket, bytes: Bytes::new() };
        let rest = ReceiverStream::new(saying).map(|bytes| CarryChunk { ticket: 0, bytes });
        let mut stub = self.stub.clone();
        let call = stub.carry(tokio_stream::once(first).chain(rest));
        let replies = answered("carry", timeout(CALL, call).await)?;
        Ok(attached::pipe(replies, said))
    }
}

impl Watching {
    /// The next thing to see; `None` after the master has closed in order (its journal has ended).
    ///
    /// # Errors
    /// [`WireError::Ended`] when the master died.
    pub async fn next(&mut self) -> Result<Option<Watched>, WireError> {
        match self.replies.message().await {
            Ok(Some(reply)) => convert::watched_in(reply).map(Some),
            Ok(None) => Ok(None),
            Err(status) => Err(ended("watch", &status)),
        }
    }
}

/// A connection that is already made, as a channel.
pub(crate) async fn channel_over<S>(stream: S, endpoint: Endpoint) -> Result<Channel, WireError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    // The one connection; there is no silent second one: whoever called sees the end and dials again.
    let once = Mutex::new(Some(stream));
    let connector = tower::service_fn(move |_| {
        let stream = once.lock().ok().and_then(|mut stream| stream.take());
        async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
    });
    let endpoint = endpoint.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(WINDOW);
    timeout(CALL, endpoint.connect_with_connector(connector))
        .await
        .map_err(|_| WireError::Late { what: "dial" })?
        .map_err(|error| WireError::Ended { what: "dial", why: error.to_string() })
}

/// Tries until somebody is there, or `patience` is over.
async fn patient<T, F>(patience: Duration, mut connect: impl FnMut() -> F) -> Result<T, WireError>
where
    F: Future<Output = Result<T, WireError>>,
{
    let end = Instant::now() + patience;
    loop {
        match timeout_at(end.max(Instant::now() + CALL), connect()).await {
            Ok(Err(WireError::NobodyThere { .. } | WireError::Unreachable { .. })) if Instant::now() < end => {
                sleep(AGAIN).await;
            }
            Ok(done) => return done,
            Err(_) => return Err(WireError::Late { what: "dial" }),
        }
    }
}

pub(crate) fn answered<T>(
    what: &'static str,
    answer: Result<Result<tonic::Response<T>, Status>, tokio::time::error::Elapsed>,
) -> Result<T, WireError> {
    match answer {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(ended(what, &status)),
        Err(_) => Err(WireError::Late { what }),
    }
}

pub(crate) fn ended(what: &'static str, status: &Status) -> WireError {
    let why = status.message().to_owned();
    match status.code() {
        Code::DeadlineExceeded => WireError::Late { what },
        Code::PermissionDenied => WireError::Denied { what, why },
        Code::FailedPrecondition | Code::InvalidArgument => WireError::Refused { what, why },
        _ => WireError::Ended { what, why },
    }
}
