//! Ports of the network, with mutual TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, TlsConnector, client, server};
use tonic::transport::server::Connected;

use crate::error::WireError;
use crate::tls::{self, Role, Speech, TlsIdentity};

/// For the connection, and for each side of the handshake.
const CONNECT: Duration = Duration::from_secs(5);
/// Handshakes that go on at a time; who comes later waits in the kernel's queue.
const HANDSHAKES: usize = 64;
/// Peers that have come and were not yet taken.
const COMING: usize = 64;

/// A stream of which the first bytes were read already.
#[derive(Debug)]
pub(crate) struct Primed {
    first: Bytes,
    stream: client::TlsStream<TcpStream>,
}

/// Connects to the master there; whoever it is, it must show a certificate of the same run, and take ours.
pub(crate) async fn connect(host: &str, port: u16, identity: &TlsIdentity) -> Result<Primed, WireError> {
    connect_to(tls::master_name(), (host, port), (identity, Speech::Grpc)).await
}

/// Connects to who must show a certificate of our authority, with this name, and take ours, to speak so.
pub(crate) async fn connect_to(
    name: ServerName<'static>,
    (host, port): (&str, u16),
    (identity, speech): (&TlsIdentity, Speech),
) -> Result<Primed, WireError> {
    let config = tls::client_config(identity, speech)?;
    let address = || format!("{host}:{port}");
    let unreachable = |source| WireError::Unreachable { address: address(), source };
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let connected = timeout(CONNECT, TcpStream::connect((host, port))).await.map_err(late);
    let stream = connected.and_then(|stream| stream).map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let shaking = async {
        let mut stream = TlsConnector::from(config).connect(name, stream).await?;
        // Whether the master takes our certificate shows only in what it says next; it speaks first.
        let mut first = vec![0; 256];
        let read = stream.read(&mut first).await?;
        first.truncate(read);
        if first.is_empty() {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof))
        } else {
            Ok(Primed { first: first.into(), stream })
        }
    };
    let untrusted = |why| WireError::Untrusted { address: address(), why };
    match timeout(CONNECT, shaking).await {
        Ok(Ok(primed)) => Ok(primed),
        Ok(Err(reset)) if reset.kind() == io::ErrorKind::ConnectionReset => Err(unreachable(reset)),
        Ok(Err(error)) => Err(untrusted(tls::explain(&error))),
        Err(_) => Err(untrusted("it says nothing".to_owned())),
    }
}

/// Listens. Port 0 means any; the port that it got is returned.
pub(crate) async fn listen(bind: SocketAddr) -> Result<(TcpListener, u16), WireError> {
    let port = |source| WireError::Port { bind, source };
    let listener = TcpListener::bind(bind).await.map_err(port)?;
    let got = listener.local_addr().map_err(port)?.port();
    Ok((listener, got))
}

/// Who is at the other end of a TLS line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) role: Role,
}

/// Who a peer is, by the certificates that it showed; nothing = it is not let in.
pub(crate) type Know<P> = fn(Option<&[CertificateDer<'_>]>) -> Option<P>;

/// A line to a peer that has shown who it is.
#[derive(Debug)]
pub(crate) struct Secured<P> {
    peer: P,
    stream: server::TlsStream<TcpStream>,
}

impl<P: Clone + Send + Sync + 'static> Connected for Secured<P> {
    type ConnectInfo = P;

    fn connect_info(&self) -> P {
        self.peer.clone()
    }
}

impl<P> Secured<P> {
    /// Who it is, and the line.
    pub(crate) fn apart(self) -> (P, server::TlsStream<TcpStream>) {
        (self.peer, self.stream)
    }
}

/// Somebody who has said how it will speak, and has heard nothing yet. Belongs to no event loop.
#[derive(Debug)]
pub(crate) struct Comer {
    hello: Accepted,
    stream: std::net::TcpStream,
    from: IpAddr,
    /// Until its handshake is done.
    _slot: OwnedSemaphorePermit,
}

impl Comer {
    /// Ends the handshake in the event loop that this is called in; nothing = it was refused.
    pub(crate) async fn shake<P>(self, config: Arc<ServerConfig>, know: Know<P>) -> Option<Secured<P>> {
        let Self { hello, stream, from, _slot } = self;
        let shaking = async {
            let stream = TcpStream::from_std(stream)?;
            shake(StartHandshake::from_parts(hello, stream), config, know).await
        };
        in_time(from, shaking).await
    }
}

/// A peer of a run.
pub(crate) fn of_run(chain: Option<&[CertificateDer<'_>]>) -> Option<Peer> {
    tls::role_of(chain).map(|role| Peer { role })
}

/// Brings every peer in that is known, until nobody takes them any more.
pub(crate) fn accept<P: Clone + Send + 'static>(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    know: Know<P>,
) -> mpsc::Receiver<io::Result<Secured<P>>> {
    accept_but(listener, config, know, None)
}

/// The same; who names this speech goes there before anything is said to it.
pub(crate) fn accept_but<P: Clone + Send + 'static>(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    know: Know<P>,
    apart: Option<(Speech, mpsc::Sender<Comer>)>,
) -> mpsc::Receiver<io::Result<Secured<P>>> {
    let (come, coming) = mpsc::channel(COMING);
    let slots = Arc::new(Semaphore::new(HANDSHAKES));
    tokio::spawn(async move {
        // Only this loop keeps that way open.
        let weak = apart.as_ref().map(|(speech, comers)| (*speech, comers.downgrade()));
        let gate = Gate { config, know, come, apart: weak };
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("it is never closed");
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = gate.come.closed() => return,
            };
            match accepted {
                Ok((stream, from)) => drop(tokio::spawn(gate.clone().let_in(stream, from.ip(), slot))),
                // Out of descriptors, or a peer that went at once.
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    });
    coming
}

