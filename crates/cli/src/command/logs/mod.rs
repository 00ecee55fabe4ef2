//! `dybox logs`: what the payloads wrote; the same command live, after the end and after a crash.

mod far;
mod follow;
mod grep;
mod print;
mod system;

use std::collections::{BTreeSet, VecDeque};

use dybox_journal::Stage;
use dybox_model::{ExitCode, StageId, TaskId};
use dybox_store::archive::Stream;
use dybox_store::logs::{LineItem, Lines, RunLogs, Select};

use super::look::{Looked, look};
use super::target::Target;
use super::{Context, Outcome};
use crate::conf::Format;
use crate::report::time::{Since, now, since};
use crate::report::{Answer, Failure, Output, codes};
use grep::Grep;
use print::Printer;

/// Shows what tasks wrote
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Escape sequences and control characters are stripped unless --raw is given; `--raw --no-prefix` is byte for byte what the payload wrote.\n\nExamples:\n  dybox logs @latest -f\n  dybox logs nightly join/3 --stderr --tail 50\n  dybox logs 01jd --grep 'ERROR|FATAL' --since 10m\n  dybox logs 01jd extract/0 --stdout --raw --no-prefix > out.bin\n  dybox logs 01jd --system          what DYbox itself wrote"
)]
pub(crate) struct Args {
    /// The run, by id, its beginning, job name or @latest; also RUN/STAGE/N
    #[arg(value_name = "RUN", default_value = "@latest")]
    pub target: Target,
    /// Only this stage, or this task of it
    #[arg(value_name = "STAGE[/N]")]
    pub stage: Option<String>,
    /// Go on as long as the run does
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last N lines (with --grep: that match)
    #[arg(short = 'n', long, value_name = "N", help_heading = "Which lines")]
    pub tail: Option<usize>,
    /// Only what was written since then: 90s, 10m, 2h or 1d back from now, or an RFC 3339 time
    #[arg(long, value_name = "WHEN", value_parser = since, help_heading = "Which lines")]
    pub since: Option<Since>,
    /// Only what was written before then; written like --since
    #[arg(long, value_name = "WHEN", value_parser = since, conflicts_with = "follow", help_heading = "Which lines")]
    pub until: Option<Since>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "REGEX", help_heading = "Which lines")]
    pub grep: Option<String>,
    /// Only this try of each task, from 1
    #[arg(long, value_name = "N", help_heading = "Which lines")]
    pub attempt: Option<u32>,
    /// Only standard output
    #[arg(long, help_heading = "Which lines", conflicts_with = "stderr")]
    pub stdout: bool,
    /// Only standard error
    #[arg(long, help_heading = "Which lines")]
    pub stderr: bool,
    /// What DYbox itself wrote: masters and proxies
    #[arg(long, conflicts_with_all = ["follow", "since", "until", "attempt", "stdout", "stderr", "output", "quiet"], help_heading = "Which lines")]
    pub system: bool,
    /// Strip nothing
    #[arg(long, help_heading = "How")]
    pub raw: bool,
    /// Begin each line with the time it was written
    #[arg(short, long, help_heading = "How")]
    pub timestamps: bool,
    /// Do not begin lines with the task's name
    #[arg(long, help_heading = "How")]
    pub no_prefix: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Finds and prints.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let target = args.target.clone().with(args.stage.as_deref())?;
    let pattern = args.grep.as_deref().map(Grep::new).transpose()?;
    let looked = look(context, &target).await?;
    missing_try(args, &looked)?;
    if args.system {
        return system::run(context, args, &looked, pattern).await;
    }
    for (id, run) in looked.shown().into_iter().filter_map(|id| Some((id, looked.seen(id)?.taken.clone()??))) {
        let name = looked.name(id);
        context.screen.hint(&format!("{name} did not run; what it wrote: dybox logs {run} {name}"));
    }
    let client = context.client()?;
    let select = args.select(&looked);
    let mut logs = client.logs(&looked.info.run, select).await?;
    let format = args.output.format(&context.conf);
    if format == Format::Name {
        return names(context, &looked, &logs);
    }
    // With a pattern, or up to a time, the last lines that fit are wanted, so that the index can't help.
    if let (Some(tail), None, None) = (args.tail, &pattern, args.until) {
        logs.tail(tail).await?;
    }
    let counted = pattern.is_some() || args.until.is_some() && args.tail.is_some();
    let exact = args.raw && !args.prefixed(&looked) && !args.timestamps && !counted && format == Format::Table;
    let printer = Printer::new(context.screen, args, &looked, format);
    if exact {
        follow::pieces(context, args, &looked, logs).await
    } else {
        show(context, args, &looked, logs, (printer, pattern)).await
    }
}

