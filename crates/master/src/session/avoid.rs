//! The machines for which YARN is asked for nothing: those that every run of the session leaves out. A grant there would
//! help nobody, and count as one of those that the session may have.

use std::collections::BTreeSet;

/// What YARN was told.
#[derive(Debug, Default)]
pub(super) struct Avoided(BTreeSet<String>);

impl Avoided {
    /// What changes for YARN (to leave out, to use again) where these are the machines that each run leaves out.
    pub(super) fn follow<'a>(
        &mut self,
        mut each: impl Iterator<Item = &'a BTreeSet<String>>,
    ) -> Option<(Vec<String>, Vec<String>)> {
        let first = each.next().cloned().unwrap_or_default();
        let now: BTreeSet<String> = each.fold(first, |all, one| all.intersection(one).cloned().collect());
        let add: Vec<_> = now.difference(&self.0).cloned().collect();
        let remove: Vec<_> = self.0.difference(&now).cloned().collect();
        self.0 = now;
        (!add.is_empty() || !remove.is_empty()).then_some((add, remove))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn told(avoided: &mut Avoided, runs: &[&[&str]]) -> Option<(Vec<String>, Vec<String>)> {
        let runs: Vec<_> = runs.iter().map(|names| hosts(names)).collect();
        avoided.follow(runs.iter())
    }

    fn change(add: &[&str], remove: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
        let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect();
        Some((names(add), names(remove)))
    }

    #[test]
    fn only_what_every_run_leaves_out_is_left_out_of_the_sessions_asks() {
        let mut avoided = Avoided::default();
        assert_eq!(told(&mut avoided, &[]), None);
        assert_eq!(told(&mut avoided, &[&["a", "b"], &[]]), None, "the second run may use both");
        assert_eq!(told(&mut avoided, &[&["a", "b"], &["b", "c"]]), change(&["b"], &[]));
        assert_eq!(told(&mut avoided, &[&["a", "b"], &["b", "c"]]), None, "it was said");
        assert_eq!(told(&mut avoided, &[&["a", "b"]]), change(&["a"], &[]), "the second run is over");
        assert_eq!(told(&mut avoided, &[&["c"]]), change(&["c"], &["a", "b"]));
        assert_eq!(told(&mut avoided, &[]), change(&[], &["c"]), "nobody says anything of it any more");
    }
}
