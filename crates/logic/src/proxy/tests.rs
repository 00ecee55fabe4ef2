use std::collections::BTreeMap;
use std::sync::Arc;

use dybox_model::{
    AttemptId, Cause, EndedBy, Exit, Millis, Network, Note, Peak, PullPolicy, Resources, TaskSpec, Timeouts,
};
use proptest::prelude::*;

use super::*;

mod idle;
mod put;
mod warm;

fn attempt(number: u32) -> AttemptId {
    format!("s0-0-{number}").parse().unwrap()
}

fn spec(number: u32) -> TaskSpec {
    TaskSpec {
        run: "01jd0000000000000000000abc".parse().unwrap(),
        job: "j".to_owned(),
        stage: "a".to_owned(),
        attempt: attempt(number),
        tasks: 1,
        image: "busybox".to_owned(),
        pinned: None,
        pull: PullPolicy::Missing,
        entrypoint: None,
        command: None,
        script: None,
        workdir: None,
        env: vec![],
        user: None,
        limits: Resources::default(),
        shm: None,
        pids: 10,
        volumes: vec![],
        tmpfs: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        secrets: Vec::new(),
        registry_auth: None,
        network: Network::None,
        timeout: Timeouts::default(),
        stop_grace: Millis::from_secs(10),
        stop_signal: None,
        ports: Vec::new(),
        keep_failed: false,
        attach: None,
        reuse: false,
        results: None,
        needs: String::new(),
        hook: false,
    }
}

/// A machine with its clock and all that it ever wished.
struct Story {
    proxy: Proxy,
    now: Millis,
    wishes: Vec<Effect>,
}

impl Story {
    fn new() -> Self {
        Self { proxy: Proxy::new(Millis(1000)), now: Millis(1000), wishes: vec![] }
    }

    fn linked() -> Self {
        let mut story = Self::new();
        story.tell(Event::Dialed);
        story.tell(Event::Welcomed);
        story
    }

    fn running(spec: TaskSpec) -> Self {
        let mut story = Self::linked();
        let attempt = spec.attempt;
        story.tell(Event::Ordered(Arc::new(spec)));
        story.tell(Event::ImageReady { attempt, id: "sha256:1".to_owned() });
        story.tell(Event::Started { attempt, container: "c1".to_owned() });
        story
    }

    /// What this event makes it wish.
    fn tell(&mut self, event: Event) -> Vec<Effect> {
        let mut out = vec![];
        self.proxy.handle(self.now, event, &mut out);
        self.proxy.check().unwrap();
        self.wishes.extend(out.iter().cloned());
        out
    }

    fn pass(&mut self, span: Millis) -> Vec<Effect> {
        let end = self.now.after(span);
        let mut all = vec![];
        while let Some(wake) = self.proxy.wake().filter(|wake| *wake <= end && !self.proxy.left()) {
            self.now = self.now.max(wake);
            all.extend(self.tell(Event::Tick));
        }
        self.now = end;
        all.extend(self.tell(Event::Tick));
        all
    }

    fn ends(&mut self, number: u32, exit: Exit) -> Exit {
        let attempt = attempt(number);
        self.tell(Event::Ended { attempt, exit });
        self.tell(Event::Drained { attempt, problem: None });
        self.saved(number)
    }

    fn saved(&self, number: u32) -> Exit {
        let mut found = self.wishes.iter().filter_map(|wish| match wish {
            Effect::Save { attempt: of, exit } if *of == attempt(number) => Some(exit.clone()),
            _ => None,
        });
        let exit = found.next().expect("it ended");
        assert_eq!(found.next(), None, "it ended twice");
        exit
    }
}

fn code(code: i32) -> Exit {
    let cause = (code != 0).then_some(Cause::ExitCode);
    let (started, ended, text) = (Some(Millis(1)), Millis(2), String::new());
    let used = Peak::default();
    Exit {
        code: Some(code),
        signal: None,
        cause,
        by: EndedBy::Itself,
        text,
        started,
        ended,
        used,
        result: None,
        moved: Box::default(),
    }
}

fn stopped() -> Exit {
    Exit { cause: Some(Cause::Stopped), by: EndedBy::Stop, ..code(0) }
}

fn has(wishes: &[Effect], wanted: &Effect) -> bool {
    wishes.contains(wanted)
}

