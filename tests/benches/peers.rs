//! Whole commands beside their peers, all in one run: `scripts/bench`. Prints medians and ratios to the limits; proves
//! nothing by failing, because these machines are noisy.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and has no caller to tell of an error"
)]

#[path = "peers/agent.rs"]
mod agent;
#[path = "peers/dags.rs"]
mod dags;
#[path = "peers/look.rs"]
mod look;
#[path = "peers/output.rs"]
mod output;
#[path = "peers/prefetch.rs"]
mod prefetch;
#[path = "peers/raw.rs"]
mod raw;
#[path = "peers/small.rs"]
mod small;
#[path = "peers/warm.rs"]
mod warm;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The middle one of several measurements.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Seconds that `work` takes.
fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// What a ratio must be.
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the report: what, the figure, the peer or limit, the ratio and whether its bound holds.
fn report(what: &str, figure: &str, beside: &str, ratio: f64, bound: &Bound) {
    let (text, holds) = match bound {
        Bound::AtMost(most) => (format!("<= {most}"), ratio <= *most),
        Bound::AtLeast(least) => (format!(">= {least}"), ratio >= *least),
    };
    let verdict = if holds { "holds" } else { "MISSED" };
    println!("{what:<44} {figure:>12}   {beside:<34} {ratio:>6.2}   {text:<10} {verdict}");
}

/// Where the release binary is: beside this benchmark.
fn dybox() -> std::path::PathBuf {
    let found = std::env::current_exe().unwrap().ancestors().map(|dir| dir.join("dybox")).find(|path| path.is_file());
    found.expect("scripts/bench builds dybox first")
}

/// `dybox run` of a job file in a home of its own, in silence.
fn dybox_run(job: &std::path::Path, home: &std::path::Path) -> Command {
    let mut command = Command::new(dybox());
    command.arg("run").arg(job).env("DYBOX_HOME", home).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Seconds from the command to its end, all clean-up included.
fn whole_run(text: &str) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let (job, home) = (dir.path().join("job.yaml"), dir.path().join("home"));
    std::fs::write(&job, text).unwrap();
    let took = seconds(|| assert!(dybox_run(&job, &home).status().unwrap().success(), "the run failed"));
    settle(&home);
    took
}

/// Waits until no process of this home is left, so that one measurement does not disturb the next.
fn settle(home: &std::path::Path) {
    let start = Instant::now();
    let home = home.to_string_lossy().into_owned();
    let busy = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            words.contains(&home) && words.split('\0').nth(1).is_some_and(|kind| kind == "proxy" || kind == "master")
        })
    };
    while busy() && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let on = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    println!("{:<44} {:>12}   {:<34} {:>6}   {:<10}", "what", "median", "beside", "ratio", "bound");
    if on("dags") {
        dags::run();
    }
    if on("look") {
        look::run();
    }
    if on("output") {
        output::run();
    }
    if on("small") {
        small::run();
    }
    if on("warm") {
        warm::run();
    }
    if on("prefetch") {
        prefetch::run();
    }
    if on("agent") {
        agent::run();
    }
}
