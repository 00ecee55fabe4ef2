//! The one place with a socket: a task that owns one connection.
//!
//! It writes what the session says, reads what the server says, and hands answers to whoever waits. What a failure
//! means for a call is not decided here but in `retry`.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::RpcError;
use crate::keeper::{Answered, Failure, Order, Try};
use crate::session::{Answer, Fault, Refusal, Session};
use crate::target::Address;

/// A line that said nothing for so long to a call that was given up is not trusted any more.
const SUSPECT: Duration = Duration::from_secs(1);
const READ: usize = 16 << 10;

/// What a line is asked.
#[derive(Debug)]
pub(crate) enum ToLine {
    Call(Try),
    /// Somebody gave up waiting.
    Wake,
}

/// Where a line leads.
pub(crate) struct Place {
    pub(crate) server: usize,
    pub(crate) at: String,
    pub(crate) ping: Duration,
}

type Calls = mpsc::UnboundedReceiver<ToLine>;
type Again = mpsc::WeakUnboundedSender<Order>;

/// Connects, to the first of the host's addresses that answers.
pub(crate) async fn connect(address: &Address, patience: Duration) -> Result<TcpStream, RpcError> {
    let error = match timeout(patience, dial(address)).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => error,
        Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {} s", patience.as_secs_f32())),
    };
    let (at, refused) = (address.to_string(), error.kind() == io::ErrorKind::ConnectionRefused);
    let source = Arc::new(error);
    Err(if refused { RpcError::Refused { at, source } } else { RpcError::Unreachable { at, source } })
}

