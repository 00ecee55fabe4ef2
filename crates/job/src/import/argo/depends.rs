//! `depends: "A && (B.Succeeded || B.Failed)"`: what must have ended, and how.

use dybox_model::Need;

/// The tasks, each with the end that is asked for, and what can't be said here.
pub(super) fn read(text: &str) -> (Vec<(String, Need)>, Option<&'static str>) {
    let mut asked: Vec<(String, Vec<&str>)> = Vec::new();
    let mut why = None;
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        if rest[..at].contains('!') {
            why = Some("that something is not so can't be asked for");
        }
        let end = rest[at..].find(|c| !word(c)).map_or(rest.len(), |len| at + len);
        let (task, status) = rest[at..end].split_once('.').unwrap_or((&rest[at..end], ""));
        let tail = &rest[end..];
        match asked.iter_mut().find(|(known, _)| known == task) {
            Some((_, ends)) => ends.push(status),
            None => asked.push((task.to_owned(), vec![status])),
        }
        let next = tail.trim_start_matches([')', ' ']).trim_start_matches("||").trim_start_matches(['(', ' ']);
        let other = next.split(|c| !word(c)).next().unwrap_or_default();
        let same = other.split('.').next() == Some(task);
        if tail.trim_start_matches([')', ' ']).starts_with("||") && !same {
            why = Some("one of several can't be waited for; here all of them end first");
        }
        rest = tail;
    }
    let either = why.is_some_and(|why| why.starts_with("one of"));
    let needs = asked.into_iter().map(|(task, ends)| {
        let fails = ends.iter().any(|end| matches!(*end, "Failed" | "Errored" | "AnySucceeded" | "AllFailed"));
        let succeeds = ends.iter().any(|end| !matches!(*end, "Failed" | "Errored" | "AllFailed"));
        let need = match (succeeds, fails) {
            _ if either => Need::Finished,
            (true, true) => Need::Finished,
            (false, true) => Need::Failed,
            _ => Need::Succeeded,
        };
        (task, need)
    });
    (needs.collect(), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_have_ended_is_read_with_how() {
        let needs = |text| read(text).0.into_iter().map(|(task, need)| format!("{task} {need:?}")).collect::<Vec<_>>();
        assert_eq!(needs("A && B.Failed"), ["A Succeeded", "B Failed"]);
        assert_eq!(needs("A && (C.Succeeded || C.Failed)"), ["A Succeeded", "C Finished"]);
        assert_eq!(needs("B || C"), ["B Finished", "C Finished"]);
        assert!(
            read("B || C").1.is_some() && read("!A").1.is_some() && read("A && (C.Succeeded || C.Failed)").1.is_none()
        );
    }
}
