//! The desk against scripted words of YARN.

use std::collections::BTreeMap;
use std::time::Duration;

use dybox_model::{AttemptId, Cause, Exit, GrantId, Millis, Resources, StageId, SubDagId, TaskId, Wish};
use tokio::time::Instant;

use super::News;
use super::desk::Desk;
use super::exit::verdict;
use super::words::{In, Out, Place, Room};

const SIZE: Resources = Resources { cpu_milli: 1000, memory: 64 << 20 };

fn grant(n: u32) -> GrantId {
    GrantId::compose(SubDagId(0), 2, n)
}

fn earlier(n: u32) -> GrantId {
    GrantId::compose(SubDagId(0), 1, n)
}

fn room(container: &str, host: &str) -> Room {
    Room { container: container.into(), host: host.into(), size: SIZE }
}

struct Script {
    desk: Desk,
    now: Instant,
}

impl Script {
    fn new(known: &[(GrantId, Room)], own: Option<Room>) -> Self {
        let known: BTreeMap<_, _> = known.iter().cloned().collect();
        Self { desk: Desk::new((SubDagId(0), 2), known, own), now: Instant::now() }
    }

    fn tell(&mut self, event: In) -> Vec<Out> {
        let mut out = Vec::new();
        self.desk.handle(self.now, event, &mut out);
        out
    }

    fn news(&mut self, event: In) -> Vec<News> {
        let told = self.tell(event).into_iter();
        told.filter_map(|out| if let Out::Tell(news) = out { Some(news) } else { None }).collect()
    }

    /// A grant whose proxy runs and has a line.
    fn with_proxy(&mut self, n: u32, container: &str, host: &str) {
        self.tell(In::Asked { wish: Wish::anywhere(SIZE), count: 1 });
        self.tell(In::Granted { room: room(container, host), wish: Wish::anywhere(SIZE) });
        let started = self.tell(In::Launch(grant(n)));
        assert_eq!(started, [Out::Start { grant: grant(n), place: Place::Container }]);
        self.tell(In::Joined(grant(n)));
    }

    fn completed(&mut self, container: &str, exit: i32, words: &str) -> Vec<News> {
        self.news(In::Completed { container: container.into(), verdict: verdict(exit, words) })
    }
}

#[test]
fn a_grant_comes_with_its_machine_and_goes_clean() {
    let mut script = Script::new(&[], None);
    let wish = Wish::anywhere(SIZE);
    assert_eq!(script.tell(In::Asked { wish: wish.clone(), count: 1 }), [Out::Ask { wish: wish.clone(), count: 1 }]);
    let told = script.news(In::Granted { room: room("c2", "a"), wish: wish.clone() });
    let (host, container) = ("a".to_owned(), "c2".to_owned());
    assert_eq!(told, [News::Granted { grant: grant(1), size: SIZE, host, container, wish: Some(wish.clone()) }]);
    // One more than was asked for goes back.
    assert_eq!(script.tell(In::Granted { room: room("c3", "a"), wish }), [Out::Release("c3".into())]);
    script.tell(In::Launch(grant(1)));
    script.tell(In::Joined(grant(1)));
    script.tell(In::Leaving(grant(1)));
    assert!(matches!(script.completed("c2", 0, "")[..], [News::Gone { clean: true, .. }]));
    assert_eq!(script.completed("c2", 0, ""), []);
}

#[test]
fn a_proxy_that_says_goodbye_and_stays_is_taken_from() {
    let mut script = Script::new(&[], None);
    script.with_proxy(1, "c2", "a");
    script.tell(In::Leaving(grant(1)));
    assert_eq!(script.tell(In::Tick), []);
    script.now = script.desk.wake().unwrap();
    assert_eq!(script.tell(In::Tick), [Out::Release("c2".into())]);
    assert!(matches!(script.completed("c2", -100, "released")[..], [News::Gone { clean: true, .. }]));
}

#[test]
fn what_yarn_takes_has_its_cause() {
    let mut script = Script::new(&[], None);
    for (n, exit, words, cause) in [
        (1, -102, "preempted", Cause::Preempted),
        (2, -100, "Container released on a *lost* node", Cause::NodeLost),
        (3, -106, "killed", Cause::GrantLost),
    ] {
        script.with_proxy(n, &format!("c{n}"), "a");
        let told = script.completed(&format!("c{n}"), exit, words);
        assert!(matches!(&told[..], [News::Taken { cause: told, .. }] if *told == cause), "{told:?}");
    }
    script.with_proxy(4, "c4", "a");
    assert!(matches!(script.completed("c4", 137, "")[..], [News::Gone { clean: false, .. }]));
    assert_eq!(script.news(In::Preempts(vec!["c9".into(), "c4".into()])), [News::Preempts { grant: grant(4) }]);
}

