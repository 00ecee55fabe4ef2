//! The DAG in arrays: neighbours and names by number, each text once.

/// For each number from 0, a list of items: all lists in one array.
#[derive(Debug)]
pub(super) struct Lists<T> {
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy + Default> Lists<T> {
    /// Lists for the numbers below `count`, from pairs in any order; within one list the pairs' order stays.
    pub(super) fn build(count: usize, pairs: impl Iterator<Item = (u32, T)> + Clone) -> Self {
        let mut starts = vec![0u32; count + 1];
        for (from, _) in pairs.clone() {
            starts[from as usize + 1] += 1;
        }
        for i in 0..count {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut items = vec![T::default(); starts[count] as usize];
        for (from, item) in pairs {
            items[next[from as usize] as usize] = item;
            next[from as usize] += 1;
        }
        Self { starts, items }
    }

    /// The same lists and more of them, with more pairs at their ends.
    pub(super) fn grown(&self, count: usize, more: Vec<(u32, T)>) -> Self {
        let had =
            (0u32..).take(self.starts.len() - 1).flat_map(|from| self.of(from).iter().map(move |&item| (from, item)));
        Self::build(count, had.chain(more.iter().copied()))
    }

    /// The list of one number.
    pub(super) fn of(&self, from: u32) -> &[T] {
        &self.items[self.range(from)]
    }

    /// Where the list of one number lies, for loops that change what else the owner holds.
    pub(super) fn range(&self, from: u32) -> std::ops::Range<usize> {
        self.starts[from as usize] as usize..self.starts[from as usize + 1] as usize
    }

    /// One item, by a place of [`Lists::range`].
    pub(super) fn at(&self, place: usize) -> T {
        self.items[place]
    }
}

/// Names by number and numbers by name.
#[derive(Debug)]
pub(super) struct Names {
    text: String,
    ends: Vec<u32>,
    sorted: Vec<u32>,
}

impl Names {
    /// Keeps a copy of every name.
    pub(super) fn build<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut kept = Self { text: String::new(), ends: Vec::new(), sorted: Vec::new() };
        for name in names {
            kept.text.push_str(name);
            kept.ends.push(u32::try_from(kept.text.len()).expect("a job file has at most 1 MiB"));
        }
        let mut sorted: Vec<u32> = (0..).take(kept.ends.len()).collect();
        sorted.sort_unstable_by(|&a, &b| kept.of(a).cmp(kept.of(b)));
        kept.sorted = sorted;
        kept.text.shrink_to_fit();
        kept
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The name of a number.
    pub(super) fn of(&self, number: u32) -> &str {
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        &self.text[start as usize..self.ends[number as usize] as usize]
    }

    /// The number of a name.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let place = self.sorted.binary_search_by(|&number| self.of(number).cmp(name)).ok()?;
        Some(self.sorted[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_the_order_of_their_pairs() {
        let lists = Lists::build(3, [(2, 'a'), (0, 'b'), (2, 'c')].into_iter());
        assert_eq!(lists.of(0), ['b']);
        assert!(lists.of(1).is_empty());
        assert_eq!(lists.of(2), ['a', 'c']);
    }

    #[test]
    fn lists_grow() {
        let lists = Lists::build(2, [(1, 'a')].into_iter()).grown(3, vec![(2, 'b'), (1, 'c')]);
        assert_eq!((lists.of(0).len(), lists.of(1), lists.of(2)), (0, ['a', 'c'].as_slice(), ['b'].as_slice()));
    }

    #[test]
    fn names_are_found_both_ways() {
        let names = Names::build(["join", "extract-a", "report"].into_iter());
        assert_eq!((0..3).map(|i| names.of(i)).collect::<Vec<_>>(), ["join", "extract-a", "report"]);
        assert_eq!(names.find("report"), Some(2));
        assert_eq!(names.find("rep"), None);
    }
}
