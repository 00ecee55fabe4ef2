//! The grants that we hold, give back, or want of another size.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::Resources;

use super::talk::Resize;
use crate::container::Container;
use crate::ids::ContainerId;

const MOST_TRIES: u32 = 3;

#[derive(Debug)]
struct Resizing {
    size: Resources,
    sent: bool,
    tries: u32,
}

/// All grants of this attempt.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// Those that run or may be started: size and version.
    held: BTreeMap<ContainerId, (Resources, i32)>,
    /// Those whose end was told.
    ended: BTreeSet<ContainerId>,
    /// Those that nobody wanted any more: the master never hears of them.
    surplus: BTreeSet<ContainerId>,
    /// Given back; whether the ResourceManager knows.
    releasing: BTreeMap<ContainerId, bool>,
    resizing: BTreeMap<ContainerId, Resizing>,
}

impl Grants {
    /// Whether it was heard of before.
    pub(super) fn knows(&self, id: ContainerId) -> bool {
        self.held.contains_key(&id) || self.ended.contains(&id) || self.surplus.contains(&id)
    }

    pub(super) fn hold(&mut self, container: &Container) {
        self.held.insert(container.id, (container.size, container.version));
    }

    /// Gives a grant back that nobody wants.
    pub(super) fn refuse(&mut self, id: ContainerId) {
        self.surplus.insert(id);
        self.releasing.insert(id, false);
    }

    /// Gives a grant back; an ended one is gone already.
    pub(super) fn release(&mut self, id: ContainerId) {
        if !self.ended.contains(&id) {
            self.releasing.entry(id).or_insert(false);
        }
    }

    /// Whether the master must hear of this end: once, and never of what it never had.
    pub(super) fn end(&mut self, id: ContainerId) -> bool {
        self.held.remove(&id);
        self.releasing.remove(&id);
        self.resizing.remove(&id);
        !self.surplus.remove(&id) && self.ended.insert(id)
    }

    /// Why a grant can't have this size, or nothing when it will be asked for.
    pub(super) fn resize(&mut self, id: ContainerId, size: Resources) -> Option<&'static str> {
        let Some((now, _)) = self.held.get(&id) else { return Some("the grant has ended or was never given") };
        if self.resizing.contains_key(&id) {
            return Some("another change of its size is on its way");
        }
        let size = crate::convert::rounded(size);
        match () {
            () if *now == size => Some("it has this size already"),
            () if !size.fits(*now) && !now.fits(size) => Some("YARN can't make it larger and smaller at once"),
            () => {
                self.resizing.insert(id, Resizing { size, sent: false, tries: 0 });
                None
            }
        }
    }

    /// A grant with its new size. Whether it was ours.
    pub(super) fn resized(&mut self, container: &Container) -> bool {
        self.resizing.remove(&container.id);
        let ours = self.held.contains_key(&container.id);
        if ours {
            self.hold(container);
        }
        ours
    }

    /// A grant keeps its size. Whether that is the last word: a wrong version is tried again with the right one.
    pub(super) fn not_resized(&mut self, id: ContainerId, version: i32) -> bool {
        let Some(resizing) = self.resizing.get_mut(&id) else { return false };
        resizing.tries += 1;
        if let Some(held) = self.held.get_mut(&id).filter(|held| held.1 != version && resizing.tries < MOST_TRIES) {
            held.1 = version;
            resizing.sent = false;
            return false;
        }
        self.resizing.remove(&id);
        true
    }

    /// Whether something must be said or heard soon.
    pub(super) fn any_pending(&self) -> bool {
        !self.resizing.is_empty() || self.releasing.values().any(|sent| !sent)
    }

    /// What the ResourceManager does not know yet.
    pub(super) fn to_release(&self) -> Vec<ContainerId> {
        self.releasing.iter().filter(|(_, sent)| !**sent).map(|(id, _)| *id).collect()
    }

    /// What the ResourceManager does not know yet.
    pub(super) fn to_resize(&self) -> Vec<Resize> {
        let unsent = self.resizing.iter().filter(|(_, resizing)| !resizing.sent);
        let line = |(id, resizing): (&ContainerId, &Resizing)| {
            let (now, version) = *self.held.get(id)?;
            Some(Resize { id: *id, version, size: resizing.size, grows: now.fits(resizing.size) })
        };
        unsent.filter_map(line).collect()
    }

    /// The ResourceManager knows these now.
    pub(super) fn told(&mut self, released: &[ContainerId], resizes: &[Resize]) {
        for id in released {
            self.releasing.entry(*id).and_modify(|sent| *sent = true);
        }
        for resize in resizes {
            self.resizing.entry(resize.id).and_modify(|resizing| resizing.sent = true);
        }
    }

    /// The ResourceManager does not want to hear of these: they are not its own.
    pub(super) fn drop_orders(&mut self, released: &[ContainerId], resizes: &[Resize]) -> Vec<ContainerId> {
        released.iter().for_each(|id| {
            self.releasing.remove(id);
        });
        let dropped = resizes.iter().filter(|resize| self.resizing.remove(&resize.id).is_some());
        dropped.map(|resize| resize.id).collect()
    }

    /// The ResourceManager has forgotten everything.
    pub(super) fn forgotten(&mut self) {
        self.releasing.values_mut().for_each(|sent| *sent = false);
        self.resizing.values_mut().for_each(|resizing| resizing.sent = false);
    }
}