/// What becomes of who comes.
#[derive(Clone)]
struct Gate<P> {
    config: Arc<ServerConfig>,
    know: Know<P>,
    come: mpsc::Sender<io::Result<Secured<P>>>,
    apart: Option<(Speech, mpsc::WeakSender<Comer>)>,
}

impl<P> Gate<P> {
    async fn let_in(self, stream: TcpStream, from: IpAddr, slot: OwnedSemaphorePermit) {
        let Some(hello) = in_time(from, greet(stream)).await else { return };
        if let Some((_, comers)) = self.apart.filter(|(speech, _)| names(&hello, *speech)) {
            send(hello, (from, slot), &comers).await;
        } else if let Some(secured) = in_time(from, shake(hello, self.config, self.know)).await {
            let _ = self.come.send(Ok(secured)).await;
        }
    }
}

/// What it says first.
async fn greet(stream: TcpStream) -> io::Result<StartHandshake<TcpStream>> {
    stream.set_nodelay(true)?;
    LazyConfigAcceptor::new(Acceptor::default(), stream).await
}

fn names(hello: &StartHandshake<TcpStream>, speech: Speech) -> bool {
    hello.client_hello().alpn().is_some_and(|mut names| names.any(|name| name == speech.name()))
}

/// Out of this event loop.
async fn send(
    hello: StartHandshake<TcpStream>,
    (from, slot): (IpAddr, OwnedSemaphorePermit),
    comers: &mpsc::WeakSender<Comer>,
) {
    let StartHandshake { accepted: hello, io, .. } = hello;
    // Without a taker, or out of what the system gives: it comes again.
    if let (Some(comers), Ok(stream)) = (comers.upgrade(), io.into_std()) {
        let _ = comers.send(Comer { hello, stream, from, _slot: slot }).await;
    }
}

async fn shake<P>(
    hello: StartHandshake<TcpStream>,
    config: Arc<ServerConfig>,
    know: Know<P>,
) -> io::Result<Secured<P>> {
    let stream = hello.into_stream(config).await?;
    let peer = know(stream.get_ref().1.peer_certificates());
    let peer = peer.ok_or_else(|| io::Error::other("its certificate names no role"))?;
    Ok(Secured { peer, stream })
}

/// Who is late or no good is refused, and the log says why.
async fn in_time<T>(from: IpAddr, part: impl Future<Output = io::Result<T>>) -> Option<T> {
    let why = match timeout(CONNECT, part).await {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(error)) => tls::explain(&error),
        Err(_) => "it says nothing".to_owned(),
    };
    tracing::warn!(%from, why, "a peer was refused");
    None
}

impl AsyncRead for Primed {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let len = this.first.len().min(buf.remaining());
        buf.put_slice(&this.first[..len]);
        this.first.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<P: Unpin> AsyncRead for Secured<P> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

macro_rules! writes_through {
    ($name:ty $(, $peer:ident)?) => {
        impl$(<$peer: Unpin>)? AsyncWrite for $name {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().stream).poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.stream.is_write_vectored()
            }
        }
    };
}

writes_through!(Primed);
writes_through!(Secured<P>, P);