#[test]
fn a_living_proxy_of_the_same_machine_sweeps() {
    let mut script = Script::new(&[], None);
    script.with_proxy(1, "c1", "a");
    script.with_proxy(2, "c2", "b");
    script.with_proxy(3, "c3", "a");
    script.completed("c1", 137, "");
    assert_eq!(script.tell(In::Sweep(grant(1))), [Out::Tell(News::OrderSweep { by: grant(3), grant: grant(1) })]);
    // Whoever was on another machine knows nothing about it.
    assert_eq!(script.tell(In::Swept { by: grant(2), grant: grant(1), exits: vec![] }), []);
    let attempt = AttemptId { task: TaskId { stage: StageId(0), index: 0 }, number: 1 };
    let exits = vec![(attempt, Some(Exit::not_started(Cause::ProxyLost, "", Millis(1))))];
    let told = script.news(In::Swept { by: grant(3), grant: grant(1), exits: exits.clone() });
    assert_eq!(told, [News::Swept { grant: grant(1), exits }]);
    assert_eq!(script.desk.wake(), None);
}

#[test]
fn without_one_a_small_grant_there_sweeps_and_goes() {
    let mut script = Script::new(&[], None);
    script.with_proxy(1, "c1", "a");
    script.completed("c1", 137, "");
    let asked = script.tell(In::Sweep(grant(1)));
    let [Out::Ask { wish, count: 1 }] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((wish.hosts.as_slice(), wish.relaxed), (&["a".to_owned()][..], false));
    let started = script.tell(In::Granted { room: room("c2", "a"), wish: wish.clone() });
    assert_eq!(started, [Out::Start { grant: grant(2), place: Place::Container }]);
    assert!(script.desk.is_sweeper(grant(2)) && !script.desk.is_sweeper(grant(1)));
    let order = News::OrderSweep { by: grant(2), grant: grant(1) };
    assert_eq!(script.news(In::Joined(grant(2))), [order]);
    let told = script.news(In::Swept { by: grant(2), grant: grant(1), exits: vec![] });
    assert_eq!(told, [News::Swept { grant: grant(1), exits: vec![] }, News::OrderLeave { grant: grant(2) }]);
    script.tell(In::Leaving(grant(2)));
    assert_eq!(script.completed("c2", 0, ""), []);
}

#[test]
fn where_nobody_can_look_the_lease_is_waited_out() {
    for (exit, words, secs) in [(137, "", 25), (-100, "lost", 70)] {
        let mut script = Script::new(&[], None);
        script.with_proxy(1, "c1", "a");
        script.completed("c1", exit, words);
        script.tell(In::Sweep(grant(1)));
        let due = script.desk.wake().unwrap();
        assert_eq!(due - script.now, Duration::from_secs(secs));
        script.now = due - Duration::from_millis(1);
        assert_eq!(script.news(In::Tick), []);
        script.now = due;
        assert_eq!(script.news(In::Tick), [News::Swept { grant: grant(1), exits: vec![] }]);
    }
}

#[test]
fn a_grant_is_not_swept_by_time_while_yarn_may_run_it() {
    let mut script = Script::new(&[], None);
    script.with_proxy(1, "c1", "a");
    let stop = Out::Stop { grant: grant(1), place: Place::Container };
    assert_eq!(script.tell(In::Kill(grant(1))), [stop]);
    script.tell(In::Sweep(grant(1)));
    script.now += Duration::from_secs(3600);
    assert_eq!(script.tell(In::Tick), [Out::Release("c1".into())]);
    assert_eq!(script.desk.wake(), None);
    // The machine has been told already.
    assert_eq!(script.completed("c1", -100, "released"), []);
    assert!(script.desk.wake().is_some());
}

#[test]
fn a_proxy_on_a_lost_machine_that_cleans_up_itself_needs_no_wait() {
    let mut script = Script::new(&[], None);
    script.with_proxy(1, "c1", "a");
    script.completed("c1", -100, "lost");
    assert!(script.desk.is_over(grant(1)));
    script.tell(In::Sweep(grant(1)));
    assert_eq!(script.news(In::Leaving(grant(1))), [News::Swept { grant: grant(1), exits: vec![] }]);
    assert_eq!(script.desk.wake(), None);
}

