//! The agent's end of its line.

use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::client::{server_name, split, stray};
use super::desk::AgentOrder;
use super::frame::{self, Frames, Torn};
use super::pulse::report_out;
use crate::error::WireError;
use crate::proto::end::Kind;
use crate::proto::{End, ToNode};
use crate::tcp::{self, Primed};
use crate::tls::{Speech, TlsIdentity};

const WHAT: &str = "attend";

/// How long things may take on the agent's end of a line.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// An agent that has nothing to report says so often that it lives. The server waits longer.
    beat: Duration,
    /// A server that has said nothing for so long is gone: it says something twice as often.
    silence: Duration,
    /// For the server's last words, once it takes no reports.
    end: Duration,
}

const PACE: Pace =
    Pace { beat: Duration::from_secs(20), silence: Duration::from_secs(20), end: Duration::from_secs(1) };

/// A connection to a state server for an agent's line, over which nothing was reported yet.
#[derive(Debug)]
pub struct Line {
    stream: Primed,
    frames: Frames,
}

/// An agent's line.
#[derive(Debug)]
pub struct Attendance {
    /// What the agent says; `send` fails once the line is cut.
    pub reports: mpsc::Sender<super::NodeReport>,
    /// What the server wants; the last item says why the line was cut.
    pub orders: mpsc::Receiver<Result<AgentOrder, WireError>>,
}

impl Line {
    /// Connects to the state server at `host:port`.
    ///
    /// # Errors
    /// [`WireError::Unreachable`], [`WireError::Stray`], [`WireError::Late`]; `Denied` without a certificate.
    pub async fn dial(address: &str, identity: &TlsIdentity, limit: Duration) -> Result<Self, WireError> {
        let end = Instant::now() + limit;
        let late = |_| WireError::Late { what: "dial" };
        let connecting = tcp::connect_to(server_name(), split(address)?, (identity, Speech::Line));
        let mut stream = timeout_at(end, connecting).await.map_err(late)?.map_err(stray)?;
        let mut frames = Frames::default();
        timeout_at(end, hear_one(&mut frames, &mut stream)).await.map_err(late)??;
        Ok(Self { stream, frames })
    }

    /// Opens the line with its first report, which has facts.
    ///
    /// # Errors
    /// [`WireError`] when the server is gone, does not answer, or turns this agent away.
    pub async fn attend(self, first: super::NodeReport, limit: Duration) -> Result<Attendance, WireError> {
        open(self.stream, self.frames, (first, limit), PACE).await
    }
}

async fn open<S>(
    mut stream: S,
    mut frames: Frames,
    (first, limit): (super::NodeReport, Duration),
    pace: Pace,
) -> Result<Attendance, WireError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opening = async {
        let said = frame::say(&mut stream, Some(&report_out(first))).await;
        // Why it does not take the report is in what it says.
        match (hear_one(&mut frames, &mut stream).await, said) {
            (Err(WireError::Ended { .. }), Err(error)) => Err(cut(&error)),
            (heard, _) => heard,
        }
    };
    let order = timeout(limit, opening).await.map_err(|_| WireError::Late { what: WHAT })??;
    let (reports, said) = mpsc::channel(2);
    let (give, orders) = mpsc::channel(16);
    let (read, write) = tokio::io::split(stream);
    tokio::spawn(async move {
        let mut hearing = pin!(hear((read, frames), order, &give, pace.silence));
        let error = tokio::select! {
            error = &mut hearing => error,
            cut = report(write, said, pace) => match cut {
                // Nobody reports any more.
                Ok(()) => return,
                // What the server said last tells more.
                Err(cut) => timeout(pace.end, &mut hearing).await.unwrap_or(cut),
            },
        };
        let _ = give.send(Err(error)).await;
    });
    Ok(Attendance { reports, orders })
}

/// Hears orders until the line is cut; why it was.
async fn hear(
    (mut read, mut frames): (impl AsyncRead + Unpin, Frames),
    first: Option<AgentOrder>,
    give: &mpsc::Sender<Result<AgentOrder, WireError>>,
    silence: Duration,
) -> WireError {
    let mut order = first;
    loop {
        if let Some(order) = order.take()
            && give.send(Ok(order)).await.is_err()
        {
            return ended("nobody hears orders any more");
        }
        order = match timeout(silence, hear_one(&mut frames, &mut read)).await {
            Ok(Ok(order)) => order,
            Ok(Err(error)) => return error,
            Err(_) => return ended("the server says nothing"),
        };
    }
}

/// The next order; nothing = a beat.
async fn hear_one(frames: &mut Frames, read: &mut (impl AsyncRead + Unpin)) -> Result<Option<AgentOrder>, WireError> {
    let garbled = |why| WireError::Garbled { why };
    match frames.next::<ToNode>(read).await {
        Ok(None) => Ok(None),
        Ok(Some(ToNode { end: Some(end), .. })) => Err(end_in(end)),
        Ok(Some(order)) => order_in(&order).map(Some).map_err(|error| garbled(error.to_string())),
        Err(Torn::Closed) => Err(ended("the server has closed")),
        Err(Torn::Cut(error)) => Err(cut(&error)),
        Err(Torn::Garbled(why)) => Err(garbled(why)),
    }
}

