//! One look-up: what the stage depends on outside of the plan, then what is written down of earlier successes.

use std::path::PathBuf;

use dybox_logic::cache::{Wanted, fitting, nearest};
use dybox_model::cache::{Fields, Found, Missed, Print, Success};
use dybox_model::{PullPolicy, Transfer};
use dybox_store::StoreError;
use dybox_store::cache::{self, Listed};

use super::image::meaning;
use super::places::Places;

/// Most earlier successes that are read of those that depend on the same of the plan.
const SAME: usize = 8;
/// Most others that are read to say what differs.
const OTHERS: usize = 4;

/// A stage that is about to start, and the ways to all that it depends on.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) fields: Fields,
    pub(super) key: String,
    pub(super) job: String,
    pub(super) stage: String,
    pub(super) image: String,
    /// What the run means by it already.
    pub(super) pinned: Option<String>,
    pub(super) pull: PullPolicy,
    pub(super) inputs: Vec<Transfer>,
    /// What the run itself has put where its inputs are.
    pub(super) kept: Vec<Print>,
    pub(super) places: Places,
    pub(super) program: PathBuf,
}

impl Look {
    /// What may be taken, or why nothing; and what its inputs are now.
    pub(super) async fn look(mut self) -> (Result<Found, Missed>, Vec<Print>) {
        let inputs = match self.prints().await {
            Ok(inputs) => inputs,
            Err(why) => return (Err(Missed::because(why)), Vec::new()),
        };
        let image = match self.meaning().await {
            Ok(image) => image,
            Err(why) => return (Err(Missed::because(why)), inputs),
        };
        let fields = std::mem::take(&mut self.fields);
        let wanted = Wanted { fields, image, inputs };
        let answer = self.find(&wanted).await;
        let answer = answer.unwrap_or_else(|error| {
            Err(Missed::because(format!("the store does not say what earlier runs came to: {error}")))
        });
        (answer, wanted.inputs)
    }

    async fn prints(&self) -> Result<Vec<Print>, String> {
        let mut all = Vec::new();
        for Transfer { path, place } in &self.inputs {
            let known = self.kept.iter().find(|kept| kept.path == *path);
            let print = match known {
                Some(print) => Ok(Some(print.clone())),
                None if place.starts_with("run:") => Err("no stage before it is known to have put it".to_owned()),
                None => self.places.print(path, place).await,
            };
            match print {
                Ok(Some(print)) => all.push(print),
                Ok(None) => return Err(format!("input {place}: nothing is there")),
                Err(why) => return Err(format!("input {place}: {why}")),
            }
        }
        Ok(all)
    }

    async fn meaning(&self) -> Result<String, String> {
        match &self.pinned {
            _ if self.image.contains("@sha256:") => Ok(self.image.clone()),
            Some(id) => Ok(id.clone()),
            None => {
                let known = meaning(&self.program, &self.image, self.pull).await;
                known.map_err(|why| format!("image {}: {why}; write it with its digest", self.image))
            }
        }
    }

    async fn find(&self, wanted: &Wanted) -> Result<Result<Found, Missed>, StoreError> {
        let (store, listed) = (&self.places.store, cache::list(&self.places.store, &self.job, &self.stage).await?);
        let mut earlier: Vec<Success> = Vec::new();
        let (same, others): (Vec<&Listed>, Vec<&Listed>) = listed.iter().partition(|one| one.key == self.key);
        for one in same.into_iter().take(SAME) {
            earlier.extend(cache::get(store, (&self.job, &self.stage), one).await?);
        }
        let mut spoilt = None;
        for success in fitting(wanted, &earlier) {
            match self.places.take(success).await {
                Ok(()) => {
                    let Success { run, results, kept, .. } = success.clone();
                    return Ok(Ok(Found { from: run, results, kept }));
                }
                Err(why) if spoilt.is_none() => {
                    spoilt = Some(Missed { nearest: Some(success.run.clone()), changed: vec![why] });
                }
                Err(_) => {}
            }
        }
        if let Some(missed) = spoilt {
            return Ok(Err(missed));
        }
        if earlier.is_empty() {
            for one in others.into_iter().take(OTHERS) {
                earlier.extend(cache::get(store, (&self.job, &self.stage), one).await?);
            }
        }
        Ok(Err(nearest(wanted, &earlier)))
    }
}
