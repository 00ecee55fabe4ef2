//! Names of stages from names of services, tasks and targets.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::make_name;

/// Gives each name of the other tool one of ours, no two the same.
#[derive(Debug, Default)]
pub(super) struct Names {
    used: BTreeSet<String>,
    known: BTreeMap<String, String>,
}

impl Names {
    /// Our name for this one; the same each time.
    pub(super) fn of(&mut self, other: &str) -> String {
        if let Some(known) = self.known.get(other) {
            return known.clone();
        }
        let name = self.new_name(other);
        self.known.insert(other.to_owned(), name.clone());
        name
    }

    /// A new name, however often it is asked for.
    pub(super) fn new_name(&mut self, other: &str) -> String {
        let base = make_name(other).unwrap_or_else(|| "stage".to_owned());
        let mut name = base.clone();
        let mut number = 2;
        while !self.used.insert(name.clone()) {
            let end = format!("-{number}");
            let cut = base.floor_char_boundary(base.len().min(63 - end.len()));
            name = format!("{}{end}", base[..cut].trim_end_matches('-'));
            number += 1;
        }
        name
    }
}
