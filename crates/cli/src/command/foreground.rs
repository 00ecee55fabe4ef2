//! Following a run in the foreground: news, Ctrl-C, the end and its summary.

use std::time::Duration;

use dybox_client::{Client, Follow, Way, grown};
use dybox_job::Plan;
use dybox_journal::{RunState, RunView};
use dybox_model::{Cause, ExitCode, RunId, StageId};
use dybox_store::archive::Stream;
use dybox_store::logs::{LineItem, Lines, Select};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::{Context, Outcome};
use crate::conf::Format;
use crate::live::Show;
use crate::report::safe::safe;
use crate::report::summary::{FAILURES_SHOWN, Failed, Summary};
use crate::report::time::now;
use crate::report::{Failure, yaml};

/// Between two looks whether there is something to draw or to tell.
const FRAME: Duration = Duration::from_millis(200);
/// Last lines of a failed task that are shown.
const TAIL: usize = 10;
/// Most bytes of each that are shown.
const LONGEST: usize = 1000;
/// `--wait` when it is not given.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// A run that is followed.
pub(crate) struct Foreground<'a> {
    pub context: &'a Context,
    pub client: Client,
    pub run: RunId,
    pub plan: Plan,
    /// Whether this process alone drives the run, so that Ctrl-C stops it.
    pub own: bool,
    /// `--wait`
    pub wait: Option<Duration>,
    pub format: Option<Format>,
    pub quiet: bool,
}

/// What a person did at the keyboard, or the system to this process.
enum Wish {
    /// Ctrl-C.
    Stop,
    /// The terminal or the session goes away.
    Leave,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(ExitCode::Internal, "signals can't be handled").source(error))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Leave,
            _ = self.hangup.recv() => Wish::Leave,
        }
    }
}

impl Foreground<'_> {
    /// Follows to the end, or until somebody leaves.
    pub(crate) async fn follow(self, way: Way) -> Outcome {
        let screen = &self.context.screen;
        let mut signals = Signals::listen()?;
        let mut show = match (self.format, self.quiet) {
            (_, true) => Show::Nothing,
            (Some(Format::Jsonl), _) => Show::Records,
            (Some(Format::Json | Format::Yaml | Format::Name), _) => Show::Nothing,
            (Some(Format::Table) | None, _) => Show::people(screen, &self.run, &self.plan),
        };
        let mut follow = self.client.follow(&self.run, &self.plan, way);
        let until = Instant::now() + self.wait.unwrap_or(FOREVER);
        let mut frames = tokio::time::interval(FRAME);
        frames.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stops = 0;
        loop {
            tokio::select! {
                news = follow.next() => match news {
                    Some((subdag, update)) => match show.tell(screen, subdag, &update, now()) {
                        // Whoever read the records has left; the run does not end for that.
                        Err(failure) if failure.is_quiet() => return Ok(ExitCode::Interrupted as u8),
                        told => told?,
                    },
                    None => break,
                },
                _ = frames.tick() => show.tick(screen, follow.view(), now()),
                () = sleep_until(until) => {
                    show.end();
                    screen.hint(&format!("the time is over and the run goes on: {}", self.ways()));
                    return Ok(ExitCode::TimedOut as u8);
                }
                wish = signals.next() => match wish {
                    Wish::Stop if self.own && stops < 2 => {
                        stops += 1;
                        self.stop(&mut show, stops > 1);
                    }
                    Wish::Stop | Wish::Leave => {
                        show.end();
                        screen.hint(&format!("the run goes on: {}", self.ways()));
                        return Ok(ExitCode::Interrupted as u8);
                    }
                },
            }
        }
        show.end();
        self.finish(&follow).await
    }

    fn ways(&self) -> String {
        format!("`dybox status {0}` looks at it, `dybox stop {0}` stops it", self.run)
    }

    /// Tells the masters, beside the following: a master that hangs must not stop the next Ctrl-C.
    fn stop(&self, show: &mut Show, at_once: bool) {
        let screen = self.context.screen;
        let text = if at_once { "stopping at once…" } else { "stopping… (Ctrl-C again: at once)" };
        show.say(&screen, text, now());
        let (client, run) = (self.client.clone(), self.run.clone());
        tokio::spawn(async move {
            if let Err(error) = client.stop(&run, "Ctrl-C", at_once, now()).await {
                screen.failure(&error.into());
            }
        });
    }

    fn print(&self, summary: &Summary<'_>) -> Result<(), Failure> {
        let screen = &self.context.screen;
        match (self.format, self.quiet) {
            (_, true) | (Some(Format::Name), _) => Ok(()),
            (Some(Format::Json), _) => screen.line(&format!("{:#}", summary.json())),
            (Some(Format::Yaml), _) => screen.out(&yaml(&summary.json())),
            (Some(Format::Jsonl), _) => screen.line(&summary.json().to_string()),
            (Some(Format::Table) | None, _) => screen.out(&format!("\n{}", summary.text(screen))),
        }
    }

    async fn finish(&self, follow: &Follow) -> Outcome {
        let view = follow.view();
        let (word, exit) = match view.state() {
            RunState::Succeeded => ("succeeded", ExitCode::Ok),
            RunState::Failed if view.why().contains(Cause::Policy.info().phrase) => ("failed", ExitCode::Refused),
            RunState::Failed => ("failed", ExitCode::Failed),
            RunState::Stopped => ("stopped", ExitCode::Stopped),
            RunState::Submitted | RunState::Running if follow.is_killed() => ("stopped", ExitCode::Stopped),
            RunState::Lost | RunState::Submitted | RunState::Running => ("lost", ExitCode::Lost),
        };
        let failed = failures(&self.client, &self.run, view).await;
        let plan = grown(&self.plan, view);
        let summary = Summary { run: &self.run, plan: &plan, view, now: now(), word, failed };
        match self.print(&summary) {
            // Nobody reads it; how the run ended is still to be told.
            Err(failure) if failure.is_quiet() => {}
            printed => printed?,
        }
        if follow.is_killed() && exit == ExitCode::Stopped {
            self.context.screen.hint(&format!("it was killed through YARN; go on with `dybox resume {}`", self.run));
        } else if !follow.given_up().is_empty() {
            let what = format!("the master of run {} is gone", self.run);
            return Err(Failure::new(ExitCode::Lost, what)
                .place(self.client.words_of_masters(&self.run))
                .next(format!("go on with `dybox resume {}`", self.run)));
        }
        Ok(exit as u8)
    }
}