/// Says what there is to report until nobody reports any more, or the line takes nothing.
async fn report(
    mut write: impl AsyncWrite + Unpin,
    mut said: mpsc::Receiver<super::NodeReport>,
    pace: Pace,
) -> Result<(), WireError> {
    loop {
        let report = match timeout(pace.beat, said.recv()).await {
            Ok(Some(report)) => Some(report_out(report)),
            Ok(None) => {
                let _ = timeout(pace.end, write.shutdown()).await;
                return Ok(());
            }
            Err(_) => None,
        };
        match timeout(pace.silence, frame::say(&mut write, report.as_ref())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(cut(&error)),
            Err(_) => return Err(ended("the server takes no reports")),
        }
    }
}

fn ended(why: impl Into<String>) -> WireError {
    WireError::Ended { what: WHAT, why: why.into() }
}

fn cut(error: &std::io::Error) -> WireError {
    ended(format!("the line is cut: {error}"))
}

fn end_in(end: End) -> WireError {
    let (kind, why) = (end.kind(), end.why);
    match kind {
        Kind::Gone => ended(why),
        Kind::Denied => WireError::Denied { what: WHAT, why },
        Kind::Refused => WireError::Refused { what: WHAT, why },
        Kind::Late => WireError::Late { what: WHAT },
    }
}

fn order_in(order: &ToNode) -> Result<AgentOrder, serde_json::Error> {
    if !order.sweep.is_empty() {
        serde_json::from_slice(&order.sweep).map(AgentOrder::Sweep)
    } else if !order.bring.is_empty() {
        serde_json::from_slice(&order.bring).map(AgentOrder::Bring)
    } else {
        serde_json::from_slice(&order.mark).map(AgentOrder::Carry)
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::roster::Pulse;
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::proto::NodeReport;

    const SOON: Duration = Duration::from_secs(10);
    const HASTE: Pace =
        Pace { beat: Duration::from_millis(20), silence: Duration::from_millis(200), end: Duration::from_millis(200) };

    fn first() -> super::super::NodeReport {
        super::super::NodeReport { host: "n1".to_owned(), seq: 1, pulse: Pulse::default(), facts: None }
    }

    /// A line that stands, and the server's end.
    async fn attended(bytes: usize) -> (Attendance, DuplexStream, Frames) {
        let (here, mut server) = duplex(bytes);
        let mut frames = Frames::default();
        let served = async {
            let said = frames.next::<NodeReport>(&mut server).await.unwrap();
            assert_eq!(said.unwrap().seq, 1);
            frame::say(&mut server, None::<&ToNode>).await.unwrap();
        };
        let (line, ()) = tokio::join!(open(here, Frames::default(), (first(), SOON), HASTE), served);
        (line.unwrap(), server, frames)
    }

    async fn last(line: &mut Attendance) -> String {
        timeout(SOON, line.orders.recv()).await.expect("it ends").expect("with a reason").unwrap_err().to_string()
    }

    #[tokio::test]
    async fn an_agent_without_news_says_that_it_lives_and_sees_a_server_that_does_not() {
        let (mut line, mut server, mut frames) = attended(999).await;
        for _ in 0..20 {
            let said = timeout(SOON, frames.next::<NodeReport>(&mut server)).await.expect("beats").unwrap();
            assert!(said.is_none());
            frame::say(&mut server, None::<&ToNode>).await.unwrap();
        }
        let silent = Instant::now();
        assert_eq!(last(&mut line).await, "attend ended: the server says nothing");
        assert!(silent.elapsed() >= HASTE.silence * 9 / 10, "{:?}", silent.elapsed());
        timeout(SOON, line.reports.closed()).await.expect("it takes no more");
    }

    #[tokio::test]
    async fn a_server_that_takes_nothing_loses_its_agent() {
        let (mut line, mut server, _frames) = attended(999).await;
        let large = super::super::NodeReport { host: "n".repeat(2000), ..first() };
        line.reports.send(large).await.unwrap();
        let ends = async {
            loop {
                frame::say(&mut server, None::<&ToNode>).await.ok();
                tokio::time::sleep(HASTE.beat).await;
            }
        };
        let why = tokio::select! { why = last(&mut line) => why, () = ends => unreachable!("for ever") };
        assert_eq!(why, "attend ended: the server takes no reports");
    }

    #[tokio::test]
    async fn the_last_words_are_heard_by_who_still_reports() {
        let (mut line, mut server, _frames) = attended(9999).await;
        let end = |kind: Kind| End { kind: kind.into(), why: "so".to_owned() };
        frame::say(&mut server, Some(&ToNode { end: Some(end(Kind::Refused)), ..ToNode::default() })).await.unwrap();
        drop(server);
        let _ = line.reports.send(first()).await;
        assert_eq!(last(&mut line).await, "attend was refused: so");
        assert_eq!(end_in(end(Kind::Gone)).to_string(), "attend ended: so");
        assert_eq!(end_in(end(Kind::Denied)).to_string(), "attend is not allowed: so");
        assert_eq!(end_in(end(Kind::Late)).to_string(), "no answer to attend in time");
        // A kind of a later version is an end like another.
        assert_eq!(end_in(End { kind: 99, why: "so".to_owned() }).to_string(), "attend ended: so");
    }

    #[tokio::test]
    async fn a_server_that_talks_nonsense_is_left() {
        let (mut line, mut server, _frames) = attended(999).await;
        server.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        assert!(last(&mut line).await.starts_with("a message can't be understood: a message of"));
        let (mut line, mut server, _frames) = attended(999).await;
        frame::say(&mut server, Some(&ToNode { mark: "no".into(), ..ToNode::default() })).await.unwrap();
        assert!(last(&mut line).await.starts_with("a message can't be understood: expected"));
    }
}
