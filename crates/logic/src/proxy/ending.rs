//! Why DYbox itself ends an attempt.

use dybox_model::{Cause, EndedBy, Exit, Millis, Peak};

/// What is to be said of an attempt that DYbox stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The cause that it makes: `Stopped`, `RunTimeout`, `SilenceTimeout`, `Idle`, `PullTimeout`, `MasterLost`,
    /// `GrantLost`, `StoreFailed`.
    pub cause: Cause,
    /// One sentence for a person; may be empty.
    pub text: String,
}

impl Ending {
    /// Stop or timeout.
    #[must_use]
    pub const fn by(&self) -> EndedBy {
        match self.cause {
            Cause::RunTimeout | Cause::SilenceTimeout | Cause::Idle => EndedBy::Timeout,
            _ => EndedBy::Stop,
        }
    }

    /// The end of a container that nobody could be asked about: its lease stood still for so long that it is dead.
    pub(super) fn unseen(&self, started: Millis, now: Millis) -> Exit {
        let mut text = self.text.clone();
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str("the engine did not answer, so its init ended it when its lease stood still");
        Exit {
            code: None,
            signal: Some(9),
            cause: Some(self.cause),
            by: self.by(),
            text,
            started: Some(started),
            ended: now,
            used: Peak::default(),
            result: None,
            moved: Box::default(),
        }
    }
}
