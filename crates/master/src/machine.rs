//! A master on one machine: a lock, a socket in the run's directory, the embedded resource manager.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dybox_job::Plan;
use dybox_local::{self as local, Ledger, Local};
use dybox_model::{Fact, GrantId, Keep, Resources, StageEnd, SubDagId};
use dybox_store::Store;
use dybox_store::layout::{Home, MASTER_SOCKET, Machine, RunDir};
use dybox_wire::serve;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::actor::{Actor, Parts, now};
use crate::cache::Cache;
use crate::inbox::Inbox;
use crate::links::Links;
use crate::next::{Here, Others, Rest};
use crate::perform::Ports;
use crate::recover::{Recovered, has_ended, hold, read, recover, stop_mark};
use crate::rm::{FromRm, OneMachine, Rm};
use crate::{Conf, MasterError};

/// Gets one sub-DAG done: returns when it has ended and nothing of it is left, or when this process can't go on.
/// Made for a current-thread runtime.
///
/// # Errors
/// [`MasterError`]; `Held` when another master lives.
pub async fn run(conf: Conf) -> Result<(), MasterError> {
    let (home, dir) = Home::of_run_dir(&conf.run_dir).ok_or_else(|| MasterError::NoRun(conf.run_dir.clone()))?;
    let sub_dir = home.path(&dir.sub(conf.subdag).root());
    // Held for life.
    let _lock = hold(conf.subdag, &home.path(&dir.sub(conf.subdag).lock())).await?;
    let recovered = recover(&conf, &home, dir, now()).await?;
    let (server, calls) = serve(&sub_dir, MASTER_SOCKET).await?;
    // Before the first decision: what is found now is no hook of this master.
    dybox_driver::end_orphans(&sub_dir).await;
    let (tell, from_rm) = mpsc::unbounded_channel();
    let (hook_events, from_hooks) = mpsc::unbounded_channel();
    let ledger = Ledger::open(ledger_conf(&conf, &home, &recovered))?;
    let shares = ledger.own_shares()?;
    let machine = OneMachine::new(start(ledger, tell));
    let known: BTreeSet<GrantId> = recovered.mind.master.grants().collect();
    let past = machine.look_after_the_past(&known, &shares);
    let Recovered { store, dir, info, plan, planned, mind, live, book, upstream, .. } = recovered;
    let (policy, profiles, mut first) = (recovered.policy, recovered.profiles, recovered.first);
    let (epoch, opening) = (recovered.epoch, recovered.opening);
    let (cache, found) = Cache::new(conf.binary.clone(), None, recovered.seen);
    if !planned.is_last(conf.subdag) {
        first.extend(stop_mark(&store, &dir).await?);
    }
    let used = run_volumes(&home, &dir, &plan, conf.subdag);
    let past_of = (store.clone(), dir.sub(conf.subdag).journal());
    let (names, outline) = (dir.clone(), planned.clone());
    let here = Here { home, run_dir: conf.run_dir, binary: conf.binary };
    let mirror = (store.clone(), dir.sub(conf.subdag).journal());
    let rest = Rest { store, dir, own: conf.subdag, plan: planned, others: Others::Here(here) };
    let (links, hooks, prepared) = (Links::default(), BTreeMap::new(), BTreeMap::new());
    let (rm, telling) = (Rm::Machine(machine), JoinSet::new());
    let hook_events = crate::names::first(&rest, hook_events);
    let ports = Ports {
        info,
        plan,
        rest,
        links,
        rm,
        hook_events,
        hooks,
        upstream,
        policy,
        profiles,
        prepared,
        cache,
        telling,
        wishes: None,
        sub_dir,
    };
    let actor = Actor::new(Parts { mind, live, book, ports, mirror, epoch, opening, settled: None });
    let served = actor.serve(
        Inbox { calls, from_rm, from_hooks, found, advice: mpsc::unbounded_channel().1 },
        server,
        first,
        past,
    );
    served.await?;
    remove_secrets((&past_of.0, &names), &outline, conf.subdag).await;
    remove_volumes(&used, &past_of).await
}

