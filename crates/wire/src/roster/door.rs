//! The server's end of agents' lines: who comes is looked at, then its reports go into the mailbox and orders to it,
//! by a task that needs little, for there are a thousand.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dybox_model::roster::Mark;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::badge::{Badge, Holder};
use super::desk::{AgentOrder, RosterCall};
use super::frame::{self, Frames, Torn};
use super::pulse::report_in;
use crate::proto::end::Kind;
use crate::proto::{End, NodeReport, ToNode};

/// How long things may take on the server's end of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// For the first report, which has facts.
    pub(super) first: Duration,
    /// Between two beats, which tell the agent that the server lives.
    pub(super) beat: Duration,
    /// An agent that has said nothing for so long is cut off at the next beat. Reports come every few seconds, and
    /// beats of its own from an agent that looks less often: this only finds peers whose machine is gone.
    pub(super) silence: Duration,
    /// For an agent to take what is said to it.
    pub(super) say: Duration,
    /// For the last words.
    pub(super) end: Duration,
}

impl Pace {
    pub(super) const USUAL: Self = Self {
        first: Duration::from_secs(15),
        beat: Duration::from_secs(10),
        silence: Duration::from_secs(40),
        say: Duration::from_secs(20),
        end: Duration::from_secs(1),
    };
}

/// Lets agents in.
#[derive(Debug, Clone)]
pub(super) struct Door {
    mailbox: mpsc::Sender<RosterCall>,
    sessions: Arc<AtomicU64>,
    pace: &'static Pace,
    /// Whoever has the other end sees when the last line has ended.
    _live: mpsc::Sender<Infallible>,
}

/// An agent's line after its first report.
struct Line<S> {
    session: u64,
    stream: S,
    frames: Frames,
    orders: mpsc::UnboundedReceiver<Box<AgentOrder>>,
    door: Door,
}

fn end(kind: Kind, why: impl Into<String>) -> End {
    End { kind: kind.into(), why: why.into() }
}

fn closing<T>(_: T) -> End {
    end(Kind::Gone, "the state server is about to end")
}

impl Door {
    pub(super) fn new(mailbox: mpsc::Sender<RosterCall>, pace: &'static Pace, live: mpsc::Sender<Infallible>) -> Self {
        Self { mailbox, sessions: Arc::new(AtomicU64::new(1)), pace, _live: live }
    }

