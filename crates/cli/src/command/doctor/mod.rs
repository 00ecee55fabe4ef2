//! `dybox doctor`: what is there, what is missing, and the fix for each.

mod cluster;
mod engine;
mod machine;
mod servers;
mod settings;

use dybox_model::ExitCode;
use serde_json::json;

use super::{Context, Outcome};
use crate::report::{Answer, Output, Paint, Screen};

/// Looks at engine or cluster, home, configuration and permissions: each with a finding and a fix
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 5 when the engine, or the cluster that is meant, can't be used, else 0.\n\nExamples:\n  dybox doctor\n  dybox doctor --yarn\n  dybox doctor -o json | jq '.findings[] | select(.level != \"ok\")'"
)]
pub(crate) struct Args {
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Works, but not as well as it could.
    Warn,
    /// Runs can't work like this.
    Fail,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Which part: `engine`, `cluster`, `state servers`, `home`, `machine`, `setting`, `policy`.
    pub part: &'static str,
    /// What was looked at.
    pub name: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub found: String,
    /// What to do; empty when nothing.
    pub fix: String,
}

impl Finding {
    /// As it should be.
    pub(crate) fn ok(part: &'static str, name: impl Into<String>, found: impl Into<String>) -> Self {
        Self { part, name: name.into(), level: Level::Ok, found: found.into(), fix: String::new() }
    }

    /// Not as it should be.
    pub(crate) fn warn(part: &'static str, name: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { part, name: name.to_owned(), level: Level::Warn, found: found.into(), fix: fix.into() }
    }

    /// Runs can't work like this.
    pub(crate) fn fail(part: &'static str, name: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(part, name, found, fix) }
    }
}

/// Looks at everything and prints it.
pub(crate) async fn run(context: &Context, args: &Args) -> Outcome {
    let far = context.is_cluster().unwrap_or(true);
    let mut findings = if far { Vec::new() } else { engine::look(context).await };
    if far || context.conf.yarn.value.is_some() {
        findings.extend(cluster::look(context).await);
    }
    findings.extend(servers::look(context).await);
    findings.extend(machine::look(context));
    findings.extend(settings::look(context));
    let answer = Answer {
        kind: "findings",
        items: findings
            .iter()
            .map(|f| json!({ "part": f.part, "name": f.name, "level": f.level.word(), "found": f.found, "fix": f.fix }))
            .collect(),
        names: findings.iter().filter(|f| f.level != Level::Ok).map(|f| format!("{}/{}", f.part, f.name)).collect(),
        text: text(&context.screen, &findings),
        ..Answer::default()
    };
    context.screen.answer(args.output.format(&context.conf), &answer)?;
    let unusable = findings.iter().any(|f| matches!(f.part, "engine" | "cluster") && f.level == Level::Fail);
    Ok(if unusable { ExitCode::Unreachable } else { ExitCode::Ok } as u8)
}

fn text(screen: &Screen, findings: &[Finding]) -> String {
    let mut text = String::new();
    let mut part = "";
    let mut width = 0;
    for finding in findings {
        if finding.part != part {
            part = finding.part;
            let own = findings.iter().filter(|other| other.part == part);
            width = own.map(|other| other.name.len()).max().unwrap_or(0).max(14);
            text.push_str(&format!("{}\n", screen.paint(Paint::Bold, part)));
        }
        let paint = match finding.level {
            Level::Ok => Paint::Good,
            Level::Warn => Paint::Warn,
            Level::Fail => Paint::Bad,
        };
        let level = screen.paint(paint, &format!("{:<4}", finding.level.word()));
        text.push_str(&format!("  {level} {:<width$} {}\n", finding.name, finding.found));
        if !finding.fix.is_empty() {
            text.push_str(&format!("       {:<width$} {} {}\n", "", screen.paint(Paint::Bold, "fix:"), finding.fix));
        }
    }
    text
}
