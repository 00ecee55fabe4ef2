//! Which images go when the engine's disk is full: a decision as a value.

use std::collections::{BTreeMap, BTreeSet};

use dybox_engine::ImageListed;
use dybox_model::Millis;
use dybox_model::roster::Disk;
use dybox_model::sweep::{HomeSweep, ImageUse};

use crate::conf::ImageRules;

/// Everything that is known of the images of a machine.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// What the engine has.
    pub(super) images: Vec<ImageListed>,
    /// Ids of those that a container was made of, whoever's.
    pub(super) in_use: BTreeSet<String>,
    /// Ids of those that plans of live runs name.
    pub(super) needed: BTreeSet<String>,
    /// What runs used, of all homes, by id.
    pub(super) known: BTreeMap<String, ImageUse>,
}

impl Shelf {
    /// With what the homes say.
    pub(super) fn of(homes: &[HomeSweep], images: Vec<ImageListed>, in_use: BTreeSet<String>) -> Self {
        let mut known: BTreeMap<String, ImageUse> = BTreeMap::new();
        for one in homes.iter().flat_map(|home| &home.images) {
            let all = known.entry(one.id.clone()).or_insert_with(|| ImageUse { id: one.id.clone(), ..one.clone() });
            all.brought |= one.brought;
            all.used = all.used.max(one.used);
            all.names.extend(one.names.iter().cloned());
        }
        let needed = homes.iter().flat_map(|home| home.needed.iter().cloned()).collect();
        Self { images, in_use, needed, known }
    }
}

/// Whether the disk is so full that images go.
pub(crate) fn is_pressed(rules: &ImageRules, disk: &Disk) -> bool {
    over(disk, rules.high) > 0
}

/// Whether enough have gone.
pub(super) fn is_enough(rules: &ImageRules, disk: &Disk) -> bool {
    over(disk, rules.low) == 0
}

/// What is to go, the first first: those that were used longest ago, of those that DYbox brought, that have no name
/// that somebody else gave, that no container was made of, no live run needs and nobody used lately. No more than what
/// their sizes say is needed.
pub(super) fn choose<'a>(rules: &ImageRules, disk: &Disk, shelf: &'a Shelf, now: Millis) -> Vec<&'a ImageListed> {
    if !is_pressed(rules, disk) {
        return Vec::new();
    }
    let old =
        |used: Millis| now.0.checked_sub(used.0).is_some_and(|age| u128::from(age) >= rules.least_age.as_millis());
    let mut free: Vec<_> = shelf
        .images
        .iter()
        .filter_map(|image| Some((shelf.known.get(&image.id)?, image)))
        .filter(|(known, image)| known.brought && image.names.iter().all(|name| known.names.contains(name)))
        .filter(|(known, image)| {
            !shelf.in_use.contains(&image.id) && !shelf.needed.contains(&image.id) && old(known.used)
        })
        .collect();
    free.sort_by(|(one, _), (two, _)| (one.used, &one.id).cmp(&(two.used, &two.id)));
    let (want, mut have) = (over(disk, rules.low), 0_u64);
    let enough = |(_, image): &(&ImageUse, &ImageListed)| {
        let go_on = have < want;
        have = have.saturating_add(image.size);
        go_on
    };
    free.into_iter().take_while(enough).map(|(_, image)| image).collect()
}

/// Bytes that are used beyond so many percent.
fn over(disk: &Disk, percent: u8) -> u64 {
    let allowed = u128::from(disk.total) * u128::from(percent) / 100;
    let used = disk.total.saturating_sub(disk.free);
    used.saturating_sub(u64::try_from(allowed).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RULES: ImageRules = ImageRules { high: 85, low: 75, least_age: Duration::from_secs(3600) };
    const NOW: Millis = Millis(100_000_000);

    fn disk(free: u64) -> Disk {
        Disk { of: "engine".to_owned(), path: "/d".to_owned(), free, total: 100 }
    }

    /// Images of 5 bytes that DYbox brought, the first used longest ago.
    fn shelf(ids: &[&str]) -> Shelf {
        let image = |id: &&str| ImageListed { id: (*id).to_owned(), names: vec![format!("{id}:1")], size: 5 };
        let mut used = 0;
        let known = |id: &&str| {
            used += 1000;
            let names = vec![format!("{id}:1")];
            ImageUse { id: (*id).to_owned(), names, brought: true, used: Millis(used) }
        };
        let home = HomeSweep { images: ids.iter().map(known).collect(), ..HomeSweep::default() };
        Shelf::of(&[home], ids.iter().map(image).collect(), BTreeSet::new())
    }

    fn chosen(free: u64, shelf: &Shelf) -> Vec<&str> {
        choose(&RULES, &disk(free), shelf, NOW).into_iter().map(|image| image.id.as_str()).collect()
    }

    #[test]
    fn only_a_full_disk_takes_images_and_the_oldest_first_until_it_is_enough() {
        let shelf = shelf(&["c", "b", "a", "d"]);
        assert_eq!(chosen(15, &shelf), Vec::<&str>::new(), "at the mark is not above it");
        assert_eq!(chosen(14, &shelf), ["c", "b", "a"], "11 of 5 each");
        assert_eq!(chosen(0, &shelf), ["c", "b", "a", "d"]);
    }

    #[test]
    fn what_somebody_needs_or_did_not_come_by_us_stays() {
        let mut all = shelf(&["used", "needed", "mine", "named", "late", "future", "gone", "old"]);
        all.in_use.insert("used".to_owned());
        all.needed.insert("needed".to_owned());
        let known = |all: &mut Shelf, id: &str, change: &dyn Fn(&mut ImageUse)| {
            change(all.known.get_mut(id).unwrap());
        };
        known(&mut all, "mine", &|one| one.brought = false);
        known(&mut all, "named", &|one| one.names.clear());
        known(&mut all, "late", &|one| one.used = Millis(NOW.0 - 3_599_999));
        known(&mut all, "future", &|one| one.used = Millis(NOW.0 + 1));
        all.known.remove("gone");
        assert_eq!(chosen(0, &all), ["old"]);
    }

    #[test]
    fn the_last_use_by_any_home_counts_and_who_brought_it_is_said_by_one() {
        let one = |brought, used, name: &str| HomeSweep {
            images: vec![ImageUse { id: "a".to_owned(), names: vec![name.to_owned()], brought, used }],
            ..HomeSweep::default()
        };
        let images = vec![ImageListed { id: "a".to_owned(), names: vec!["x:1".into(), "y:1".into()], size: 5 }];
        let old =
            Shelf::of(&[one(false, Millis(5), "x:1"), one(true, Millis(9), "y:1")], images.clone(), BTreeSet::new());
        assert_eq!(chosen(0, &old), ["a"]);
        let fresh = Shelf::of(&[one(false, NOW, "x:1"), one(true, Millis(9), "y:1")], images, BTreeSet::new());
        assert_eq!(chosen(0, &fresh), Vec::<&str>::new());
    }

    #[test]
    fn a_disk_of_no_size_is_not_full() {
        let none = Disk { total: 0, ..disk(0) };
        assert!(!is_pressed(&RULES, &none) && is_enough(&RULES, &none));
        assert!(is_pressed(&RULES, &disk(14)) && !is_enough(&RULES, &disk(24)) && is_enough(&RULES, &disk(25)));
    }
}
