//! The master's end: every call of every peer goes into one mailbox.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status, Streaming};

use crate::client::MESSAGE_MAX;
use crate::error::WireError;
use crate::message::{MasterOrder, ProxyNews, Waiting, Watched};
use crate::proto::master_server::{Master, MasterServer};
use crate::proto::{FromProxy, StopReply, StopRequest, ToProxy, WatchReply, WatchRequest, WhyReply, WhyRequest};
use crate::{convert, socket};

/// A peer that stands still (a stopped process) keeps its socket: it is asked every so often whether it lives, and cut
/// off when it does not answer in time.
const PING: Duration = Duration::from_secs(5);
const PONG: Duration = Duration::from_secs(10);

/// One line of a proxy; a number that never repeats in a master's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// What peers want from the master. Replies are dropped in silence when the peer is gone.
#[derive(Debug)]
pub enum Call {
    /// A proxy opened a line. Its Hello comes as the first [`Call::News`].
    Linked {
        /// The line.
        link: LinkId,
        /// To talk to it; dropping it cuts the line.
        orders: mpsc::UnboundedSender<MasterOrder>,
    },
    /// A proxy said something.
    News {
        /// The line that it came over.
        link: LinkId,
        /// What.
        news: ProxyNews,
    },
    /// The line is cut; nothing more comes over it.
    Unlinked {
        /// The line.
        link: LinkId,
        /// Why, where it is known.
        why: String,
    },
    /// Somebody watches.
    Watch {
        /// Byte offset in the journal.
        from: u64,
        /// Whether notes are wanted.
        notes: bool,
        /// Where to put what there is to see. Full = the watcher is slow.
        watcher: mpsc::Sender<Watched>,
    },
    /// Somebody wants the sub-DAG to end.
    Stop {
        /// Why, in a phrase.
        why: String,
        /// Without grace.
        now: bool,
        /// Who asks, where the system knows it.
        uid: Option<u32>,
        /// To be answered once it is written down.
        done: oneshot::Sender<()>,
    },
    /// Somebody asks why things wait.
    Why {
        /// For the answer.
        answer: oneshot::Sender<Vec<Waiting>>,
    },
}

/// A server that listens until it is closed.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    quit: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Listens on the socket `name` in `dir`, for processes of this user (and root) alone, and puts every call into the
/// returned mailbox.
///
/// # Errors
/// [`WireError::InUse`] when a live process listens there; [`WireError::Socket`] when the socket can't be made.
pub async fn serve(dir: &Path, name: &str) -> Result<(Server, mpsc::Receiver<Call>), WireError> {
    let listener = socket::listen(dir, name).await?;
    let (mailbox, calls) = mpsc::channel(1024);
    let (quit, quitting) = oneshot::channel::<()>();
    let desk = MasterServer::new(Desk { mailbox, links: AtomicU64::new(1) })
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    let peers = UnixListenerStream::new(listener).filter(|peer| match peer {
        Ok(stream) => admitted(stream),
        Err(_) => true,
    });
    let task = tokio::spawn(async move {
        let quitting = async move {
            let _ = quitting.await;
        };
        // It ends when told to; an accept error of one peer does not end it.
        let builder = tonic::transport::Server::builder();
        let mut builder = builder.http2_keepalive_interval(Some(PING)).http2_keepalive_timeout(Some(PONG));
        let _ = builder.add_service(desk).serve_with_incoming_shutdown(peers, quitting).await;
    });
    Ok((Server { path: dir.join(name), quit, task }, calls))
}

fn admitted(stream: &UnixStream) -> bool {
    socket::stranger(stream).is_none()
}

impl Server {
    /// Takes no more calls, removes the socket, and gives what is on its way a moment to arrive.
    pub async fn close(self, patience: Duration) {
        let _ = std::fs::remove_file(&self.path);
        let _ = self.quit.send(());
        let mut task = self.task;
        if tokio::time::timeout(patience, &mut task).await.is_err() {
            task.abort();
        }
    }
}

struct Desk {
    mailbox: mpsc::Sender<Call>,
    links: AtomicU64,
}

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn closing<T>(_: T) -> Status {
    Status::unavailable("the master is about to end")
}

#[tonic::async_trait]
impl Master for Desk {
    type LinkStream = Replies<ToProxy>;
    type WatchStream = Replies<WatchReply>;

    async fn link(&self, request: Request<Streaming<FromProxy>>) -> Result<Response<Self::LinkStream>, Status> {
        let link = LinkId(self.links.fetch_add(1, Ordering::Relaxed));
        let (orders, given) = mpsc::unbounded_channel();
        self.mailbox.send(Call::Linked { link, orders }).await.map_err(closing)?;
        tokio::spawn(listen_to(link, request.into_inner(), self.mailbox.clone()));
        let replies = UnboundedReceiverStream::new(given).map(|order| Ok(convert::order_out(order)));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let WatchRequest { from, notes } = request.into_inner();
        let (watcher, seen) = mpsc::channel(64);
        self.mailbox.send(Call::Watch { from, notes, watcher }).await.map_err(closing)?;
        let replies = ReceiverStream::new(seen).map(|watched| Ok(convert::watched_out(watched)));
        Ok(Response::new(Box::pin(replies)))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopReply>, Status> {
        let peer = request.extensions().get::<UdsConnectInfo>().and_then(|peer| peer.peer_cred);
        let uid = peer.map(|peer| peer.uid());
        let StopRequest { why, now } = request.into_inner();
        let (done, written) = oneshot::channel();
        self.mailbox.send(Call::Stop { why, now, uid, done }).await.map_err(closing)?;
        written.await.map_err(closing)?;
        Ok(Response::new(StopReply {}))
    }

    async fn why(&self, _request: Request<WhyRequest>) -> Result<Response<WhyReply>, Status> {
        let (answer, answered) = oneshot::channel();
        self.mailbox.send(Call::Why { answer }).await.map_err(closing)?;
        let waiting = answered.await.map_err(closing)?;
        Ok(Response::new(WhyReply { waiting: waiting.into_iter().map(convert::waiting_out).collect() }))
    }
}

/// Brings what one proxy says into the mailbox, until its line is cut.
async fn listen_to(link: LinkId, mut said: Streaming<FromProxy>, mailbox: mpsc::Sender<Call>) {
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
    let _ = mailbox.send(Call::Unlinked { link, why }).await;
}