/// A try that never was would look like one that wrote nothing.
fn missing_try(args: &Args, looked: &Looked) -> Result<(), Failure> {
    let (Some(attempt), Some(stage)) = (args.attempt.filter(|_| !args.follow), looked.stage) else { return Ok(()) };
    let tasks = looked.seen(stage).map(|seen| seen.tasks.as_slice()).unwrap_or_default();
    let meant = looked.task.map_or(tasks, |task| tasks.get(task as usize).map_or(&[], std::slice::from_ref));
    let last = meant.iter().map(|task| task.attempt).max().unwrap_or(0);
    if attempt <= last {
        return Ok(());
    }
    let of = looked.task.map_or_else(String::new, |task| format!("/{task}"));
    let what = format!("{}{of} has no try {attempt}", looked.name(stage));
    let next = match last {
        0 => "it was not tried yet".to_owned(),
        1 => "there was one try: --attempt 1".to_owned(),
        _ => format!("tries count from 1; its last is {last}"),
    };
    Err(Failure::coded(codes::NO_TASK, what).next(next))
}

async fn show(
    context: &Context,
    args: &Args,
    looked: &Looked,
    mut logs: RunLogs,
    (mut printer, mut pattern): (Printer, Option<Grep>),
) -> Outcome {
    let mut lines = Lines::new();
    let mut ready = VecDeque::new();
    let mut last = args.tail.filter(|_| pattern.is_some() || args.until.is_some()).map(LastLines::new);
    while let Some(item) = logs.next().await? {
        lines.push_blocks(item, &mut ready);
        print::drain(&mut ready, &mut printer, pattern.as_mut(), last.as_mut())?;
    }
    if !args.follow {
        lines.flush_blocks(&mut ready);
    }
    print::drain(&mut ready, &mut printer, pattern.as_mut(), last.as_mut())?;
    for item in last.into_iter().flat_map(|last| last.items) {
        printer.item(item)?;
    }
    printer.flush()?;
    if args.follow {
        return follow::lines(context, looked, (logs, lines), (printer, pattern)).await;
    }
    printer.end()?;
    Ok(ExitCode::Ok as u8)
}

/// The last so many items.
pub(super) struct LastLines {
    most: usize,
    items: VecDeque<LineItem>,
}

impl LastLines {
    fn new(most: usize) -> Self {
        Self { most, items: VecDeque::new() }
    }

    fn push(&mut self, item: LineItem) {
        self.items.push_back(item);
        if self.items.len() > self.most {
            self.items.pop_front();
        }
    }
}

fn names(context: &Context, looked: &Looked, logs: &RunLogs) -> Outcome {
    let tasks: BTreeSet<_> = logs.summaries().iter().map(|summary| summary.source.attempt.task).collect();
    let name = |task: &TaskId| format!("{}/{}/{}", looked.info.run, looked.name(task.stage), task.index);
    let answer = Answer { kind: "lines", names: tasks.iter().map(name).collect(), ..Answer::default() };
    context.screen.answer(Format::Name, &answer)?;
    Ok(ExitCode::Ok as u8)
}

impl Args {
    fn select(&self, looked: &Looked) -> Select {
        let stream = match (self.stdout, self.stderr) {
            (true, false) => Some(Stream::Stdout),
            (false, true) => Some(Stream::Stderr),
            _ => None,
        };
        let since = self.since.map(|since| since.point(now()));
        let until = self.until.map(|until| until.point(now()));
        Select { stage: looked.stage, task: looked.task, attempt: self.attempt, stream, since, until }
    }

    /// Whether lines need a name: they may come from more than one task.
    fn prefixed(&self, looked: &Looked) -> bool {
        if self.no_prefix || looked.task.is_some() {
            return false;
        }
        let tasks = |id: StageId| {
            let planned = looked.plan.stages.get(id.0 as usize).map_or(0, |stage| stage.tasks);
            looked.seen(id).map_or(planned, |seen: &Stage| seen.counts.total())
        };
        looked.shown().into_iter().map(tasks).sum::<u32>() > 1
    }
}
