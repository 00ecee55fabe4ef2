//! A ResourceManager in memory that does what the real one can't be made to do.

mod random;
mod scripted;

use std::collections::BTreeMap;

use dybox_hrpc::Token;
use dybox_model::{Millis, Node, Resources, Wish};

use super::*;
use crate::container::{Container, ContainerStatus};
use crate::ids::{ApplicationId, NodeId};

const ATTEMPT: AttemptId = AttemptId { application: ApplicationId { cluster: 1, number: 1 }, number: 1 };
const RULES: Rules = Rules { beat: Millis(1000), quick_beat: Millis(100), patience: Millis(60_000) };
const SIZE: Resources = Resources { cpu_milli: 1000, memory: 64 << 20 };
const MAX: Resources = Resources { cpu_milli: 4000, memory: 1 << 30 };

fn wish() -> Wish {
    Wish::anywhere(SIZE)
}

fn token(name: &str) -> Token {
    Token {
        alias: String::new(),
        identifier: name.as_bytes().to_vec(),
        password: Vec::new(),
        kind: "NMToken".to_owned(),
        service: String::new(),
    }
}

fn node(host: &str, rack: &str, usable: bool) -> (NodeId, Node) {
    let (capacity, used, labels) = (MAX, Resources::default(), Vec::new());
    let node = Node { host: host.to_owned(), rack: rack.to_owned(), labels, capacity, used, usable };
    (NodeId { host: host.to_owned(), port: 1 }, node)
}

fn id(number: i64) -> ContainerId {
    ContainerId { attempt: ATTEMPT, number }
}

fn container(number: i64, request: i64) -> Container {
    Container {
        id: id(number),
        node: NodeId { host: "h".to_owned(), port: 1 },
        http: String::new(),
        size: SIZE,
        request,
        version: 0,
        token: token("container"),
    }
}

fn ended(number: i64) -> ContainerStatus {
    ContainerStatus { id: id(number), complete: true, exit: 0, diagnostics: String::new() }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    /// It never arrived.
    Lost,
    /// It was done, its answer was lost.
    Deaf,
}

/// Keeps the rules of YARN's `ApplicationMasterService`.
#[derive(Default)]
struct Rm {
    registered: bool,
    response_id: i32,
    last: Answer,
    /// Request -> what is still to be given, by place.
    asks: BTreeMap<i64, BTreeMap<String, u32>>,
    unseen: Vec<Container>,
    given: i64,
    released: Vec<ContainerId>,
    avoided: Vec<String>,
    /// For the next answer.
    next: Answer,
    beats: Vec<Heartbeat>,
    registrations: u32,
    too_large: Option<Resources>,
    finishes: u32,
}

impl Rm {
    fn register(&mut self) -> Input {
        if self.registered {
            return Input::Failed(Failure::AlreadyRegistered);
        }
        self.registered = true;
        self.response_id = 0;
        self.registrations += 1;
        Input::Registered(Welcome {
            max: Some(MAX),
            queue: "root.default".to_owned(),
            counts_cpus: true,
            ..Welcome::default()
        })
    }

    fn beat(&mut self, beat: &Heartbeat) -> Input {
        self.beats.push(beat.clone());
        if !self.registered {
            return Input::Failed(Failure::NotRegistered);
        }
        if beat.response_id + 1 == self.response_id {
            return Input::Answered(Box::new(self.last.clone()));
        }
        assert_eq!(beat.response_id, self.response_id, "an answer was left out");
        if beat.asks.iter().any(|line| self.too_large == Some(line.size) && line.count > 0) {
            return Input::Failed(Failure::BadAsk("Invalid resource request".to_owned()));
        }
        for line in &beat.asks {
            self.asks.entry(line.request).or_default().insert(line.place.clone(), line.count);
        }
        self.released.extend(&beat.release);
        self.avoided.extend(beat.avoid.clone());
        self.avoided.retain(|place| !beat.avoid_no_more.contains(place));
        self.response_id += 1;
        let mut answer = std::mem::take(&mut self.next);
        answer.response_id = self.response_id;
        answer.granted.append(&mut self.unseen);
        self.last = answer.clone();
        Input::Answered(Box::new(answer))
    }

    fn open(&self) -> u32 {
        self.asks.values().filter_map(|places| places.get("*")).sum()
    }

    /// The scheduler gives up to so many.
    fn give(&mut self, most: u32) {
        for _ in 0..most {
            let Some((request, places)) = self.asks.iter_mut().find(|(_, places)| places["*"] > 0) else { return };
            places.values_mut().for_each(|count| *count = count.saturating_sub(1));
            self.given += 1;
            self.unseen.push(container(self.given, *request));
        }
    }

    /// Killed and started again: it forgets what it had not handed out.
    fn restart(&mut self) {
        self.registered = false;
        self.asks.clear();
        self.unseen.clear();
    }
}

struct World {
    am: Am,
    rm: Rm,
    now: Millis,
    told: Vec<Event>,
    effects: Vec<Effect>,
}

impl World {
    fn new() -> Self {
        let am = Am::new(RULES, ATTEMPT, "http://here".to_owned());
        Self { am, rm: Rm::default(), now: Millis(0), told: Vec::new(), effects: Vec::new() }
    }

    fn registered() -> Self {
        let mut world = Self::new();
        world.call(Fate::Answered);
        assert!(matches!(world.told.remove(0), Event::Registered { max: MAX, .. }));
        world
    }

    fn put(&mut self, input: Input) {
        self.am.handle(self.now, input, &mut self.effects);
        let told = self.effects.extract_if(.., |effect| matches!(effect, Effect::Tell(_)));
        self.told.extend(told.filter_map(|effect| if let Effect::Tell(event) = effect { Some(event) } else { None }));
    }

    fn ask(&mut self, wish: Wish, count: u32) {
        self.put(Input::Order(Order::Ask { wish, count }));
    }

    /// The next call, when it is due.
    fn call(&mut self, fate: Fate) -> Option<Effect> {
        if let Some(at) = self.am.wake() {
            self.now = self.now.max(at);
            self.put(Input::Tick);
        }
        let place = self
            .effects
            .iter()
            .position(|effect| matches!(effect, Effect::Register { .. } | Effect::Beat(_) | Effect::Finish { .. }))?;
        let call = self.effects.remove(place);
        let away = || Input::Failed(Failure::Away("nobody listens".to_owned()));
        if fate == Fate::Lost {
            self.put(away());
            return Some(call);
        }
        let answer = match &call {
            Effect::Register { .. } => self.rm.register(),
            Effect::Beat(beat) => self.rm.beat(beat),
            _ => {
                self.rm.finishes += 1;
                match self.rm.registered {
                    true => Input::Unregistered(self.rm.finishes > 1),
                    false => Input::Failed(Failure::NotRegistered),
                }
            }
        };
        self.put(if fate == Fate::Deaf { away() } else { answer });
        Some(call)
    }

    fn beat(&mut self) -> Heartbeat {
        match self.call(Fate::Answered) {
            Some(Effect::Beat(beat)) => beat,
            other => panic!("no heartbeat but {other:?}"),
        }
    }

    fn grants(&self) -> usize {
        self.told.iter().filter(|event| matches!(event, Event::Granted { .. })).count()
    }
}
