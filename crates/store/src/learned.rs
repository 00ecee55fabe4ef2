//! What runs of a job measured, for its next run.

use std::collections::BTreeMap;

use dybox_model::Millis;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::layout;
use crate::{Store, StoreError};

/// Version of the encoding.
const VERSION: u32 = 1;

/// What the tasks of one stage needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The stage's name.
    pub stage: String,
    /// Its image, as the job file names it: with another one nothing is known.
    pub image: String,
    /// Memory that 95 of 100 tasks needed at most, in bytes.
    pub memory: u64,
    /// How many tasks that says.
    pub tasks: u32,
    /// When.
    pub at: Millis,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    version: u32,
    stages: Vec<Learned>,
}

/// Writes down what a sub-DAG of these stages taught, in the place of what it taught before.
///
/// # Errors
/// The store's.
pub async fn put(store: &Store, job: &str, stages: &[&str], learned: Vec<Learned>) -> Result<(), StoreError> {
    let names = stages.join("\n");
    let name = format!("{}/{}.json", layout::learned(job), &hex::encode(Sha256::digest(names))[..16]);
    let file = File { version: VERSION, stages: learned };
    store.put(&name, serde_json::to_vec(&file).expect("text and numbers are JSON")).await
}

/// All that runs of a job taught, by stage and image: the newest counts. What can't be read is as if it were not there.
///
/// # Errors
/// The store's, where it does not answer.
pub async fn of_job(store: &Store, job: &str) -> Result<BTreeMap<(String, String), Learned>, StoreError> {
    let dir = layout::learned(job);
    let mut all: BTreeMap<(String, String), Learned> = BTreeMap::new();
    for entry in store.list(&dir).await?.into_iter().filter(|entry| entry.name.ends_with(".json")) {
        let Some(text) = store.get_opt(&format!("{dir}/{}", entry.name)).await? else { continue };
        let Ok(file) = serde_json::from_slice::<File>(&text) else { continue };
        for learned in file.stages.into_iter().filter(|_| file.version == VERSION) {
            let key = (learned.stage.clone(), learned.image.clone());
            if all.get(&key).is_none_or(|known| known.at <= learned.at) {
                all.insert(key, learned);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(stage: &str, memory: u64, at: u64) -> Learned {
        Learned { stage: stage.to_owned(), image: "busybox".to_owned(), memory, tasks: 3, at: Millis(at) }
    }

    #[tokio::test]
    async fn the_newest_of_all_cuts_counts_and_damage_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_dir(dir.path());
        assert!(of_job(&store, "nightly").await.unwrap().is_empty());
        put(&store, "nightly", &["a", "b"], vec![learned("a", 7, 10), learned("b", 8, 10)]).await.unwrap();
        put(&store, "nightly", &["a"], vec![learned("a", 9, 20)]).await.unwrap();
        store.put("learned/nightly/torn.json", "{").await.unwrap();
        let all = of_job(&store, "nightly").await.unwrap();
        let memory = |stage: &str| all[&(stage.to_owned(), "busybox".to_owned())].memory;
        assert_eq!((memory("a"), memory("b"), all.len()), (9, 8, 2));
        assert!(of_job(&store, "other").await.unwrap().is_empty());
    }
}
