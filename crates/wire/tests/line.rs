//! Agents' lines on real sockets: what goes over them, how they end, and what garbage does to them.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dybox_model::roster::{Mark, NodeFacts, NodeImage, Pulse};
use dybox_wire::roster::{
    AgentOrder, Attendance, Authority, Badge, Line, NodeReport, RosterCall, RosterClient, serve_roster,
};
use dybox_wire::{Server, TlsIdentity, WireError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

const SOON: Duration = Duration::from_secs(10);
const LINE: Option<&[u8]> = Some(b"dybox-line/2");
const BEAT: [u8; 4] = [0; 4];
/// A report of node n1 whose clock is a text.
const NO_PULSE: &[u8] = b"\0\0\0\x08\x0a\x02n1\x1a\x02\x0a\0";

type Orders = mpsc::UnboundedSender<Box<AgentOrder>>;

struct Served {
    authority: Authority,
    server: Server,
    calls: mpsc::Receiver<RosterCall>,
    address: String,
}

impl Served {
    async fn start(open: bool) -> Self {
        let authority = Authority::make().expect("an authority");
        let identity = authority.issue(&Badge::Server).expect("a certificate");
        let bind = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (server, calls, port) = serve_roster(bind, &identity, open).await.expect("a port");
        Self { authority, server, calls, address: format!("127.0.0.1:{port}") }
    }

    fn identity(&self, badge: &Badge) -> TlsIdentity {
        self.authority.issue(badge).expect("a certificate")
    }

    fn agent(&self) -> TlsIdentity {
        self.identity(&Badge::Agent("n1".to_owned()))
    }

    async fn call(&mut self) -> RosterCall {
        timeout(SOON, self.calls.recv()).await.expect("a call comes").expect("it lives")
    }

    async fn reported(&mut self) -> NodeReport {
        match self.call().await {
            RosterCall::Reported { report, .. } => *report,
            other => panic!("{other:?}"),
        }
    }

    async fn denied(&mut self) -> &'static str {
        match self.call().await {
            RosterCall::Denied { why } => why,
            other => panic!("{other:?}"),
        }
    }

    async fn closed(&mut self) {
        let call = self.call().await;
        assert!(matches!(call, RosterCall::Closed { session: 1 }), "{call:?}");
    }

    /// A line that stands, and the server's way to the agent.
    async fn attended(&mut self) -> (Attendance, Orders) {
        let line = attend(&self.address, &self.agent(), report(1)).await.expect("it is heard");
        let RosterCall::Opened { host, orders, .. } = self.call().await else { panic!("no line") };
        assert_eq!((host.as_str(), self.reported().await), ("n1", report(1)));
        (line, orders)
    }

    /// Somebody with this certificate's authority who speaks TLS and then whatever comes.
    async fn raw(&self, identity: &TlsIdentity, speech: Option<&[u8]>) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(identity.ca.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots);
        let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let mut config = config.with_client_auth_cert(vec![cert], key).unwrap();
        config.alpn_protocols = speech.into_iter().map(<[u8]>::to_vec).collect();
        let stream = TcpStream::connect(&self.address).await.unwrap();
        let name = "dybox-state-server".try_into().unwrap();
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }
}

async fn attend(address: &str, identity: &TlsIdentity, first: NodeReport) -> Result<Attendance, WireError> {
    Line::dial(address, identity, SOON).await?.attend(first, SOON).await
}

fn report(seq: u64) -> NodeReport {
    let facts = (seq == 1).then(NodeFacts::default);
    NodeReport { host: "n1".to_owned(), seq, pulse: Pulse::default(), facts }
}

/// More than a record of TLS, or a buffer of the kernel, holds.
fn many_images() -> NodeFacts {
    let image = |n| NodeImage { id: format!("sha256:{n:064}"), names: vec![format!("registry/team/i:{n}")], size: n };
    NodeFacts { images: (0..20_000).map(image).collect(), ..NodeFacts::default() }
}

async fn last(line: &mut Attendance) -> WireError {
    loop {
        match timeout(SOON, line.orders.recv()).await.expect("it ends").expect("with a reason") {
            Ok(order) => drop(order),
            Err(error) => return error,
        }
    }
}

