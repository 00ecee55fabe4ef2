//! The master machine: tasks -> asks -> grants -> attempts -> retries.
//!
//! Enters: stages to run, what the resource manager, proxies and time tell. Leaves: facts to write down, asks, and
//! orders to proxies. Never: a process, a socket, a clock, and no knowledge of why a stage runs.
//!
//! ```text
//! task:   waiting ─> live ─> succeeded | failed | lost | stopped
//!            ^─ resting ─┘  (tried again)
//! grant:  coming ─> idle <─> busy       coming, idle, busy ─> sweeping ─> gone
//!                    └─> leaving ─> gone
//! ```

mod advice;
mod ahead;
mod asks;
mod barren;
mod event;
mod explain;
mod first;
mod given;
mod grow;
mod heed;
mod hosts;
mod ladder;
mod likely;
mod liking;
mod lost;
mod lots;
mod machine;
mod places;
mod pool;
mod prefetch;
mod refused;
mod reopen;
mod resize;
mod rests;
mod retry;
mod serve;
mod shapes;
mod starved;
mod taken;
mod tasks;
mod view;

pub use advice::{Advice, Advisor};
pub use dybox_job::SANDBOX_MEMORY;
pub use event::{Effect, Event};
pub use explain::PAUSE;
pub use machine::Master;
