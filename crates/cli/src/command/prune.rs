//! `dybox prune`.

use std::io::{BufRead, IsTerminal};

use dybox_client::Client;
use dybox_client::prune::{Old, Rule};
use dybox_model::{ExitCode, Millis, format_bytes};
use serde_json::json;

use super::{Context, Outcome};
use crate::live::shown;
use crate::report::time::{ago, now, rfc3339};
use crate::report::{Answer, Failure, Output, table_text};

/// Removes old runs: plan, journal and logs
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("which").args(["keep", "older_than"]).multiple(true).required(true),
    after_help = "It shows first what would go and what that frees, then asks; without a terminal it wants --yes. A run that lives stays, and one of which something may be on the engine. What can't be resumed any more, and whose logs other runs point to, is said.\n\nExamples:\n  dybox prune --older-than 7d\n  dybox prune --keep 10 --job nightly --yes"
)]
pub(crate) struct Args {
    /// Keep the newest so many of each job
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Only runs that were submitted longer ago (12h, 7d, 4w); with --keep both must hold
    #[arg(long, value_name = "TIME", value_parser = age)]
    pub older_than: Option<Millis>,
    /// Only runs of this job
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// Show what would go, and remove nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Remove without a question
    #[arg(short, long)]
    pub yes: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// `90m`, `12h`, `7d`, `4w`.
fn age(text: &str) -> Result<Millis, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let secs = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err("write a time like 12h, 7d or 4w".to_owned()),
    };
    let count: u64 =
        text[..text.len() - unit.len()].parse().map_err(|_| "write a number before the unit".to_owned())?;
    count.checked_mul(secs).and_then(|secs| secs.checked_mul(1000)).map(Millis).ok_or_else(|| "too long".to_owned())
}

/// Looks, asks, removes.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let (screen, client) = (&context.screen, context.client()?);
    let before = args.older_than.map(|age| Millis(now().0.saturating_sub(age.0)));
    let rule = Rule { keep: args.keep, before, job: args.job.clone() };
    let old = client.old(&rule).await?;
    let (go, stay): (Vec<&Old>, Vec<&Old>) = old.iter().partition(|one| one.stays.is_none());
    for one in &stay {
        let why = one.stays.as_deref().unwrap_or_default();
        screen.hint(&format!("{} {} stays: {}", shown(&one.info.job), one.info.run, shown(why)));
    }
    if go.is_empty() {
        screen.hint("nothing to remove");
        if args.output.format(&context.conf).is_for_programs() {
            show(context, args, &go)?;
        }
        return Ok(ExitCode::Ok as u8);
    }
    let bytes = go.iter().map(|one| one.bytes).sum();
    let sum = format!("{} {}, {}", go.len(), if go.len() == 1 { "run" } else { "runs" }, format_bytes(bytes));
    show(context, args, &go)?;
    if args.dry_run {
        screen.hint(&format!("would free: {sum}"));
        tell_volumes(context, &client).await;
        return Ok(ExitCode::Ok as u8);
    }
    if !args.yes && !std::io::stdin().is_terminal() {
        let failure = Failure::new(ExitCode::Usage, format!("nothing was removed ({sum}): nobody can be asked"));
        return Err(failure.next("look at the list, then add --yes; --dry-run only shows it"));
    }
    if !args.yes && !agreed(context, &sum) {
        screen.hint("nothing was removed");
        return Ok(ExitCode::Ok as u8);
    }
    let mut failed = 0;
    for one in go {
        if let Err(error) = client.forget(one).await {
            screen.warn(&format!("run {} could not be removed: {error}", one.info.run));
            failed += 1;
        }
    }
    client.forget_marks(now()).await?;
    screen.hint(&format!("freed: {sum}"));
    tell_volumes(context, &client).await;
    Ok(if failed > 0 { ExitCode::Unreachable } else { ExitCode::Ok } as u8)
}

/// Named volumes outlive runs, and so this.
async fn tell_volumes(context: &Context, client: &Client) {
    let volumes = client.volumes().await.unwrap_or_default();
    let told: Vec<String> =
        volumes.iter().map(|(name, bytes)| format!("{} ({})", shown(name), format_bytes(*bytes))).collect();
    if !told.is_empty() {
        context.screen.hint(&format!("named volumes stay: {}; `dybox gc` lists them", told.join(", ")));
    }
    if client.cluster().is_some() {
        context.screen.hint("named volumes of the cluster's machines stay there");
    }
}

fn show(context: &Context, args: &Args, go: &[&Old]) -> Result<(), Failure> {
    let (at, narrow) = (now(), context.screen.is_narrow());
    let mut table = context.screen.table(&["JOB", "RUN", "STATE", "SUBMITTED", "SIZE", "LOST WITH IT"]);
    for one in go {
        table.add_row([
            one.info.job.clone(),
            if narrow { one.info.run.short().to_owned() } else { one.info.run.to_string() },
            one.word.to_owned(),
            ago(at, one.info.submitted),
            format_bytes(one.bytes),
            one.lost.join("; "),
        ]);
    }
    let item = |one: &&Old| {
        json!({ "run": one.info.run, "job": one.info.job, "state": one.word, "submitted": rfc3339(one.info.submitted),
                "bytes": one.bytes, "lost_with_it": one.lost })
    };
    let answer = Answer {
        kind: "runs",
        items: go.iter().map(item).collect(),
        names: go.iter().map(|one| one.info.run.to_string()).collect(),
        text: table_text(table, &[4]),
        ..Answer::default()
    };
    context.screen.answer(args.output.format(&context.conf), &answer)
}

fn agreed(context: &Context, sum: &str) -> bool {
    context.screen.hint(&format!("remove {sum}? [y/N]"));
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit() {
        assert_eq!(age("7d"), Ok(Millis(7 * 86_400_000)));
        assert_eq!(age("90m"), Ok(Millis(5_400_000)));
        assert!(age("7").is_err() && age("d").is_err() && age("99999999999999999w").is_err());
    }
}
