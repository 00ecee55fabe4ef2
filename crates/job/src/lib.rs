//! From the text of a job file to a plan.
//!
//! Enters: bytes, parameters, and answers about the machine through [`World`]. Leaves: a [`Plan`], or every problem of
//! the file at once, each with its place and a next step. Never: a file, a clock, a socket, the environment, or a
//! choice that execution would still have to make.

mod check;
mod codes;
mod diagnostic;
mod fields;
mod lint;
mod plan;
mod print;
mod shell;
mod world;

pub use check::{Outcome, Source, Submit, check};
pub use codes::{CODES, Code};
pub use diagnostic::{Diagnostic, Part, Place, Severity, exit_of, render, render_painted};
pub use fields::{FIELDS, Field, Scope};
pub use lint::lint;
pub use plan::{Hook, PLAN_VERSION, Plan, Retry, RetryOn, Stage, SubDag};
pub use print::print;
pub use shell::{ShellJob, shell_plan};
pub use world::{Found, NoWorld, Policy, World};
