//! Successes of stages that later runs may take: one small file each, found without a look into any run.

use dybox_model::RunId;
use dybox_model::cache::Success;

use crate::layout;
use crate::{Store, StoreError};

/// Version of the encoding.
pub const VERSION: u32 = 1;
/// Most successes of a stage; the oldest go.
const MOST: usize = 300;

/// A file of the index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The run in which the stage succeeded; runs sort by the time of their submission.
    pub run: RunId,
    /// What it depended on, in short.
    pub key: String,
    /// Its bytes.
    pub len: u64,
}

/// All successes of a stage that are written down, the newest first.
///
/// # Errors
/// The store's, where it does not answer.
pub async fn list(store: &Store, job: &str, stage: &str) -> Result<Vec<Listed>, StoreError> {
    let entries = match store.list(&layout::cached(job, stage)).await {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        entries => entries?,
    };
    let listed = entries.into_iter().filter_map(|entry| {
        let (key, run) = entry.name.split_once('.')?;
        Some(Listed { run: run.parse().ok()?, key: key.to_owned(), len: entry.len })
    });
    let mut all: Vec<Listed> = listed.collect();
    all.sort_by(|one, other| other.cmp(one));
    Ok(all)
}

/// One of them; nothing where it went meanwhile or can't be understood.
///
/// # Errors
/// The store's, where it does not answer.
pub async fn get(store: &Store, (job, stage): (&str, &str), one: &Listed) -> Result<Option<Success>, StoreError> {
    let Some(text) = store.get_opt(&name(job, stage, one)).await? else { return Ok(None) };
    let success = serde_json::from_slice::<Success>(&text).ok();
    Ok(success.filter(|success| success.version == VERSION && success.run == one.run))
}

/// Writes one down, in one step, and lets the oldest go where there are too many.
///
/// # Errors
/// The store's.
pub async fn put(store: &Store, (job, stage): (&str, &str), key: &str, success: &Success) -> Result<(), StoreError> {
    let own = Listed { run: success.run.clone(), key: key.to_owned(), len: 0 };
    store.put(&name(job, stage, &own), serde_json::to_vec(success).expect("text and numbers are JSON")).await?;
    for old in list(store, job, stage).await?.iter().skip(MOST) {
        store.remove(&name(job, stage, old)).await?;
    }
    Ok(())
}

/// All that runs left of a job: by stage.
///
/// # Errors
/// The store's.
pub async fn of_job(store: &Store, job: &str) -> Result<Vec<(String, Listed)>, StoreError> {
    let stages = match store.list(&layout::cached_of_job(job)).await {
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        stages => stages?,
    };
    let mut all = Vec::new();
    for stage in stages.into_iter().filter(|entry| entry.is_dir).map(|entry| entry.name) {
        all.extend(list(store, job, &stage).await?.into_iter().map(|one| (stage.clone(), one)));
    }
    Ok(all)
}

/// Takes one away.
///
/// # Errors
/// The store's.
pub async fn remove(store: &Store, (job, stage): (&str, &str), one: &Listed) -> Result<(), StoreError> {
    store.remove(&name(job, stage, one)).await.map(drop)
}

fn name(job: &str, stage: &str, one: &Listed) -> String {
    format!("{}/{}.{}", layout::cached(job, stage), one.key, one.run)
}

#[cfg(test)]
mod tests {
    use dybox_model::Millis;

    use super::*;

    fn success(run: &str) -> Success {
        Success {
            version: VERSION,
            run: run.parse().unwrap(),
            at: Millis(1),
            fields: [].into(),
            image: "sha256:a".to_owned(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            kept: Vec::new(),
            results: vec![Some("1".to_owned()), None],
        }
    }

    #[tokio::test]
    async fn successes_are_listed_by_age_and_damage_counts_as_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (store, of) = (Store::open_dir(dir.path()), ("nightly", "a"));
        assert!(list(&store, "nightly", "a").await.unwrap().is_empty());
        let id = |n: u32| format!("01jd0000000000000000{n:06}");
        for n in [2, 1, 3] {
            put(&store, of, "k", &success(&id(n))).await.unwrap();
        }
        // Two runs, and one of them twice.
        put(&store, of, "k", &success(&id(3))).await.unwrap();
        let all = list(&store, "nightly", "a").await.unwrap();
        assert_eq!(all.iter().map(|one| one.run.to_string()).collect::<Vec<_>>(), [id(3), id(2), id(1)]);
        assert_eq!(get(&store, of, &all[0]).await.unwrap(), Some(success(&id(3))));
        store.put(&name("nightly", "a", &all[1]), "{").await.unwrap();
        assert_eq!(get(&store, of, &all[1]).await.unwrap(), None);
        remove(&store, of, &all[0]).await.unwrap();
        assert_eq!(get(&store, of, &all[0]).await.unwrap(), None);
        assert_eq!(of_job(&store, "nightly").await.unwrap().len(), 2);
        for n in 10..u32::try_from(MOST).unwrap() + 12 {
            put(&store, of, "k", &success(&id(n))).await.unwrap();
        }
        let all = list(&store, "nightly", "a").await.unwrap();
        assert_eq!((all.len(), all.last().map(|one| one.run.to_string())), (MOST, Some(id(12))));
    }
}
