//! The ApplicationMaster's side of YARN: a pure machine ([`machine::Am`]) and the task that performs it ([`start`]).

mod actor;
mod conf;
mod event;
pub mod machine;

pub use actor::{Handle, start};
pub use conf::Conf;
pub use event::{Event, Order};