/// The first failures of a run that ended tasks, each with its last lines.
async fn failures(client: &Client, run: &RunId, view: &RunView) -> Vec<Failed> {
    let mut all = Vec::new();
    let last = view.stages().into_iter().filter(|stage| stage.counts.failed + stage.counts.lost > 0);
    let last =
        last.flat_map(|stage| stage.failures_of_its_own().filter(|failed| !failed.again).map(move |f| (stage, f)));
    for (stage, failure) in last.take(FAILURES_SHOWN) {
        let id = failure.attempt;
        let name = &stage.outline.name;
        let task = if stage.tasks.len() > 1 { format!("{name}/{}", id.task.index) } else { name.clone() };
        let select = |stream| Select {
            stage: Some(StageId(id.task.stage.0)),
            task: Some(id.task.index),
            attempt: Some(id.number),
            stream: Some(stream),
            since: None,
            until: None,
        };
        let mut stream = Stream::Stderr;
        let mut tail = last_lines(client, run, select(stream)).await;
        if tail.is_empty() {
            stream = Stream::Stdout;
            tail = last_lines(client, run, select(stream)).await;
        }
        let (attempt, hook, exit, stream) = (id.number, stage.outline.hook, failure.exit.clone(), stream.word());
        all.push(Failed { task, attempt, hook, exit, stream, tail });
    }
    all
}

/// The last lines of an output; none where they can't be read, for then the summary still says the rest.
async fn last_lines(client: &Client, run: &RunId, select: Select) -> Vec<String> {
    let Ok(mut logs) = client.logs(run, select).await else { return Vec::new() };
    if logs.tail(TAIL).await.is_err() {
        return Vec::new();
    }
    let (mut lines, mut out) = (Lines::new(), std::collections::VecDeque::new());
    while let Ok(Some(item)) = logs.next().await {
        lines.push(item, &mut out);
    }
    lines.flush(&mut out);
    let text = out.into_iter().map(|item| match item {
        LineItem::Line(line) => safe(&line.text[..line.text.len().min(LONGEST)]).into_owned(),
        LineItem::Gap(gap) => format!("({} bytes are missing: {})", gap.bytes, gap.why),
    });
    text.collect()
}
