//! After the death of a proxy: ends what it left, finds out how its attempts ended, and clears up.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use dybox_engine::{Asked, End, Engine, EngineConf, EngineError, STOP_NOW, Verdict, exit_of};
use dybox_logic::proxy::LEASE_DEAD;
use dybox_model::{AttemptId, Cause, EndedBy, Exit, Usage};
use dybox_redact::Words;
use dybox_store::archive::{ArchiveWriter, Stream};
use dybox_store::{Lock, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::cgroup::GrantCgroup;
use crate::clock::Clock;
use crate::conf::Places;
use crate::error::{ProxyError, file_error};
use crate::files::{Files, absent_is_fine, write_whole};
use crate::ports::read_secret;
use crate::remove::{clear_directory, is_kept, ours, remove_all, remove_networks};
use crate::result::{read_result, read_verdict};
use crate::ship::{Caps, Tail, said};

/// A proxy that is about to end gets this long to let go of its grant.
const OWNER: Duration = Duration::from_secs(10);
/// Between the order to end at once and the removal, for inits to write their verdicts.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Until a list of the engine shows nothing of the grant any more.
const LISTED: Duration = Duration::from_secs(30);

/// What a sweep found: one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// The grant, as text.
    pub grant: String,
    /// Every attempt that left a trace here.
    pub exits: Vec<Found>,
}

/// How one attempt ended, as far as it left a word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The attempt, as text.
    pub attempt: String,
    /// Its end; nothing where nobody can tell.
    pub exit: Option<Exit>,
}

/// Sweeps one grant. May be done again at any time.
pub(crate) async fn sweep(places: Places, engine: &EngineConf) -> Result<SweepReport, ProxyError> {
    let clock = Clock::start();
    let root = places.path(&places.grant.root());
    dybox_store::local::make_dir(&root)?;
    let owner = Lock::acquire(&places.path(&places.grant.owner()), OWNER).await?;
    let _owner = owner.ok_or(ProxyError::Alive { grant: places.grant_id })?;
    let attempts = attempts(&places)?;
    // An init that starts from here on finds no spec and starts nothing.
    for &attempt in &attempts {
        Files::of(&places, attempt).revoke();
    }
    end_containers(&places, &attempts, engine).await?;
    GrantCgroup::recall(&places).clean();
    let exits = attempts.iter().map(|&attempt| found(&places, attempt, clock)).collect();
    let report = SweepReport { grant: places.grant_id.to_string(), exits };
    let undrained = drain(&places, &attempts, clock).await;
    record(&places, &report, attempts.difference(&undrained))?;
    let keep = |attempt| is_kept(&places, attempt) || undrained.contains(&attempt);
    clear_directory(&root, keep).map_err(file_error("empty", &root))?;
    if places.far.is_some() {
        // Its archive is still to be brought to the store.
        return Ok(report);
    }
    let share = places.share();
    absent_is_fine(fs::remove_file(&share)).map_err(file_error("remove the share", share))?;
    Ok(report)
}

/// Writes down what was found before its traces go: this process may die before its caller has heard of it. On a full
/// disk the output that is shipped makes room for it.
fn record<'a>(
    places: &Places,
    report: &SweepReport,
    shipped: impl Iterator<Item = &'a AttemptId>,
) -> Result<(), ProxyError> {
    if report.exits.is_empty() {
        return Ok(());
    }
    write_down(places, report, shipped)
}

/// The same of a sweep that may have found nothing.
pub(crate) fn record_all(places: &Places, report: &SweepReport) -> Result<(), ProxyError> {
    if report.exits.is_empty() { write_down(places, report, [].into_iter()) } else { Ok(()) }
}

fn write_down<'a>(
    places: &Places,
    report: &SweepReport,
    shipped: impl Iterator<Item = &'a AttemptId>,
) -> Result<(), ProxyError> {
    let path = places.path(&places.grant.swept());
    // In one write, and on a line of its own: what is before it may be torn.
    let line = format!("\n{}\n", serde_json::to_string(report).expect("a report is JSON"));
    let append = || {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        file.write_all(line.as_bytes())?;
        file.sync_data()
    };
    let first = append();
    if first.is_err() {
        for &attempt in shipped {
            let files = Files::of(places, attempt);
            let _ = files.remove_logs().and(files.remove_data());
        }
    }
    first.or_else(|_| append()).map_err(file_error("write", &path))
}

/// Every attempt that has a file in the grant's directory.
fn attempts(places: &Places) -> Result<BTreeSet<AttemptId>, ProxyError> {
    let root = places.path(&places.grant.root());
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(&root).map_err(file_error("list", &root))? {
        let name = entry.map_err(file_error("list", &root))?.file_name();
        let name = name.to_string_lossy();
        found.extend(name.split('.').next().and_then(|stem| stem.parse::<AttemptId>().ok()));
    }
    Ok(found)
}

