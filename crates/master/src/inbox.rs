//! The one mailbox: calls, the resource manager, hooks, time.

use dybox_driver::HookEnd;
use dybox_logic::driver;
use dybox_logic::master::Advice;
use dybox_wire::Call;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::rm::FromRm;

/// Everything that comes in.
pub(crate) struct Inbox {
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) from_rm: mpsc::UnboundedReceiver<FromRm>,
    pub(crate) from_hooks: mpsc::UnboundedReceiver<HookEnd>,
    /// What look-ups for the cache found.
    pub(crate) found: mpsc::UnboundedReceiver<driver::Event>,
    /// What the roster says.
    pub(crate) advice: mpsc::UnboundedReceiver<Vec<Advice>>,
}

pub(crate) enum Came {
    Call(Call),
    Rm(FromRm),
    Hook(HookEnd),
    Found(driver::Event),
    Roster(Vec<Advice>),
    Time,
}

impl Inbox {
    /// The next thing to come, or the time `wake`.
    pub(crate) async fn next(&mut self, wake: Option<Instant>) -> Came {
        let time = async {
            match wake {
                Some(wake) => sleep_until(wake).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(call) = self.calls.recv() => Came::Call(call),
            Some(event) = self.from_rm.recv() => Came::Rm(event),
            Some(event) = self.from_hooks.recv() => Came::Hook(event),
            Some(event) = self.found.recv() => Came::Found(event),
            Some(advice) = self.advice.recv() => Came::Roster(advice),
            () = time => Came::Time,
        }
    }

    /// What has come already, if anything.
    pub(crate) fn ready(&mut self) -> Option<Came> {
        let rm = self.from_rm.try_recv().ok().map(Came::Rm);
        let hook = || self.from_hooks.try_recv().ok().map(Came::Hook);
        rm.or_else(hook).or_else(|| self.calls.try_recv().ok().map(Came::Call))
    }
}
