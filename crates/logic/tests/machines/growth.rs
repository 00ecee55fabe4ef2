//! Memory that grows after a want of it, and stages that wait for room no longer than they say.

use dybox_job::{Grow, Plan, RetryOn};
use dybox_logic::master::{Effect, Event, Master};
use dybox_model::{AttemptId, Cause, Exit, Fact, GrantId, Millis, Resources, StageEnd, StageId, SubDagId, TaskId};

use crate::world::plans::{self, stage};

const MIB: u64 = 1 << 20;
const A: StageId = StageId(0);

fn plan(tasks: u32) -> Plan {
    let mut plan = plans::of([stage("a", tasks, &[])]);
    plan.stages[0].ask.memory = 64 * MIB;
    plan.stages[0].retry = dybox_job::Retry {
        max: 3,
        backoff: Millis(0),
        on: vec![RetryOn::Oom],
        grow: Some(Grow { percent: 150, cap: 128 * MIB }),
    };
    plan
}

struct Story {
    master: Master,
    asked: Vec<(u64, u32)>,
    started: Vec<(GrantId, AttemptId)>,
    ended: Vec<(StageEnd, String, Option<Cause>)>,
    now: u64,
}

impl Story {
    fn of(plan: &Plan) -> Self {
        let master = Master::new(plan, SubDagId(0));
        let mut story = Self { master, asked: Vec::new(), started: Vec::new(), ended: Vec::new(), now: 1 };
        story.tell(Event::Opened);
        story.tell(Event::StageStarted { stage: A, tasks: plan.stages[0].tasks });
        story
    }

    fn tell(&mut self, event: Event) {
        let mut out = Vec::new();
        self.master.handle(Millis(self.now), event, &mut out);
        assert_eq!(self.master.check(), Ok(()));
        for effect in out {
            match effect {
                Effect::Ask { wish, count } => self.asked.push((wish.size.memory / MIB, count)),
                Effect::Start { grant, attempt } => self.started.push((grant, attempt)),
                Effect::StageEnded { end, why, cause, .. } => self.ended.push((end, why, cause)),
                _ => {}
            }
        }
    }

    /// Gives a grant with so much memory, whose proxy is there at once.
    fn grant(&mut self, number: u32, mib: u64) -> GrantId {
        let grant = GrantId::compose(SubDagId(0), 1, number);
        let size = Resources { cpu_milli: 1000, memory: mib * MIB };
        let (host, container) = (String::new(), String::new());
        self.tell(Event::Granted { grant, size, host, container, wish: None });
        self.tell(Event::ProxyJoined { grant, attempts: Vec::new() });
        grant
    }

    fn oom(&mut self, (grant, attempt): (GrantId, AttemptId)) {
        let exit = Exit::not_started(Cause::Oom, "", Millis(self.now));
        self.tell(Event::Exited { grant, attempt, exit });
    }
}

#[test]
fn each_want_of_memory_leads_one_step_up_until_the_cap_and_then_fails() {
    let mut story = Story::of(&plan(1));
    for (number, mib) in [(1, 64), (2, 96), (3, 128), (4, 128)] {
        assert!(story.asked.contains(&(mib, 1)), "{:?}", story.asked);
        let grant = if number < 4 { story.grant(number, mib) } else { story.started[2].0 };
        let &(at, attempt) = story.started.last().expect("it was started");
        assert_eq!((at, attempt.number, story.started.len()), (grant, number, number as usize));
        assert_eq!(story.master.step_of(A, grant), Some(mib * MIB));
        story.oom((grant, attempt));
    }
    assert!(matches!(story.ended.as_slice(), [(StageEnd::Failed, _, None)]), "{:?}", story.ended);
}

#[test]
fn tasks_that_run_out_together_grow_by_one_step() {
    let mut story = Story::of(&plan(3));
    for number in 1..=3 {
        story.grant(number, 64);
    }
    let all = story.started.clone();
    assert_eq!(all.len(), 3);
    all.into_iter().for_each(|one| story.oom(one));
    assert_eq!(story.asked.iter().map(|(mib, _)| *mib).max(), Some(96), "{:?}", story.asked);
}

#[test]
fn a_stage_that_gets_no_room_for_too_long_has_failed_and_says_what_it_waited_for() {
    let mut plan = plan(2);
    plan.stages[0].timeout.queue = Some(Millis::from_secs(60));
    let mut story = Story::of(&plan);
    assert_eq!(story.master.wake(), Some(Millis(60_001)));
    story.now = 50_000;
    story.grant(1, 64);
    assert_eq!(story.master.wake(), Some(Millis(110_000)), "one of them got room");
    story.now = 110_000;
    story.tell(Event::Tick);
    let (grant, attempt) = story.started[0];
    story.tell(Event::Exited { grant, attempt, exit: Exit::not_started(Cause::Stopped, "", Millis(story.now)) });
    let (end, why, cause) = &story.ended[0];
    assert_eq!(*cause, Some(Cause::QueueTimeout));
    assert_eq!(*end, StageEnd::Failed);
    assert!(why.contains("got room for timeout.queue = 1m00s: no room: 1 task wants"), "{why}");

    // A master that comes later counts from what is written down.
    let mut next = Master::new(&plan, SubDagId(0));
    next.apply(&Fact::StageStarted { stage: A, tasks: 2, at: Millis(1) });
    let task = TaskId { stage: A, index: 0 };
    let (size, at) = (Resources { cpu_milli: 1000, memory: 64 * MIB }, Millis(50_000));
    next.apply(&Fact::GrantGot { grant, size, at, host: String::new(), container: String::new() });
    next.apply(&Fact::AttemptStarted { attempt: AttemptId { task, number: 1 }, grant, at });
    next.handle(Millis(60_000), Event::Opened, &mut Vec::new());
    assert_eq!(next.wake(), Some(Millis(110_000)));
}
