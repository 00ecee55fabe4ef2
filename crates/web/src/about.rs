//! What the pages tell besides the run itself.

use std::collections::BTreeMap;

use dybox_model::{Millis, RunId};

/// What the pages tell besides the run itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// The time.
    pub now: Millis,
    /// Who submitted; also part of YARN's addresses of logs.
    pub user: String,
    /// The YARN queue; empty = not known.
    pub queue: String,
    /// The session that this is a page of; empty outside of one.
    pub session: String,
    /// What the query of every link begins with: in a session which run the page is of, as [`of_run`] makes it.
    pub query: String,
    /// The YARN application that tells this; empty on one machine.
    pub application: String,
    /// Where the NodeManager of each host shows its pages, as `host:port`; where one is missing, no log is linked.
    pub nodes: BTreeMap<String, String>,
    /// Seconds after which the page is to load itself again; nothing = it does not (the run is over).
    pub refresh: Option<u32>,
}

impl About {
    /// The NodeManager's page of a YARN container's log files; nothing where it is not known.
    pub(crate) fn logs(&self, host: &str, container: &str) -> Option<String> {
        let node = self.nodes.get(host).filter(|_| !container.is_empty())?;
        Some(format!("http://{node}/node/containerlogs/{container}/{}", self.user))
    }

    pub(crate) fn logs_at(&self, place: &dybox_journal::Where) -> Option<String> {
        self.logs(&place.host, &place.container)
    }
}

/// What the query of an address within a session's pages begins with, for the pages of one run.
#[must_use]
pub fn of_run(run: &RunId) -> String {
    format!("run={run}&")
}