#[test]
fn what_never_ran_needs_no_sweep() {
    let mut script = Script::new(&[], None);
    script.tell(In::Asked { wish: Wish::anywhere(SIZE), count: 1 });
    script.tell(In::Granted { room: room("c1", "a"), wish: Wish::anywhere(SIZE) });
    script.tell(In::Launch(grant(1)));
    let how = "could not be started".to_owned();
    let told = script.news(In::NotStarted { grant: grant(1), how, sure: true });
    assert!(matches!(told[..], [News::Gone { clean: false, .. }]));
    assert_eq!(script.news(In::Sweep(grant(1))), [News::Swept { grant: grant(1), exits: vec![] }]);
}

#[test]
fn a_second_master_knows_what_lives_and_gives_back_what_it_does_not_know() {
    let known = [(earlier(1), room("c1", "a")), (earlier(2), room("c2", "b"))];
    let mut script = Script::new(&known, None);
    let previous = vec![room("c1", "a"), room("c7", "a")];
    let out = script.tell(In::Registered { previous });
    assert!(out.contains(&Out::Tell(News::Expect { grant: earlier(1) })));
    assert!(out.contains(&Out::Release("c7".into())));
    let gone = |out: &Out| matches!(out, Out::Tell(News::Gone { grant, clean: false, .. }) if *grant == earlier(2));
    assert!(out.iter().any(gone));
    // A restarted ResourceManager remembers it later.
    script.tell(In::Sweep(earlier(2)));
    assert!(script.desk.wake().is_some());
    script.tell(In::Found { found: vec![room("c2", "b")] });
    assert_eq!(script.desk.wake(), None);
}

#[test]
fn the_masters_own_room_takes_none_where_its_machine_is_left_out() {
    let mut script = Script::new(&[], Some(room("c1", "a")));
    script.tell(In::Avoided { host: "a".into(), avoid: true });
    let wish = Wish::anywhere(SIZE);
    let asked = |count| In::Asked { wish: Wish::anywhere(SIZE), count };
    assert_eq!(script.tell(asked(1)), [Out::Ask { wish: wish.clone(), count: 1 }]);
    script.tell(asked(0));
    script.tell(In::Avoided { host: "a".into(), avoid: false });
    assert!(matches!(script.news(asked(1)).as_slice(), [News::Granted { host, .. }] if host == "a"));
}

#[test]
fn the_masters_own_room_takes_the_first_task() {
    let mut script = Script::new(&[], Some(room("c1", "a")));
    let wish = Wish::anywhere(SIZE);
    let out = script.tell(In::Asked { wish: wish.clone(), count: 2 });
    assert!(matches!(&out[..], [Out::Tell(News::Granted { .. }), Out::Ask { count: 1, .. }]), "{out:?}");
    let started = script.tell(In::Launch(grant(1)));
    assert_eq!(started, [Out::Start { grant: grant(1), place: Place::Own }]);
    let (clean, how) = (false, "was killed by signal 9".to_owned());
    let told = script.news(In::OwnEnded { grant: grant(1), clean, how });
    assert!(matches!(told[..], [News::Gone { clean: false, .. }]));
    // The room is free again: another child looks what is left.
    assert_eq!(script.tell(In::Sweep(grant(1))), [Out::Start { grant: grant(2), place: Place::Own }]);
}

/// Grants that came at once, on one machine.
fn paced(script: &mut Script, count: u32) -> Vec<News> {
    let wish = Wish::anywhere(SIZE);
    script.tell(In::Asked { wish: wish.clone(), count });
    (0..count)
        .flat_map(|n| script.news(In::Granted { room: room(&format!("c{n}"), "a"), wish: wish.clone() }))
        .collect()
}

