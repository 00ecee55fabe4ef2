//! Why things wait, as data.

use dybox_model::StageId;

/// Why a stage, or some of its tasks, wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The stage.
    pub stage: StageId,
    /// How many of its tasks.
    pub tasks: u32,
    /// Why, in a sentence.
    pub why: String,
}
