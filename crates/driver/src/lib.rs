//! Runs hooks: user code between the stages of a run, as child processes of the master; and reads what those say that
//! run as tasks.
//!
//! Enters: a [`Hook`] with the [`Story`] so far, as the driver machine's effect names it. Leaves: a
//! [`HookEnd`], with what it said or with what went wrong. Never: a variable of the submitter's environment (but PATH,
//! HOME, LANG), a decision of its own, a hook without a limit in time, memory and output.

mod answer;
mod child;
mod orphan;
mod story;

pub use answer::{Answer, answer, answer_of_task};
pub use child::{Hook, HookEnd, RunningHook, start};
pub use orphan::{end_orphan, end_orphans};
pub use story::{StageStory, Story};
