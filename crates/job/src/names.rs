//! Names of jobs, stages, sub-DAGs and networks.

/// Why a text can't be a name; nothing when it can.
pub(crate) fn bad_name(text: &str) -> Option<String> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.is_empty() {
        return Some("a name has at least one character".to_owned());
    }
    if let Some(c) = text.chars().find(|&c| !lower(c) && c != '-') {
        let why = if c.is_uppercase() { "in lower case" } else { "of lower-case letters, digits and -" };
        return Some(format!("a name is {why}; {c:?} can't be in it"));
    }
    if !text.starts_with(lower) || !text.ends_with(lower) {
        return Some("a name begins and ends with a letter or a digit".to_owned());
    }
    (text.len() > 63).then(|| "a name has at most 63 characters".to_owned())
}

/// The nearest text that can be a name.
pub(crate) fn make_name(text: &str) -> Option<String> {
    let mapped: String =
        text.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
    let name = mapped.trim_matches('-').to_owned();
    (bad_name(&name).is_none()).then_some(name)
}

/// Why a text can't name a parameter; nothing when it can.
pub(crate) fn bad_param(text: &str) -> Option<&'static str> {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let fits = text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (!starts || !fits).then_some("a parameter's name has letters, digits and _, and begins with a letter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_page() {
        for good in ["a", "a-b", "0", "extract-a2", &"x".repeat(63)] {
            assert_eq!(bad_name(good), None, "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "ä", "a b", &"x".repeat(64)] {
            assert!(bad_name(bad).is_some(), "{bad}");
        }
        assert_eq!(make_name("My Job_2").as_deref(), Some("my-job-2"));
        assert_eq!(make_name("___"), None);
    }
}
