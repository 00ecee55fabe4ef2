//! The pool against scripted words of YARN, agents and runs.

use dybox_model::{GrantId, Millis, Resources, RunId, SubDagId};

use super::*;

const SIZE: Resources = Resources { cpu_milli: 1000, memory: 256 << 20 };

struct Script {
    pool: Pool,
    now: Instant,
}

fn key(n: u32) -> Key {
    (format!("01jd000000000000000000000{n}").parse().unwrap(), SubDagId(0))
}

fn grant(n: u32) -> GrantId {
    GrantId::compose(SubDagId(0), 1, n)
}

fn room(container: &str, host: &str) -> Room {
    Room { container: container.into(), host: host.into(), size: SIZE }
}

fn small() -> Wish {
    Wish::anywhere(Resources { cpu_milli: 250, memory: 64 << 20 })
}

fn serving(run: &RunId, n: u32) -> Option<(RunId, GrantId)> {
    Some((run.clone(), grant(n)))
}

impl Script {
    fn new(warm: u32, most: u32) -> Self {
        let (idle, keep) = (Millis::from_secs(60), Millis::from_secs(3600));
        let spec = SessionSpec { name: "etl".into(), warm, most, size: SIZE, idle, keep };
        let now = Instant::now();
        Self { pool: Pool::new(spec, now), now }
    }

    fn tell(&mut self, event: In) -> Vec<Out> {
        let mut out = Vec::new();
        self.pool.handle(self.now, event, &mut out);
        out
    }

    fn after(&mut self, seconds: u64) -> Vec<Out> {
        self.now += Duration::from_secs(seconds);
        self.tell(In::Tick)
    }

    /// Grants of the session's own size, with agents that said Hello.
    fn with(warm: u32, most: u32, hosts: &[&str]) -> Self {
        let mut script = Self::new(warm, most);
        script.tell(In::Registered { previous: vec![] });
        for (n, host) in hosts.iter().enumerate() {
            let container = format!("c{n}");
            let wish = Wish::anywhere(SIZE);
            let out = script.tell(In::Granted { room: room(&container, host), wish });
            assert_eq!(out[0], Out::Launch(container.clone()));
            script.tell(In::Hello { container, serving: None, last: None });
        }
        script
    }

    fn asks(&mut self, n: u32, wish: Wish, count: u32) -> Vec<Out> {
        self.tell(In::Asked { key: key(n), wish, count })
    }

    fn ended(&mut self, container: &str, run: u32, n: u32, clean: bool) -> Vec<Out> {
        let end = AgentEnd { run: key(run).0, grant: grant(n), clean, how: "ended".into() };
        self.tell(In::Ended { container: container.into(), end })
    }

    fn started(&mut self, run: u32, n: u32, container: &str) {
        self.tell(In::Started { key: key(run), grant: grant(n), container: container.into() });
    }
}

fn granted(run: u32, container: &str, wish: Wish) -> Out {
    Out::Tell(key(run), Told::Granted { container: container.into(), wish })
}

fn completed(run: u32, container: &str, exit: i32) -> Out {
    Out::Tell(key(run), Told::Completed { container: container.into(), exit, how: "ended".into() })
}

#[test]
fn what_is_warm_is_asked_for_at_the_start() {
    let mut script = Script::new(2, 3);
    let out = script.tell(In::Registered { previous: vec![] });
    assert_eq!(out, [Out::Ask { wish: Wish::anywhere(SIZE), count: 2 }]);
}

#[test]
fn an_idle_grant_is_lent_at_once_and_again_after_it() {
    let mut script = Script::with(1, 1, &["a"]);
    assert_eq!(script.asks(1, small(), 1), [granted(1, "c0", small())]);
    script.started(1, 1, "c0");
    // The next run waits with a reason, and gets it when the first one's proxy has ended.
    let out = script.asks(2, small(), 1);
    assert!(
        matches!(&out[..], [Out::Tell(_, Told::Waits(why))] if why.contains("all of its 1 grants in use")),
        "{out:?}"
    );
    let out = script.ended("c0", 1, 1, true);
    assert_eq!(out[..2], [completed(1, "c0", 0), granted(2, "c0", small())]);
    assert_eq!(out[2], Out::Tell(key(2), Told::Waits(String::new())));
}

#[test]
fn more_is_asked_of_yarn_up_to_the_bound() {
    let mut script = Script::with(1, 3, &["a"]);
    let out = script.asks(1, small(), 5);
    assert_eq!(out[0], granted(1, "c0", small()));
    assert_eq!(out[1], Out::Ask { wish: Wish { size: SIZE, ..small() }, count: 2 });
    let large = Wish::anywhere(Resources { cpu_milli: 500, memory: 1 << 30 });
    let mut script = Script::with(1, 2, &["a"]);
    let out = script.asks(1, large, 1);
    assert_eq!(out[0], Out::Ask { wish: Wish::anywhere(Resources { cpu_milli: 1000, memory: 1 << 30 }), count: 1 });
}

#[test]
fn idle_grants_that_do_not_fit_make_room() {
    let mut script = Script::with(2, 2, &["a", "b"]);
    let pinned = Wish { hosts: vec!["z".into()], ..small() };
    let out = script.asks(1, pinned, 1);
    assert!(out.contains(&Out::Leave("c0".into())), "{out:?}");
    let out = script.tell(In::Completed { container: "c0".into(), exit: 0, how: String::new() });
    assert!(matches!(&out[0], Out::Ask { wish, count: 1 } if wish.hosts == ["z"]), "{out:?}");
}