/// All that a server says until it closes.
async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut all = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut all)).await.expect("it is closed");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn reports_go_up_and_orders_come_down_beside_questions_over_grpc() {
    let mut served = Served::start(false).await;
    let (mut line, orders) = served.attended().await;
    let large = NodeReport { facts: Some(many_images()), ..report(2) };
    for next in [large, report(3)] {
        line.reports.send(next.clone()).await.unwrap();
        assert!(served.reported().await == next);
    }
    let mark = Mark { rev: 7, ..Mark::default() };
    orders.send(Box::new(AgentOrder::Carry(mark.clone()))).unwrap();
    assert_eq!(timeout(SOON, line.orders.recv()).await.unwrap().unwrap().unwrap(), AgentOrder::Carry(mark));

    // The same port answers calls.
    let operator = RosterClient::dial(&served.address, &served.identity(&Badge::Operator), SOON).await.unwrap();
    let (marked, ()) = tokio::join!(operator.mark("n1", (true, "disk", "me"), SOON), async {
        let RosterCall::Mark { host, done, .. } = served.call().await else { panic!("no mark") };
        assert_eq!(host, "n1");
        done.send(Ok(())).unwrap();
    });
    marked.unwrap();

    // Who is told to leave knows why.
    orders.send(Box::new(AgentOrder::Leave("another one came".to_owned()))).unwrap();
    let error = last(&mut line).await;
    assert!(matches!(&error, WireError::Refused { what: "attend", why } if why == "another one came"), "{error:?}");
    served.closed().await;
    timeout(SOON, line.reports.closed()).await.unwrap();
}

#[tokio::test]
async fn a_line_that_its_agent_drops_is_closed() {
    let mut served = Served::start(false).await;
    let (line, _orders) = served.attended().await;
    drop(line);
    served.closed().await;
}

#[tokio::test]
async fn a_server_that_ends_says_so_on_every_line() {
    let mut served = Served::start(false).await;
    let (mut line, orders) = served.attended().await;
    drop(orders);
    timeout(SOON, served.server.close(SOON * 2)).await.expect("it waits for its lines, and no longer");
    let error = line.orders.try_recv();
    let error = error.unwrap_or_else(|_| panic!("it was told before the server ended")).unwrap_err();
    assert!(matches!(&error, WireError::Ended { why, .. } if why == "the server has closed"), "{error:?}");
    // And one without a mailbox takes nobody.
    let served = Served::start(false).await;
    drop(served.calls);
    let error = attend(&served.address, &served.authority.issue(&Badge::Agent("n1".into())).unwrap(), report(1)).await;
    assert!(matches!(&error, Err(WireError::Ended { why, .. }) if why.contains("about to end")), "{error:?}");
}

#[tokio::test]
async fn who_is_no_agent_of_the_node_is_told_so() {
    let mut served = Served::start(true).await;
    let denied = |said: Result<Attendance, WireError>, words: &str| match said {
        Err(WireError::Denied { what: "attend", why }) => assert!(why.contains(words), "{why}"),
        other => panic!("{other:?}"),
    };
    for badge in [Badge::Agent("n2".to_owned()), Badge::Operator] {
        let said = attend(&served.address, &served.identity(&badge), report(1)).await;
        denied(said, "not of the agent of n1");
        assert_eq!(served.denied().await, "other_host");
    }
    // The server is open for questions: who shows nothing may ask, and not report.
    let nobody = TlsIdentity { cert: String::new(), key: String::new(), ..served.agent() };
    denied(attend(&served.address, &nobody, report(1)).await, "only an agent's certificate");
    assert_eq!(served.denied().await, "no_agent");
    // Another authority's agent does not come so far.
    let other = Authority::make().unwrap().issue(&Badge::Agent("n1".to_owned())).unwrap();
    let mixed = TlsIdentity { ca: served.agent().ca, ..other.clone() };
    for (identity, words) in [(other, "of another authority"), (mixed, "takes our certificate for one of another")] {
        let said = attend(&served.address, &identity, report(1)).await;
        assert!(matches!(&said, Err(WireError::Stray { why, .. }) if why.contains(words)), "{said:?}");
    }
    assert!(served.calls.try_recv().is_err());
}

