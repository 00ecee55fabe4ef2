//! Grants whose size YARN changed, or did not.

use dybox_model::Resources;

use super::News;
use super::desk::Desk;
use super::words::Out;

impl Desk {
    pub(super) fn resized(&mut self, container: &str, size: Resources, out: &mut Vec<Out>) {
        let Some(&grant) = self.by_container.get(container) else { return };
        let Some(held) = self.held.get_mut(&grant).filter(|held| held.over.is_none()) else { return };
        held.room.size = size;
        out.push(Out::Tell(News::Resized { grant, size }));
    }

    /// With the size that it has: the machine may have counted it smaller already.
    pub(super) fn not_resized(&self, container: &str, why: String, out: &mut Vec<Out>) {
        let Some(&grant) = self.by_container.get(container) else { return };
        let Some(size) = self.held.get(&grant).map(|held| held.room.size) else { return };
        out.extend([News::NotResized { grant, why }, News::Resized { grant, size }].map(Out::Tell));
    }
}
