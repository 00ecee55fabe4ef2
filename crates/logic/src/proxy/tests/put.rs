//! Outputs: a success is told with them, and is none without.

use dybox_model::{Moved, Transfer};

use super::*;

fn with_output() -> TaskSpec {
    let output = Transfer { path: "/out/x".to_owned(), place: "run:x".to_owned() };
    TaskSpec { outputs: vec![output], ..spec(1) }
}

fn put(failed: Option<(Cause, String)>) -> Event {
    let (path, place) = ("/out/x".to_owned(), "run:x".to_owned());
    let moved = Moved { out: true, path, place, files: 1, bytes: 3, crc32c: 7, took: Millis(1) };
    Event::Put { attempt: attempt(1), moved: if failed.is_some() { vec![] } else { vec![moved] }, failed }
}

#[test]
fn a_success_is_told_with_what_was_put_however_long_that_took() {
    let mut story = Story::running(with_output());
    story.tell(Event::Ended { attempt: attempt(1), exit: code(0) });
    // Much longer than the rest of an output may take.
    let waited = story.pass(Millis::from_secs(3600));
    assert!(!waited.iter().any(|wish| matches!(wish, Effect::Save { .. })));
    story.tell(put(None));
    story.tell(Event::Drained { attempt: attempt(1), problem: None });
    let exit = story.saved(1);
    assert_eq!((exit.cause, exit.moved.len()), (None, 1));
}

#[test]
fn a_success_whose_outputs_are_not_there_is_none_and_a_failure_stays_what_it_was() {
    for (end, cause) in [(0, Cause::OutputMissing), (3, Cause::ExitCode)] {
        let mut story = Story::running(with_output());
        story.tell(Event::Ended { attempt: attempt(1), exit: code(end) });
        story.tell(put(Some((Cause::OutputMissing, "/out/x: it was not written".to_owned()))));
        story.tell(Event::Drained { attempt: attempt(1), problem: None });
        assert_eq!(story.saved(1).cause, Some(cause));
    }
}
