//! One container from its start to its end, as `docker run` would show it.

use std::io;
use std::time::Duration;

use dybox_client::{Client, Ear, Follow, Mouth, Say, Update, Way};
use dybox_job::Plan;
use dybox_model::{Attach, AttemptId, Cause, Exit, Fact, GrantId, Note, RunId};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::streams::{Streams, connect, from_archives};
use super::terminal::{self, Raw};
use crate::command::{Context, Outcome};
use crate::live::shown;
use crate::report::Failure;
use crate::report::time::now;

/// What `docker run` returns when it could not do its part.
pub(super) const OWN_FAILURE: u8 = 125;
/// Output that is still on its way when the container's end is known.
const DRAIN: Duration = Duration::from_secs(5);
/// A wait that is shorter is not worth a word.
const QUIET: Duration = Duration::from_secs(1);
/// A third Ctrl-C does not wait any more.
const FORCE: u32 = 3;

/// A container and who talks to it.
pub(super) struct Session<'a> {
    context: &'a Context,
    client: Client,
    run: RunId,
    attach: Attach,
    follow: Follow,
    line: Line,
    raw: Option<Raw>,
    exit: Option<Exit>,
    /// Tells the reader of the archives that all is there.
    over: watch::Sender<bool>,
    interrupts: u32,
    /// The signal that came before there was a container.
    stopped_by: Option<i32>,
    began: Instant,
    told: Vec<String>,
    waits: Option<String>,
    /// On the cluster: why its application is over, where the run did not end.
    gone: Option<String>,
    /// Tries that were followed by another one.
    tries: u32,
}

/// How far the line to the payload is.
enum Line {
    /// There is no attempt yet, or its streams have ended.
    None,
    /// Waiting for the socket.
    Connecting(JoinHandle<io::Result<(Ear, Mouth)>>),
    /// Carrying bytes.
    Open(Streams),
    /// Reading the archives instead.
    Archives(JoinHandle<io::Result<()>>),
}

/// What came.
enum Came {
    News(Option<Update>),
    Line(LineNews),
    Signal(i32),
    Resized,
    Patience,
}

enum LineNews {
    Connected(io::Result<(Ear, Mouth)>),
    Ended(io::Result<()>),
}

impl<'a> Session<'a> {
    /// Follows a run of one container.
    pub(super) fn new(
        context: &'a Context,
        client: Client,
        (run, plan): (RunId, &Plan),
        attach: Attach,
        way: Way,
    ) -> Self {
        Self {
            context,
            follow: client.follow(&run, plan, way),
            client,
            run,
            attach,
            line: Line::None,
            raw: None,
            exit: None,
            over: watch::Sender::new(false),
            interrupts: 0,
            stopped_by: None,
            began: Instant::now(),
            told: Vec::new(),
            waits: None,
            gone: None,
            tries: 0,
        }
    }

    /// Carries the streams until the container has ended; returns its exit code.
    pub(super) async fn carry(mut self) -> Outcome {
        let mut signals = listen()
            .map_err(|error| Failure::new(dybox_model::ExitCode::Internal, "signals can't be handled").source(error))?;
        let mut resized = signal(SignalKind::window_change()).ok();
        while self.exit.is_none() {
            let quiet_until = self.began + QUIET;
            let patient = self.waits.is_none();
            let came = tokio::select! {
                news = self.follow.next() => Came::News(news.map(|(_, update)| update)),
                news = self.line.next() => Came::Line(news),
                Some(number) = signals.recv() => Came::Signal(number),
                () = changed(&mut resized) => Came::Resized,
                () = sleep_until(quiet_until), if !patient => Came::Patience,
            };
            match came {
                Came::News(None) => break,
                Came::News(Some(update)) => self.hear(&update),
                Came::Line(news) => self.on_line(news).await,
                Came::Signal(number) if self.force(number) => return Ok(self.leave()),
                Came::Signal(number) => self.signal(number),
                Came::Resized => self.resize(),
                Came::Patience => self.say_waits(),
            }
        }
        self.drain().await;
        // The terminal is itself again before anything is said on it.
        self.raw = None;
        Ok(self.verdict())
    }

