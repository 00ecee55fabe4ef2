//! Output as it comes, until the run ends.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dybox_client::{Client, Standing, grown};
use dybox_model::{ExitCode, SubDagId};
use dybox_store::archive::LogItem;
use dybox_store::logs::{Lines, RunLogs};

use super::Args;
use super::grep::Grep;
use super::print::{self, Printer, gap_text};
use crate::command::look::Looked;
use crate::command::{Context, Outcome};
use crate::report::Failure;

/// How long one wait for more takes; also how late the end of a run is seen.
const WAIT: Duration = Duration::from_millis(200);
/// How long nobody may drive a run before it counts as lost: the next sub-DAG's master takes a moment to start.
const NOBODY: Duration = Duration::from_secs(3);
/// How long a line without an end waits for it: a prompt should be seen.
const PROMPT: Duration = Duration::from_millis(400);

/// Whether more may come.
struct Watch<'a> {
    client: Client,
    looked: &'a Looked,
    undriven: Option<Instant>,
    over: bool,
}

impl<'a> Watch<'a> {
    fn new(context: &Context, looked: &'a Looked) -> Result<Self, Failure> {
        Ok(Self { client: context.client()?, looked, undriven: None, over: looked.standing.view.state().is_over() })
    }

    async fn standing(&self) -> Result<Standing, Failure> {
        let subdags = u32::try_from(self.looked.plan.subdags.len()).unwrap_or(u32::MAX);
        Ok(self.client.standing(&self.looked.info.run, subdags).await?)
    }

    /// Looks whether the run goes on. Journals are read only while nobody drives it: that is told more cheaply.
    async fn look(&mut self, context: &Context) -> Result<(), Failure> {
        let run = &self.looked.info.run;
        let subdags = u32::try_from(self.looked.plan.subdags.len()).unwrap_or(u32::MAX);
        for subdag in (0..subdags).map(SubDagId) {
            if self.client.is_driven(run, subdag).await? {
                self.undriven = None;
                return Ok(());
            }
        }
        let since = *self.undriven.get_or_insert_with(Instant::now);
        if self.client.standing(run, subdags).await?.view.state().is_over() {
            self.over = true;
        } else if since.elapsed() > NOBODY {
            context.screen.hint(&format!("nobody drives the run any more; go on with it: dybox resume {run}"));
            self.over = true;
        }
        Ok(())
    }
}

/// What came while we waited.
enum Came {
    Item(LogItem),
    Nothing,
    Interrupt,
}

async fn wait(logs: &mut RunLogs) -> Result<Came, Failure> {
    tokio::select! {
        item = logs.next_within(WAIT) => Ok(item?.map_or(Came::Nothing, Came::Item)),
        _ = tokio::signal::ctrl_c() => Ok(Came::Interrupt),
    }
}

fn interrupted(context: &Context, looked: &Looked) -> u8 {
    let run = &looked.info.run;
    if !looked.standing.view.state().is_over() {
        context.screen.hint(&format!("\nthe run goes on; stop it with: dybox stop {run}"));
    }
    ExitCode::Interrupted as u8
}

/// Line by line.
pub(super) async fn lines(
    context: &Context,
    looked: &Looked,
    (mut logs, mut lines): (RunLogs, Lines),
    (mut printer, mut pattern): (Printer, Option<Grep>),
) -> Outcome {
    let mut watch = Watch::new(context, looked)?;
    let mut ready = VecDeque::new();
    let mut quiet = Instant::now();
    loop {
        // Asked before the wait: what came until the end is read after it was seen.
        let over = watch.over;
        match wait(&mut logs).await? {
            Came::Item(item) => {
                quiet = Instant::now();
                lines.push_blocks(item, &mut ready);
                if ready.iter().any(|item| printer.is_new(item)) {
                    let standing = watch.standing().await?;
                    printer.learn(&grown(&looked.plan, &standing.view));
                }
            }
            Came::Interrupt => return Ok(interrupted(context, looked)),
            Came::Nothing if over => break,
            Came::Nothing => watch.look(context).await?,
        }
        if lines.has_open() && quiet.elapsed() > PROMPT {
            lines.flush_blocks(&mut ready);
        }
        print::drain(&mut ready, &mut printer, pattern.as_mut(), None)?;
        printer.flush()?;
    }
    lines.flush_blocks(&mut ready);
    print::drain(&mut ready, &mut printer, pattern.as_mut(), None)?;
    printer.end()?;
    Ok(ExitCode::Ok as u8)
}

/// Byte for byte.
pub(super) async fn pieces(context: &Context, args: &Args, looked: &Looked, mut logs: RunLogs) -> Outcome {
    let write = |item: LogItem| match item {
        LogItem::Chunk { bytes, .. } => context.screen.bytes(&bytes),
        LogItem::Gap(gap) => {
            context.screen.warn(&gap_text(&gap));
            Ok(())
        }
    };
    if !args.follow {
        while let Some(item) = logs.next().await? {
            write(item)?;
        }
        return Ok(ExitCode::Ok as u8);
    }
    let mut watch = Watch::new(context, looked)?;
    loop {
        let over = watch.over;
        match wait(&mut logs).await? {
            Came::Item(item) => write(item)?,
            Came::Interrupt => return Ok(interrupted(context, looked)),
            Came::Nothing if over => return Ok(ExitCode::Ok as u8),
            Came::Nothing => watch.look(context).await?,
        }
    }
}
