//! The asks that are out, and what the shapes want: each distinct wish is an ask of its own.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::Wish;

/// A wish, by its place in the list of all that this machine ever had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WishId(u32);

/// All wishes, wanted and asked for.
#[derive(Debug, Default)]
pub(super) struct Asks {
    wishes: Vec<Entry>,
    ids: BTreeMap<Wish, WishId>,
    /// What each shape wants, where it is not nothing. One wish for most, one a machine for those that are spread.
    by_shape: BTreeMap<u32, Vec<(WishId, u32)>>,
    /// Wishes whose asks must be looked at again.
    pub(super) dirty: BTreeSet<WishId>,
    /// How many wishes have an ask out.
    out: usize,
}

#[derive(Debug)]
struct Entry {
    wish: Wish,
    wanted: u32,
    told: u32,
}

impl Asks {
    pub(super) fn id_of(&mut self, wish: &Wish) -> WishId {
        if let Some(&id) = self.ids.get(wish) {
            return id;
        }
        let id = WishId(u32::try_from(self.wishes.len()).expect("there are no more wishes than memory"));
        self.wishes.push(Entry { wish: wish.clone(), wanted: 0, told: 0 });
        self.ids.insert(wish.clone(), id);
        id
    }

    pub(super) fn find(&self, wish: &Wish) -> Option<WishId> {
        self.ids.get(wish).copied()
    }

    pub(super) fn get(&self, id: WishId) -> &Wish {
        &self.wishes[id.0 as usize].wish
    }

    pub(super) fn told(&self, id: WishId) -> u32 {
        self.wishes[id.0 as usize].told
    }

    /// Whether any ask is out.
    pub(super) fn any(&self) -> bool {
        self.out > 0
    }

    /// What a shape wants: tasks that wait, by wish, also those that a grant is on its way for.
    pub(super) fn of_shape(&self, shape: u32) -> &[(WishId, u32)] {
        self.by_shape.get(&shape).map_or(&[], Vec::as_slice)
    }

    /// Whether a shape wants this.
    pub(super) fn wants(&self, shape: u32, id: WishId) -> bool {
        self.wanted_by(shape, id) > 0
    }

    /// How many of this a shape wants.
    pub(super) fn wanted_by(&self, shape: u32, id: WishId) -> u32 {
        let found = self.of_shape(shape).iter().find(|&&(wish, _)| wish == id);
        found.map_or(0, |&(_, count)| count)
    }

    /// A shape wants so many of one wish and nothing else: the way of those that are not placed.
    pub(super) fn want_one(&mut self, shape: u32, id: WishId, count: u32) {
        self.dirty.insert(id);
        match self.by_shape.get_mut(&shape).map(Vec::as_mut_slice) {
            Some([(old, was)]) if *old == id => {
                let entry = &mut self.wishes[id.0 as usize];
                entry.wanted = entry.wanted + count - *was;
                *was = count;
            }
            _ => self.want(shape, vec![(id, count)]),
        }
    }

    /// A shape wants this and nothing else.
    pub(super) fn want(&mut self, shape: u32, wants: Vec<(WishId, u32)>) {
        for (id, count) in self.by_shape.remove(&shape).unwrap_or_default() {
            self.wishes[id.0 as usize].wanted -= count;
            self.dirty.insert(id);
        }
        for &(id, count) in &wants {
            self.wishes[id.0 as usize].wanted += count;
            self.dirty.insert(id);
        }
        if !wants.is_empty() {
            self.by_shape.insert(shape, wants);
        }
    }

    /// A grant answers an ask that may be out.
    pub(super) fn answered(&mut self, id: WishId) {
        if let Some(less) = self.told(id).checked_sub(1) {
            self.tell(id, less);
        }
    }

    /// Nothing of this is asked for any more.
    pub(super) fn dropped(&mut self, id: WishId) {
        self.tell(id, 0);
        self.dirty.insert(id);
    }

    /// The wishes, and the shapes that want them, that differ from this one at most in their priority.
    pub(super) fn alike(&self, wish: &Wish) -> Vec<(WishId, Vec<u32>)> {
        let plain = |wish: &Wish| Wish { priority: 0, ..wish.clone() };
        let wanted = plain(wish);
        let same = self.ids.iter().filter(|(known, _)| plain(known) == wanted).map(|(_, id)| *id);
        let shapes = |id: WishId| self.by_shape.keys().copied().filter(|shape| self.wants(*shape, id)).collect();
        same.map(|id| (id, shapes(id))).collect()
    }

    /// The ask that must be out instead of the one that is; `away` grants are on their way already.
    pub(super) fn renew(&mut self, id: WishId, away: u32, paused: bool) -> Option<u32> {
        let wanted = if paused { 0 } else { self.wishes[id.0 as usize].wanted.saturating_sub(away) };
        (wanted != self.told(id)).then(|| {
            self.tell(id, wanted);
            wanted
        })
    }

    fn tell(&mut self, id: WishId, count: u32) {
        let told = &mut self.wishes[id.0 as usize].told;
        self.out = self.out + usize::from(count > 0) - usize::from(*told > 0);
        *told = count;
    }

    /// All that is wanted or asked for is to be looked at.
    pub(super) fn all_dirty(&mut self) {
        let live = |(_, entry): &(u32, &Entry)| entry.wanted > 0 || entry.told > 0;
        let live = (0u32..).zip(&self.wishes).filter(live).map(|(id, _)| WishId(id));
        self.dirty.extend(live);
    }
}
