//! Old runs: which of them may go, what that frees, and their removal.

use std::collections::{BTreeMap, BTreeSet};

use dybox_model::{Millis, RunId, SubDagId};
use dybox_store::cache::{self, Listed};
use dybox_store::layout::{Machine, PRUNED, RunDir, VOLUMES, pruned};
use dybox_store::{RunInfo, Store, StoreError};
use serde::Deserialize;

use crate::client::Place;
use crate::submit::made;
use crate::{Client, ClientError};

/// For so long YARN may still know the applications of a run.
const MARKED: Millis = Millis::from_secs(60 * 86_400);

/// Which runs are old. Both must hold where both are given.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// The newest so many of each job stay.
    pub keep: Option<usize>,
    /// Only runs that were submitted before this.
    pub before: Option<Millis>,
    /// Only runs of this job.
    pub job: Option<String>,
}

/// An old run.
#[derive(Debug, Clone)]
pub struct Old {
    /// Who submitted what.
    pub info: RunInfo,
    /// How it stands.
    pub word: &'static str,
    /// What its directory holds, and what it left for later runs to take.
    pub bytes: u64,
    /// Why it must stay; nothing = it may go.
    pub stays: Option<String>,
    /// What is lost with it beside its logs, in phrases.
    pub lost: Vec<String>,
    /// What later runs may take of it: by stage.
    pub cached: Vec<(String, Listed)>,
}

/// Of a plan, who the stages are taken from.
#[derive(Debug, Deserialize)]
struct Takes {
    stages: Vec<TakesStage>,
}

#[derive(Debug, Deserialize)]
struct TakesStage {
    #[serde(default)]
    taken: Option<TakenFrom>,
}

#[derive(Debug, Deserialize)]
struct TakenFrom {
    from: Option<RunId>,
}

impl Rule {
    /// The runs that are old, of all runs, the newest first.
    #[must_use]
    pub fn pick(&self, all: &[RunInfo]) -> Vec<RunInfo> {
        let mut newer: BTreeMap<&str, usize> = BTreeMap::new();
        let mut old = Vec::new();
        for info in all {
            let before = newer.entry(&info.job).or_default();
            *before += 1;
            let kept = self.keep.is_some_and(|keep| *before <= keep);
            let young = self.before.is_some_and(|at| info.submitted >= at);
            let other = self.job.as_ref().is_some_and(|job| *job != info.job);
            if !kept && !young && !other {
                old.push(info.clone());
            }
        }
        old
    }
}

impl Client {
    /// The old runs, and what is to be known before they go.
    ///
    /// # Errors
    /// The store's or the cluster's.
    pub async fn old(&self, rule: &Rule) -> Result<Vec<Old>, ClientError> {
        let all = self.runs().await?.list;
        let picked = rule.pick(&all);
        let doomed: BTreeSet<&RunId> = picked.iter().map(|info| &info.run).collect();
        let mut users: BTreeMap<RunId, Vec<RunId>> = BTreeMap::new();
        let stay: BTreeSet<&RunId> = all.iter().map(|info| &info.run).filter(|run| !doomed.contains(run)).collect();
        for info in all.iter().filter(|info| stay.contains(&info.run)) {
            for from in self.takes_from(&info.run).await? {
                users.entry(from).or_default().push(info.run.clone());
            }
        }
        let mut cached = self.cached(&picked).await?;
        let shares = match self.store.list(&Machine::shares()).await {
            Err(error) if error.is_missing() => Vec::new(),
            shares => shares?,
        };
        let mut old = Vec::new();
        for info in picked {
            let mut one = self.look_at_old(info).await?;
            let share = format!("{}.", one.info.run);
            if one.stays.is_none() && shares.iter().any(|entry| entry.name.starts_with(&share)) {
                one.stays = Some("something of it may be on the engine: dybox gc".to_owned());
            }
            let mut takers = self.takers(&one.info.run).await?;
            takers.extend(users.remove(&one.info.run).unwrap_or_default());
            let takers: Vec<&str> = takers.iter().filter(|run| stay.contains(run)).map(RunId::short).collect();
            if !takers.is_empty() {
                one.lost.push(format!("the logs of stages that {} took from it", some_of(&takers)));
            }
            one.cached = cached.remove(&one.info.run).unwrap_or_default();
            one.bytes += one.cached.iter().map(|(_, listed)| listed.len).sum::<u64>();
            match one.cached.len() {
                0 => {}
                1 => one.lost.push("what later runs may take: 1 stage".to_owned()),
                stages => one.lost.push(format!("what later runs may take: {stages} stages")),
            }
            old.push(one);
        }
        Ok(old)
    }

