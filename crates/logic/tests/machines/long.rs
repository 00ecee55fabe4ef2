//! What is to run for months, one sentence a test.

use dybox_logic::master::{Event, Master};
use dybox_model::{GrantId, Millis, StageId, SubDagId, Wish};

use crate::world::plans::{self, mib, stage};

const HOUR: u64 = 60 * 60 * 1000;

/// How many tries a task gets, twenty at most, of which each runs so long until its machine dies.
fn tries_of(hours: u64) -> u32 {
    let (plan, mut out, mut now) = (plans::of([stage("a", 1, &[])]), Vec::new(), 1);
    let mut master = Master::on_cluster(&plan, SubDagId(0));
    let mut hear = |master: &mut Master, now, event| master.handle(Millis(now), event, &mut out);
    hear(&mut master, now, Event::Opened);
    hear(&mut master, now, Event::StageStarted { stage: StageId(0), tasks: 1 });
    for number in 1..=20 {
        // Longer than any pause.
        now += HOUR / 30;
        hear(&mut master, now, Event::Tick);
        let (grant, wish) = (GrantId::compose(SubDagId(0), 1, number), Wish::anywhere(mib(64)));
        let (host, container) = (format!("n{number}"), format!("container_{number}"));
        hear(&mut master, now, Event::Granted { grant, size: wish.size, host, container, wish: Some(wish) });
        hear(&mut master, now, Event::ProxyJoined { grant, attempts: Vec::new() });
        let Some(attempt) = master.attempts_at(grant).next() else { return number - 1 };
        let container = number.to_string();
        hear(&mut master, now, Event::Runs { grant, attempt, container, ports: Vec::new() });
        now += hours * HOUR;
        hear(&mut master, now, Event::ProxyLost { grant, how: String::new() });
        // Nobody is there who could say since when it ran.
        hear(&mut master, now, Event::Swept { grant, exits: Vec::new() });
    }
    20
}

#[test]
fn what_ran_for_a_day_is_not_told_of_what_broke_before() {
    assert_eq!((tries_of(1), tries_of(23)), (9, 9), "a fault that comes again and again has a bound");
    assert_eq!(tries_of(24), 20);
}