/// The signals among the wishes, each with what the end is to be called.
fn signals(wishes: &[Effect]) -> Vec<(Signal, Cause)> {
    let signal = |wish: &Effect| match wish {
        Effect::Kill { signal, why, .. } => Some((*signal, why.cause)),
        _ => None,
    };
    wishes.iter().filter_map(signal).collect()
}

#[test]
fn an_attempt_is_fetched_started_drained_saved_reported_and_removed() {
    let mut story = Story::running(spec(1));
    let attempt = attempt(1);
    assert!(matches!(story.wishes.last(), Some(Effect::Runs { container, .. }) if container == "c1"));
    let out = story.tell(Event::Ended { attempt, exit: code(0) });
    assert_eq!(out, [Effect::Drain(attempt)], "no end before the logs are in the store");
    let out = story.tell(Event::Drained { attempt, problem: None });
    let names: Vec<_> = out.iter().map(|e| format!("{e:?}").split([' ', '(']).next().unwrap().to_owned()).collect();
    assert_eq!(names, ["Save", "Remove", "Exited"]);
    assert!(story.saved(1).ok());
    assert_eq!(story.tell(Event::Acked(attempt)), [Effect::Forget(attempt)]);
    assert_eq!(story.proxy.in_hand().count(), 0);
}

#[test]
fn an_end_is_said_until_it_is_acknowledged_and_to_a_new_master_at_once() {
    let mut story = Story::running(spec(1));
    story.ends(1, code(3));
    let said = |wishes: &[Effect]| wishes.iter().filter(|wish| matches!(wish, Effect::Exited { .. })).count();
    assert_eq!(said(&story.wishes), 1);
    assert_eq!(said(&story.pass(Millis::from_secs(5))), 2);
    story.tell(Event::Cut);
    assert_eq!(said(&story.pass(Millis::from_secs(4))), 0);
    assert_eq!(story.tell(Event::Dialed), [Effect::Hello(vec![attempt(1)])]);
    assert_eq!(said(&story.tell(Event::Welcomed)), 1);
    story.tell(Event::Acked(attempt(1)));
    assert_eq!(said(&story.pass(Millis::from_secs(5))), 0);
}

#[test]
fn a_second_order_for_one_attempt_starts_nothing() {
    let mut story = Story::running(spec(1));
    assert_eq!(story.tell(Event::Ordered(Arc::new(spec(1)))), []);
    story.ends(1, code(0));
    story.tell(Event::Acked(attempt(1)));
    assert_eq!(story.tell(Event::Ordered(Arc::new(spec(1)))), []);
}

#[test]
fn a_halt_that_overtakes_its_order_wins() {
    let mut story = Story::linked();
    story.tell(Event::HaltAsked { attempt: attempt(1), now: false });
    assert_eq!(story.saved(1).cause, Some(Cause::Stopped));
    let out = story.tell(Event::Ordered(Arc::new(spec(1))));
    assert!(!out.iter().any(|wish| matches!(wish, Effect::Fetch(_))));
}

#[test]
fn a_stop_is_term_then_kill_then_no_lease_and_ends_without_the_engine() {
    let mut story = Story::running(spec(1));
    let halt = Event::HaltAsked { attempt: attempt(1), now: false };
    assert_eq!(signals(&story.tell(halt.clone())), [(Signal::Term, Cause::Stopped)]);
    assert_eq!(story.tell(halt), []);
    assert_eq!(story.pass(Millis::from_secs(11)), []);
    assert_eq!(signals(&story.pass(Millis::from_secs(1))), [(Signal::Now, Cause::Stopped)]);
    assert_eq!(signals(&story.pass(Millis::from_secs(2))), [(Signal::Kill, Cause::Stopped)]);
    assert_eq!(story.pass(Millis::from_secs(2)), [Effect::Revoke(attempt(1))]);
    assert_eq!(story.pass(LEASE_DEAD), [Effect::Drain(attempt(1))]);
    story.tell(Event::Drained { attempt: attempt(1), problem: None });
    let exit = story.saved(1);
    assert_eq!((exit.cause, exit.by), (Some(Cause::Stopped), EndedBy::Stop));
}