#[test]
fn what_nobody_uses_goes_back() {
    let mut script = Script::with(1, 3, &["a"]);
    script.asks(1, small(), 2);
    let wish = Wish { size: SIZE, ..small() };
    script.tell(In::Granted { room: room("c1", "b"), wish });
    script.tell(In::Hello { container: "c1".into(), serving: None, last: None });
    script.asks(1, small(), 0);
    for (n, container) in [(1, "c0"), (2, "c1")] {
        script.started(1, n, container);
        script.ended(container, 1, n, true);
    }
    // Beyond what is warm after the idle time; all after the idle time without any run.
    assert_eq!(script.after(60), [Out::Leave("c0".into())]);
    script.tell(In::Completed { container: "c0".into(), exit: 0, how: String::new() });
    script.tell(In::Over { key: key(1) });
    assert_eq!(script.after(59), []);
    assert_eq!(script.after(1), [Out::Leave("c1".into())]);
    assert_eq!(script.tell(In::Completed { container: "c1".into(), exit: 0, how: String::new() }), []);
    // Somebody comes: it is warm again.
    let out = script.tell(In::Began { key: key(2), known: vec![] });
    assert!(out.contains(&Out::Ask { wish: Wish::anywhere(SIZE), count: 1 }), "{out:?}");
}

#[test]
fn what_comes_after_everybody_left_goes_back_too() {
    let mut script = Script::new(1, 1);
    script.tell(In::Registered { previous: vec![] });
    script.tell(In::Granted { room: room("c0", "a"), wish: Wish::anywhere(SIZE) });
    assert_eq!(script.after(60), []);
    script.tell(In::Hello { container: "c0".into(), serving: None, last: None });
    assert_eq!(script.pool.wake(), Some(script.now + Duration::from_secs(60)));
    assert_eq!(script.after(60), [Out::Leave("c0".into())]);
}

#[test]
fn an_agent_that_dies_is_told_to_its_run() {
    let mut script = Script::with(1, 1, &["a"]);
    script.asks(1, small(), 1);
    script.started(1, 1, "c0");
    let out = script.tell(In::Completed { container: "c0".into(), exit: 137, how: "ended".into() });
    assert_eq!(out[0], completed(1, "c0", 137));
    assert!(matches!(out[1], Out::Ask { count: 1, .. }), "{out:?}");
}

#[test]
fn what_is_given_back_unused_is_idle_and_what_works_is_taken_by_force() {
    let mut script = Script::with(1, 1, &["a"]);
    script.asks(1, small(), 1);
    assert_eq!(script.tell(In::Released { key: key(2), container: "c0".into() }), []);
    assert_eq!(script.tell(In::Released { key: key(1), container: "c0".into() }), []);
    script.asks(1, small(), 1);
    script.started(1, 1, "c0");
    let out = script.tell(In::Released { key: key(1), container: "c0".into() });
    assert_eq!(out, [Out::Release("c0".into())]);
}

#[test]
fn a_later_master_finds_who_has_what() {
    let mut script = Script::new(3, 3);
    script.tell(In::Registered { previous: vec![room("c0", "a"), room("c1", "a"), room("c2", "b")] });
    // One agent speaks before its run's master, one after it, and one has gone over to another run.
    script.tell(In::Hello { container: "c0".into(), serving: serving(&key(1).0, 1), last: None });
    script.tell(In::Hello { container: "c2".into(), serving: serving(&key(2).0, 9), last: None });
    let known = vec![(grant(1), "c0".into()), (grant(2), "c1".into()), (grant(3), "c2".into())];
    let out = script.tell(In::Began { key: key(1), known });
    assert_eq!(out[0], Out::Tell(key(1), Told::Registered(vec!["c0".into(), "c1".into()])));
    let last = Some(AgentEnd { run: key(1).0, grant: grant(2), clean: true, how: "ended".into() });
    let out = script.tell(In::Hello { container: "c1".into(), serving: None, last });
    assert_eq!(out[0], completed(1, "c1", 0));
    // Who never says a word is given back.
    script.tell(In::Cut { container: "c0".into() });
    assert_eq!(script.after(60), [Out::Release("c0".into())]);
}

#[test]
fn at_the_end_all_agents_leave() {
    let mut script = Script::with(2, 2, &["a", "b"]);
    script.asks(1, small(), 1);
    script.started(1, 1, "c0");
    assert_eq!(script.tell(In::Close), [Out::Leave("c1".into())]);
    let out = script.ended("c0", 1, 1, true);
    assert!(out.contains(&Out::Leave("c0".into())), "{out:?}");
    for container in ["c0", "c1"] {
        script.tell(In::Completed { container: container.into(), exit: 0, how: String::new() });
    }
    assert!(script.pool.is_empty());
}

#[test]
fn a_grant_on_a_machine_that_a_run_leaves_out_is_another_runs_and_more_is_asked_for() {
    let mut script = Script::with(2, 4, &["a", "b"]);
    script.tell(In::Avoids { key: key(1), add: vec!["a".into()], remove: vec![] });
    let out = script.asks(1, small(), 2);
    let lent = |out: &[Out], run: u32| -> Vec<String> {
        let of = |one: &Out| ["c0", "c1"].into_iter().find(|container| *one == granted(run, container, small()));
        out.iter().filter_map(of).map(str::to_owned).collect()
    };
    assert_eq!(lent(&out, 1), ["c1"], "not the one on a");
    // Who leaves nothing out gets it.
    assert_eq!(lent(&script.asks(2, small(), 1), 2), ["c0"]);
    // And the first run, once it may.
    let mut script = Script::with(2, 4, &["a", "b"]);
    script.tell(In::Avoids { key: key(1), add: vec!["a".into()], remove: vec![] });
    script.asks(1, small(), 2);
    let out = script.tell(In::Avoids { key: key(1), add: vec![], remove: vec!["a".into()] });
    assert_eq!(lent(&out, 1), ["c0"]);
}
