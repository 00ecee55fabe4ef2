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
    /// Why there may be more, in a sentence.
    pub short: Option<String>,
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

/// Runs whose `run.json` is read at once: in HDFS each costs some round trips.
const AT_ONCE: usize = 16;

/// Every run, newest first. A directory without `run.json` is no run: its submission never finished.
pub async fn runs(store: &Store) -> Result<Runs, StoreError> {
    newest_runs(store, usize::MAX).await
}

/// The newest runs, at most `max` of them.
pub async fn newest_runs(store: &Store, max: usize) -> Result<Runs, StoreError> {
    let mut found = Runs::default();
    for some in ids(store).await?.chunks(AT_ONCE) {
        read_infos(store, some, &mut found).await;
        if found.list.len() >= max {
            found.list.truncate(max);
            break;
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
    let ids = ids(store).await?;
    let mut fits = Runs::default();
    for some in ids.chunks(AT_ONCE) {
        let mut here = Runs::default();
        read_infos(store, some, &mut here).await;
        let wanted = |info: &RunInfo| query == "@latest" || info.job == query;
        if let Some(at) = here.list.iter().position(wanted) {
            return Ok(found(here.list.swap_remove(at)));
        }
        let begins = |run: &RunId| !lower.is_empty() && (run.as_str().starts_with(&lower) || run.short() == lower);
        fits.list.extend(here.list.into_iter().filter(|info| begins(&info.run)));
    }
    let mut list = fits.list;
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

/// Reads several at once, and adds them in their order.
async fn read_infos(store: &Store, ids: &[RunId], to: &mut Runs) {
    let reads: Vec<_> = ids
        .iter()
        .map(|run| {
            let (store, run) = (store.clone(), run.clone());
            tokio::spawn(async move { (read_info(&store, &run).await, run) })
        })
        .collect();
    for read in reads {
        match read.await {
            Ok((Ok(Some(info)), _)) => to.list.push(info),
            Ok((Ok(None), _)) => {}
            Ok((Err(e), run)) => to.damaged.push((run, e)),
            Err(join) => std::panic::resume_unwind(join.into_panic()),
        }
    }
}

async fn read_info(store: &Store, run: &RunId) -> Result<Option<RunInfo>, StoreError> {
    let name = RunDir::new(run).info();
    let Some(text) = store.get_opt(&name).await? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|e| StoreError::damaged("understand", name, e.to_string()))
}
