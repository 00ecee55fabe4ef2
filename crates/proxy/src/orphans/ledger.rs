//! Which images DYbox brought to this machine, when each was used last, and which ones plans of live runs name.
//!
//! One small file an image; when it was written is when the image was used.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dybox_engine::{Engine, ImageListed};
use dybox_model::sweep::ImageUse;
use dybox_model::{Millis, RunId};
use dybox_store::layout::{Home, Machine, RUNS, RunDir};
use serde::Deserialize;

use super::found::{driven, names};
use crate::error::ProxyError;
use crate::files::{absent_is_fine, write_whole};

/// Tasks that follow each other fast need not all say that they use the same image.
const AGAIN: Duration = Duration::from_secs(60);

/// What of a plan matters here.
#[derive(Deserialize)]
struct Outline {
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    image: String,
}

/// Notes that an image was used now. A ledger that can't be written costs an image its good name, and no task.
pub(crate) fn note_used(home: &Home, id: &str) {
    let path = home.path(&Machine::image(id));
    let fresh = |at: SystemTime| at.elapsed().is_ok_and(|age| age < AGAIN);
    let noted = match File::options().write(true).open(&path) {
        Ok(file) => file.metadata().and_then(|meta| meta.modified()).and_then(|at| match fresh(at) {
            true => Ok(()),
            false => file.set_modified(SystemTime::now()),
        }),
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
            write(&path, &ImageUse { id: id.to_owned(), ..ImageUse::default() })
        }
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        tracing::info!(image = id, %error, "can't note that it was used");
    }
}

/// Notes what a pull brought: `before` and `after` are the engine's lists, `id` the image's.
pub(crate) fn note_pulled(home: &Home, id: &str, before: &[ImageListed], after: &[ImageListed]) {
    let path = home.path(&Machine::image(id));
    let entry = pulled(read(&path), id, (before, after));
    if let Err(error) = write(&path, &entry) {
        tracing::info!(image = id, %error, "can't note that it was brought");
    }
}

/// What the ledger says after a pull. Names that were there before are somebody else's.
fn pulled(known: Option<ImageUse>, id: &str, (before, after): (&[ImageListed], &[ImageListed])) -> ImageUse {
    let names = |all: &[ImageListed]| -> Option<BTreeSet<String>> {
        all.iter().find(|image| image.id == id).map(|image| image.names.iter().cloned().collect())
    };
    let (had, has) = (names(before), names(after).unwrap_or_default());
    let known = known.unwrap_or_default();
    let new = has.difference(&had.clone().unwrap_or_default()).cloned().collect::<BTreeSet<_>>();
    ImageUse {
        id: id.to_owned(),
        names: known.names.into_iter().chain(new).collect::<BTreeSet<_>>().into_iter().collect(),
        // What was removed by somebody since it was brought is brought anew.
        brought: known.brought || had.is_none(),
        used: Millis::default(),
    }
}

/// Writes down which images the plan of a run names, for who collects what nobody needs.
pub(crate) fn write_needed(home: &Home, run: &RunId, images: &str) -> io::Result<()> {
    let path = home.path(&RunDir::new(run).images());
    match fs::read_to_string(&path) {
        Ok(there) if there == images => Ok(()),
        _ => write_whole(&path, images.as_bytes(), 0o600),
    }
}

/// The ledger, but images that the engine does not have: who brings one of those brings it anew. They are taken out
/// where `tidy` says so.
pub(super) async fn images(engine: &Engine, home: &Home, tidy: bool) -> Result<Vec<ImageUse>, ProxyError> {
    let there: BTreeSet<_> = engine.images().await?.into_iter().map(|image| image.id).collect();
    let mut all = Vec::new();
    for name in names(home, &Machine::images())? {
        let path = home.path(&format!("{}/{name}", Machine::images()));
        let Some(entry) = read(&path) else { continue };
        if there.contains(&entry.id) {
            all.push(entry);
        } else if tidy {
            // What stays is taken out the next time.
            let _ = absent_is_fine(fs::remove_file(&path));
        }
    }
    Ok(all)
}

