//! What a sweep found, as it lies in its file.

use std::collections::BTreeMap;

use dybox_model::{AttemptId, Exit};
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    grant: String,
    exits: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    attempt: String,
    exit: Option<Exit>,
}

/// Puts the lines of all sweeps of `grant` together: an end that was found once stays, whatever a later sweep of the
/// emptied grant says. Nothing where no sweep has finished.
pub(crate) fn read(grant: &str, text: &str) -> Option<Vec<(AttemptId, Option<Exit>)>> {
    let mut ends: Option<BTreeMap<AttemptId, Option<Exit>>> = None;
    // A line that is torn or not ours says nothing.
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    for line in lines.filter(|line| line.grant == grant) {
        let ends = ends.get_or_insert_default();
        for Found { attempt, exit } in line.exits {
            let Ok(attempt) = attempt.parse() else { continue };
            let known = ends.entry(attempt).or_default();
            *known = known.take().or(exit);
        }
    }
    ends.map(|ends| ends.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_was_found_once_stays() {
        let text = concat!(
            "{\"grant\":\"g0-1-1\",\"exits\":[{\"attempt\":\"s0-0-1\",\"exit\":{\"code\":3,\"ended\":5}},",
            "{\"attempt\":\"s0-1-1\",\"exit\":null}]}\n",
            "{\"grant\":\"g0-1-1\",\"exits\":[{\"attempt\":\"s0-0-1\",\"exit\":null}]}\n{\"gra",
        );
        let found = read("g0-1-1", text).unwrap();
        let codes: Vec<_> =
            found.iter().map(|(id, exit)| (id.to_string(), exit.as_ref().and_then(|e| e.code))).collect();
        assert_eq!(codes, [("s0-0-1".to_owned(), Some(3)), ("s0-1-1".to_owned(), None)]);
        assert_eq!(read("g0-1-2", text), None);
        assert_eq!(read("g0-1-1", ""), None);
    }
}
