//! The ways to show a run that goes on.

use dybox_client::Update;
use dybox_job::Plan;
use dybox_journal::RunView;
use dybox_model::{Fact, Millis, Note, RunId, SubDagId};
use serde_json::{Value, json};

use super::draw::Canvas;
use super::picture::Picture;
use super::story::Story;
use crate::report::time::{now, rfc3339};
use crate::report::{ANSWER_VERSION, Failure, Screen};

/// What is shown while a run goes on.
pub(crate) enum Show {
    /// A tree that changes, on a terminal.
    Tree(Box<Tree>),
    /// One plain line an event, on stderr.
    Lines(Story),
    /// One JSON document an event, on stdout.
    Records,
    /// Nothing.
    Nothing,
}

/// A tree, and what it is of.
pub(crate) struct Tree {
    canvas: Canvas,
    run: RunId,
    plan: Plan,
    news: bool,
}

impl Show {
    /// A tree on a terminal, else lines.
    pub(crate) fn people(screen: &Screen, run: &RunId, plan: &Plan) -> Self {
        if screen.err_is_terminal && screen.color_err {
            let (run, plan) = (run.clone(), plan.clone());
            return Self::Tree(Box::new(Tree { canvas: Canvas::new(*screen), run, plan, news: true }));
        }
        Self::Lines(Story::of(plan.subdags.len(), now()))
    }

    /// Takes news in.
    pub(crate) fn tell(
        &mut self,
        screen: &Screen,
        subdag: SubDagId,
        update: &Update,
        now: Millis,
    ) -> Result<(), Failure> {
        match (self, update) {
            // What tasks use is no news: it is seen when the clock goes on.
            (Self::Tree(_), Update::Note(Note::Uses { .. })) => {}
            (Self::Tree(tree), Update::Fact(fact) | Update::Past(fact)) => {
                if let Fact::HookDecided { hook, decision, .. } = fact {
                    tree.plan.grow(*hook, &decision.add);
                }
                tree.news = true;
            }
            (Self::Tree(tree), Update::Note(_)) => tree.news = true,
            (Self::Lines(story), Update::Fact(fact)) => {
                story.fact(subdag, fact).iter().for_each(|line| screen.hint(line))
            }
            (Self::Lines(story), Update::Note(note)) => story.note(note, now).iter().for_each(|line| screen.hint(line)),
            (Self::Records, Update::Fact(fact)) => {
                screen.line(&record(subdag, serde_json::to_value(fact)?).to_string())?;
            }
            (Self::Lines(story), Update::Past(fact)) => drop(story.fact(subdag, fact)),
            (Self::Records | Self::Nothing, Update::Fact(_) | Update::Past(_) | Update::Note(_)) => {}
            (show, Update::Died { last, again }) => show.say(screen, &died(subdag, last, *again), now),
            (show, Update::Waits { why }) => show.say(screen, &super::shown(why), now),
            (show, Update::Gone { application, why, .. }) => {
                show.say(screen, &format!("{application} is over: {}", super::shown(why)), now);
            }
            (show, Update::Unreadable { why }) => show.say(screen, &format!("sub-DAG {}: {why}", subdag.0), now),
        }
        Ok(())
    }

    /// Says something that is no event of the run.
    pub(crate) fn say(&mut self, screen: &Screen, text: &str, now: Millis) {
        match self {
            Self::Tree(tree) => tree.canvas.say(text),
            Self::Lines(story) => screen.hint(&story.line(now, text)),
            Self::Records | Self::Nothing => screen.hint(text),
        }
    }

    /// Draws again, or tells what has waited long, where it is time to.
    pub(crate) fn tick(&mut self, screen: &Screen, view: &RunView, now: Millis) {
        match self {
            Self::Tree(tree) => {
                let Tree { canvas, run, plan, news } = tree.as_mut();
                if canvas.draw(*news, now, || Picture::of(run, plan, view)) {
                    *news = false;
                }
            }
            Self::Lines(story) => story.tick(now).iter().for_each(|line| screen.hint(line)),
            Self::Records | Self::Nothing => {}
        }
    }

    /// Takes away what is drawn.
    pub(crate) fn end(&self) {
        if let Self::Tree(tree) = self {
            tree.canvas.clear();
        }
    }
}

fn died(subdag: SubDagId, last: &str, again: bool) -> String {
    let words = if last.is_empty() { String::new() } else { format!(" ({})", super::shown(last)) };
    let next = if again { "; it is started again" } else { " once more; it is not started again" };
    format!("the master of sub-DAG {} died{words}{next}", subdag.0)
}

/// A fact as a JSON document for programs: times as text, the kind under `event`.
fn record(subdag: SubDagId, fact: Value) -> Value {
    let mut whole = json!({ "version": ANSWER_VERSION, "subdag": subdag.0 });
    if let (Some(fields), Value::Object(fact)) = (whole.as_object_mut(), fact) {
        for (key, value) in fact {
            let key = if key == "fact" { "event".to_owned() } else { key };
            fields.insert(key.clone(), timed(&key, value));
        }
    }
    whole
}

/// Times of facts are milliseconds under these names.
fn timed(key: &str, value: Value) -> Value {
    match (key, value) {
        ("at" | "started" | "ended", Value::Number(ms)) => Value::String(rfc3339(Millis(ms.as_u64().unwrap_or(0)))),
        (_, Value::Object(fields)) => {
            let fields = fields.into_iter().map(|(key, value)| (key.clone(), timed(&key, value)));
            Value::Object(fields.collect())
        }
        (_, value) => value,
    }
}

#[cfg(test)]
mod tests {
    use dybox_model::{Fact, StageId};

    use super::*;

    #[test]
    fn a_record_has_times_that_people_and_programs_read() {
        let fact = Fact::StageStarted { stage: StageId(1), tasks: 2, at: Millis(1_764_000_000_123) };
        let record = record(SubDagId(0), serde_json::to_value(fact).unwrap());
        let want =
            r#"{"version":1,"subdag":0,"event":"stage_started","stage":1,"tasks":2,"at":"2025-11-24T16:00:00.123Z"}"#;
        assert_eq!(record.to_string(), want);
    }
}
