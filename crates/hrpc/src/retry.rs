//! What to do about a failed try: Hadoop's rules for fail-over on network exceptions, without a clock.

use std::time::Duration;

use crate::error::RpcError;

/// The next thing to do with a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Tell the caller.
    Fail,
    /// Try again at once: the line had died of idleness, the server never saw the call.
    Now,
    /// Try the next server at once.
    Other,
    /// Ask the same server again after the pause.
    Wait,
    /// Everybody was asked: try the next server after the pause.
    Later,
}

/// How the tries of one call went so far.
#[derive(Debug)]
pub(crate) struct Tries {
    servers: usize,
    patience: Duration,
    idempotent: bool,
    failed_in_round: usize,
    stale: bool,
}

impl Tries {
    pub(crate) fn new(servers: usize, patience: Option<Duration>, idempotent: bool) -> Self {
        let usual = if servers > 1 { Duration::from_secs(20) } else { Duration::ZERO };
        Self { servers, patience: patience.unwrap_or(usual), idempotent, failed_in_round: 0, stale: false }
    }

    /// What follows a failure, `waited` after the call began. `stale`: the line was lost before the server said
    /// anything since the call went out, and it had been in use before.
    pub(crate) fn next(&mut self, error: &RpcError, stale: bool, waited: Duration) -> Next {
        if stale && !self.stale {
            self.stale = true;
            return Next::Now;
        }
        match self.remedy(error) {
            Remedy::None => Next::Fail,
            Remedy::SameServer if waited < self.patience => Next::Wait,
            Remedy::SameServer => Next::Fail,
            Remedy::OtherServer => self.go_round(waited),
        }
    }

    fn go_round(&mut self, waited: Duration) -> Next {
        self.failed_in_round += 1;
        if self.failed_in_round < self.servers {
            return Next::Other;
        }
        self.failed_in_round = 0;
        if waited < self.patience { Next::Later } else { Next::Fail }
    }

    fn remedy(&self, error: &RpcError) -> Remedy {
        match error {
            RpcError::Refused { .. } | RpcError::Unreachable { .. } | RpcError::Broken { sent: false, .. } => {
                Remedy::OtherServer
            }
            RpcError::Broken { sent: true, .. } | RpcError::Late { .. } if self.idempotent => Remedy::OtherServer,
            RpcError::Remote { .. } if error.is("StandbyException") => Remedy::OtherServer,
            RpcError::Remote { .. } if error.is("RetriableException") => Remedy::SameServer,
            _ => Remedy::None,
        }
    }
}

enum Remedy {
    None,
    SameServer,
    OtherServer,
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Next, Tries};
    use crate::error::RpcError;

    fn remote(class: &str) -> RpcError {
        let text = String::new;
        RpcError::Remote { at: text(), method: text(), class: class.to_owned(), message: text(), stack: text() }
    }

    fn refused() -> RpcError {
        RpcError::Refused { at: "a:1".to_owned(), source: Arc::new(io::ErrorKind::ConnectionRefused.into()) }
    }

    fn broken(sent: bool) -> RpcError {
        let source = Arc::new(io::ErrorKind::ConnectionReset.into());
        RpcError::Broken { at: "a:1".to_owned(), method: "m".to_owned(), sent, source }
    }

    const NOW: Duration = Duration::ZERO;
    const LONG: Duration = Duration::from_secs(100);

    #[test]
    fn one_server_is_asked_once() {
        assert_eq!(Tries::new(1, None, true).next(&refused(), false, NOW), Next::Fail);
    }

    #[test]
    fn several_servers_are_asked_in_turn_for_a_while() {
        let mut tries = Tries::new(2, None, false);
        assert_eq!(tries.next(&refused(), false, NOW), Next::Other);
        assert_eq!(tries.next(&remote("org.apache.hadoop.ipc.StandbyException"), false, NOW), Next::Later);
        assert_eq!(tries.next(&refused(), false, NOW), Next::Other);
        assert_eq!(tries.next(&refused(), false, LONG), Next::Fail);
    }

    #[test]
    fn a_server_that_asks_for_patience_gets_it() {
        let busy = remote("org.apache.hadoop.ipc.RetriableException");
        assert_eq!(Tries::new(1, Some(LONG), false).next(&busy, false, NOW), Next::Wait);
        assert_eq!(Tries::new(1, None, false).next(&busy, false, NOW), Next::Fail);
    }

    #[test]
    fn what_may_have_run_is_not_sent_again_unless_that_is_harmless() {
        assert_eq!(Tries::new(2, None, false).next(&broken(true), false, NOW), Next::Fail);
        assert_eq!(Tries::new(2, None, true).next(&broken(true), false, NOW), Next::Other);
        assert_eq!(Tries::new(2, None, false).next(&broken(false), false, NOW), Next::Other);
    }

    #[test]
    fn a_line_that_died_of_idleness_costs_one_try() {
        let mut tries = Tries::new(1, None, false);
        assert_eq!(tries.next(&broken(true), true, NOW), Next::Now);
        assert_eq!(tries.next(&broken(true), true, NOW), Next::Fail);
    }

    #[test]
    fn refusals_are_final() {
        for class in ["org.apache.hadoop.security.AccessControlException", "java.io.IOException"] {
            assert_eq!(Tries::new(2, Some(LONG), true).next(&remote(class), false, NOW), Next::Fail, "{class}");
        }
    }
}