    /// Serves an agent in tasks of its own, for as long as both live.
    pub(super) fn let_in<S>(&self, stream: S, holder: Holder)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let door = self.clone();
        tokio::spawn(async move {
            let (mut stream, mut frames) = (stream, Frames::default());
            match door.welcome(&mut stream, &mut frames, &holder).await {
                Ok((session, orders)) => {
                    let line = Line { session, stream, frames, orders, door };
                    // Another task, for what the first report needed is not needed any more.
                    tokio::spawn(Box::new(line).serve());
                }
                Err(Some(end)) => leave(stream, end, door.pace).await,
                Err(None) => {}
            }
        });
    }

    /// Hears the first report. What is wrong with an agent is told to it; nothing where it is gone.
    async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        frames: &mut Frames,
        holder: &Holder,
    ) -> Result<(u64, mpsc::UnboundedReceiver<Box<AgentOrder>>), Option<End>> {
        // Nothing is read of who shows nothing.
        if holder.is_nobody() {
            return Err(Some(self.deny("no_agent", Kind::Denied, "only an agent's certificate reports").await));
        }
        // Says that its certificate is taken.
        beat(stream, self.pace).await?;
        let first = timeout(self.pace.first, frames.next::<NodeReport>(stream)).await;
        let first = first.map_err(|_| end(Kind::Late, "no first report"))?;
        let first = match first {
            Ok(first) => first.unwrap_or_default(),
            Err(torn) => return Err(self.torn(torn).await),
        };
        let host = first.host.clone();
        if !holder.has(&Badge::Agent(host.clone())) {
            let why = format!("the certificate is not of the agent of {host}");
            return Err(Some(self.deny("other_host", Kind::Denied, why).await));
        }
        let first = match report_in(first) {
            Ok(first) => Box::new(first),
            Err(why) => return Err(self.torn(Torn::Garbled(why)).await),
        };
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (orders, given) = mpsc::unbounded_channel();
        self.mailbox.send(RosterCall::Opened { session, host, orders }).await.map_err(closing)?;
        self.mailbox.send(RosterCall::Reported { session, report: first }).await.map_err(closing)?;
        Ok((session, given))
    }

    async fn deny(&self, word: &'static str, kind: Kind, why: impl Into<String>) -> End {
        let _ = self.mailbox.send(RosterCall::Denied { why: word }).await;
        end(kind, why)
    }

    /// The last words to an agent that says nothing more that could be understood.
    async fn torn(&self, torn: Torn) -> Option<End> {
        match torn {
            Torn::Closed | Torn::Cut(_) => None,
            Torn::Garbled(why) => {
                let why = format!("the report can't be understood: {why}");
                Some(self.deny("garbled", Kind::Refused, why).await)
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Until the line is cut from either side.
    async fn serve(mut self: Box<Self>) {
        let end = match self.talk().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let Self { session, stream, door, .. } = *self;
        // A server that ends takes no more calls: its agents hear of that all the same.
        let closed = door.mailbox.send(RosterCall::Closed { session });
        let left = async {
            if let Some(end) = end {
                leave(stream, end, door.pace).await;
            }
        };
        let _ = tokio::join!(closed, left);
    }

    async fn talk(&mut self) -> Result<Infallible, Option<End>> {
        let Self { session, stream, frames, orders, door } = self;
        let mut heard = Instant::now();
        // The first beat says that the first report was heard.
        let mut next = pin!(sleep(Duration::ZERO));
        loop {
            tokio::select! {
                said = frames.next::<NodeReport>(stream) => {
                    let report = match said {
                        Ok(report) => report.map(report_in).transpose(),
                        Err(torn) => return Err(door.torn(torn).await),
                    };
                    match report {
                        Ok(None) => {}
                        Ok(Some(report)) => {
                            let call = RosterCall::Reported { session: *session, report: Box::new(report) };
                            // Who reports faster than the server takes waits here, unread.
                            door.mailbox.send(call).await.map_err(closing)?;
                        }
                        Err(why) => return Err(door.torn(Torn::Garbled(why)).await),
                    }
                    heard = Instant::now();
                }
                order = orders.recv() => {
                    let order = order.ok_or_else(|| end(Kind::Gone, "the server has closed"))?;
                    let order = order_out(*order).map_err(Some)?;
                    said(timeout(door.pace.say, frame::say(stream, Some(&order))).await)?;
                }
                () = &mut next => {
                    if heard.elapsed() > door.pace.silence {
                        return Err(Some(end(Kind::Gone, "the agent says nothing")));
                    }
                    beat(stream, door.pace).await?;
                    next.as_mut().reset(Instant::now() + door.pace.beat);
                }
            }
        }
    }
}

/// To who does not take what is said to it, there is nothing more to say.
fn said<E>(said: Result<std::io::Result<()>, E>) -> Result<(), Option<End>> {
    said.ok().and_then(Result::ok).ok_or(None)
}

async fn beat(stream: &mut (impl AsyncWrite + Unpin), pace: &Pace) -> Result<(), Option<End>> {
    said(timeout(pace.say, frame::say(stream, None::<&ToNode>)).await)
}

/// Says why, and closes.
async fn leave(mut stream: impl AsyncRead + AsyncWrite + Unpin, end: End, pace: &Pace) {
    let last = async {
        frame::say(&mut stream, Some(&ToNode { end: Some(end), ..ToNode::default() })).await?;
        stream.shutdown().await?;
        // Closing before all is read that the agent has sent would take the last words from it.
        let mut unread = [0; 256];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    let _ = timeout(pace.end, last).await;
}

/// The message, or the last words.
fn order_out(order: AgentOrder) -> Result<ToNode, End> {
    // An agent that is older than an order takes the mark, which is less than any other, and nothing else.
    let no_mark = || serde_json::to_vec(&Mark::default()).expect("a mark is JSON").into();
    match order {
        AgentOrder::Carry(mark) => {
            let mark = serde_json::to_vec(&mark).expect("a mark is JSON");
            Ok(ToNode { mark: mark.into(), ..ToNode::default() })
        }
        AgentOrder::Sweep(order) => {
            let sweep = serde_json::to_vec(&order).expect("an order is JSON");
            Ok(ToNode { mark: no_mark(), sweep: sweep.into(), ..ToNode::default() })
        }
        AgentOrder::Bring(order) => {
            let bring = serde_json::to_vec(&order).expect("an order is JSON");
            Ok(ToNode { mark: no_mark(), bring: bring.into(), ..ToNode::default() })
        }
        AgentOrder::Leave(why) => Err(end(Kind::Refused, why)),
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use tokio::io::{DuplexStream, duplex};

    use super::super::badge::Authority;
    use super::*;
    use crate::proto::Pulse;

    const SOON: Duration = Duration::from_secs(10);
    const HASTE: Pace = Pace {
        first: Duration::from_millis(100),
        beat: Duration::from_millis(20),
        silence: Duration::from_millis(100),
        say: Duration::from_millis(100),
        end: Duration::from_millis(100),
    };

    fn holder() -> Holder {
        let identity = Authority::make().unwrap().issue(&Badge::Agent("n1".to_owned())).unwrap();
        Holder::know(Some(&[CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()])).unwrap()
    }

    fn report(seq: u64) -> NodeReport {
        NodeReport { host: "n1".to_owned(), seq, pulse: Some(Pulse::default()), ..NodeReport::default() }
    }

    struct Stage {
        agent: DuplexStream,
        frames: Frames,
        calls: mpsc::Receiver<RosterCall>,
        lines: mpsc::Receiver<Infallible>,
    }

    /// An agent at the door of a server that takes so many calls at a time, with so many bytes on their way.
    fn at_door(pace: &'static Pace, (calls, bytes): (usize, usize)) -> Stage {
        let (agent, stream) = duplex(bytes);
        let ((mailbox, calls), (live, lines)) = (mpsc::channel(calls), mpsc::channel(1));
        Door::new(mailbox, pace, live).let_in(stream, holder());
        Stage { agent, frames: Frames::default(), calls, lines }
    }

    impl Stage {
        async fn say(&mut self, report: Option<&NodeReport>) {
            frame::say(&mut self.agent, report).await.unwrap();
        }

        /// Its beats, and the end.
        async fn end(&mut self) -> (usize, End) {
            let mut beats = 0;
            loop {
                match timeout(SOON, self.frames.next::<ToNode>(&mut self.agent)).await.expect("it ends").unwrap() {
                    None => beats += 1,
                    Some(said) => return (beats, said.end.expect("no orders")),
                }
            }
        }

        async fn all_gone(&mut self) {
            assert!(timeout(SOON, self.lines.recv()).await.expect("no line lives").is_none());
        }
    }

    #[tokio::test]
    async fn who_says_nothing_has_its_line_cut() {
        let mut mute = at_door(&HASTE, (9, 999));
        assert_eq!(mute.end().await, (1, end(Kind::Late, "no first report")));
        mute.all_gone().await;
        assert!(mute.calls.recv().await.is_none(), "nothing was heard");

        let mut gone = at_door(&HASTE, (9, 999));
        gone.say(Some(&report(1))).await;
        // An agent that has nothing to report has beats.
        for _ in 0..8 {
            sleep(HASTE.silence / 4).await;
            gone.say(None).await;
        }
        let said = Instant::now();
        let (beats, why) = gone.end().await;
        assert_eq!(why, end(Kind::Gone, "the agent says nothing"));
        assert!(said.elapsed() >= HASTE.silence * 9 / 10, "{:?}", said.elapsed());
        assert!(beats >= 5, "the server said that it lives: {beats}");
        let Some(RosterCall::Opened { orders, .. }) = gone.calls.recv().await else { panic!("no line") };
        assert!(matches!(gone.calls.recv().await, Some(RosterCall::Reported { .. })));
        assert!(matches!(gone.calls.recv().await, Some(RosterCall::Closed { .. })));
        gone.all_gone().await;
        assert!(orders.is_closed());
    }

    #[tokio::test]
    async fn who_takes_nothing_has_its_line_cut() {
        let mut deaf = at_door(&HASTE, (9, 64));
        deaf.say(Some(&report(1))).await;
        let Some(RosterCall::Opened { orders, .. }) = deaf.calls.recv().await else { panic!("no line") };
        let mark = Mark { why: "x".repeat(999), ..Mark::default() };
        orders.send(Box::new(AgentOrder::Carry(mark))).unwrap();
        deaf.all_gone().await;
        assert!(orders.is_closed());
    }

    #[tokio::test]
    async fn an_agent_waits_while_the_server_takes_no_more() {
        let mut stage = at_door(&Pace::USUAL, (2, 400));
        stage.say(Some(&report(1))).await;
        let mut said = 1;
        while timeout(Duration::from_millis(200), frame::say(&mut stage.agent, Some(&report(said + 1)))).await.is_ok() {
            said += 1;
            assert!(said < 100, "it takes all");
        }
        // What was on its way is taken as soon as there is room: the last one was given up in the middle.
        stage.agent.shutdown().await.unwrap();
        let Some(RosterCall::Opened { orders: _orders, .. }) = stage.calls.recv().await else { panic!("no line") };
        let mut taken = 0;
        loop {
            match timeout(SOON, stage.calls.recv()).await.unwrap() {
                Some(RosterCall::Reported { report, .. }) => {
                    taken += 1;
                    assert_eq!(report.seq, taken);
                }
                Some(RosterCall::Closed { .. }) => break,
                _ => {}
            }
        }
        assert_eq!(taken, said);
    }
}
