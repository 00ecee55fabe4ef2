//! The embedded resource manager: grants against one machine's cpus and memory.
//!
//! Enters: orders of a master ([`Order`]). Leaves: events for it ([`Event`]), files under `machine/`, and one process
//! `dybox proxy` per grant. All runs of a user share one budget without a process that keeps it: a grant is a *share*,
//! a file locked by whoever holds it, and the kernel frees the lock at any death. A share whose file is there and
//! whose lock is free is *dead*: it counts until somebody has swept what it left.
//! Never: a container, a task, a decision about a run; a sum of shares above the budget.

mod actor;
mod budget;
mod conf;
mod error;
mod event;
mod ledger;
mod notify;
mod share;
mod spawn;
mod swept;

pub use actor::Local;
pub use budget::machine;
pub use conf::Conf;
pub use error::LocalError;
pub use event::{Event, Order};
pub use ledger::{Ledger, Taken};
pub use share::{Share, Short, Verdict, Waiter, verdict};
pub use spawn::how;