#[test]
fn an_engine_that_takes_no_signal_is_left_to_the_lease_at_once() {
    let mut story = Story::running(spec(1));
    story.tell(Event::HaltAsked { attempt: attempt(1), now: false });
    assert_eq!(story.tell(Event::KillFailed(attempt(1))), [Effect::Revoke(attempt(1))]);
    assert_eq!(story.tell(Event::KillFailed(attempt(1))), []);
    assert_eq!(story.ends(1, stopped()).cause, Some(Cause::Stopped));
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let mut story = Story::running(spec(1));
    story.tell(Event::HaltAsked { attempt: attempt(1), now: false });
    let out = story.tell(Event::HaltAsked { attempt: attempt(1), now: true });
    assert_eq!(signals(&out), [(Signal::Now, Cause::Stopped)]);
}

#[test]
fn a_pull_that_nobody_waits_for_is_cancelled() {
    let mut story = Story::linked();
    story.tell(Event::Ordered(Arc::new(spec(1))));
    let out = story.tell(Event::HaltAsked { attempt: attempt(1), now: false });
    assert!(has(&out, &Effect::CancelFetch(attempt(1))));
    assert_eq!(story.saved(1).cause, Some(Cause::Stopped));
    assert_eq!(story.tell(Event::ImageReady { attempt: attempt(1), id: "sha256:1".to_owned() }), []);
}

#[test]
fn a_start_that_is_stopped_runs_first_or_is_cancelled() {
    let start = || {
        let mut story = Story::linked();
        story.tell(Event::Ordered(Arc::new(spec(1))));
        story.tell(Event::ImageReady { attempt: attempt(1), id: "sha256:1".to_owned() });
        let out = story.tell(Event::HaltAsked { attempt: attempt(1), now: false });
        assert_eq!(out, [Effect::HaltStart(attempt(1))]);
        story
    };
    let mut story = start();
    let out = story.tell(Event::Started { attempt: attempt(1), container: "c1".to_owned() });
    assert_eq!(signals(&out), [(Signal::Term, Cause::Stopped)]);
    let mut story = start();
    assert_eq!(story.pass(Millis::from_secs(3)), [Effect::CancelStart(attempt(1))]);
    let late = Event::Started { attempt: attempt(1), container: "c1".to_owned() };
    assert_eq!(story.tell(late), [], "what is given up is not run");
    let exit = Exit::not_started(Cause::EngineDown, "", story.now);
    story.tell(Event::NotStarted { attempt: attempt(1), exit });
    assert_eq!(story.saved(1).cause, Some(Cause::Stopped));
}

#[test]
fn limits_in_time_have_causes_of_their_own() {
    let limited = |timeout: Timeouts| Story::running(TaskSpec { timeout, ..spec(1) });
    let five = Some(Millis::from_secs(5));
    let mut story = limited(Timeouts { run: five, ..Timeouts::default() });
    assert_eq!(signals(&story.pass(Millis::from_secs(5))), [(Signal::Term, Cause::RunTimeout)]);

    let mut story = limited(Timeouts { silence: five, ..Timeouts::default() });
    story.pass(Millis::from_secs(4));
    story.tell(Event::Wrote(attempt(1)));
    assert_eq!(story.pass(Millis::from_secs(4)), []);
    assert_eq!(signals(&story.pass(Millis::from_secs(1))), [(Signal::Term, Cause::SilenceTimeout)]);

    let mut story = Story::linked();
    let timeout = Timeouts { pull: five, ..Timeouts::default() };
    story.tell(Event::Ordered(Arc::new(TaskSpec { timeout, ..spec(1) })));
    assert!(has(&story.pass(Millis::from_secs(5)), &Effect::CancelFetch(attempt(1))));
    assert_eq!(story.saved(1).cause, Some(Cause::PullTimeout));
}

