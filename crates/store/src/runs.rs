//! The list of runs, and finding one in it.

use dybox_model::RunId;

use crate::layout::{RUNS, RunDir};
use crate::{RunInfo, Store, StoreError};

/// All runs of a store.
#[derive(Debug, Default)]
pub struct Runs {
    /// Newest first.
    pub list: Vec<RunInfo>,
    /// Runs whose `run.json` can't be read, with what is wrong.
    pub damaged: Vec<(RunId, StoreError)>,
}

/// What a query meant.
#[derive(Debug)]
pub enum FoundRun {
    /// This run.
    Found(Box<RunInfo>),
    /// No run.
    None,
    /// Several runs, newest first: the beginning of an id must tell them apart.
    Ambiguous(Vec<RunInfo>),
}

/// Every run, newest first. A directory without `run.json` is no run: its submission never finished.
pub async fn runs(store: &Store) -> Result<Runs, StoreError> {
    let mut found = Runs::default();
    for run in ids(store).await? {
        match read_info(store, &run).await {
            Ok(Some(info)) => found.list.push(info),
            Ok(None) => {}
            Err(e) => found.damaged.push((run, e)),
        }
    }
    Ok(found)
}

/// Finds a run by `@latest`, its id, the job's name (then the newest), the beginning of its id, or the id's last
/// eight characters, as names of containers show them. The first of these that fits anything wins.
pub async fn find_run(store: &Store, query: &str) -> Result<FoundRun, StoreError> {
    let found = |info| FoundRun::Found(Box::new(info));
    let lower = query.to_ascii_lowercase();
    if let Ok(run) = lower.parse::<RunId>() {
        return Ok(read_info(store, &run).await?.map_or(FoundRun::None, found));
    }
    let mut list = runs(store).await?.list;
    if query == "@latest" {
        return Ok(list.into_iter().next().map_or(FoundRun::None, found));
    }
    if let Some(at) = list.iter().position(|info| info.job == query) {
        return Ok(found(list.swap_remove(at)));
    }
    list.retain(|info| !lower.is_empty() && (info.run.as_str().starts_with(&lower) || info.run.short() == lower));
    Ok(match list.len() {
        0 => FoundRun::None,
        1 => found(list.remove(0)),
        _ => FoundRun::Ambiguous(list),
    })
}

async fn ids(store: &Store) -> Result<Vec<RunId>, StoreError> {
    let mut ids: Vec<RunId> = store.list(RUNS).await?.iter().filter_map(|entry| entry.name.parse().ok()).collect();
    // ULIDs sort by the time of submission.
    ids.sort_by(|a, b| b.cmp(a));
    Ok(ids)
}

async fn read_info(store: &Store, run: &RunId) -> Result<Option<RunInfo>, StoreError> {
    let name = RunDir::new(run).info();
    let Some(text) = store.get_opt(&name).await? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|e| StoreError::damaged("understand", name, e.to_string()))
}
