//! A master on a port: who is let in, who is not, and what goes through it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dybox_model::{AttemptId, GrantId, Millis, Resources, RunId, StageId, TaskId};
use dybox_wire::{
    Address, Call, Link, LiveGrant, MasterClient, MasterOrder, Piece, ProxyNews, Relay, RunTls, Server, TlsIdentity,
    WireError, no_line, serve_tcp,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const ONCE: Duration = Duration::ZERO;
const SOON: Duration = Duration::from_secs(5);
const GRANT: GrantId = GrantId(7);

fn any() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn run() -> RunId {
    "01jd0000000000000000000000".parse().unwrap()
}

fn attempt() -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(0), index: 1 }, number: 2 }
}

struct Served {
    tls: RunTls,
    server: Server,
    calls: mpsc::Receiver<Call>,
    port: u16,
}

impl Served {
    async fn start() -> Self {
        let tls = RunTls::make(&run()).unwrap();
        let (server, calls, port) = serve_tcp(any(), &tls.master).await.unwrap();
        Self { tls, server, calls, port }
    }

    fn at(&self, identity: &TlsIdentity) -> Address {
        Address::Tcp { host: "127.0.0.1".into(), port: self.port, identity: identity.clone() }
    }

    async fn dial(&self, identity: &TlsIdentity) -> Result<MasterClient, WireError> {
        MasterClient::dial_at(&self.at(identity), ONCE).await
    }

    /// A proxy's connection, its line, and the master's ways to it.
    async fn linked(&mut self) -> (MasterClient, Link, (mpsc::UnboundedSender<MasterOrder>, Relay)) {
        let proxy = self.dial(&self.tls.proxy).await.unwrap();
        let (link, call) = tokio::join!(proxy.link(), self.calls.recv());
        let Some(Call::Linked { orders, relay, .. }) = call else { panic!("no link") };
        (proxy, link.unwrap(), (orders, relay))
    }