#[test]
fn without_a_master_all_is_over_in_twenty_seconds() {
    let mut story = Story::running(TaskSpec { stop_grace: Millis::from_secs(600), ..spec(1) });
    story.tell(Event::Cut);
    assert_eq!(story.pass(Millis(7_999)), []);
    assert_eq!(signals(&story.pass(Millis(1))), [(Signal::Term, Cause::MasterLost)]);
    assert_eq!(signals(&story.pass(Millis::from_secs(8))), [(Signal::Now, Cause::MasterLost)]);
    story.tell(Event::Ended { attempt: attempt(1), exit: Exit { cause: Some(Cause::MasterLost), ..stopped() } });
    let out = story.tell(Event::Drained { attempt: attempt(1), problem: None });
    assert!(matches!(out.last(), Some(Effect::Leave { .. })));
    assert_eq!(story.saved(1).cause, Some(Cause::MasterLost));
    assert!(story.now <= Millis(1000).after(Millis::from_secs(20)));
}

#[test]
fn on_a_cluster_it_waits_for_longer_and_ends_the_same() {
    let mut story = Story::running(spec(1));
    story.proxy = Proxy::patient(story.now, LOST_AFTER_FAR);
    story.tell(Event::Dialed);
    story.tell(Event::Welcomed);
    story.tell(Event::Cut);
    assert_eq!(story.pass(Millis(44_999)), []);
    assert!(matches!(story.pass(Millis(1)).last(), Some(Effect::Leave { .. })));
}

#[test]
fn without_an_engine_it_goes_once_its_hands_are_empty() {
    let mut story = Story::running(spec(1));
    assert_eq!(story.tell(Event::EngineLost { why: "no engine".to_owned() }), []);
    story.ends(1, code(0));
    let out = story.tell(Event::Acked(attempt(1)));
    assert!(matches!(out.last(), Some(Effect::Leave { why }) if why == "no engine"), "{out:?}");
}

#[test]
fn a_proxy_that_never_finds_its_master_leaves() {
    let mut story = Story::new();
    story.tell(Event::Dialed);
    let out = story.pass(Millis::from_secs(8));
    assert!(matches!(out.last(), Some(Effect::Leave { .. })), "a line without an answer is no master");
}

#[test]
fn a_master_that_comes_back_in_time_costs_nothing() {
    let mut story = Story::running(spec(1));
    story.tell(Event::Cut);
    story.pass(Millis::from_secs(7));
    assert_eq!(story.tell(Event::Dialed), [Effect::Hello(vec![attempt(1)])]);
    assert!(matches!(story.tell(Event::Welcomed)[..], [Effect::Runs { .. }]));
    assert_eq!(story.pass(Millis::from_secs(60)), []);
}

#[test]
fn it_leaves_only_with_empty_hands() {
    let mut story = Story::running(spec(1));
    assert_eq!(story.tell(Event::LeaveAsked), []);
    let refused = story.tell(Event::Ordered(Arc::new(spec(2))));
    assert!(!refused.iter().any(|wish| matches!(wish, Effect::Fetch(_))));
    story.tell(Event::Acked(attempt(2)));
    story.ends(1, code(0));
    let out = story.tell(Event::Acked(attempt(1)));
    assert!(matches!(out[..], [Effect::Forget(_), Effect::Leave { .. }]));
    assert_eq!(story.tell(Event::Ordered(Arc::new(spec(3)))), []);
}

#[test]
fn a_store_that_fails_makes_a_success_a_failure_and_leaves_a_failure_as_it_was() {
    for (exit, cause) in [(code(0), Cause::StoreFailed), (code(7), Cause::ExitCode)] {
        let mut story = Story::running(spec(1));
        story.tell(Event::Ended { attempt: attempt(1), exit });
        let out = story.tell(Event::Drained { attempt: attempt(1), problem: Some("full".to_owned()) });
        assert!(matches!(&out[0], Effect::Note(Note::Warns { .. })));
        assert_eq!(story.saved(1).cause, Some(cause));
    }
}

#[test]
fn a_store_that_stays_full_ends_the_attempt_and_a_draining_one_goes_on() {
    let mut story = Story::running(spec(1));
    let fails = Event::StoreFails { attempt: attempt(1), text: "full".to_owned() };
    let why = Ending { cause: Cause::StoreFailed, text: "full".to_owned() };
    assert_eq!(story.tell(fails.clone()), [Effect::Kill { attempt: attempt(1), signal: Signal::Term, why }]);
    assert_eq!(story.tell(fails), [], "once");
    let mut story = Story::running(spec(1));
    story.tell(Event::Ended { attempt: attempt(1), exit: code(0) });
    assert_eq!(story.tell(Event::StoreFails { attempt: attempt(1), text: String::new() }), []);
}

