//! What comes in and what goes out, of both machines together.

use dybox_logic::{driver, master};

/// What a machine is told.
#[derive(Debug)]
pub(crate) enum Event {
    Driver(driver::Event),
    Master(master::Event),
}

/// What a machine wants done in the world.
#[derive(Debug)]
pub(crate) enum Effect {
    Driver(driver::Effect),
    Master(master::Effect),
    /// The whole run is to end, for this reason: tell the other sub-DAGs.
    StopRun(String),
}

impl From<driver::Event> for Event {
    fn from(event: driver::Event) -> Self {
        Self::Driver(event)
    }
}

impl From<master::Event> for Event {
    fn from(event: master::Event) -> Self {
        Self::Master(event)
    }
}
