//! The client's end: proxies link, people watch, stop and ask why.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use crate::error::WireError;
use crate::message::{MasterOrder, ProxyNews, Waiting, Watched};
use crate::proto::master_client::MasterClient as Stub;
use crate::proto::{StopRequest, WatchReply, WatchRequest, WhyRequest};
use crate::{convert, socket};

/// Most bytes of one message; a spec with its needs is at most 4 MiB.
pub(crate) const MESSAGE_MAX: usize = 32 << 20;
const CALL: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(20);

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
        let end = Instant::now() + patience;
        let stream = loop {
            match timeout_at(end.max(Instant::now() + CALL), socket::connect(dir, name)).await {
                Ok(Ok(stream)) => break stream,
                Ok(Err(WireError::NobodyThere { .. })) if Instant::now() < end => sleep(AGAIN).await,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(WireError::Late { what: "dial" }),
            }
        };
        // The one connection; there is no silent second one: whoever called sees the end and dials again.
        let once = Mutex::new(Some(stream));
        let connector = tower::service_fn(move |_| {
            let stream = once.lock().ok().and_then(|mut stream| stream.take());
            async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected)) }
        });
        let channel = timeout(CALL, Endpoint::from_static("http://master").connect_with_connector(connector))
            .await
            .map_err(|_| WireError::Late { what: "dial" })?
            .map_err(|error| WireError::Ended { what: "dial", why: error.to_string() })?;
        let stub = Stub::new(channel).max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
        Ok(Self { stub })
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

fn answered<T>(
    what: &'static str,
    answer: Result<Result<tonic::Response<T>, Status>, tokio::time::error::Elapsed>,
) -> Result<T, WireError> {
    match answer {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(ended(what, &status)),
        Err(_) => Err(WireError::Late { what }),
    }
}

fn ended(what: &'static str, status: &Status) -> WireError {
    match status.code() {
        Code::DeadlineExceeded => WireError::Late { what },
        _ => WireError::Ended { what, why: status.message().to_owned() },
    }
}
