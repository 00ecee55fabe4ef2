//! The nouns that every other crate speaks.
//!
//! Enters: nothing. Leaves: plain values with `serde` and nothing else. Never: a clock, a file, a socket, a foreign
//! type, or a decision that another crate should take.

pub mod cache;
mod cause;
mod code;
mod exit;
mod fact;
mod found;
mod ids;
mod image;
mod placement;
pub mod policy;
mod ports;
mod resources;
mod result;
pub mod roster;
mod secret;
mod session;
mod spec;
mod states;
pub mod sweep;
mod time;
mod value;
mod visit;

pub use cause::{CAUSES, Cause, CauseInfo, Owner, Phase, Reaction};
pub use code::{EXITS, ExitCode};
pub use exit::{EndedBy, Exit, Moved, Peak, Usage};
pub use fact::{Added, Decision, Fact, Note, StageOutline};
pub use found::Found;
pub use ids::{AttemptId, BadId, GrantId, HookId, RunId, StageId, SubDagId, TaskId};
pub use image::{BadImage, ImageRef};
pub use placement::{HIGHEST_PRIORITY, Node, Placement, Spread, Wish};
pub use ports::{FIRST_FREE_PORT, Port, PortRange, Protocol, Published};
pub use resources::{Resources, format_bytes, format_cpus, parse_bytes, parse_cpus};
pub use result::{Declared, ResultType};
pub use secret::{Login, MOST_SECRET, RegistryAuth, SECRETS_DIR, SecretRef, SecretSource, SecretUse};
pub use session::{GrantState, SessionGrant, SessionRun, SessionSpec, SessionView};
pub use spec::{Attach, Idle, Keep, LONGEST_ANSWER, Mount, Network, PullPolicy, TaskSpec, Timeouts, Tmpfs, Transfer};
pub use states::{Need, StageEnd, TaskState};
pub use time::{Millis, format_duration};
pub use value::ValueKind;
pub use visit::{Exec, Visit, Want};
