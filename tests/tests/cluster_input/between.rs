//! Somebody between a client and a server of Hadoop RPC who spoils one of the server's answers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The half of it comes, then the end.
    Cut,
    /// Its length is right, its bytes are not.
    Garbage,
    /// It says that it is 2 GiB long, and begins to be.
    Huge,
}

/// The one between; its threads end with the connections.
pub(crate) struct Between {
    at: SocketAddr,
    spoilt: Arc<AtomicBool>,
}

impl Between {
    /// Listens on a port of its own. Spoils answer `nth` of all connections together, and all later ones where `on`.
    pub(crate) fn start(server: &str, wrong: Wrong, nth: usize, on: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let (server, count, spoilt) =
            (server.to_owned(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&spoilt);
        let spoil = move || {
            let now = count.fetch_add(1, Ordering::SeqCst);
            let spoil = if on { now >= nth } else { now == nth };
            told.fetch_or(spoil, Ordering::SeqCst);
            spoil.then_some(wrong)
        };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(&server) {
                    pass_on(client, server, spoil.clone());
                }
            }
        });
        Self { at, spoilt }
    }

    pub(crate) fn address(&self) -> String {
        self.at.to_string()
    }

    pub(crate) fn has_spoilt(&self) -> bool {
        self.spoilt.load(Ordering::SeqCst)
    }
}

/// One connection, both ways.
fn pass_on(client: TcpStream, server: TcpStream, spoil: impl FnMut() -> Option<Wrong> + Send + 'static) {
    let (mut up, mut to) = (client.try_clone().expect("a clone"), server.try_clone().expect("a clone"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut up, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let _ = answers(&server, &client, spoil);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    });
}

/// Passes frames on, until one is spoilt so that nothing can follow.
fn answers(mut from: &TcpStream, mut to: &TcpStream, mut spoil: impl FnMut() -> Option<Wrong>) -> std::io::Result<()> {
    loop {
        let mut head = [0; 4];
        from.read_exact(&mut head)?;
        let mut body = vec![0; u32::from_be_bytes(head) as usize];
        from.read_exact(&mut body)?;
        match spoil() {
            None => to.write_all(&[&head[..], &body].concat())?,
            Some(Wrong::Cut) => return to.write_all(&[&head[..], &body[..body.len() / 2]].concat()),
            Some(Wrong::Garbage) => to.write_all(&[&head[..], &vec![0xd7; body.len()]].concat())?,
            Some(Wrong::Huge) => {
                to.write_all(&[0x7f, 0xff, 0xff, 0xff])?;
                // Whoever takes all of it has no bound.
                for _ in 0..(2 << 30) / body.len().max(1 << 16) {
                    to.write_all(&[0; 1 << 16])?;
                }
                return Ok(());
            }
        }
    }
}
