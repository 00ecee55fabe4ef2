//! Which line leads to which grant's proxy.

use std::collections::BTreeMap;

use dybox_model::GrantId;
use dybox_wire::{LinkId, MasterOrder, Relay};
use tokio::sync::mpsc;

#[derive(Debug)]
struct Line {
    orders: mpsc::UnboundedSender<MasterOrder>,
    relay: Option<Relay>,
    grant: Option<GrantId>,
}

/// The lines that are open now.
#[derive(Debug, Default)]
pub(crate) struct Links {
    lines: BTreeMap<LinkId, Line>,
    by_grant: BTreeMap<GrantId, LinkId>,
}

impl Links {
    pub(crate) fn open(&mut self, link: LinkId, orders: mpsc::UnboundedSender<MasterOrder>, relay: Option<Relay>) {
        self.lines.insert(link, Line { orders, relay, grant: None });
    }

    /// A proxy said who it is. Its older line, if one is still open, is cut: the newest one counts.
    pub(crate) fn bind(&mut self, link: LinkId, grant: GrantId) {
        let Some(line) = self.lines.get_mut(&link) else { return };
        line.grant = Some(grant);
        if let Some(old) = self.by_grant.insert(grant, link).filter(|old| *old != link) {
            self.lines.remove(&old);
        }
    }

    /// A line is cut. Gives the grant that has no line any more.
    pub(crate) fn close(&mut self, link: LinkId) -> Option<GrantId> {
        let grant = self.lines.remove(&link).and_then(|line| line.grant);
        let grant = grant.filter(|grant| self.by_grant.get(grant) == Some(&link))?;
        self.by_grant.remove(&grant);
        Some(grant)
    }

    /// Cuts the line of a proxy, if it has one.
    pub(crate) fn forget(&mut self, grant: GrantId) {
        if let Some(link) = self.by_grant.remove(&grant) {
            self.lines.remove(&link);
        }
    }

    /// Who is at the other end; nothing before its Hello and after its line was cut.
    pub(crate) fn grant(&self, link: LinkId) -> Option<GrantId> {
        self.lines.get(&link)?.grant
    }

    /// Sends an order. Without a line it is dropped: after the next Hello the machine says again what counts.
    pub(crate) fn send(&self, grant: GrantId, order: MasterOrder) {
        if let Some(line) = self.by_grant.get(&grant).and_then(|link| self.lines.get(link)) {
            let _ = line.orders.send(order);
        }
    }

    /// The way to a grant's proxy for what clients ask of it.
    pub(crate) fn relay(&self, grant: GrantId) -> Option<&Relay> {
        self.by_grant.get(&grant).and_then(|link| self.lines.get(link)).and_then(|line| line.relay.as_ref())
    }

    pub(crate) fn is_linked(&self, grant: GrantId) -> bool {
        self.by_grant.contains_key(&grant)
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::SubDagId;

    use super::*;

    #[test]
    fn the_newest_line_of_a_proxy_counts() {
        let grant = GrantId::compose(SubDagId(0), 1, 1);
        let mut links = Links::default();
        let (old, mut heard_by_old) = mpsc::unbounded_channel();
        let (new, mut heard_by_new) = mpsc::unbounded_channel();
        links.open(LinkId(1), old, None);
        links.bind(LinkId(1), grant);
        links.open(LinkId(2), new, None);
        links.bind(LinkId(2), grant);
        links.send(grant, MasterOrder::Leave);
        assert_eq!((heard_by_old.try_recv().is_err(), heard_by_new.try_recv()), (true, Ok(MasterOrder::Leave)));
        // The late end of the old line changes nothing.
        assert_eq!(links.close(LinkId(1)), None);
        assert!(links.is_linked(grant));
        assert_eq!(links.close(LinkId(2)), Some(grant));
        assert!(!links.is_linked(grant));
    }
}
