//! A server on a real socket that follows a script: one entry a connection, the last one for all that follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::twin::{Asked, Door, Twin};
use crate::Address;
use crate::proto::rpc_response_header_proto::RpcStatusProto;

/// What a server does with one connection.
#[derive(Clone, Debug)]
pub(crate) enum Script {
    /// Answers every call with its request; the method `never` never, `later` after 300 ms.
    Echo(Door),
    /// Answers one call, then closes.
    EchoOnce,
    /// Takes calls and says nothing.
    Silent,
    /// Closes as soon as a call has come.
    CloseOnCall,
    /// Sends these bytes as soon as something has come, and waits.
    Say(Vec<u8>),
    /// The same, and closes.
    SayAndClose(Vec<u8>),
    /// Answers every call with this exception.
    Refuse(RpcStatusProto, &'static str),
    /// Answers a call that nobody made.
    WrongCall,
}

/// What a server has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    connections: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
    pings: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Seen {
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn pings(&self) -> usize {
        self.pings.load(Ordering::SeqCst)
    }

    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

/// Starts a server; it lives as long as the test's runtime.
pub(crate) async fn serve(scripts: Vec<Script>) -> (Address, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Seen::default();
    let told = seen.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let number = told.connections.fetch_add(1, Ordering::SeqCst);
            let script = scripts[number.min(scripts.len() - 1)].clone();
            let told = told.clone();
            tokio::spawn(async move {
                // A client that goes away ends its connection's script.
                let _ = follow(stream, script, &told).await;
                told.ended.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    (Address::new("127.0.0.1", port), seen)
}

async fn follow(mut stream: TcpStream, script: Script, seen: &Seen) -> std::io::Result<()> {
    let door = if let Script::Echo(door) = &script { door.clone() } else { Door::Simple };
    let mut twin = Twin::new(door);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        if let Script::Say(bytes) | Script::SayAndClose(bytes) = &script {
            stream.write_all(bytes).await?;
            if matches!(script, Script::SayAndClose(_)) {
                return stream.shutdown().await;
            }
            continue;
        }
        let asked = twin.receive(&buffer[..read]);
        seen.calls.fetch_add(asked.len(), Ordering::SeqCst);
        seen.pings.store(twin.pings, Ordering::SeqCst);
        let many = !asked.is_empty();
        for one in asked {
            answer(&mut twin, one, &script).await;
        }
        let out = twin.out.split();
        if many && matches!(script, Script::CloseOnCall) {
            return Ok(());
        }
        stream.write_all(&out).await?;
        if many && matches!(script, Script::EchoOnce) {
            return Ok(());
        }
    }
}

async fn answer(twin: &mut Twin, asked: Asked, script: &Script) {
    match script {
        Script::Echo(_) | Script::EchoOnce => {
            if asked.method == "later" {
                sleep(Duration::from_millis(300)).await;
            }
            if asked.method != "never" {
                twin.answer(asked.call, &asked.request);
            }
        }
        Script::Refuse(status, class) => twin.refuse(*status, asked.call, (class, "as the script says")),
        Script::WrongCall => twin.answer(asked.call + 100, b""),
        Script::Silent | Script::CloseOnCall | Script::Say(_) | Script::SayAndClose(_) => {}
    }
}