    fn hear(&mut self, update: &Update) {
        match update {
            Update::Fact(Fact::AttemptStarted { attempt, grant, .. }) => self.begin(*attempt, *grant),
            Update::Fact(Fact::AttemptRuns { ports, .. }) => {
                self.waits = None;
                ports.iter().for_each(|port| self.say(&shown(&port.to_string())));
            }
            Update::Fact(Fact::AttemptEnded { exit, again: false, .. }) => self.exit = Some(exit.clone()),
            Update::Fact(Fact::AttemptEnded { exit, again: true, .. }) => {
                self.line = Line::None;
                self.tried_again(exit);
            }
            Update::Note(Note::Pulling { image, .. }) => self.waits = Some(format!("pulling {}", shown(image))),
            Update::Note(Note::Pulled { .. } | Note::NotPulled { .. }) => self.waits = None,
            Update::Note(Note::Waits { why, .. }) => {
                self.waits = (!why.is_empty()).then(|| format!("waiting: {}", shown(why)));
            }
            Update::Note(Note::Warns { text, .. }) => self.say(&shown(text)),
            Update::Died { last, .. } => self.say(&format!("the master died ({})", shown(last))),
            Update::Unreadable { why } => self.say(why),
            Update::Waits { why } => self.say_once(shown(why)),
            Update::Gone { application, why, .. } => {
                self.gone = Some(shown(why));
                self.say(&format!("{application} is over: {}", shown(why)));
            }
            Update::Fact(_)
            | Update::Past(_)
            | Update::Note(Note::Uses { .. } | Note::Brought { .. } | Note::Moves { .. }) => {}
        }
    }

    /// The whole story is told when that does not help.
    fn tried_again(&mut self, exit: &Exit) {
        let Some(info) = exit.cause.map(Cause::info) else { return };
        self.tries += 1;
        self.say_once(format!("{} ({}); trying again", info.phrase, info.code));
    }

    fn begin(&mut self, attempt: AttemptId, grant: GrantId) {
        self.line = Line::Connecting(connect(self.client.clone(), self.run.clone(), grant, attempt));
    }

    async fn on_line(&mut self, news: LineNews) {
        match news {
            LineNews::Connected(Ok(ends)) => {
                if self.attach.tty {
                    self.raw = Raw::enter();
                }
                let streams = Streams::open(ends, self.attach.stdin);
                self.line = Line::Open(streams);
                self.resize();
            }
            LineNews::Connected(Err(_)) => {
                let reading = from_archives(self.client.clone(), self.run.clone(), self.over.subscribe());
                self.line = Line::Archives(tokio::spawn(reading));
            }
            LineNews::Ended(ended) => {
                self.line = Line::None;
                self.raw = None;
                if ended.is_err() {
                    // Nobody reads what the payload writes (a closed pipe): it would run for nothing.
                    drop(self.stop("nobody reads its output", false));
                }
            }
        }
    }

    /// Whether a person has lost patience.
    fn force(&mut self, number: i32) -> bool {
        if number == SignalKind::interrupt().as_raw_value() || number == SignalKind::terminate().as_raw_value() {
            self.interrupts += 1;
        }
        self.interrupts >= FORCE
    }

    fn signal(&mut self, number: i32) {
        match &self.line {
            Line::Open(Streams { say, .. }) => drop(say.try_send(Say::Signal(u8::try_from(number).unwrap_or(15)))),
            _ => {
                self.stopped_by = Some(number);
                drop(self.stop("interrupted before it started", true));
            }
        }
    }

    fn resize(&self) {
        if let (Line::Open(streams), true, Some(size)) = (&self.line, self.attach.tty, terminal::size()) {
            let _ = streams.say.try_send(size);
        }
    }