    async fn look_at_old(&self, info: RunInfo) -> Result<Old, ClientError> {
        let dir = RunDir::new(&info.run);
        let bytes = weigh(&self.store, &dir.root()).await?;
        let subs = names(&self.store, &format!("{}/sub", dir.root())).await?;
        let subdags = subs.iter().filter_map(|name| name.parse::<u32>().ok()).map(|n| n + 1).max();
        // One whose master never ran has none, and has not ended by itself.
        let subdags = subdags.unwrap_or(1);
        let standing = self.standing(&info.run, subdags).await?;
        let mut one = Old { word: standing.word(), bytes, stays: None, lost: Vec::new(), cached: Vec::new(), info };
        let live = standing.applications.values().any(|application| application.phase.is_live());
        if live || !standing.held.is_empty() {
            one.stays = Some("it lives".to_owned());
        } else if !standing.unknown.is_empty() {
            one.stays = Some(standing.unknown.join("; "));
        } else if matches!(self.place, Place::Machine(_)) && keeps(&self.store, &dir).await? {
            // Without its secret nobody could prove what is left there.
            one.stays = Some("a container of it is kept for a look: dybox gc --kept".to_owned());
        } else if one.word != "succeeded" && self.store.exists(&dir.plan()).await? {
            one.lost.push("the way to resume it".to_owned());
        }
        Ok(one)
    }

    /// Removes the directory of a run that is over (plan, journals, logs), and what it left for later ones to take.
    ///
    /// # Errors
    /// The store's; `Held` where it lives again.
    pub async fn forget(&self, old: &Old) -> Result<(), ClientError> {
        let run = &old.info.run;
        if self.is_driven(run, SubDagId(0)).await? {
            let (subdag, by) = (SubDagId(0), self.holder(run, SubDagId(0)).await);
            return Err(ClientError::Held { run: run.clone(), subdag, by });
        }
        if let Place::Cluster(_) = self.place {
            self.store.put_new(&pruned(run), "").await?;
        }
        // First nobody can find it any more.
        for (stage, one) in &old.cached {
            cache::remove(&self.store, (&old.info.job, stage), one).await?;
        }
        self.store.remove_tree(&RunDir::new(run).root()).await?;
        Ok(())
    }

