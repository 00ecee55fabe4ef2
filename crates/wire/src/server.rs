//! The master's end: every call of every peer goes into one mailbox.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dybox_model::GrantId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::transport::server::Connected;

use crate::client::{MESSAGE_MAX, STREAM_WINDOW, WINDOW};
use crate::desk::Desk;
use crate::error::WireError;
use crate::message::{LiveGrant, MasterOrder, ProxyNews, Waiting, Watched};
use crate::proto::master_server::MasterServer;
use crate::relay::{Ask, Relay};
use crate::tls::{self, Speech, TlsIdentity};
use crate::{socket, tcp};

/// A peer that stands still (a stopped process) keeps its socket: it is asked every so often whether it lives, and cut
/// off when it does not answer in time.
pub(crate) const PING: Duration = Duration::from_secs(5);
pub(crate) const PONG: Duration = Duration::from_secs(10);

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
        /// For what clients ask of this proxy.
        relay: Relay,
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
    /// Somebody asks for the grants that live.
    Grants {
        /// For the answer.
        answer: oneshot::Sender<Vec<LiveGrant>>,
    },
    /// A client asks something of a grant's proxy: to be passed to that line's [`Relay`], or refused
    /// ([`crate::no_line`]).
    Relay {
        /// Whose proxy.
        grant: GrantId,
        /// What.
        ask: Ask,
    },
}

/// Streams that one peer may have open at a time: its line, watches, answers and terminals.
const STREAMS: u32 = 128;

/// A server that listens until it is closed.
#[derive(Debug)]
pub struct Server {
    path: Option<PathBuf>,
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
    let peers = UnixListenerStream::new(listener).filter(|peer| match peer {
        Ok(stream) => admitted(stream),
        Err(_) => true,
    });
    Ok(serve_peers(peers, Some(dir.join(name))))
}

/// Listens on `bind` for those who show a certificate of the same run, and puts every call that their role allows into
/// the returned mailbox. With port 0 the system chooses one; the port is returned.
///
/// # Errors
/// [`WireError::Port`] when that can't be listened on; [`WireError::Credentials`] when `identity` is no good.
pub async fn serve_tcp(
    bind: SocketAddr,
    identity: &TlsIdentity,
) -> Result<(Server, mpsc::Receiver<Call>, u16), WireError> {
    let config = tls::server_config(identity, false, &[Speech::Grpc])?;
    let (listener, port) = tcp::listen(bind).await?;
    let (server, calls) = serve_peers(ReceiverStream::new(tcp::accept(listener, config, tcp::of_run)), None);
    Ok((server, calls, port))
}

fn serve_peers<S>(
    peers: impl Stream<Item = io::Result<S>> + Send + 'static,
    path: Option<PathBuf>,
) -> (Server, mpsc::Receiver<Call>)
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (mailbox, calls) = mpsc::channel(1024);
    let desk = MasterServer::new(Desk::new(mailbox))
        .max_decoding_message_size(MESSAGE_MAX)
        .max_encoding_message_size(MESSAGE_MAX);
    (serve_routes(peers, path, Routes::new(desk)), calls)
}

/// One service, as long as it is wanted.
pub(crate) fn serve_routes<S>(
    peers: impl Stream<Item = io::Result<S>> + Send + 'static,
    path: Option<PathBuf>,
    routes: Routes,
) -> Server
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (quit, quitting) = oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        let quitting = async move {
            let _ = quitting.await;
        };
        // It ends when told to; an accept error of one peer does not end it.
        let builder = tonic::transport::Server::builder().max_concurrent_streams(STREAMS);
        let builder = builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(WINDOW);
        let mut builder = builder.http2_keepalive_interval(Some(PING)).http2_keepalive_timeout(Some(PONG));
        let _ = builder.add_routes(routes).serve_with_incoming_shutdown(peers, quitting).await;
    });
    Server { path, quit, task }
}

fn admitted(stream: &UnixStream) -> bool {
    socket::stranger(stream).is_none()
}

impl Server {
    /// One that listens on a port.
    pub(crate) const fn new(quit: oneshot::Sender<()>, task: JoinHandle<()>) -> Self {
        Self { path: None, quit, task }
    }

    /// Takes no more calls, removes the socket, and gives what is on its way a moment to arrive.
    pub async fn close(self, patience: Duration) {
        if let Some(path) = self.path {
            let _ = std::fs::remove_file(path);
        }
        let _ = self.quit.send(());
        let mut task = self.task;
        if tokio::time::timeout(patience, &mut task).await.is_err() {
            task.abort();
        }
    }
}
