//! How images came: what was there before it was needed, and who waited.

use dybox_model::{Millis, StageId, format_duration};

use crate::stage::Stage;
use crate::view::RunView;

/// Names that are told of many.
const MOST_NAMES: usize = 2;

/// An image that was not there and came to a machine, or did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// The image, as the job file names it.
    pub image: String,
    /// On which machine; empty on one machine.
    pub host: String,
    /// The stage of the task that waited for it; nothing = it was to come before any task needed it.
    pub stage: Option<StageId>,
    /// For how long it was brought, or waited for.
    pub took: Millis,
    /// When that was over.
    pub at: Millis,
    /// Why it did not come; empty where it did.
    pub why: String,
}

/// How the image of one stage came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageStory<'a> {
    /// The first wait of one of its tasks for it; nothing = none waited.
    pub waited: Option<&'a Brought>,
    /// What was done before a task needed it, on each machine.
    pub ahead: Vec<&'a Brought>,
    /// Names of the stages that ran while it came ahead.
    pub meanwhile: Vec<&'a str>,
}

impl RunView {
    /// How the image of a stage came; nothing where the stage is not known.
    #[must_use]
    pub fn image_story(&self, id: StageId) -> Option<ImageStory<'_>> {
        let (run, stage) = self.stage(id)?;
        let waited = run.brought.iter().find(|brought| brought.stage == Some(id));
        let of_it = |brought: &&Brought| brought.stage.is_none() && brought.image == stage.outline.image;
        let ahead: Vec<&Brought> = run.brought.iter().filter(of_it).collect();
        let came = || ahead.iter().filter(|brought| brought.why.is_empty());
        let ran = |other: &Stage| {
            let Some(started) = other.started.filter(|_| other.outline.id != id) else { return false };
            came().any(|brought| {
                let from = Millis(brought.at.0.saturating_sub(brought.took.0));
                started < brought.at && other.ended.is_none_or(|ended| ended > from)
            })
        };
        let meanwhile = run.stages.iter().filter(|other| ran(other)).map(|other| other.outline.name.as_str()).collect();
        Some(ImageStory { waited, ahead, meanwhile })
    }
}

impl ImageStory<'_> {
    /// It in a sentence without an end; empty where the image was there all the time, or nothing is known.
    #[must_use]
    pub fn words(&self) -> String {
        let (came, failed): (Vec<&Brought>, Vec<&Brought>) = self.ahead.iter().partition(|one| one.why.is_empty());
        let mut words = Vec::new();
        if let Some(slowest) = came.iter().map(|one| one.took).max() {
            let to = if came.len() > 1 { format!(" to {} machines", came.len()) } else { String::new() };
            let most = if came.len() > 1 { " at most" } else { "" };
            let meanwhile = match self.meanwhile.len() {
                0 => String::new(),
                many => {
                    let more = many.saturating_sub(MOST_NAMES);
                    let names = self.meanwhile[..many - more].join(", ");
                    format!(" while {names}{} ran", if more > 0 { format!(" and {more} more") } else { String::new() })
                }
            };
            words.push(format!("brought ahead{to} in {}{most}{meanwhile}", format_duration(slowest)));
        }
        if let Some(one) = failed.first() {
            words.push(format!("not brought ahead{}: {}", on(&one.host), one.why));
        }
        if let Some(one) = self.waited {
            words.push(format!("the first task waited {} for it{}", format_duration(one.took), on(&one.host)));
        }
        words.join("; ")
    }
}

fn on(host: &str) -> String {
    if host.is_empty() { String::new() } else { format!(" on {host}") }
}
