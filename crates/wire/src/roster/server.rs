//! The state server's end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::badge::Holder;
use super::desk::{Desk, RosterCall};
use super::hall;
use crate::error::WireError;
use crate::proto::roster_server::RosterServer;
use crate::server::Server;
use crate::tcp;
use crate::tls::{self, Speech, TlsIdentity};

/// Who asks is soon gone; this finds peers whose machine is.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(20);
/// Most bytes of one question: a wish that names all machines.
const MESSAGE_MAX: usize = 4 << 20;
/// Questions are short.
const WINDOW: u32 = 64 << 10;
const STREAMS: u32 = 64;

/// Listens on `bind` for who shows a certificate of the same authority (where it is `open`, for others who only ask,
/// too) and puts every call that the certificate allows into the returned mailbox. With port 0 the system chooses one;
/// the port is returned.
///
/// # Errors
/// [`WireError::Port`] when that can't be listened on; [`WireError::Credentials`] when `identity` is no good.
pub async fn serve_roster(
    bind: SocketAddr,
    identity: &TlsIdentity,
    open: bool,
) -> Result<(Server, mpsc::Receiver<RosterCall>, u16), WireError> {
    let config = tls::server_config(identity, open, &[Speech::Line, Speech::Grpc])?;
    let (listener, port) = tcp::listen(bind).await?;
    let (mailbox, calls) = mpsc::channel(1024);
    let hall = hall::open(Arc::clone(&config), mailbox.clone());
    let (agents, all_gone) = hall.map_err(|source| WireError::Port { bind, source })?;
    let askers = tcp::accept_but(listener, config, Holder::know, Some((Speech::Line, agents)));
    let (quit, quitting) = oneshot::channel::<()>();
    let desk = RosterServer::new(Desk::new(mailbox)).max_decoding_message_size(MESSAGE_MAX);
    let task = tokio::spawn(async move {
        let quitting = async move {
            let _ = quitting.await;
        };
        let builder = tonic::transport::Server::builder().max_concurrent_streams(STREAMS);
        let builder = builder.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
        let mut builder = builder.http2_keepalive_interval(Some(PING)).http2_keepalive_timeout(Some(PONG));
        let _ = builder.add_service(desk).serve_with_incoming_shutdown(ReceiverStream::new(askers), quitting).await;
        // Agents are told that it ends.
        let _ = all_gone.await;
    });
    Ok((Server::new(quit, task), calls, port))
}