/// Ids of the images that plans of runs name that live on this machine.
pub(super) async fn needed(engine: &Engine, home: &Home) -> Result<Vec<String>, ProxyError> {
    let mut wanted = BTreeSet::new();
    for run in names(home, RUNS)?.iter().filter_map(|name| name.parse::<RunId>().ok()) {
        if driven(home, &run)? {
            wanted.extend(of_run(home, &run));
        }
    }
    let mut ids = BTreeSet::new();
    for name in wanted {
        ids.extend(engine.image(&name).await?.map(|image| image.id));
    }
    Ok(ids.into_iter().collect())
}

fn of_run(home: &Home, run: &RunId) -> Vec<String> {
    let dir = RunDir::new(run);
    let text = |name: String| fs::read(home.path(&name)).ok();
    let listed = text(dir.images()).and_then(|text| serde_json::from_slice::<Vec<String>>(&text).ok());
    listed.unwrap_or_else(|| {
        let plan = text(dir.plan()).and_then(|text| serde_json::from_slice::<Outline>(&text).ok());
        plan.map(|plan| plan.stages.into_iter().map(|stage| stage.image).collect()).unwrap_or_default()
    })
}

fn read(path: &Path) -> Option<ImageUse> {
    let used = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
    let used = used.duration_since(UNIX_EPOCH).unwrap_or_default();
    let entry: ImageUse = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    Some(ImageUse { used: Millis(u64::try_from(used.as_millis()).unwrap_or(u64::MAX)), ..entry })
}

fn write(path: &Path, entry: &ImageUse) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        dybox_store::local::make_dir(dir).map_err(io::Error::other)?;
    }
    write_whole(path, serde_json::to_vec(entry).map_err(io::Error::other)?.as_slice(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(id: &str, names: &[&str]) -> Vec<ImageListed> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        vec![ImageListed { id: id.to_owned(), names, size: 1 }]
    }

    #[test]
    fn what_was_there_before_is_not_brought_and_its_names_are_not_ours() {
        let new = pulled(None, "x", (&[], &shelf("x", &["a:1", "a@sha256:1"])));
        assert_eq!((new.brought, new.names), (true, vec!["a:1".to_owned(), "a@sha256:1".to_owned()]));
        let known = pulled(None, "x", (&shelf("x", &["mine:1"]), &shelf("x", &["mine:1", "a:1"])));
        assert_eq!((known.brought, known.names.clone()), (false, vec!["a:1".to_owned()]));
        let again = pulled(Some(ImageUse { brought: true, ..known }), "x", (&shelf("x", &["a:1"]), &[]));
        assert_eq!((again.brought, again.names), (true, vec!["a:1".to_owned()]));
    }

    #[test]
    fn a_use_is_noted_and_says_nothing_about_who_brought_it() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        note_pulled(&home, "sha256:1", &[], &shelf("sha256:1", &["a:1"]));
        note_used(&home, "sha256:1");
        note_used(&home, "sha256:2");
        let entry = |id: &str| read(&home.path(&Machine::image(id))).unwrap();
        assert!(entry("sha256:1").brought && !entry("sha256:2").brought);
        assert!(entry("sha256:2").used > Millis(0));
        let file = File::options().write(true).open(home.path(&Machine::image("sha256:1"))).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(7)).unwrap();
        assert_eq!(entry("sha256:1").used, Millis(7000));
        note_used(&home, "sha256:1");
        assert!(entry("sha256:1").used > Millis(7000) && entry("sha256:1").brought);
    }

    #[test]
    fn a_run_names_its_images_in_a_list_or_in_its_plan() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let run: RunId = "01jd0000000000000000000001".parse().unwrap();
        fs::create_dir_all(home.path(&RunDir::new(&run).root())).unwrap();
        assert!(of_run(&home, &run).is_empty());
        let plan = r#"{"version":1,"stages":[{"name":"x","image":"b:2"}]}"#;
        fs::write(home.path(&RunDir::new(&run).plan()), plan).unwrap();
        assert_eq!(of_run(&home, &run), ["b:2"]);
        write_needed(&home, &run, r#"["a:1"]"#).unwrap();
        assert_eq!(of_run(&home, &run), ["a:1"]);
    }
}
