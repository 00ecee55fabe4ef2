//! YARN containers: what the ResourceManager grants.

use std::fmt;

use dybox_hrpc::Token;
use dybox_model::Resources;

use crate::ids::{ContainerId, NodeId};

/// A granted YARN container. `Debug` does not show its token.
#[derive(Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: ContainerId,
    /// The NodeManager that starts it.
    pub node: NodeId,
    /// That NodeManager's web page, `host:port`.
    pub http: String,
    /// How much was really given: the ask, rounded up by the scheduler.
    pub size: Resources,
    /// Which ask it answers (allocation request id).
    pub request: i64,
    /// Counts its resizes.
    pub version: i32,
    /// What the NodeManager wants to see at its start.
    pub token: Token,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Container({} on {}, {:?}, request {})", self.id, self.node, self.size, self.request)
    }
}

/// What a NodeManager says about a YARN container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// Whether it has ended.
    pub complete: bool,
    /// How it ended, see [`exit`]; -1000 while it runs.
    pub exit: i32,
    /// More about it.
    pub diagnostics: String,
}

/// Exit statuses that YARN itself makes.
pub mod exit {
    /// Not known, or it still runs.
    pub const INVALID: i32 = -1000;
    /// Given back, or its node is lost.
    pub const ABORTED: i32 = -100;
    /// The node's disks failed.
    pub const DISKS_FAILED: i32 = -101;
    /// Taken for another queue or user.
    pub const PREEMPTED: i32 = -102;
    /// More virtual memory than granted.
    pub const TOO_MUCH_VIRTUAL_MEMORY: i32 = -103;
    /// More memory than granted.
    pub const TOO_MUCH_MEMORY: i32 = -104;
    /// Stopped by its ApplicationMaster.
    pub const STOPPED_BY_MASTER: i32 = -105;
    /// Stopped by the ResourceManager.
    pub const STOPPED_BY_RM: i32 = -106;
    /// Stopped since the application has ended.
    pub const APPLICATION_ENDED: i32 = -107;
    /// Stopped by the NodeManager's scheduler.
    pub const STOPPED_BY_SCHEDULER: i32 = -108;
    /// Its end was missed.
    pub const LOST: i32 = 154;

    /// What a status says, in words.
    #[must_use]
    pub fn words(status: i32) -> String {
        let text = match status {
            INVALID => "its end is not known",
            ABORTED => "given back, or its node is lost",
            DISKS_FAILED => "the node's disks failed",
            PREEMPTED => "preempted: the scheduler took it for others",
            TOO_MUCH_VIRTUAL_MEMORY => "killed: more virtual memory than granted",
            TOO_MUCH_MEMORY => "killed: more memory than granted",
            STOPPED_BY_MASTER => "stopped by its master",
            STOPPED_BY_RM => "stopped by the ResourceManager",
            APPLICATION_ENDED => "stopped at the end of the application",
            STOPPED_BY_SCHEDULER => "stopped by the NodeManager's scheduler",
            LOST => "lost: the NodeManager missed its end",
            137 => "killed (SIGKILL)",
            143 => "terminated (SIGTERM)",
            _ => return format!("exit {status}"),
        };
        text.to_owned()
    }

    /// Whether YARN, not the process, is the cause: such ends do not count against anybody's retries.
    #[must_use]
    pub const fn is_no_fault(status: i32) -> bool {
        matches!(status, ABORTED | DISKS_FAILED | PREEMPTED | STOPPED_BY_RM)
    }
}

#[cfg(test)]
mod tests {
    use super::exit;

    #[test]
    fn statuses_have_words() {
        assert_eq!(exit::words(-102), "preempted: the scheduler took it for others");
        assert_eq!(exit::words(3), "exit 3");
        assert!(exit::is_no_fault(-100) && !exit::is_no_fault(1) && !exit::is_no_fault(-104));
    }
}
