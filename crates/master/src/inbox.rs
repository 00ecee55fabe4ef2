//! The one mailbox: calls, the resource manager, hooks, time.

use dybox_local as local;
use dybox_logic::driver;
use dybox_wire::Call;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Everything that comes in.
pub(crate) struct Inbox {
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) from_local: mpsc::UnboundedReceiver<local::Event>,
    pub(crate) from_hooks: mpsc::UnboundedReceiver<driver::Event>,
}

pub(crate) enum Came {
    Call(Call),
    Local(local::Event),
    Hook(driver::Event),
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
            Some(event) = self.from_local.recv() => Came::Local(event),
            Some(event) = self.from_hooks.recv() => Came::Hook(event),
            () = time => Came::Time,
        }
    }

    /// What has come already, if anything.
    pub(crate) fn ready(&mut self) -> Option<Came> {
        let local = self.from_local.try_recv().ok().map(Came::Local);
        let hook = || self.from_hooks.try_recv().ok().map(Came::Hook);
        local.or_else(hook).or_else(|| self.calls.try_recv().ok().map(Came::Call))
    }
}
