//! Tasks that follow each other in one container.

use super::*;

fn task(index: u32) -> TaskSpec {
    TaskSpec { attempt: id(index), reuse: true, ..spec(1) }
}

fn id(index: u32) -> AttemptId {
    format!("s0-{index}-1").parse().unwrap()
}

fn order(story: &mut Story, spec: TaskSpec) -> Vec<Effect> {
    story.tell(Event::Ordered(Arc::new(spec)))
}

/// The payload of a task ended, and its container waits.
fn rests(story: &mut Story, index: u32) -> Vec<Effect> {
    let mut wishes = story.tell(Event::Rests { attempt: id(index), exit: code(0) });
    wishes.extend(story.tell(Event::Drained { attempt: id(index), problem: None }));
    wishes
}

fn next(from: u32, to: u32) -> Effect {
    Effect::Next { from: id(from), spec: Arc::new(task(to)) }
}

fn removed(index: u32) -> Effect {
    Effect::Remove { attempt: id(index), keep: false }
}

#[test]
fn the_next_task_of_the_stage_goes_into_the_container_that_waits() {
    let mut story = Story::running(task(0));
    assert!(!has(&rests(&mut story, 0), &removed(0)));
    assert!(has(&order(&mut story, task(1)), &next(0, 1)));
    let told = story.tell(Event::Started { attempt: id(1), container: "c1".to_owned() });
    assert!(
        !told.iter().any(|wish| matches!(wish, Effect::Runs { .. })),
        "most have ended by the time it would be heard"
    );
    assert!(story.pass(Millis(500)).iter().any(|wish| matches!(wish, Effect::Runs { .. })));
    assert!(has(&story.tell(Event::Ended { attempt: id(1), exit: code(1) }), &Effect::Drain(id(1))));
    assert!(has(&story.tell(Event::Drained { attempt: id(1), problem: None }), &removed(1)));
    assert!(has(&order(&mut story, task(2)), &Effect::Fetch(Arc::new(task(2)))), "that container is gone");
}

#[test]
fn a_task_that_it_was_not_made_for_gets_another_container() {
    let mut other = task(1);
    other.pids += 1;
    for spec in [other, TaskSpec { reuse: false, ..task(1) }] {
        let mut story = Story::running(task(0));
        rests(&mut story, 0);
        let wishes = order(&mut story, spec.clone());
        assert!(has(&wishes, &removed(0)) && has(&wishes, &Effect::Fetch(Arc::new(spec))));
    }
}

#[test]
fn what_the_container_does_not_take_starts_in_a_new_one() {
    let mut story = Story::running(task(0));
    rests(&mut story, 0);
    order(&mut story, task(1));
    let wishes = story.tell(Event::Cold(id(1)));
    assert!(has(&wishes, &removed(0)) && has(&wishes, &Effect::Fetch(Arc::new(task(1)))));
    assert!(story.tell(Event::Cold(id(1))).is_empty(), "old news");
    story.tell(Event::ImageReady { attempt: id(1), id: "sha256:1".to_owned() });
    story.tell(Event::Started { attempt: id(1), container: "c2".to_owned() });
    assert_eq!(story.tell(Event::Rests { attempt: id(1), exit: code(0) }), [Effect::Drain(id(1))]);
}

#[test]
fn a_container_in_which_an_end_was_wanted_is_not_used_again() {
    let mut story = Story::running(task(0));
    story.tell(Event::HaltAsked { attempt: id(0), now: false });
    assert!(has(&rests(&mut story, 0), &removed(0)));
}

#[test]
fn tasks_given_in_advance_follow_without_a_word_and_go_back_when_they_would_wait_for_long() {
    let mut story = Story::running(task(0));
    for index in 1..5 {
        assert!(order(&mut story, task(index)).is_empty());
    }
    assert!(has(&rests(&mut story, 0), &next(0, 1)));
    story.tell(Event::Started { attempt: id(1), container: "c1".to_owned() });
    assert!(has(&story.tell(Event::HaltAsked { attempt: id(4), now: false }), &exited(4, Cause::Stopped, story.now)));
    let wishes = story.pass(Millis(400));
    let given_back: Vec<_> = wishes
        .iter()
        .filter_map(|wish| match wish {
            Effect::Exited { attempt, exit } if exit.cause == Some(Cause::GivenBack) => Some(*attempt),
            _ => None,
        })
        .collect();
    assert_eq!(given_back, [id(2), id(3)]);
    assert!(!has(&rests(&mut story, 1), &next(1, 2)));
}

fn exited(index: u32, cause: Cause, now: Millis) -> Effect {
    Effect::Exited { attempt: id(index), exit: Exit::not_started(cause, "", now) }
}

#[test]
fn whoever_leaves_gives_back_and_ends_the_container_that_waits() {
    let parked = Effect::Park { attempt: id(0), image: "sha256:1".to_owned() };
    let lost = Event::EngineLost { why: "it hangs".to_owned() };
    for (event, fate) in [(Event::LeaveAsked, parked), (lost, removed(0))] {
        let mut story = Story::running(task(0));
        order(&mut story, task(1));
        let wishes = story.tell(event);
        assert!(has(&wishes, &exited(1, Cause::GivenBack, story.now)));
        story.tell(Event::Acked(id(1)));
        let wishes = [rests(&mut story, 0), story.tell(Event::Acked(id(0)))].concat();
        let gone = wishes.iter().position(|wish| *wish == fate).expect("it may wait for another run, or is removed");
        assert!(matches!(wishes[gone + 1..], [.., Effect::Leave { .. }]), "{wishes:?}");
    }
}

#[test]
fn an_attempt_that_the_container_of_another_run_does_not_take_starts_in_a_new_one() {
    let mut story = Story::running(task(0));
    let wishes = story.tell(Event::Cold(id(0)));
    assert!(matches!(wishes[..], [Effect::Fetch(_)]), "nothing of this run is to be removed: {wishes:?}");
}

#[test]
fn an_end_is_told_once_and_again_only_after_a_while() {
    let mut story = Story::running(task(0));
    order(&mut story, task(1));
    let told = |wishes: &[Effect]| -> Vec<AttemptId> {
        let exited = wishes.iter().filter_map(|wish| match wish {
            Effect::Exited { attempt, .. } => Some(*attempt),
            _ => None,
        });
        exited.collect()
    };
    assert_eq!(told(&rests(&mut story, 0)), [id(0)]);
    story.tell(Event::Started { attempt: id(1), container: "c1".to_owned() });
    assert_eq!(told(&rests(&mut story, 1)), [id(1)]);
    assert_eq!(told(&story.pass(Millis::from_secs(3))), [id(0), id(1)]);
    story.tell(Event::Acked(id(0)));
    story.tell(Event::Cut);
    story.tell(Event::Dialed);
    assert_eq!(told(&story.tell(Event::Welcomed)), [id(1)], "a new master hears of it at once");
}
