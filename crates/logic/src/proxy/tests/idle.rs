//! A payload that does nothing is ended; one that does anything, or that nobody can look at, is not.

use dybox_model::{Idle, Usage};

use super::*;

const TWO: Millis = Millis::from_secs(2);

fn idle_for(secs: u64) -> Story {
    let idle = Some(Idle { after: Millis::from_secs(secs), cpu_milli: 10 });
    Story::running(TaskSpec { timeout: Timeouts { idle, ..Timeouts::default() }, ..spec(1) })
}

fn used(cpu_ms: u64) -> Usage {
    Usage { cpu_ms, ..Usage::default() }
}

impl Story {
    /// A look after two seconds more.
    fn looks(&mut self, usage: Usage) -> Vec<Effect> {
        let mut out = self.pass(TWO);
        out.extend(self.tell(Event::Used(attempt(1), usage)));
        out
    }
}

#[test]
fn what_does_nothing_for_its_time_is_ended_with_the_reason() {
    let mut story = idle_for(6);
    for cpu_ms in [400, 410, 429] {
        assert_eq!(story.looks(used(cpu_ms)), [], "the start's own work is before the first look");
    }
    let out = story.looks(used(430));
    assert_eq!(signals(&out), [(Signal::Term, Cause::Idle)]);
    let Some(Effect::Kill { why, .. }) = out.first() else { panic!("{out:?}") };
    assert_eq!((why.text.as_str(), why.by()), ("used under 0.01 cpus for 6.0s", EndedBy::Timeout));
    assert_eq!(story.looks(used(430)), [], "once");
    let exit = Exit { cause: Some(Cause::Idle), text: why.text.clone(), ..stopped() };
    assert_eq!(
        story.ends(1, exit).words(),
        "it did next to nothing for as long as `idle` allows: used under 0.01 cpus for 6.0s"
    );
}

#[test]
fn work_begins_the_time_anew() {
    let mut story = idle_for(6);
    for cpu_ms in [0, 0, 0, 20, 20, 20] {
        assert_eq!(story.looks(used(cpu_ms)), []);
    }
    assert_eq!(signals(&story.looks(used(20))), [(Signal::Term, Cause::Idle)]);
}

#[test]
fn disks_and_a_limit_that_holds_it_back_are_use_and_a_line_of_a_log_is_not() {
    let with = |usage: fn(u64) -> Usage| {
        let mut story = idle_for(6);
        (0..9).any(|look| !story.looks(usage(look)).is_empty())
    };
    assert!(!with(|look| Usage { read_bytes: look * (32 << 10), ..Usage::default() }));
    assert!(!with(|look| Usage { written_bytes: look * (32 << 10), ..Usage::default() }));
    assert!(!with(|look| Usage { throttled_ms: look, ..Usage::default() }));
    assert!(with(|look| Usage { written_bytes: look * 4096, ..Usage::default() }));
}

#[test]
fn nobody_is_idle_unseen_or_without_the_word() {
    let mut story = idle_for(6);
    story.looks(used(0));
    assert_eq!(story.pass(Millis::from_secs(3600)), []);
    let mut story = Story::running(spec(1));
    assert!((0..9).all(|_| story.looks(used(0)).is_empty()));
}
