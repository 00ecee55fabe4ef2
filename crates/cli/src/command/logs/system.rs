//! What DYbox's own processes wrote: masters (with the hooks' stderr) and proxies.

use std::collections::VecDeque;

use dybox_model::ExitCode;
use dybox_store::Store;
use dybox_store::layout::RunDir;

use super::grep::Grep;
use super::{Args, far};
use crate::command::look::Looked;
use crate::command::place::Place;
use crate::command::{Context, Outcome};
use crate::report::Failure;
use crate::report::safe::safe;

/// Prints every log of the run's processes, masters first.
pub(super) async fn run(context: &Context, args: &Args, looked: &Looked, mut pattern: Option<Grep>) -> Outcome {
    if let Place::Cluster(hadoop) = context.place()? {
        for (name, bytes) in far::logs(context, looked, &hadoop.settings).await? {
            context.screen.bytes(&shown(args, &name, &bytes, pattern.as_mut()))?;
        }
        return Ok(ExitCode::Ok as u8);
    }
    let client = context.client()?;
    for (name, path) in files(client.store(), looked).await? {
        let Some(bytes) = client.store().get_opt(&path).await? else { continue };
        context.screen.bytes(&shown(args, &name, &bytes, pattern.as_mut()))?;
    }
    Ok(ExitCode::Ok as u8)
}

/// Every log with the name of who wrote it.
async fn files(store: &Store, looked: &Looked) -> Result<Vec<(String, String)>, Failure> {
    let dir = RunDir::new(&looked.info.run);
    let mut files = Vec::new();
    for n in 0..looked.plan.subdags.len() {
        let root = format!("{}/sub/{n}", dir.root());
        for entry in store.list(&root).await? {
            if let Some(name) = entry.name.strip_suffix(".log").filter(|_| !entry.is_dir) {
                files.push((format!("{name} {n}"), format!("{root}/{}", entry.name)));
            }
        }
    }
    for entry in store.list(&dir.grants()).await? {
        if let Ok(grant) = entry.name.parse() {
            files.push((format!("proxy {grant}"), dir.grant(grant).log()));
        }
    }
    Ok(files)
}

fn shown(args: &Args, name: &str, bytes: &[u8], mut pattern: Option<&mut Grep>) -> Vec<u8> {
    if args.raw && args.no_prefix && pattern.is_none() && args.tail.is_none() {
        return bytes.to_owned();
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut lines: VecDeque<&[u8]> = VecDeque::new();
    for line in text.split(|&b| b == b'\n').filter(|_| !text.is_empty()) {
        if pattern.as_mut().is_some_and(|pattern| !pattern.takes(line)) {
            continue;
        }
        lines.push_back(line);
        if args.tail.is_some_and(|most| lines.len() > most) {
            lines.pop_front();
        }
    }
    let mut out = Vec::new();
    for line in lines {
        if !args.no_prefix {
            out.extend_from_slice(format!("{name} | ").as_bytes());
        }
        if args.raw {
            out.extend_from_slice(line);
        } else {
            out.extend_from_slice(safe(line).as_bytes());
        }
        out.push(b'\n');
    }
    out
}
