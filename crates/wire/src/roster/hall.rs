//! Where all agents' lines are served: a thread of their own, which looks at them together. A thousand agents report at a
//! thousand moments of each second; who wakes for each pays more for waking than for hearing.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use rustls::ServerConfig;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::badge::Holder;
use super::desk::RosterCall;
use super::door::{Door, Pace};
use crate::tcp::Comer;

/// Between two looks at the lines. Nobody waits for an agent; who asks is served elsewhere.
const REST: Duration = Duration::from_millis(20);
/// Calls of one look, and more.
const GATHERED: usize = 256;
/// Agents that have come and were not yet let in.
const COMING: usize = 64;

/// Opens the hall: agents go in through the first, and the second ends once nobody lets them in any more and the last line
/// has ended. What they say goes into `mailbox`.
///
/// # Errors
/// Where the system gives no thread, or no event loop.
pub(super) fn open(
    config: Arc<ServerConfig>,
    mailbox: mpsc::Sender<RosterCall>,
) -> io::Result<(mpsc::Sender<Comer>, oneshot::Receiver<Infallible>)> {
    let (agents, comers) = mpsc::channel(COMING);
    let (open, closed) = oneshot::channel();
    // The loop waits for news only after it has rested.
    let runtime = Builder::new_current_thread().enable_all().on_thread_park(|| thread::sleep(REST)).build()?;
    let serving = move || {
        runtime.block_on(serve(comers, config, mailbox));
        drop(open);
    };
    thread::Builder::new().name("lines".to_owned()).spawn(serving)?;
    Ok((agents, closed))
}

async fn serve(mut comers: mpsc::Receiver<Comer>, config: Arc<ServerConfig>, mailbox: mpsc::Sender<RosterCall>) {
    let (gather, gathered) = mpsc::channel(GATHERED);
    tokio::spawn(pass_on(gathered, mailbox));
    let (live, mut lines) = mpsc::channel(1);
    let door = Door::new(gather, &Pace::USUAL, live);
    let mut shaking = JoinSet::new();
    loop {
        tokio::select! {
            comer = comers.recv() => match comer {
                Some(comer) => drop(shaking.spawn(comer.shake(Arc::clone(&config), Holder::know))),
                None => break,
            },
            Some(shaken) = shaking.join_next() => {
                if let Ok(Some(secured)) = shaken {
                    let (holder, stream) = secured.apart();
                    door.let_in(stream, holder);
                }
            }
        }
    }
    drop((door, shaking));
    // Agents are told that it ends.
    let _ = lines.recv().await;
}

/// What was heard in one look goes on together, so that it wakes the other thread once. Ends with who takes it.
async fn pass_on(mut gathered: mpsc::Receiver<RosterCall>, mailbox: mpsc::Sender<RosterCall>) {
    let mut calls = Vec::new();
    loop {
        let count = tokio::select! {
            count = gathered.recv_many(&mut calls, GATHERED) => count,
            () = mailbox.closed() => 0,
        };
        if count == 0 {
            return;
        }
        for call in calls.drain(..) {
            if mailbox.send(call).await.is_err() {
                return;
            }
        }
    }
}