async fn dial(address: &Address) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for one in lookup_host((address.host.as_str(), address.port)).await? {
        match dial_one(one).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn dial_one(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_keepalive(true)?;
    socket.set_nodelay(true)?;
    socket.connect(address).await
}

/// Starts the task. It ends with the connection, or when its sender is dropped and nobody waits any more; calls that
/// it never began go back to the keeper.
pub(crate) fn start(stream: TcpStream, session: Session, place: Place, (calls, again): (Calls, Again)) {
    let now = Instant::now();
    let line = Line {
        session,
        place,
        calls,
        waiting: BTreeMap::new(),
        written: 0,
        answered: false,
        left: false,
        heard: now,
        said: now,
    };
    tokio::spawn(line.run(stream, again));
}

struct Line {
    session: Session,
    place: Place,
    calls: Calls,
    waiting: BTreeMap<i32, Waiting>,
    /// Bytes, altogether.
    written: u64,
    /// It was of use before.
    answered: bool,
    /// No call will come any more.
    left: bool,
    heard: Instant,
    said: Instant,
}

struct Waiting {
    method: String,
    reply: oneshot::Sender<Result<Answered, Failure>>,
    since: Instant,
    /// Bytes that were written when the call came.
    mark: u64,
}

/// Why a line ends.
enum End {
    Released,
    Lost(io::Error),
    Faulty(Fault),
}

enum Step {
    Order(Option<ToLine>),
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Quiet,
}

impl Line {
    async fn run(mut self, mut stream: TcpStream, again: Again) {
        let end = self.serve(&mut stream).await;
        tracing::debug!(at = self.place.at, end = end.word(), "a line ends");
        self.calls.close();
        while let Ok(order) = self.calls.try_recv() {
            if let (ToLine::Call(call), Some(again)) = (order, again.upgrade()) {
                // Fails only together with its caller.
                let _ = again.send(Order::Call(call));
            }
        }
        let open = self.session.is_open();
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let sent = open && self.written > waiting.mark;
            let stale = self.answered && self.heard <= waiting.since && !matches!(end, End::Faulty(_));
            let error = end.error(&self.place.at, &waiting.method, sent);
            let _ = waiting.reply.send(Err(Failure { server: self.place.server, error, stale }));
        }
    }

    async fn serve(&mut self, stream: &mut TcpStream) -> End {
        let (mut reader, mut writer) = stream.split();
        let mut buffer = vec![0; READ];
        loop {
            let ping = self.said.max(self.heard) + self.place.ping;
            let step = tokio::select! {
                order = self.calls.recv(), if !self.left => Step::Order(order),
                wrote = writer.write(self.session.outgoing()), if !self.session.outgoing().is_empty() => {
                    Step::Wrote(wrote)
                }
                read = reader.read(&mut buffer) => Step::Read(read),
                () = sleep_until(ping), if !self.waiting.is_empty() => Step::Quiet,
            };
            let ended = match step {
                Step::Order(order) => {
                    self.begin(order);
                    None
                }
                Step::Wrote(wrote) => self.wrote(wrote),
                Step::Read(Ok(bytes)) => self.take(&buffer[..bytes]),
                Step::Read(Err(error)) => Some(End::Lost(error)),
                Step::Quiet => {
                    self.said = Instant::now();
                    self.session.ping();
                    None
                }
            };
            if let Some(end) = ended.or_else(|| self.purge()) {
                return end;
            }
        }
    }

    fn begin(&mut self, order: Option<ToLine>) {
        match order {
            Some(ToLine::Call(call)) => {
                let Try { method, request, reply, .. } = call;
                let id = self.session.call(&method, &request);
                self.waiting.insert(id, Waiting { method, reply, since: Instant::now(), mark: self.written });
            }
            Some(ToLine::Wake) => {}
            None => self.left = true,
        }
    }

    fn wrote(&mut self, wrote: io::Result<usize>) -> Option<End> {
        match wrote {
            Ok(0) => Some(End::Lost(io::ErrorKind::WriteZero.into())),
            Ok(bytes) => {
                self.session.written(bytes);
                self.written += bytes as u64;
                self.said = Instant::now();
                None
            }
            // What the server said before it closed may still be read, and says more.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                self.session.written(usize::MAX);
                self.left = true;
                None
            }
            Err(error) => Some(End::Lost(error)),
        }
    }

    /// Takes in what was read; nothing means that the server has closed the line.
    fn take(&mut self, bytes: &[u8]) -> Option<End> {
        if bytes.is_empty() {
            return Some(End::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
        self.heard = Instant::now();
        let mut answers = Vec::new();
        let taken = self.session.receive(bytes, &mut answers);
        for Answer { call, outcome } in answers {
            self.answered = true;
            let Some(waiting) = self.waiting.remove(&call) else { continue };
            let at = self.place.at.clone();
            let outcome = outcome.map(|message| Answered { at: at.clone(), message }).map_err(|refusal| Failure {
                server: self.place.server,
                error: remote(refusal, at, waiting.method),
                stale: false,
            });
            // Whoever waited may have gone.
            let _ = waiting.reply.send(outcome);
        }
        taken.err().map(End::Faulty)
    }

    /// Forgets calls that were given up. Ends the line when it was left and nobody waits, or when it is suspect.
    fn purge(&mut self) -> Option<End> {
        let mut suspect = false;
        let Self { session, waiting, heard, .. } = self;
        waiting.retain(|id, one| {
            let gone = one.reply.is_closed();
            if gone {
                session.forget(*id);
                suspect |= *heard <= one.since && one.since.elapsed() >= SUSPECT;
            }
            !gone
        });
        let idle = self.waiting.is_empty();
        if idle && suspect {
            return Some(End::Lost(io::ErrorKind::TimedOut.into()));
        }
        (idle && self.left).then_some(End::Released)
    }
}

impl End {
    fn word(&self) -> String {
        match self {
            Self::Released => "released".to_owned(),
            Self::Lost(error) => error.to_string(),
            Self::Faulty(fault) => format!("{fault:?}"),
        }
    }

    fn error(&self, at: &str, method: &str, sent: bool) -> RpcError {
        let (at, method) = (at.to_owned(), method.to_owned());
        let broken = |error: io::Error| RpcError::Broken {
            at: at.clone(),
            method: method.clone(),
            sent,
            source: Arc::new(error),
        };
        match self {
            Self::Released => broken(io::ErrorKind::NotConnected.into()),
            Self::Lost(error) => broken(io::Error::new(error.kind(), error.to_string())),
            Self::Faulty(Fault::NotHadoop(what)) => RpcError::NotHadoop { at, what: what.clone() },
            Self::Faulty(Fault::Denied(Refusal { class, message, .. })) => {
                RpcError::Denied { at, class: class.clone(), message: message.clone() }
            }
            Self::Faulty(Fault::Mechanism { offered, token }) => {
                RpcError::Mechanism { at, offered: offered.clone(), token: *token }
            }
            Self::Faulty(Fault::Fatal(refusal)) => remote(refusal.clone(), at, method),
            Self::Faulty(Fault::Garbled(what)) => RpcError::Garbled { at, what: what.clone() },
        }
    }
}

fn remote(refusal: Refusal, at: String, method: String) -> RpcError {
    let Refusal { class, message, stack } = refusal;
    RpcError::Remote { at, method, class, message, stack }
}
