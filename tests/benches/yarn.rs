//! DYbox on a real YARN cluster beside other clients of the same cluster, all in one run, rounds taken by turns:
//! `scripts/bench yarn`. Prints medians and ratios to the limits; proves nothing by failing, because these machines are
//! noisy.
//!
//! ```text
//! scripts/bench yarn [one] [many] [dags] [logs] [memory] [bytes] [recovery] [session] [usage] [--heartbeat MS] [--memory MIB] [--rounds N]     nothing = all
//! ```
//! `DYBOX_BENCH`: another binary than the one beside this benchmark. `DYBOX_CLUSTER_DIR`: a cluster that is up.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints its figures and has no caller to tell of an error"
)]

#[path = "yarn/bytes.rs"]
mod bytes;
#[path = "yarn/client.rs"]
mod client;
#[path = "yarn/dags.rs"]
mod dags;
#[path = "yarn/logs.rs"]
mod logs;
#[path = "yarn/memory.rs"]
mod memory;
#[path = "yarn/recovery.rs"]
mod recovery;
#[path = "yarn/report.rs"]
mod report;
#[path = "yarn/session.rs"]
mod session;
#[path = "yarn/tasks.rs"]
mod tasks;
#[path = "yarn/usage.rs"]
mod usage;

use client::Client;
use dybox_tests::cluster::{Cluster, Options};

/// Measures one thing.
type Part = fn(&Bench);

/// What there is to measure.
const PARTS: [(&str, Part); 9] = [
    ("one", tasks::one),
    ("many", tasks::many),
    ("dags", dags::run),
    ("logs", logs::run),
    ("memory", memory::run),
    ("bytes", bytes::run),
    ("recovery", recovery::run),
    ("session", session::run),
    ("usage", usage::run),
];

/// What all parts share.
struct Bench {
    cluster: &'static Cluster,
    ours: Client,
    rounds: usize,
}

fn main() {
    let (mut wanted, mut rounds, mut heartbeat_ms, mut memory_mib) = (Vec::new(), 3, 200, 8192);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--rounds" => rounds = words.next().unwrap().parse().unwrap(),
            "--memory" => memory_mib = words.next().unwrap().parse().unwrap(),
            "--heartbeat" => heartbeat_ms = words.next().unwrap().parse().unwrap(),
            // Cargo's own.
            option if option.starts_with('-') => {}
            _ => wanted.push(word),
        }
    }
    // `Cluster::shared` is never dropped; this one is taken down at the end.
    let own = std::env::var_os("DYBOX_CLUSTER_DIR").is_none();
    let cluster: &'static Cluster = if own {
        Box::leak(Box::new(Cluster::start(&Options { nodes: 2, heartbeat_ms, memory_mib, ..Options::default() })))
    } else {
        Cluster::shared()
    };
    let bench = Bench { cluster, ours: Client::of(cluster), rounds };
    println!(
        "Hadoop {}, {} nodes of {memory_mib} MiB, heartbeat {heartbeat_ms} ms, {rounds} rounds, {} cores, load {}",
        cluster.version(),
        cluster.nodes(),
        std::thread::available_parallelism().unwrap(),
        report::load()
    );
    report::head();
    bench.ours.warm();
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            run(&bench);
        }
    }
    println!("load at the end {}", report::load());
    if own {
        Cluster::take_down(cluster.layout().root()).unwrap();
    }
}
