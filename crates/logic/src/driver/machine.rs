//! The machine itself.

use std::collections::BTreeMap;

use dybox_job::Plan;
use dybox_model::cache::Missed;
use dybox_model::{Fact, HookId, Millis, Need, StageEnd, StageId, SubDagId};

use super::begin::{Begin, Sized};
use super::ended::Ended;
use super::look::{Cached, Looks};
use super::state::{Book, Doom, HookState, State};
use super::{Effect, Event};

/// Sequences the stages of one sub-DAG.
///
/// How the sub-DAG ends: `failed` when a hook or any stage failed, even where another stage ran because of it
/// (`needs: {a: failed}` handles a failure, it does not undo it); else `lost` when a stage was lost; else `stopped` when
/// somebody stopped it; else `succeeded`.
#[derive(Debug)]
pub struct Driver {
    pub(super) book: Book,
    /// Nothing is decided before all facts have been applied.
    pub(super) opened: bool,
    /// Stages that are looked up now. Forgotten by a recovery: then they are looked up again.
    pub(super) looks: Looks,
    /// Hooks whose process runs.
    pub(super) hooks_running: u32,
    fail_fast: bool,
    /// The run's limit in time; nothing where it does not hold for this sub-DAG.
    limit: Option<Millis>,
}

/// How the reason of a stop begins that the run's limit in time asked for: such a run has failed.
const LATE: &str = "timeout: ";

impl Driver {
    /// The machine of one sub-DAG, before anything happened.
    #[must_use]
    pub fn new(plan: &Plan, subdag: SubDagId) -> Self {
        let limit = plan.timeout.filter(|_| !plan.is_last(subdag));
        Self {
            book: Book::new(plan, subdag),
            opened: false,
            looks: Looks::default(),
            hooks_running: 0,
            fail_fast: plan.fail_fast,
            limit,
        }
    }

    /// Takes one fact of the journal in. Facts that are not the driver's are passed over.
    pub fn apply(&mut self, fact: &Fact) {
        self.book.apply(fact);
    }

