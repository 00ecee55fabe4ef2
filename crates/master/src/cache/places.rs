//! What lies at the places of inputs and outputs, as the master can see it.

use std::io;
use std::path::PathBuf;

use dybox_logic::cache::spoilt;
use dybox_model::cache::{Print, Success};
use dybox_model::{Moved, RunId, format_bytes};
use dybox_store::layout::RunDir;
use dybox_store::{HdfsConf, Store, StoreError, print, transfer};

/// More is not copied from one run to another.
const MOST: u64 = 1 << 30;

/// The ways to them.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) store: Store,
    pub(super) dir: RunDir,
    pub(super) run: RunId,
    /// A directory of this machine for what is on its way.
    pub(super) scratch: PathBuf,
    pub(super) hdfs: Option<HdfsConf>,
}

impl Places {
    /// What lies at a place outside of the run; nothing where there is nothing.
    ///
    /// # Errors
    /// Why that can't be told here, as a phrase.
    pub(super) async fn print(&self, path: &str, place: &str) -> Result<Option<Print>, String> {
        let said = |error: StoreError| error.to_string();
        if let Some(file) = place.strip_prefix("file://") {
            if self.store.is_remote() {
                return Err("it lies on the machine that the task runs on".to_owned());
            }
            let name = file.trim_matches('/').to_owned();
            return print::print(&Store::open_dir("/"), &name, (path, place)).await.map_err(said);
        }
        let conf = self.hdfs.clone().map_or_else(HdfsConf::of_env, Ok).map_err(|error| error.to_string())?;
        let (conf, name) = conf.at(place).ok_or("it is no place in an HDFS that is known here")?;
        print::print(&Store::hdfs(conf).map_err(said)?, &name, (path, place)).await.map_err(said)
    }

    /// Whether all that an earlier success left is there still, and brings what it left in its run's own store into this
    /// run's; marks there that this run has taken something.
    ///
    /// # Errors
    /// What is not, as a phrase.
    pub(super) async fn take(&self, success: &Success) -> Result<(), String> {
        let (from, said) = (RunDir::new(&success.run), |error: StoreError| error.to_string());
        if !self.store.exists(&from.info()).await.map_err(said)? {
            return Err("that run was removed".to_owned());
        }
        for was in &success.outputs {
            let is = self.print(&was.path, &was.place).await?;
            if let Some(why) = spoilt(was, is.as_ref()) {
                return Err(why);
            }
        }
        let bytes: u64 = success.kept.iter().map(|one| one.bytes).sum();
        if bytes > MOST {
            let most = format_bytes(MOST);
            return Err(format!("{} in its run's own store are more than {most}", format_bytes(bytes)));
        }
        for one in success.kept.iter().filter(|_| success.run != self.run) {
            self.bring(&from, one).await.map_err(|why| format!("output {}: {why}", one.place))?;
        }
        if success.run != self.run {
            self.store.claim(&format!("{}/{}", from.takers(), self.run)).await.map_err(said)?;
        }
        Ok(())
    }

    /// From the store of another run into this run's: whole, with the sum that it had.
    async fn bring(&self, from: &RunDir, one: &Moved) -> Result<(), String> {
        let name = one.place.trim_start_matches("run:").trim_matches('/');
        let here = self.scratch.join(format!("take-{}", name.replace('/', "_")));
        let clear = || {
            let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
            let result = if here.is_dir() { std::fs::remove_dir_all(&here) } else { std::fs::remove_file(&here) };
            result.or_else(|error| if gone(&error) { Ok(()) } else { Err(error) })
        };
        clear().map_err(|error| error.to_string())?;
        let done = self.carry(from, (one, name), &here).await;
        let _ = clear();
        done
    }

    async fn carry(&self, from: &RunDir, (one, name): (&Moved, &str), here: &std::path::Path) -> Result<(), String> {
        let source = format!("{}/{name}", from.data());
        let fetched = transfer::fetch(&self.store, &source, here, |_| Ok(()), |_, _| {}).await;
        let copied =
            fetched.map_err(|error| if error.is_missing() { "is gone".to_owned() } else { error.to_string() })?;
        if (copied.bytes, copied.crc32c) != (one.bytes, one.crc32c) {
            return Err("has another content".to_owned());
        }
        let target = format!("{}/{name}", self.dir.data());
        let put = transfer::put(here, &self.store, &target, &format!("dybox-take-{}", self.run.short())).await;
        put.map(drop).map_err(|error| error.to_string())
    }
}