#[test]
fn a_failed_container_is_kept_where_that_is_asked_but_a_stopped_one_is_not() {
    for (exit, keep) in [(code(1), true), (code(0), false)] {
        let mut story = Story::running(TaskSpec { keep_failed: true, ..spec(1) });
        story.ends(1, exit);
        assert!(has(&story.wishes, &Effect::Remove { attempt: attempt(1), keep }));
    }
    let mut story = Story::running(TaskSpec { keep_failed: true, ..spec(1) });
    story.tell(Event::HaltAsked { attempt: attempt(1), now: false });
    story.ends(1, stopped());
    assert!(has(&story.wishes, &Effect::Remove { attempt: attempt(1), keep: false }));
}

/// Anything that may come, in any order, about three attempts.
fn anything() -> impl Strategy<Value = Event> {
    let id = || (1_u32..4).prop_map(attempt);
    prop_oneof![
        Just(Event::Dialed),
        Just(Event::Welcomed),
        Just(Event::Cut),
        id().prop_map(|attempt| Event::StoreFails { attempt, text: "full".to_owned() }),
        (1_u32..4).prop_map(|n| Event::Ordered(Arc::new(spec(n)))),
        (1_u32..4).prop_map(|n| Event::Ordered(Arc::new(spec(n)))),
        (id(), any::<bool>()).prop_map(|(attempt, now)| Event::HaltAsked { attempt, now }),
        id().prop_map(Event::Acked),
        id().prop_map(|attempt| Event::ImageReady { attempt, id: "sha256:1".to_owned() }),
        id().prop_map(|attempt| Event::Started { attempt, container: "c".to_owned() }),
        id().prop_map(|attempt| Event::NotStarted {
            attempt,
            exit: Exit::not_started(Cause::EngineFailed, "", Millis(9))
        }),
        id().prop_map(Event::KillFailed),
        id().prop_map(Event::Wrote),
        id().prop_map(|attempt| Event::Ended { attempt, exit: code(0) }),
        id().prop_map(|attempt| Event::Drained { attempt, problem: None }),
        Just(Event::Tick),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_every_attempt_ends_once_and_the_proxy_leaves(
        events in prop::collection::vec((anything(), 0_u64..4000), 0..80),
    ) {
        let mut story = Story::linked();
        for (event, pause) in events {
            story.pass(Millis(pause));
            story.tell(event);
        }
        // From here on nobody answers anything, neither master nor engine nor store.
        story.tell(Event::Cut);
        story.pass(Millis::from_secs(1000));
        prop_assert!(story.proxy.left());
        judge(&story.wishes)?;
    }
}

/// What must hold of all that a machine ever wished.
fn judge(wishes: &[Effect]) -> Result<(), TestCaseError> {
    let mut saved: BTreeMap<AttemptId, usize> = BTreeMap::new();
    let mut in_hand: Option<AttemptId> = None;
    let mut drained: BTreeMap<AttemptId, bool> = BTreeMap::new();
    for (i, wish) in wishes.iter().enumerate() {
        match wish {
            Effect::Fetch(spec) => {
                prop_assert!(in_hand.is_none(), "two at once");
                prop_assert!(!saved.contains_key(&spec.attempt), "started after its end");
                in_hand = Some(spec.attempt);
            }
            Effect::Start { spec, .. } => prop_assert_eq!(in_hand, Some(spec.attempt)),
            Effect::Runs { attempt, .. } => {
                drained.insert(*attempt, false);
            }
            Effect::Drain(attempt) => {
                drained.insert(*attempt, true);
            }
            Effect::Save { attempt, .. } => {
                prop_assert!(saved.insert(*attempt, i).is_none(), "{} ended twice", attempt);
                prop_assert!(drained.get(attempt) != Some(&false), "ended before its logs");
                if in_hand == Some(*attempt) {
                    in_hand = None;
                }
            }
            Effect::Exited { attempt, .. } => prop_assert!(saved.contains_key(attempt), "said before it was saved"),
            Effect::Leave { .. } => prop_assert_eq!(i + 1, wishes.len(), "something after leaving"),
            _ => {}
        }
    }
    prop_assert_eq!(in_hand, None, "left with an attempt in hand");
    Ok(())
}
