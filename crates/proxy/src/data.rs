//! Inputs and outputs: brought to this machine before the container is made, and put under their names after it succeeded.
//!
//! They lie beside the attempt's other files. An input is mounted read-only; the directory of an output is a fresh one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dybox_model::{AttemptId, Cause, Mount, Moved, Note, TaskSpec, Transfer, format_bytes};
use dybox_store::transfer::{self, Copied};
use dybox_store::{HdfsConf, Kind, Store, StoreError};
use tokio::time::Instant;

use crate::conf::Places;
use crate::files::Files;
use crate::policy;
use crate::ports::Ports;
use crate::start::Refused;

/// A NameNode that restarts is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// No more notes on progress than four a second.
const NOTE_EVERY: Duration = Duration::from_millis(250);
/// What stays free on the disk, whatever the inputs.
const SPARE: u64 = 64 << 20;

/// Where files lie or go.
enum At {
    /// A path of this machine.
    Here(PathBuf),
    /// A name of a store.
    There(Store, String),
}

impl At {
    fn of(places: &Places, place: &str) -> Result<Self, Refused> {
        if let Some(name) = place.strip_prefix("run:") {
            let name = format!("{}/{}", places.run.data(), name.trim_matches('/'));
            return Ok(match &places.far {
                Some(far) => Self::There(far.store.with_patience(PATIENCE), name),
                None => Self::Here(places.path(&name)),
            });
        }
        if let Some(path) = place.strip_prefix("file://") {
            return Ok(Self::Here(PathBuf::from(path)));
        }
        store_at(places, place).map(|(store, name)| Self::There(store, name))
    }
}

/// The HDFS of a place (`hdfs://...`), and the name there.
pub(crate) fn store_at(places: &Places, place: &str) -> Result<(Store, String), Refused> {
    let bad = |why: &str| Refused { cause: Cause::InputMissing, text: format!("{place}: {why}") };
    let conf = places.far.as_ref().and_then(|far| far.hdfs.clone());
    let conf = conf.map_or_else(HdfsConf::of_env, Ok).map_err(|error| bad(&error.to_string()))?;
    let (conf, name) = conf.at(place).ok_or_else(|| bad("it is no place in an HDFS that is known here"))?;
    Ok((Store::hdfs(conf)?.with_patience(PATIENCE), name))
}

/// Brings all inputs of an attempt.
pub(crate) async fn bring(ports: &Ports, spec: &TaskSpec) -> Result<Vec<Moved>, Refused> {
    let mut all = Vec::new();
    let files = Files::of(&ports.places, spec.attempt);
    if spec.inputs.is_empty() {
        return Ok(all);
    }
    files.remove_data()?;
    dybox_store::local::make_dir(&files.data)?;
    for (n, input) in spec.inputs.iter().enumerate() {
        let (begin, to) = (Instant::now(), files.data.join(format!("in-{n}")));
        let tell = |bytes, over| ports.note(moves((spec.attempt, false), &input.place, (bytes, bytes), over));
        tell(0, false);
        let copied = bring_one(ports, (spec.attempt, input), &to).await;
        tell(copied.as_ref().map_or(0, |copied| copied.bytes), true);
        let copied = copied?;
        all.push(moved(false, input, copied, begin));
    }
    Ok(all)
}

async fn bring_one(ports: &Ports, (attempt, input): (AttemptId, &Transfer), to: &Path) -> Result<Copied, Refused> {
    let place = input.place.as_str();
    let failed = |error: StoreError| missing_place(place, &error);
    match At::of(&ports.places, place)? {
        At::Here(path) => {
            let ours = place.starts_with("run:");
            if !ours {
                policy::judge_path(&ports.places, &path)?;
            }
            let missing = |error| missing_place(place, &StoreError::from_io("read", &path, error));
            let path = fs::canonicalize(&path).map_err(missing)?;
            let size = transfer::leaves(&path).map_err(failed)?.iter().map(|(_, len)| len).sum();
            room(to, size).map_err(failed)?;
            transfer::copy(&path, to).await.map_err(failed)
        }
        At::There(store, name) => {
            let mut said = Instant::now();
            let progress = |have, total| {
                if said.elapsed() >= NOTE_EVERY {
                    said = Instant::now();
                    ports.note(moves((attempt, false), place, (have, total), false));
                }
            };
            transfer::fetch(&store, &name, to, |size| room(to, size), progress).await.map_err(failed)
        }
    }
}

fn moves((attempt, out): (AttemptId, bool), place: &str, (have, total): (u64, u64), over: bool) -> Note {
    Note::Moves { attempt, out, place: place.to_owned(), have, total, over }
}

/// Whether the disk takes so much.
fn room(to: &Path, size: u64) -> Result<(), StoreError> {
    let dir = to.parent().unwrap_or(to);
    let Ok(stat) = nix::sys::statvfs::statvfs(dir) else { return Ok(()) };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    if free >= size.saturating_add(SPARE) {
        return Ok(());
    }
    let why = format!("{} are needed, and {} are free", format_bytes(size), format_bytes(free));
    Err(StoreError::from_io("make room for", dir, std::io::Error::new(std::io::ErrorKind::StorageFull, why)))
}

