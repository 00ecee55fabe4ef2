//! From the text of a job file to a plan.
//!
//! Enters: bytes, parameters, and answers about the machine or the cluster through [`World`]. Leaves: a [`Plan`], or every problem of
//! the file at once, each with its place and a next step. Never: a file, a clock, a socket, the environment, or a
//! choice that execution would still have to make.
//!
//! The way of a file: `text` (bytes to text) -> `load` (YAML to a tree with places) -> `read` (tree to a draft of the
//! job; templates, units, mounts) -> `build` (names to numbers, `graph`, `split`) -> [`Plan`] -> [`print`], [`lint`].

mod add;
mod apart;
mod assemble;
mod build;
mod check;
mod cluster;
mod codes;
mod counted;
mod declared;
mod diagnostic;
mod draft;
mod elsewhere;
mod expr;
mod extends;
mod fields;
mod filled;
mod grantable;
mod graph;
mod ground;
mod grow;
mod hidden;
mod import;
mod include;
mod kinds;
mod late;
mod lint;
mod load;
mod names;
mod node;
mod param;
mod picture;
mod places;
mod plan;
mod print;
mod profiled;
mod read;
mod reader;
mod report;
mod reuse;
mod said;
mod schema;
mod scope;
mod segments;
mod shell;
mod sizes;
mod split;
mod template;
mod text;
mod trial;
mod units;
mod uses;
mod values;
mod world;

pub use add::{Adding, add};
pub use check::{Outcome, Source, Submit, check};
pub use cluster::{Cluster, LEAST_GRANT, QueueFacts, SANDBOX_MEMORY, room_for, wish_for, wish_of};
pub use codes::{CODES, Code, code};
pub use counted::Counted;
pub use diagnostic::{Diagnostic, Part, Place, Severity, exit_of, render, render_painted};
pub use expr::{Evaluator, Known, MOST_TASKS, OfTask};
pub use fields::{FIELDS, Field, Scope, fields_named};
pub use filled::outputs_clash;
pub use graph::{critical_path, levels};
pub use grow::{MOST_RUN_TASKS, MOST_STAGES};
pub use import::{Imported, Tool, Wanted, import};
pub use late::{Each, Late};
pub use lint::{lint, lint_on_cluster};
pub use param::ParamRule;
pub use picture::{Dot, Picture, dot, mermaid, svg, text as picture_text};
pub use plan::{Elastic, Grow, Hook, LEAST_LEARNED, PLAN_VERSION, Plan, Retry, RetryOn, Stage, SubDag, Taken};
pub use print::{print, print_on};
pub use profiled::{KeySource, Profiled};
pub use schema::{DIALECT, schema};
pub use shell::{ShellJob, shell_plan};
pub use sizes::Sizes;
pub use values::shown;
pub use world::{NoWorld, Policy, Profiles, World};
