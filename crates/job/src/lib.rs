//! Job file text -> `Job` with diagnostics -> DAG -> `Plan`.

mod plan;

pub use plan::{Hook, PLAN_VERSION, Plan, Retry, RetryOn, Stage, SubDag};