/// The attempt with its inputs and the directories of its outputs as mounts; the latter are made.
pub(crate) fn with_mounts(places: &Places, spec: &TaskSpec) -> Result<Option<TaskSpec>, Refused> {
    if spec.inputs.is_empty() && spec.outputs.is_empty() {
        return Ok(None);
    }
    let (files, mut spec) = (Files::of(places, spec.attempt), spec.clone());
    for (n, input) in spec.inputs.iter().enumerate() {
        let source = files.data.join(format!("in-{n}"));
        spec.volumes.push(Mount { source, target: input.path.clone(), read_only: true, named: None });
    }
    for (target, source) in directories(&spec, &files) {
        dybox_store::local::make_dir(&files.data)?;
        if source.exists() {
            fs::remove_dir_all(&source)?;
        }
        fs::create_dir(&source)?;
        fs::set_permissions(&source, Permissions::from_mode(0o777))?;
        spec.volumes.push(Mount { source, target, read_only: false, named: None });
    }
    Ok(Some(spec))
}

/// The directories of the outputs: in the container, and here.
fn directories(spec: &TaskSpec, files: &Files) -> Vec<(String, PathBuf)> {
    let mut dirs: Vec<&str> = spec.outputs.iter().map(|output| split(&output.path).0).collect();
    dirs.sort_unstable();
    dirs.dedup();
    dirs.into_iter().enumerate().map(|(n, dir)| (dir.to_owned(), files.data.join(format!("out-{n}")))).collect()
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Puts all outputs of an attempt that succeeded.
pub(crate) async fn put(ports: &Ports, spec: &TaskSpec) -> Result<Vec<Moved>, Refused> {
    let files = Files::of(&ports.places, spec.attempt);
    let dirs = directories(spec, &files);
    let mut found = Vec::new();
    // All are looked at before the first is put.
    for output in &spec.outputs {
        let (dir, name) = split(&output.path);
        let from = dirs.iter().find(|(target, _)| target == dir).map(|(_, here)| here.join(name)).unwrap_or_default();
        let no = |why: String| Refused { cause: Cause::OutputMissing, text: format!("{}: {why}", output.path) };
        transfer::leaves(&from)
            .map_err(|error| no(if error.is_missing() { "it was not written".into() } else { said(&error) }))?;
        found.push((output, from));
    }
    let mut all = Vec::new();
    for (output, from) in found {
        let begin = Instant::now();
        let total = transfer::leaves(&from).map_or(0, |all| all.iter().map(|(_, len)| len).sum());
        let tell = |have, over| ports.note(moves((spec.attempt, true), &output.place, (have, total), over));
        tell(0, false);
        let copied = put_one(ports, output, (&from, &tag(spec.attempt))).await;
        tell(total, true);
        let copied = copied?;
        all.push(moved(true, output, copied, begin));
    }
    Ok(all)
}

/// What every try of a task is known by, so that the next one finds what an earlier one left half-way.
fn tag(attempt: AttemptId) -> String {
    format!("dybox-{}-{}", attempt.task.stage.0, attempt.task.index)
}

async fn put_one(ports: &Ports, output: &Transfer, (from, tag): (&Path, &str)) -> Result<Copied, Refused> {
    let tag = format!("{tag}-{}", ports.places.run_id.short());
    let (store, name) = match At::of(&ports.places, &output.place)? {
        At::There(store, name) => (store, name),
        At::Here(path) => {
            if !output.place.starts_with("run:") {
                // The nearest directory that is there tells where it really goes.
                let there = path.ancestors().skip(1).find_map(|dir| fs::canonicalize(dir).ok());
                policy::judge_path(&ports.places, there.as_deref().unwrap_or(&path))?;
            }
            (Store::open_dir("/"), path.to_string_lossy().trim_matches('/').to_owned())
        }
    };
    transfer::put(from, &store, &name, &tag).await.map_err(|error| missing_place(&output.place, &error))
}

fn moved(out: bool, of: &Transfer, copied: Copied, begin: Instant) -> Moved {
    let Copied { files, bytes, crc32c } = copied;
    let took = dybox_model::Millis(u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
    Moved { out, path: of.path.clone(), place: of.place.clone(), files, bytes, crc32c, took }
}

/// Why nothing came from a place, or went there.
pub(crate) fn missing_place(place: &str, error: &StoreError) -> Refused {
    let cause = match error.kind() {
        Kind::Missing | Kind::Denied => Cause::InputMissing,
        Kind::Full => Cause::DiskFull,
        _ => Cause::DataFailed,
    };
    let text = match cause {
        Cause::InputMissing if error.is_missing() => format!("nothing is at {place}"),
        _ => format!("{place}: {}", said(error)),
    };
    Refused { cause, text }
}

fn said(error: &StoreError) -> String {
    crate::ship::said(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_seen_before_the_first_byte() {
        let dir = tempfile::tempdir().unwrap();
        assert!(room(&dir.path().join("in-0"), 1).is_ok());
        let error = room(&dir.path().join("in-0"), u64::MAX / 2).unwrap_err();
        assert_eq!((error.kind(), missing_place("x", &error).cause), (Kind::Full, Cause::DiskFull));
    }

    #[test]
    fn what_is_missing_is_a_fault_of_the_job() {
        let error = StoreError::from_io("read", "/x", std::io::ErrorKind::NotFound.into());
        let no = missing_place("hdfs://nn/a/b", &error);
        assert_eq!((no.cause, no.text.as_str()), (Cause::InputMissing, "nothing is at hdfs://nn/a/b"));
    }
}