    fn stop(&self, why: &'static str, at_once: bool) -> JoinHandle<()> {
        let (client, run) = (self.client.clone(), self.run.clone());
        tokio::spawn(async move {
            // The end of the run tells whether it was heard.
            let _ = client.stop(&run, why, at_once, now()).await;
        })
    }

    fn leave(&mut self) -> u8 {
        self.raw = None;
        self.say(&format!("it is left to itself; stop it with `dybox stop {}`", self.run.short()));
        130
    }

    /// Waits for output that is still on its way.
    async fn drain(&mut self) {
        self.over.send_replace(true);
        match std::mem::replace(&mut self.line, Line::None) {
            Line::Open(streams) => drop(timeout(DRAIN, streams.heard).await),
            Line::Archives(reading) => drop(timeout(DRAIN, reading).await),
            Line::Connecting(connecting) => {
                connecting.abort();
                let reading = from_archives(self.client.clone(), self.run.clone(), self.over.subscribe());
                drop(timeout(DRAIN, reading).await);
            }
            Line::None => {}
        }
    }

    fn verdict(&self) -> u8 {
        let Some(exit) = &self.exit else {
            if let Some(number) = self.stopped_by {
                return code(128 + number);
            }
            let why = self.follow.view().why();
            if self.gone.is_none() || !why.is_empty() {
                self.say(&format!("it did not run: {}", if why.is_empty() { "its master is gone" } else { why }));
            }
            return OWN_FAILURE;
        };
        match (exit.cause, self.stopped_by) {
            (Some(Cause::Stopped), Some(number)) => return code(128 + number),
            (None | Some(Cause::ExitCode | Cause::Signal | Cause::Stopped), _) => {}
            (Some(cause), _) => {
                let info = cause.info();
                self.say(&format!("{} ({}, run {})", shown(&exit.words()), info.code, self.run));
                let next = match self.tries > 0 {
                    true => format!("correct that, then try again; `dybox explain {}` says more", info.code),
                    false => info.next.to_owned(),
                };
                self.context.screen.hint(&format!("  = next: {next}"));
            }
        }
        code(exit.shell_code())
    }

    fn say_waits(&mut self) {
        if let Some(text) = self.waits.take() {
            self.say_once(text);
        }
    }

    fn say_once(&mut self, text: String) {
        if !self.told.contains(&text) {
            self.say(&text);
            self.told.push(text);
        }
    }

    fn say(&self, text: &str) {
        // A raw terminal does not go back to the line's start by itself.
        let end = if self.raw.is_some() { "\r" } else { "" };
        self.context.screen.hint(&format!("dybox: {text}{end}"));
    }
}

impl Line {
    /// What happens next on the line; may be dropped while it waits.
    async fn next(&mut self) -> LineNews {
        match self {
            Self::None => std::future::pending().await,
            Self::Connecting(connecting) => {
                LineNews::Connected(connecting.await.unwrap_or_else(|e| Err(io::Error::other(e))))
            }
            Self::Open(Streams { heard: ended, .. }) | Self::Archives(ended) => {
                LineNews::Ended(ended.await.unwrap_or_else(|e| Err(io::Error::other(e))))
            }
        }
    }
}

pub(in crate::command) async fn changed(resized: &mut Option<Signal>) {
    match resized {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that `docker run` passes on.
pub(in crate::command) fn listen() -> io::Result<mpsc::Receiver<i32>> {
    let (tell, told) = mpsc::channel(8);
    let kinds = [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
    ];
    for kind in kinds {
        let (mut signal, tell) = (signal(kind)?, tell.clone());
        tokio::spawn(
            async move { while signal.recv().await.is_some() && tell.send(kind.as_raw_value()).await.is_ok() {} },
        );
    }
    Ok(told)
}

/// As a shell shows it: the low byte.
pub(in crate::command) fn code(code: i32) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(OWN_FAILURE)
}
