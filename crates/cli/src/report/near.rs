//! "Did you mean": the known word that is nearest to a typed one.

/// The nearest of `known`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    let far = (typed.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&typed, &word.to_lowercase()), word))
        .filter(|(distance, word)| *distance <= far || typed.len() > 2 && word.starts_with(&typed))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["extract", "join", "report"];
        assert_eq!(nearest("extrct", known), Some("extract"));
        assert_eq!(nearest("ext", known), Some("extract"));
        assert_eq!(nearest("jion", known), Some("join"));
        assert_eq!(nearest("banana", known), None);
    }
}
