//! Outputs, which a success is not without.

use dybox_model::{AttemptId, Cause, Moved};

use super::machine::Proxy;
use super::work::Phase;

impl Proxy {
    /// Notes what was put. A success whose outputs are not where they belong is none.
    pub(super) fn put(&mut self, attempt: AttemptId, moved: Vec<Moved>, failed: Option<(Cause, String)>) {
        let Some(Phase::Draining { exit, .. }) = self.work_on(attempt).map(|work| &mut work.phase) else { return };
        exit.moved = exit.moved.iter().cloned().chain(moved).collect();
        if let Some((cause, text)) = failed.filter(|_| exit.cause.is_none()) {
            (exit.cause, exit.text) = (Some(cause), text);
        }
    }
}