    /// Nobody got through.
    fn untouched(&mut self) {
        assert!(self.calls.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_proxy_and_a_client_of_the_run_are_served() {
    let mut served = Served::start().await;
    let (_proxy, mut link, (orders, _relay)) = served.linked().await;
    let swept = ProxyNews::Swept { grant: GrantId(3), exits: vec![(attempt(), None)] };
    link.news.send(swept.clone()).await.unwrap();
    let Some(Call::News { news, .. }) = served.calls.recv().await else { panic!("no news") };
    assert_eq!(news, swept);
    orders.send(MasterOrder::Sweep { grant: GrantId(4) }).unwrap();
    assert_eq!(link.orders.recv().await, Some(MasterOrder::Sweep { grant: GrantId(4) }));

    let client = served.dial(&served.tls.client).await.unwrap();
    let size = Resources { cpu_milli: 500, memory: 64 << 20 };
    let grant = LiveGrant { grant: GRANT, host: "n1".into(), container: None, size, since: Millis(5), linked: true };
    let desk = async {
        let Some(Call::Grants { answer }) = served.calls.recv().await else { panic!("no call") };
        answer.send(vec![grant.clone()]).unwrap();
    };
    let (got, ()) = tokio::join!(client.grants(), desk);
    assert_eq!(got.unwrap(), std::slice::from_ref(&grant));
    drop(orders);
    served.server.close(SOON).await;
    assert_eq!(timeout(SOON, link.orders.recv()).await, Ok(None), "the proxy sees the end");
}

#[tokio::test]
async fn a_read_goes_to_the_proxy_and_back() {
    let mut served = Served::start().await;
    let (proxy, mut link, (_orders, relay)) = served.linked().await;
    let client = served.dial(&served.tls.client).await.unwrap();
    let piece = Piece { bytes: Bytes::from(vec![7; 1 << 20]), total: 1 << 40, closed: true };
    let desk = async {
        for found in [true, true, false] {
            let Some(Call::Relay { grant: GRANT, ask }) = served.calls.recv().await else { panic!("no ask") };
            if found { relay.pass(ask) } else { ask.refuse(&no_line(GRANT)) }
        }
    };
    let answers = async {
        let Some(MasterOrder::Read { ticket, offset: 17, max: 9 }) = link.orders.recv().await else {
            panic!("no read")
        };
        proxy.answer(ticket + 1, Err("an answer that nobody asked for".into())).await.unwrap();
        proxy.answer(ticket, Ok(piece.clone())).await.unwrap();
        let Some(MasterOrder::Read { ticket, max, .. }) = link.orders.recv().await else { panic!("no read") };
        assert_eq!(max, dybox_wire::READ_MAX, "what is asked for is bounded");
        proxy.answer(ticket, Err("no archive".into())).await.unwrap();
    };
    let asks = async {
        assert_eq!(client.read(GRANT, 17, 9).await.unwrap(), piece);
        let refused = client.read(GRANT, 0, u32::MAX).await;
        assert!(matches!(&refused, Err(WireError::Refused { why, .. }) if why == "no archive"), "{refused:?}");
        let nobody = client.read(GRANT, 0, 1).await;
        assert!(matches!(nobody, Err(WireError::Refused { why, .. }) if why.contains("no line")));
    };
    tokio::join!(desk, answers, asks);
}

#[tokio::test]
async fn a_read_ends_when_the_line_is_cut() {
    let mut served = Served::start().await;
    let (proxy, mut link, (orders, relay)) = served.linked().await;
    let client = served.dial(&served.tls.client).await.unwrap();
    let cut = async {
        let Some(Call::Relay { ask, .. }) = served.calls.recv().await else { panic!("no ask") };
        relay.pass(ask);
        assert!(matches!(link.orders.recv().await, Some(MasterOrder::Read { .. })));
        drop((link, proxy, orders));
    };
    let (read, ()) = tokio::join!(timeout(SOON, client.read(GRANT, 0, 1)), cut);
    assert!(matches!(read, Ok(Err(WireError::Refused { .. }))), "{read:?}");
}

#[tokio::test]
async fn a_terminal_goes_through_and_ends_at_both_ends() {
    let mut served = Served::start().await;
    let (proxy, mut link, (_orders, relay)) = served.linked().await;
    let client = served.dial(&served.tls.client).await.unwrap();
    let much = vec![b'x'; 3 << 20];
    let pass = async {
        let Some(Call::Relay { grant: GRANT, ask }) = served.calls.recv().await else { panic!("no ask") };
        relay.pass(ask);
    };
    let echo = async {
        let Some(MasterOrder::Attach { ticket, attempt: of, .. }) = link.orders.recv().await else {
            panic!("no attach")
        };
        assert_eq!(of, attempt());
        let (mut read, mut write) = tokio::io::split(proxy.carry(ticket).await.unwrap());
        let copied = tokio::io::copy(&mut read, &mut write).await;
        assert_eq!(copied.unwrap(), much.len() as u64);
    };
    let talk = async {
        let (mut read, mut write) = tokio::io::split(client.attach(GRANT, attempt()).await.unwrap());
        let mut back = vec![0; much.len()];
        let say = write.write_all(&much);
        let (said, heard) = tokio::join!(say, read.read_exact(&mut back));
        said.unwrap();
        heard.unwrap();
        assert!(back == much);
    };
    timeout(SOON * 4, async { tokio::join!(pass, echo, talk) }).await.unwrap();

    let refuse = async {
        let Some(Call::Relay { ask, .. }) = served.calls.recv().await else { panic!("no ask") };
        relay.pass(ask);
        let Some(MasterOrder::Attach { ticket, .. }) = link.orders.recv().await else { panic!("no attach") };
        proxy.answer(ticket, Err("it takes nobody".into())).await.unwrap();
    };
    let (refused, ()) = tokio::join!(client.attach(GRANT, attempt()), refuse);
    assert!(matches!(&refused, Err(WireError::Refused { why, .. }) if why == "it takes nobody"), "{refused:?}");
}

#[tokio::test]
async fn a_role_may_do_its_own_calls_alone() {
    let mut served = Served::start().await;
    let client = served.dial(&served.tls.client).await.unwrap();
    let proxy = served.dial(&served.tls.proxy).await.unwrap();
    let denied = |error: WireError| {
        assert!(matches!(error, WireError::Denied { .. }), "{error:?}");
        assert!(!error.advice().is_empty());
    };
    denied(client.link().await.unwrap_err());
    denied(client.answer(1, Err(String::new())).await.unwrap_err());
    denied(client.carry(1).await.unwrap_err());
    denied(proxy.stop("", true).await.unwrap_err());
    denied(proxy.why().await.unwrap_err());
    denied(proxy.grants().await.unwrap_err());
    denied(proxy.read(GRANT, 0, 1).await.unwrap_err());
    denied(proxy.attach(GRANT, attempt()).await.unwrap_err());
    denied(proxy.watch(0, true).await.unwrap_err());
    served.untouched();
}

#[tokio::test]
async fn strangers_are_refused_and_told_why() {
    let mut served = Served::start().await;
    let other = RunTls::make(&run()).unwrap();
    let why = |dialed: Result<MasterClient, WireError>| match dialed {
        Err(WireError::Untrusted { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    // Another run's client does not take the master for its own.
    assert!(why(served.dial(&other.client).await).contains("of another run"));
    // Nor the master one that knows its authority, but is none of its.
    let mixed = TlsIdentity { ca: served.tls.client.ca.clone(), ..other.client.clone() };
    let said = why(served.dial(&mixed).await);
    assert!(said.contains("takes our certificate for one of another run"), "{said}");
    // A master's certificate is no client's.
    let said = why(served.dial(&served.tls.master).await);
    assert!(!said.is_empty());
    // A proxy's is no master's.
    let (_server, _calls, port) = serve_tcp(any(), &served.tls.proxy).await.unwrap();
    let address = Address::Tcp { host: "127.0.0.1".into(), port, identity: served.tls.client.clone() };
    assert!(!why(MasterClient::dial_at(&address, ONCE).await).is_empty());
    served.untouched();
    // And a broken one is none at all.
    let broken = TlsIdentity { key: "-----BEGIN".into(), ..served.tls.client.clone() };
    assert!(matches!(served.dial(&broken).await, Err(WireError::Credentials { .. })));
    assert!(served.dial(&served.tls.client).await.is_ok());
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let mut served = Served::start().await;
    let mut roots = rustls::RootCertStore::empty();
    let ca = rustls::pki_types::pem::PemObject::from_pem_slice(served.tls.client.ca.as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
    let name = "dybox-master".try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let error = stream.read(&mut [0; 16]).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
    served.untouched();
}

#[tokio::test]
async fn noise_does_no_harm() {
    let mut served = Served::start().await;
    let mut silent = Vec::new();
    for said in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0xff; 4096],
        b"\x16\x03\x01\xff\xff",
        b"",
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", served.port)).await.unwrap();
        stream.write_all(said).await.unwrap();
        if said.len() > 5 {
            let mut back = Vec::new();
            let _ = timeout(SOON, stream.read_to_end(&mut back)).await.expect("it is closed at once");
            assert!(back.len() < 64, "it is told nothing: {back:?}");
        }
        // Who says nothing, or half a record, is in nobody's way.
        silent.push(stream);
    }
    served.untouched();
    assert!(served.dial(&served.tls.client).await.is_ok());
}

#[tokio::test]
async fn something_else_than_a_master_is_named() {
    let tls = RunTls::make(&run()).unwrap();
    let listener = TcpListener::bind(any()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = Address::Tcp { host: "127.0.0.1".into(), port, identity: tls.client.clone() };
    let page = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
    };
    let (dialed, ()) = tokio::join!(MasterClient::dial_at(&address, ONCE), page);
    let error = dialed.unwrap_err();
    assert!(matches!(&error, WireError::Untrusted { why, .. } if why.contains("else than TLS")), "{error:?}");
    let hangs_up = async { drop(listener.accept().await) };
    let (dialed, ()) = tokio::join!(MasterClient::dial_at(&address, ONCE), hangs_up);
    let error = dialed.unwrap_err();
    assert!(matches!(error, WireError::Untrusted { .. } | WireError::Unreachable { .. }), "{error:?}");
    drop(listener);
    assert!(matches!(MasterClient::dial_at(&address, ONCE).await, Err(WireError::Unreachable { .. })));
}

#[tokio::test]
async fn whoever_dials_early_waits_for_the_port() {
    let free = TcpListener::bind(any()).await.unwrap();
    let bind = free.local_addr().unwrap();
    drop(free);
    let tls = RunTls::make(&run()).unwrap();
    let address = Address::Tcp { host: "127.0.0.1".into(), port: bind.port(), identity: tls.client.clone() };
    let late = async {
        tokio::time::sleep(Duration::from_millis(60)).await;
        serve_tcp(bind, &tls.master).await.unwrap()
    };
    let (master, _served) = tokio::join!(MasterClient::dial_at(&address, SOON), late);
    assert!(master.is_ok(), "{master:?}");
}

#[tokio::test]
async fn a_handshake_is_cheap() {
    let made = Instant::now();
    let tls = RunTls::make(&run()).unwrap();
    let made = made.elapsed();
    let (_server, _calls, port) = serve_tcp(any(), &tls.master).await.unwrap();
    let address = Address::Tcp { host: "127.0.0.1".into(), port, identity: tls.proxy.clone() };
    let mut times = Vec::new();
    for _ in 0..20 {
        let from = Instant::now();
        MasterClient::dial_at(&address, ONCE).await.unwrap();
        times.push(from.elapsed());
    }
    times.sort();
    println!("certificates {made:?}; dial: median {:?}, worst {:?}", times[10], times[19]);
    assert!(times[10] < Duration::from_millis(100) && made < Duration::from_secs(1));
}

#[test]
fn nothing_of_a_key_is_printed() {
    let tls = RunTls::make(&run()).unwrap();
    let address = Address::Tcp { host: "::1".into(), port: 1, identity: tls.proxy.clone() };
    let shown = format!("{tls:?} {:?} {address:?} {address}", tls.proxy);
    assert!(!shown.contains("BEGIN") && shown.ends_with("[::1]:1"), "{shown}");
}