    /// Takes one event in and pushes what must be done about it, in order.
    pub fn handle(&mut self, now: Millis, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Opened => self.open(out),
            Event::StageEnded { stage, end, why, cause } => self.end_stage(stage, Ended { end, why, cause }, now, out),
            Event::UpstreamEnded { stage, end } => self.end_upstream(stage, end),
            Event::RunEnded { state } => self.book.begins.ended(state),
            Event::Tick => self.give_up_looks(now, out),
            Event::LookedUp { stage, answer, inputs } => self.looked_up(stage, (answer, inputs), now, out),
            Event::UpstreamResult { stage, result } => self.book.begins.told(stage, &result),
            Event::HookEnded { hook, answer } => self.end_hook(hook, answer, now, out),
            Event::StopAsked { why, now: at_once } => self.ask_stop(why, at_once, now, out),
        }
        if self.opened && self.book.ended.is_none() {
            self.advance(now, out);
        }
    }

    /// When to call `handle` with [`Event::Tick`] next, if nothing else comes: at the run's limit in time, or when a
    /// look-up takes too long.
    #[must_use]
    pub fn wake(&self) -> Option<Millis> {
        self.late().into_iter().chain(self.looks.wake()).min()
    }

    /// The run's limit in time.
    fn late(&self) -> Option<Millis> {
        let waits = self.opened && self.book.stop.is_none() && self.book.ended.is_none();
        self.limit.zip(self.book.since).filter(|_| waits).map(|(limit, since)| since.after(limit))
    }

    /// How a stage ended, of this sub-DAG or of another one; nothing while it has not (or is not known to have).
    #[must_use]
    pub fn end_of(&self, stage: StageId) -> Option<StageEnd> {
        match self.book.nodes.get(stage.0 as usize)?.state {
            State::Ended(end) => Some(end),
            State::Waiting | State::Running => None,
        }
    }

    /// How many tasks a stage has, after what hooks decided.
    #[must_use]
    pub fn tasks_of(&self, stage: StageId) -> u32 {
        self.book.nodes.get(stage.0 as usize).map_or(0, |node| node.tasks)
    }

    /// The items that a stage has begun with, each as JSON, where the plan does not know them.
    #[must_use]
    pub fn items_of(&self, stage: StageId) -> Option<&[String]> {
        self.book.begins.items(stage.0)
    }

    /// The parameters that hooks changed for a stage that they held, by name.
    #[must_use]
    pub fn params_of(&self, stage: StageId) -> BTreeMap<String, String> {
        self.book.params_of(stage.0)
    }

    /// How the sub-DAG ended; nothing while it has not.
    #[must_use]
    pub fn ended(&self) -> Option<StageEnd> {
        self.book.ended.as_ref().map(|ended| ended.end)
    }

    pub(super) fn record(&mut self, fact: Fact, out: &mut Vec<Effect>) {
        self.book.apply(&fact);
        out.push(Effect::Record(fact));
    }

    fn open(&mut self, out: &mut Vec<Effect>) {
        self.opened = true;
        if let Some(ended) = &self.book.ended {
            out.push(Effect::Finish { end: ended.end, why: ended.why.clone() });
        }
    }

    fn end_stage(&mut self, stage: StageId, how: Ended, now: Millis, out: &mut Vec<Effect>) {
        let known = self.book.nodes.get(stage.0 as usize);
        if known.is_none_or(|node| !node.ours || node.state != State::Running) {
            return;
        }
        if let Some(&hook) = self.book.hook_of.get(&stage.0) {
            self.end_stage_of_hook((stage, HookId(hook)), how, now, out);
        } else {
            self.record(how.of_stage(stage, now), out);
        }
    }

    fn end_upstream(&mut self, stage: StageId, end: StageEnd) {
        let known = self.book.nodes.get(stage.0 as usize);
        if known.is_some_and(|node| !node.ours && node.state == State::Waiting) {
            self.book.settle(stage.0, end);
        }
    }

    fn ask_stop(&mut self, why: String, at_once: bool, now: Millis, out: &mut Vec<Effect>) {
        if self.book.ended.is_some() {
            return;
        }
        if self.book.stop.is_none() {
            self.stop(why, at_once, now, out);
        } else if at_once {
            out.push(Effect::StopStages { why, now: true });
        }
    }

    fn stop(&mut self, why: String, at_once: bool, now: Millis, out: &mut Vec<Effect>) {
        self.record(Fact::StopAsked { why: why.clone(), at: now }, out);
        out.push(Effect::StopStages { why, now: at_once });
        let running = (0u32..).zip(&self.book.hooks).filter(|(_, node)| node.state == HookState::Running);
        out.extend(running.map(|(hook, _)| Effect::StopHook { hook: HookId(hook) }));
    }

    /// Does all that the facts so far call for.
    fn advance(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.book.stop.is_none()
            && let Some(why) = self.reason_to_stop().or_else(|| self.is_late(now))
        {
            self.stop(why, false, now, out);
        }
        if self.book.stop.is_some() {
            self.stop_what_waits(now, out);
        } else {
            while let Some(stage) = self.book.ready.pop_front() {
                self.start_or_skip(stage, now, out);
            }
            while let Some(hook) = self.book.due.pop_front() {
                self.run_hook(hook, out);
            }
        }
        if self.book.waiting + self.book.running + self.hooks_running == 0 {
            self.finish(now, out);
        }
    }

    fn reason_to_stop(&self) -> Option<String> {
        let book = &self.book;
        let failed = || book.first_failed.as_ref().or(book.first_lost.as_ref()).filter(|_| self.fail_fast);
        book.hook_failed
            .clone()
            .or_else(|| failed().map(|why| format!("fail_fast: {why}")))
            .or_else(|| book.hook_lost.clone())
            .or_else(|| book.wish.clone())
    }

    fn is_late(&self, now: Millis) -> Option<String> {
        let limit = self.limit.filter(|_| self.late().is_some_and(|at| at <= now))?;
        Some(format!("{LATE}the run took longer than {}", dybox_model::format_duration(limit)))
    }

    fn start_or_skip(&mut self, stage: u32, now: Millis, out: &mut Vec<Effect>) {
        let node = &self.book.nodes[stage as usize];
        if !node.ours || node.state != State::Waiting {
            return;
        }
        if let Some(doom) = node.doom {
            let how = Ended::of(StageEnd::Skipped, self.tell(doom));
            self.close(StageId(stage), how, now, out);
        } else if node.unmet == 0 {
            self.begin(StageId(stage), now, out);
        }
    }

    /// Its needs are met: its condition and its list are looked at, and what they give is written down.
    fn begin(&mut self, stage: StageId, now: Millis, out: &mut Vec<Effect>) {
        let book = &self.book;
        let tasks;
        let many = |id: u32| {
            let node = &book.nodes[id as usize];
            if id == stage.0 {
                return node.tasks;
            }
            // One that did not run has no items.
            if book.fanned[id as usize] && !node.started { 0 } else { node.tasks }
        };
        match book.begins.of(stage.0, book.params_of(stage.0), many) {
            Ok(Begin::Skip(why)) => return self.close(stage, Ended::of(StageEnd::Skipped, why), now, out),
            Err(why) => return self.close(stage, Ended::of(StageEnd::Failed, why), now, out),
            Ok(Begin::Go(go)) => {
                tasks = go.tasks;
                if let Some(items) = go.items {
                    self.record(Fact::StageFanned { stage, items }, out);
                }
                if let Some(Sized { sizes, new }) = go.sizes {
                    if new {
                        self.record(Fact::StageSized { stage, sizes: sizes.clone() }, out);
                    }
                    out.push(Effect::SizeStage { stage, sizes });
                }
            }
        }
        match self.book.cached[stage.0 as usize] {
            Cached::No => self.start(stage, tasks, now, out),
            Cached::Never(why) => self.miss(stage, (tasks, Missed::because(why), Vec::new()), now, out),
            Cached::Yes => self.look_up(stage, tasks, now, out),
        }
    }

    pub(super) fn start(&mut self, stage: StageId, tasks: u32, now: Millis, out: &mut Vec<Effect>) {
        self.record(Fact::StageStarted { stage, tasks, at: now }, out);
        out.push(Effect::StartStage { stage, tasks });
    }

    fn close(&mut self, stage: StageId, how: Ended, now: Millis, out: &mut Vec<Effect>) {
        self.record(how.of_stage(stage, now), out);
        out.push(Effect::CloseStage { stage });
    }

    fn tell(&self, doom: Doom) -> String {
        match doom {
            Doom::Hook(hook) => format!("hook \"{}\" skipped it", self.book.hooks[hook as usize].label),
            Doom::Need(from, need) => {
                let asked = match need {
                    Need::Succeeded => "to succeed",
                    Need::Failed => "to fail",
                    Need::Finished => "to finish",
                };
                let name = self.book.names.of(from);
                match self.end_of(StageId(from)) {
                    Some(StageEnd::Succeeded | StageEnd::Failed) | None => {
                        format!("needs \"{name}\" {asked}, but it {}", self.end_word(from))
                    }
                    Some(_) => format!("needs \"{name}\" {asked}, but it was {}", self.end_word(from)),
                }
            }
        }
    }

    fn end_word(&self, stage: u32) -> &'static str {
        self.end_of(StageId(stage)).map_or("has not ended", StageEnd::word)
    }

    fn run_hook(&mut self, hook: u32, out: &mut Vec<Effect>) {
        let node = &mut self.book.hooks[hook as usize];
        if node.state == HookState::Waiting {
            node.state = HookState::Running;
            self.hooks_running += 1;
            out.push(Effect::RunHook { hook: HookId(hook) });
        }
    }

    fn stop_what_waits(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.book.waiting == 0 {
            return;
        }
        let why = self.book.stop.clone().unwrap_or_default();
        self.end_looks(out);
        for stage in (0u32..).take(self.book.nodes.len()) {
            let node = &self.book.nodes[stage as usize];
            if node.ours && node.state == State::Waiting {
                self.close(StageId(stage), Ended::of(StageEnd::Stopped, why.clone()), now, out);
            }
        }
    }

    fn finish(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let book = &self.book;
        let (end, why) = if let Some(why) = book.hook_failed.as_ref().or(book.first_failed.as_ref()) {
            (StageEnd::Failed, why.clone())
        } else if let Some(why) = book.stop.as_ref().filter(|why| why.starts_with(LATE)) {
            (StageEnd::Failed, why.clone())
        } else if let Some(why) = &book.first_lost {
            (StageEnd::Lost, why.clone())
        } else if let Some(why) = &book.stop {
            (StageEnd::Stopped, why.clone())
        } else {
            (StageEnd::Succeeded, String::new())
        };
        self.record(Fact::Ended { end, why: why.clone(), at: now }, out);
        out.push(Effect::Finish { end, why });
    }
}