#[tokio::test]
async fn garbage_in_the_place_of_a_first_report_ends_the_line_with_a_reason() {
    let mut served = Served::start(false).await;
    let too_long = ((4 << 20) + 1_u32).to_be_bytes();
    for (said, words) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "at most 4194304 are taken"),
        (&too_long, "4194305 bytes; at most 4194304 are taken"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "are taken"),
        (b"\0\0\0\x03\xff\xff\xff", "can't be understood"),
        (NO_PULSE, "invalid wire type"),
    ] {
        let mut stream = served.raw(&served.agent(), LINE).await.unwrap();
        stream.write_all(said).await.unwrap();
        let heard = rest(&mut stream).await;
        assert!(heard.as_bytes().starts_with(&BEAT) && heard.contains(words), "{said:?}: {heard:?}");
        assert_eq!(served.denied().await, "garbled");
    }
    // A beat is no report, and half a message is none.
    let mut stream = served.raw(&served.agent(), LINE).await.unwrap();
    stream.write_all(&BEAT).await.unwrap();
    assert!(rest(&mut stream).await.contains("not of the agent of"));
    assert_eq!(served.denied().await, "other_host");
    for half in [&NO_PULSE[..3], &NO_PULSE[..9]] {
        let mut stream = served.raw(&served.agent(), LINE).await.unwrap();
        stream.write_all(half).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(rest(&mut stream).await.as_bytes(), BEAT);
    }
    let (_line, _orders) = served.attended().await;
}

#[tokio::test]
async fn who_speaks_no_line_speaks_grpc_or_nothing() {
    let mut served = Served::start(false).await;
    for speech in [None, Some(&b"h2"[..])] {
        for said in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0xff; 4096], NO_PULSE] {
            let mut stream = served.raw(&served.agent(), speech).await.unwrap();
            stream.write_all(said).await.unwrap();
            stream.shutdown().await.unwrap();
            let heard = rest(&mut stream).await;
            assert!(!heard.contains("dybox") && !heard.contains("understood"), "{heard:?}");
        }
    }
    let later = served.raw(&served.agent(), Some(b"dybox-line/3")).await;
    assert!(later.unwrap_err().to_string().contains("NoApplicationProtocol"));
    assert!(served.calls.try_recv().is_err(), "nobody got through");
    let (_line, _orders) = served.attended().await;
}

/// A first report, as bytes.
fn first() -> Vec<u8> {
    let body = b"\x0a\x02n1\x10\x01\x1a\0";
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

#[tokio::test]
async fn a_report_in_two_halves_is_whole_whatever_is_said_in_between() {
    let mut served = Served::start(false).await;
    let mut stream = served.raw(&served.agent(), LINE).await.unwrap();
    stream.write_all(&first()).await.unwrap();
    let RosterCall::Opened { orders, .. } = served.call().await else { panic!("no line") };
    served.reported().await;
    let mut beats = [1; 8];
    stream.read_exact(&mut beats).await.unwrap();
    assert_eq!(beats, [0; 8], "its certificate is taken, its report was heard");
    for half in [2, 9] {
        stream.write_all(&first()[..half]).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        orders.send(Box::new(AgentOrder::Carry(Mark::default()))).unwrap();
        let len = stream.read_u32().await.unwrap();
        stream.read_exact(&mut vec![0; len as usize]).await.unwrap();
        // A beat is no report.
        stream.write_all(&[&first()[half..], &BEAT].concat()).await.unwrap();
        assert_eq!(served.reported().await.host, "n1");
    }
    // Garbage ends a line that stood, too.
    stream.write_all(b"garbage!").await.unwrap();
    assert!(rest(&mut stream).await.contains("can't be understood: a message of"));
    assert_eq!(served.denied().await, "garbled");
    served.closed().await;
}

#[tokio::test]
async fn half_a_report_and_the_end_of_its_agent_close_the_line() {
    let mut served = Served::start(false).await;
    let mut stream = served.raw(&served.agent(), LINE).await.unwrap();
    stream.write_all(&[&first()[..], &first()[..8]].concat()).await.unwrap();
    let RosterCall::Opened { orders, .. } = served.call().await else { panic!("no line") };
    served.reported().await;
    stream.flush().await.unwrap();
    drop(stream);
    served.closed().await;
    drop(orders);
}
