//! What several tests of this crate begin with.

use dybox_model::{Resources, StageId, StageOutline};

/// A stage that needs no other.
pub(crate) fn outline(id: u32, name: &str, tasks: u32) -> StageOutline {
    StageOutline {
        id: StageId(id),
        name: name.to_owned(),
        image: "busybox:1".to_owned(),
        ask: Resources { cpu_milli: 1000, memory: 256 << 20 },
        tasks,
        needs: vec![],
        hook: false,
    }
}
