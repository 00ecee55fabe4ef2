//! What the pages tell besides the run itself.

use std::collections::BTreeMap;

use dybox_model::Millis;

/// What the pages tell besides the run itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// The time.
    pub now: Millis,
    /// Who submitted; also part of YARN's addresses of logs.
    pub user: String,
    /// The YARN queue; empty = not known.
    pub queue: String,
    /// The YARN application that tells this; empty on one machine.
    pub application: String,
    /// Where the NodeManager of each host shows its pages, as `host:port`; where one is missing, no log is linked.
    pub nodes: BTreeMap<String, String>,
    /// Seconds after which the page is to load itself again; nothing = it does not (the run is over).
    pub refresh: Option<u32>,
}

impl About {
    /// The NodeManager's page of a YARN container's log files; nothing where it is not known.
    pub(crate) fn logs(&self, place: &dybox_journal::Where) -> Option<String> {
        let node = self.nodes.get(&place.host).filter(|_| !place.container.is_empty())?;
        Some(format!("http://{node}/node/containerlogs/{}/{}", place.container, self.user))
    }
}