#[test]
fn a_machine_starts_more_proxies_at_a_time_while_tasks_begin_soon() {
    let mut script = Script::new(&[], None);
    assert_eq!(paced(&mut script, 9).len(), 2);
    script.now += Duration::from_millis(300);
    assert_eq!(script.news(In::Joined(grant(1))), []);
    // Each whose task runs makes room for itself and for one more.
    assert_eq!(script.news(In::Works(grant(1))).len(), 2);
    assert_eq!(script.news(In::Works(grant(1))).len(), 0);
    assert_eq!(script.news(In::Works(grant(2))).len(), 2);
    // These are slow, and the others are on their way: from four at a time to two to one.
    script.now += Duration::from_millis(1201);
    for slow in 3..=5 {
        assert_eq!(script.news(In::Works(grant(slow))).len(), 0);
    }
    assert_eq!(script.news(In::Leaving(grant(6))).len(), 1, "whoever leaves starts nothing");
    script.now = script.desk.wake().unwrap();
    assert_eq!(script.news(In::Tick).len(), 1, "nothing began for two seconds");
}

#[test]
fn a_machine_that_is_busy_with_the_tasks_it_has_gets_no_more_proxies() {
    let mut script = Script::new(&[], None);
    assert_eq!(paced(&mut script, 4).len(), 2);
    for _ in 0..5 {
        script.now += Duration::from_millis(1300);
        for n in [1, 2] {
            // It takes the next one at once.
            assert_eq!(script.news(In::Works(grant(n))), []);
            assert_eq!(script.news(In::Given(grant(n))), []);
        }
    }
    // These are long ones: nothing begins.
    script.now += Duration::from_millis(700);
    assert_eq!(script.news(In::Works(grant(1))), []);
    assert_eq!(script.news(In::Works(grant(2))).len(), 1);
}

#[test]
fn what_waits_for_its_machine_is_given_back_when_it_is_wanted_no_more() {
    let mut script = Script::new(&[], None);
    paced(&mut script, 6);
    let wish = Wish::anywhere(SIZE);
    assert_eq!(script.desk.waiting().count(), 0, "YARN has given all");
    // The one that YARN takes is asked for again.
    let verdict = verdict(-100, "lost");
    let out = script.tell(In::Completed { container: "c3".into(), verdict });
    assert_eq!(out, [Out::Ask { wish: wish.clone(), count: 1 }]);
    // c2, c4 and c5 wait.
    let out = script.tell(In::Asked { wish: wish.clone(), count: 1 });
    let back = |container: &str| Out::Release(container.into());
    assert_eq!(out, [back("c5"), back("c4"), Out::Ask { wish: wish.clone(), count: 0 }]);
    assert_eq!(script.tell(In::Asked { wish: wish.clone(), count: 0 }), [back("c2"), Out::Ask { wish, count: 0 }]);
    assert_eq!(script.desk.wake(), None);
}

#[test]
fn another_machine_does_not_wait_for_a_slow_one() {
    let mut script = Script::new(&[], None);
    paced(&mut script, 3);
    let wish = Wish::anywhere(SIZE);
    script.tell(In::Asked { wish: wish.clone(), count: 2 });
    assert_eq!(script.news(In::Granted { room: room("c8", "b"), wish }).len(), 1);
    // One that never comes does not hold its place for ever.
    script.now += Duration::from_secs(2);
    assert_eq!(script.news(In::Tick).len(), 1);
}

#[test]
fn a_grant_has_the_size_that_yarn_says() {
    let mut script = Script::new(&[], None);
    script.with_proxy(1, "c2", "a");
    let larger = Resources { memory: 256 << 20, ..SIZE };
    let told = script.news(In::Resized { container: "c2".into(), size: larger });
    assert_eq!(told, [News::Resized { grant: grant(1), size: larger }]);
    assert_eq!(script.desk.room(grant(1)).map(|room| room.size), Some(larger));
    let why = "no room".to_owned();
    let told = script.news(In::NotResized { container: "c2".into(), why: why.clone() });
    assert_eq!(told, [News::NotResized { grant: grant(1), why }, News::Resized { grant: grant(1), size: larger }]);
    script.completed("c2", 0, "");
    assert_eq!(script.news(In::Resized { container: "c2".into(), size: SIZE }), [], "it is over");
}

#[test]
fn a_new_master_hears_of_a_size_that_the_old_one_could_not_write_down() {
    let mut script = Script::new(&[(earlier(1), room("c2", "a"))], None);
    let larger = Resources { memory: 256 << 20, ..SIZE };
    let previous = vec![Room { size: larger, ..room("c2", "a") }];
    let told = script.news(In::Registered { previous });
    let (grant, size) = (earlier(1), larger);
    assert_eq!(told, [News::Expect { grant }, News::Resized { grant, size }]);
}