/// Values of secrets go with the end of who needs them: this sub-DAG, and, where the run was stopped, those that no
/// master will ever begin. `dybox resume` reads them again.
async fn remove_secrets((store, dir): (&Store, &RunDir), plan: &Plan, own: SubDagId) {
    let stopped = store.exists(&dir.stop()).await.unwrap_or(false);
    for subdag in (0..).map(SubDagId).take(plan.subdags.len()).filter(|subdag| stopped || *subdag == own) {
        let name = dir.sub(subdag).secrets();
        if plan.secrets(Some(subdag)).is_empty() || !store.exists(&name).await.unwrap_or(false) {
            continue;
        }
        let facts = read(store, &dir.sub(subdag).journal()).await.map(|(facts, _)| facts).unwrap_or_default();
        if (has_ended(&facts) || facts.is_empty() && subdag != own)
            && let Err(error) = store.remove(&name).await
        {
            tracing::warn!("the values of secrets in {name} can't be removed: {error}");
        }
    }
}

/// The volumes of the run that the stages of this sub-DAG have for themselves, where it has succeeded. After any other
/// end they stay: a run that is resumed goes on with them, and `dybox gc` removes them.
async fn remove_volumes(used: &BTreeSet<PathBuf>, (store, journal): &(Store, String)) -> Result<(), MasterError> {
    if used.is_empty() {
        return Ok(());
    }
    let (facts, _) = read(store, journal).await?;
    let succeeded = |fact: &Fact| matches!(fact, Fact::Ended { end: StageEnd::Succeeded, .. });
    if has_ended(&facts) && facts.iter().rev().find(|fact| matches!(fact, Fact::Ended { .. })).is_some_and(succeeded) {
        for path in used.iter().filter(|path| path.exists()) {
            if let Err(error) = std::fs::remove_dir_all(path) {
                tracing::warn!(path = %path.display(), %error, "a volume of the run can't be removed; dybox gc tries again");
            }
        }
        let parent = used.iter().filter_map(|path| path.parent()).next();
        // Stages of another sub-DAG may have volumes of the run too.
        let _ = parent.map(std::fs::remove_dir);
    }
    Ok(())
}

/// Where the volumes of the run lie that stages of a sub-DAG mount.
fn run_volumes(home: &Home, dir: &RunDir, plan: &Plan, subdag: SubDagId) -> BTreeSet<PathBuf> {
    let parent = home.path(&dir.volumes());
    let stages = plan.stages.iter().filter(|stage| stage.subdag == subdag);
    let mounts = stages.flat_map(|stage| &stage.volumes).filter(|mount| mount.named == Some(Keep::Run));
    mounts.map(|mount| parent.join(&mount.source)).collect()
}

fn start(ledger: Ledger, tell: mpsc::UnboundedSender<FromRm>) -> Local {
    let (events, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = told.recv().await {
            if tell.send(FromRm::Local(event)).is_err() {
                break;
            }
        }
    });
    Local::start(ledger, events)
}

fn ledger_conf(conf: &Conf, home: &Home, of: &Recovered) -> local::Conf {
    let machine = local::machine();
    local::Conf {
        run: of.info.run.clone(),
        run_dir: conf.run_dir.clone(),
        subdag: conf.subdag,
        epoch: of.epoch,
        budget: Resources {
            cpu_milli: of.info.budget_cpu_milli.unwrap_or(machine.cpu_milli),
            memory: of.info.budget_memory.unwrap_or(machine.memory),
        },
        budget_lock: home.path(&Machine::budget_lock()),
        shares: home.path(&Machine::shares()),
        waiting: home.path(&Machine::waiting()),
        grants: home.path(&of.dir.grants()),
        binary: conf.binary.clone(),
    }
}