    /// Takes away marks of removed runs whose applications YARN has long forgotten.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_marks(&self, now: Millis) -> Result<(), ClientError> {
        for mark in names(&self.store, PRUNED).await? {
            let made = mark.parse().ok().and_then(|run: RunId| made(&run));
            if made.is_none_or(|made| made.after(MARKED) < now) {
                self.store.remove(&format!("{PRUNED}/{mark}")).await?;
            }
        }
        Ok(())
    }

    /// Named volumes of this machine, which outlive runs: each with its bytes. Those of a cluster's machines lie there.
    ///
    /// # Errors
    /// The store's.
    pub async fn volumes(&self) -> Result<Vec<(String, u64)>, ClientError> {
        let mut all = Vec::new();
        if let Place::Machine(_) = self.place {
            for name in names(&self.store, VOLUMES).await? {
                // What tasks of other users left there may be closed to us.
                let bytes = weigh(&self.store, &format!("{VOLUMES}/{name}")).await.unwrap_or(0);
                all.push((name, bytes));
            }
        }
        Ok(all)
    }

    /// What these runs left for later ones to take.
    async fn cached(&self, picked: &[RunInfo]) -> Result<BTreeMap<RunId, Vec<(String, Listed)>>, ClientError> {
        let mut all: BTreeMap<RunId, Vec<(String, Listed)>> = BTreeMap::new();
        let jobs: BTreeSet<&str> = picked.iter().map(|info| info.job.as_str()).collect();
        for job in jobs {
            for (stage, one) in cache::of_job(&self.store, job).await? {
                all.entry(one.run.clone()).or_default().push((stage, one));
            }
        }
        Ok(all)
    }

    /// Runs that took something from this one when a stage of theirs began.
    async fn takers(&self, run: &RunId) -> Result<Vec<RunId>, ClientError> {
        let marks = names(&self.store, &RunDir::new(run).takers()).await?;
        Ok(marks.iter().filter_map(|mark| mark.parse().ok()).collect())
    }

    async fn takes_from(&self, run: &RunId) -> Result<BTreeSet<RunId>, ClientError> {
        let Some(text) = self.store.get_opt(&RunDir::new(run).plan()).await? else { return Ok(BTreeSet::new()) };
        // A plan that can't be read takes nothing that could be named.
        let takes = serde_json::from_slice::<Takes>(&text).ok();
        let stages = takes.into_iter().flat_map(|takes| takes.stages);
        Ok(stages.filter_map(|stage| stage.taken?.from).collect())
    }
}

/// The first few, and how many more.
fn some_of(list: &[&str]) -> String {
    const FEW: usize = 3;
    let shown = list[..list.len().min(FEW)].join(", ");
    if list.len() > FEW { format!("{shown} and {} more", list.len() - FEW) } else { shown }
}

/// Whether a container of it is kept for a look.
async fn keeps(store: &Store, dir: &RunDir) -> Result<bool, StoreError> {
    for grant in names(store, &dir.grants()).await? {
        let left = names(store, &format!("{}/{grant}", dir.grants())).await?;
        if left.iter().any(|name| name.ends_with(".kept")) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn names(store: &Store, dir: &str) -> Result<Vec<String>, StoreError> {
    match store.list(dir).await {
        Err(error) if error.is_missing() => Ok(Vec::new()),
        entries => Ok(entries?.into_iter().map(|entry| entry.name).collect()),
    }
}

/// Bytes of all files below a directory.
async fn weigh(store: &Store, dir: &str) -> Result<u64, StoreError> {
    let (mut bytes, mut open) = (0, vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        let entries = match store.list(&dir).await {
            Err(error) if error.is_missing() => continue,
            entries => entries?,
        };
        for entry in entries {
            match entry.is_dir {
                true => open.push(format!("{dir}/{}", entry.name)),
                false => bytes += entry.len,
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(n: u64, job: &str) -> RunInfo {
        let info = serde_json::json!({
            "version": 1, "run": format!("01jd000000000000000000{n:04}"), "job": job, "tags": [], "uid": 0, "gid": 0,
            "user": "u", "cwd": "/", "job_file": null, "job_sha256": "", "submitted": n, "binary": "/d",
        });
        serde_json::from_value(info).expect("a run's record")
    }

    fn picked(rule: &Rule) -> Vec<u64> {
        let all = [info(9, "a"), info(8, "b"), info(7, "a"), info(6, "a"), info(5, "b")];
        rule.pick(&all).iter().map(|info| info.submitted.0).collect()
    }

    #[test]
    fn the_newest_of_each_job_stay_and_what_is_young() {
        assert_eq!(picked(&Rule { keep: Some(1), ..Rule::default() }), [7, 6, 5]);
        assert_eq!(picked(&Rule { before: Some(Millis(7)), ..Rule::default() }), [6, 5]);
        assert_eq!(picked(&Rule { keep: Some(2), before: Some(Millis(9)), job: None }), [6]);
        assert_eq!(picked(&Rule { keep: Some(0), before: None, job: Some("b".to_owned()) }), [8, 5]);
    }
}
