//! Notes colour the state: nothing depends on them, and a reader that misses one is only less colourful.

use dybox_model::Note;

use crate::run::{Pull, Run};
use crate::stage::StageState;

/// Warnings that are kept.
const WARNINGS_KEPT: usize = 32;

impl Run {
    /// Takes one note in.
    pub fn note(&mut self, note: &Note) {
        match note {
            Note::Pulling { image, have, total } => {
                self.pulls.insert(image.clone(), Pull { have: *have, total: *total });
            }
            Note::Pulled { image } | Note::NotPulled { image } => drop(self.pulls.remove(image)),
            Note::Moves { place, have, total, over: false, .. } => {
                self.pulls.insert(place.clone(), Pull { have: *have, total: *total });
            }
            Note::Moves { place, .. } => drop(self.pulls.remove(place)),
            // What came of it is a fact.
            Note::Brought { .. } => {}
            Note::Uses { attempt, used, memory, now } => {
                if let Some(live) = self.live.get_mut(attempt) {
                    live.used = *used;
                    live.memory = *memory;
                    live.now = **now;
                }
            }
            Note::Waits { stage, why } => {
                // One that ended meanwhile waits for nothing.
                if let Some(stage) = self.stage_mut(*stage).filter(|stage| !matches!(stage.state, StageState::Ended(_)))
                {
                    why.clone_into(&mut stage.waits);
                }
            }
            Note::Warns { text, cause } => {
                self.warnings.truncate(WARNINGS_KEPT - 1);
                self.warnings.push_front((text.clone(), *cause));
            }
        }
    }
}
