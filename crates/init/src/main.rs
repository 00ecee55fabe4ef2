//! PID 1 of every container of DYbox.
//!
//! Enters: the payload's words and limits in `/.dybox/in/spec`, the lease's counter in `/.dybox/in/lease`, signals, a
//! client's frames, secrets and further tasks from the proxy. Leaves: the payload's output in `/.dybox/stdout` and
//! `/.dybox/stderr`, its end in `/.dybox/out/verdict` and in the exit code. Never: the engine, the network, a thread, a
//! payload that outlives the lease, a process of one task beside another's.
//!
//! It is static and needs nothing of the image. `dybox-init visit` serves one visitor of a task, `dybox-init pause` holds a network namespace and does nothing else;
//! `dybox-init --root DIR` puts DIR before every path, for tests.

mod answer;
mod attach;
mod clean;
mod counters;
mod door;
mod find;
mod lease;
mod life;
mod pause;
mod pump;
mod secrets;
mod signals;
mod spec;
mod start;
mod streams;
mod verdict;
mod visit;

use std::path::{Path, PathBuf};

use verdict::{Failure, Verdict};

fn main() {
    let mut root = PathBuf::from("/");
    let mut role = run as fn(&Path) -> i32;
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("pause") => role = pause::pause,
            Some("visit") => role = |_| visit::visit(false),
            Some("--secrets") => role = |_| visit::visit(true),
            Some("--root") => root = args.next().map_or(root, PathBuf::from),
            _ => std::process::exit(125),
        }
    }
    // A PID 1 that aborts looks like a segmentation fault of the payload, so a panic becomes a verdict.
    std::panic::set_hook(Box::new(|_| {}));
    let code = std::panic::catch_unwind(|| role(&root));
    std::process::exit(code.unwrap_or(125));
}

fn run(root: &Path) -> i32 {
    let _alive = lease::hold(&root.join(".dybox/in/lease"));
    let last = std::panic::catch_unwind(|| life::live(root)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map_or("a panic", |text| *text);
        life::Last::Untold(Verdict::not_started(Failure::own(text), root))
    });
    match last {
        life::Last::Untold(verdict) => {
            // Where there is no room for it, the exit code alone tells.
            let _ = verdict.write(&root.join(".dybox/out"));
            verdict.exit_code()
        }
        life::Last::Told(code) => code,
    }
}