/// Returns once no container of the grant lives: because the engine says so, or because no lease lasts that long.
async fn end_containers(
    places: &Places,
    attempts: &BTreeSet<AttemptId>,
    engine: &EngineConf,
) -> Result<(), ProxyError> {
    let dead = Instant::now() + Duration::from_millis(LEASE_DEAD.0);
    let secret = read_secret(places)?;
    // One that crashed may have forgotten a container that runs on.
    let alive = || attempts.iter().any(|&one| !is_kept(places, one) && Files::of(places, one).alive());
    loop {
        match end_by_engine(places, &secret, engine).await {
            Ok(0) if !alive() || Instant::now() >= dead => return Ok(()),
            Ok(0) => tracing::warn!("the engine knows of no container, and one runs on"),
            Ok(left) if Instant::now() >= dead => return Err(ProxyError::Leftover { grant: places.grant_id, left }),
            Ok(_) => {}
            Err(error) if Instant::now() >= dead => {
                tracing::warn!(%error, "the engine does not answer; all leases are over");
                return Ok(());
            }
            Err(error) => tracing::warn!(%error, "the engine does not answer"),
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn end_by_engine(places: &Places, secret: &str, engine: &EngineConf) -> Result<usize, EngineError> {
    let engine = Engine::connect(engine.clone()).await?;
    let end = Instant::now() + LAST_WORDS;
    let mut told = false;
    loop {
        let running: Vec<_> = ours(&engine, places, secret).await?.into_iter().filter(|one| one.running).collect();
        if running.is_empty() || Instant::now() >= end {
            break;
        }
        if !told {
            for one in &running {
                engine.kill(&one.id, STOP_NOW).await?;
            }
            told = true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let left = remove_all(&engine, places, (secret, None), LISTED).await?;
    remove_networks(&engine, places, secret).await?;
    Ok(left)
}

/// What is known of an attempt's end: what its proxy saved, else what its init wrote.
fn found(places: &Places, attempt: AttemptId, clock: Clock) -> Found {
    let path = places.saved(attempt);
    let saved = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let exit = saved.or_else(|| {
        // Saved too: whoever asked for this sweep may die before it has written the end down.
        let exit = by_verdict(places, attempt, clock)?;
        let text = serde_json::to_vec(&exit).expect("an end is JSON");
        if let Err(error) = write_whole(&path, text.as_slice(), 0o600) {
            tracing::warn!(path = %path.display(), %error, "can't save an end");
        }
        Some(exit)
    });
    Found { attempt: attempt.to_string(), exit }
}

fn by_verdict(places: &Places, attempt: AttemptId, clock: Clock) -> Option<Exit> {
    let files = Files::of(places, attempt);
    let verdict = Verdict::parse(&read_verdict(&files.verdict()).ok()??)?;
    // Where a container has several, the last words may be those of the one before.
    verdict.task.as_ref().is_none_or(|task| *task == attempt.to_string()).then_some(())?;
    let asked = Asked { by: EndedBy::Stop, cause: Cause::ProxyLost, text: "its proxy died".to_owned() };
    let mut exit = exit_of(&End {
        verdict: Some(&verdict),
        asked: Some(&asked),
        now: clock.now(),
        usage: Usage::default(),
        ..End::default()
    });
    // Its init has hidden what had to be.
    read_result(&files, &Words::default()).put_into(&mut exit);
    Some(exit)
}

/// Ships what the proxy did not; whose output could not be shipped.
async fn drain(places: &Places, attempts: &BTreeSet<AttemptId>, clock: Clock) -> BTreeSet<AttemptId> {
    let mut undrained = BTreeSet::new();
    let store = Store::open_dir(places.home.dir());
    let name = places.run.archive(places.grant_id);
    let mut archive = None;
    if places.path(&name).exists() {
        archive = open(&store, &name).await;
    }
    for &attempt in attempts {
        let files = Files::of(places, attempt);
        for (stream, path) in [(Stream::Stdout, &files.stdout), (Stream::Stderr, &files.stderr)] {
            let Ok(mut tail) = Tail::open(stream, path, Caps::default()) else { continue };
            if tail.waiting().unwrap_or(0) == 0 {
                continue;
            }
            if archive.is_none() {
                archive = open(&store, &name).await;
            }
            let done = match &mut archive {
                Some(archive) => tail.ship_all(archive, attempt, clock.now()).await,
                None => Err(()),
            };
            if done.is_err() {
                archive = None;
                undrained.insert(attempt);
            }
        }
    }
    if let Some(archive) = archive
        && let Err(error) = archive.close_synced().await
    {
        tracing::warn!(error = said(&error), "can't close the archive");
    }
    undrained
}

async fn open(store: &Store, name: &str) -> Option<ArchiveWriter> {
    let opened: Result<_, StoreError> = ArchiveWriter::open(store, name).await;
    opened.map_err(|error| tracing::warn!(error = said(&error), "can't open the archive")).ok()
}
