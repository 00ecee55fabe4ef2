//! What the tasks of this process share: the ways to the engine, the store, the leases and the actor.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dybox_engine::{Engine, EngineConf, EngineError, EngineInfo};
use dybox_logic::proxy::Event;
use dybox_model::Note;
use dybox_store::layout::Machine;
use dybox_store::{Private, StoreError};
use tokio::sync::OnceCell;
use tokio::sync::mpsc::UnboundedSender;

use crate::cgroup::GrantCgroup;
use crate::clock::Clock;
use crate::conf::Places;
use crate::error::{ProxyError, file_error};
use crate::files::write_whole;
use crate::inbox::Arrived;
use crate::init_binary::{init_binary, init_digest, init_length};
use crate::lease::Leases;
use crate::slot::Slots;

/// An engine that answered, and what it said about itself.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) engine: Engine,
    pub(crate) info: EngineInfo,
}

/// Cheap to clone; every task has one.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    pub(crate) places: Arc<Places>,
    pub(crate) clock: Clock,
    pub(crate) inbox: UnboundedSender<Arrived>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) secret: Arc<str>,
    pub(crate) init: Arc<PathBuf>,
    pub(crate) cgroup: Arc<GrantCgroup>,
    known: Arc<OnceCell<Arc<Known>>>,
    private: Arc<OnceCell<Arc<Private>>>,
}

impl Ports {
    /// `private`: what came with the grant, where that is one of a cluster.
    pub(crate) fn open(
        places: Places,
        inbox: UnboundedSender<Arrived>,
        private: Option<Private>,
    ) -> Result<Self, ProxyError> {
        let slots = Arc::new(Slots::of(&places.home));
        let leases = Leases::start().map_err(ProxyError::Runtime)?;
        let cgroup = GrantCgroup::of(&places);
        Ok(Self {
            cgroup: Arc::new(cgroup),
            secret: read_secret(&places)?,
            init: Arc::new(put_init(&places)?),
            places: Arc::new(places),
            clock: Clock::start(),
            inbox,
            leases: Arc::new(leases),
            slots,
            known: Arc::default(),
            private: Arc::new(OnceCell::new_with(private.map(Arc::new))),
        })
    }

    /// The engine, connected once it answers.
    pub(crate) async fn engine(&self) -> Result<Arc<Known>, EngineError> {
        let connect = async || {
            let memory = self.places.path(&Machine::engine());
            let (engine, info) = Engine::remembered(EngineConf::default(), &memory).await?;
            Ok(Arc::new(Known { engine, info }))
        };
        self.known.get_or_try_init(connect).await.cloned()
    }

    /// Values of secrets, and logins. On one machine they lie in a file of the run, where it has any.
    pub(crate) async fn private(&self) -> Result<Arc<Private>, StoreError> {
        let read = async || {
            let name = self.places.run.sub(self.places.subdag).secrets();
            match fs::read(self.places.path(&name)) {
                Ok(bytes) => Private::decode(&bytes, &name).map(Arc::new),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Arc::default()),
                Err(error) => Err(StoreError::from_io("read", Path::new(&name), error)),
            }
        };
        self.private.get_or_try_init(read).await.cloned()
    }

    /// Whether an engine was ever talked to.
    pub(crate) fn used_engine(&self) -> bool {
        self.known.initialized()
    }

    pub(crate) fn tell(&self, event: Event) {
        self.arrive(Arrived::Event(event));
    }

    pub(crate) fn note(&self, note: Note) {
        self.arrive(Arrived::Note(note));
    }

    pub(crate) fn arrive(&self, arrived: Arrived) {
        // Nobody listens once the actor has left; then nothing is to be told either.
        let _ = self.inbox.send(arrived);
    }
}

/// The run's secret, which signs what is made on the engine. Never logged.
pub(crate) fn read_secret(places: &Places) -> Result<Arc<str>, ProxyError> {
    let path = places.path(&places.run.secret());
    let text = fs::read_to_string(&path).map_err(file_error("read", &path))?;
    Ok(text.trim().into())
}

/// The static init on this machine, written once for all runs.
fn put_init(places: &Places) -> Result<PathBuf, ProxyError> {
    let path = places.path(&Machine::init(init_digest()));
    // A crash in the middle of a write leaves no file of this name, but a full disk's history may.
    if fs::metadata(&path).is_ok_and(|meta| meta.len() == init_length()) {
        return Ok(path);
    }
    if let Some(dir) = path.parent() {
        dybox_store::local::make_dir(dir)?;
    }
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    write_whole(&fresh, init_binary(), 0o755).map_err(file_error("write", &fresh))?;
    put_once(&fresh, &path).map_err(file_error("write", &path))?;
    Ok(path)
}

/// Gives `fresh` its name, unless another proxy was first: a container that starts just now has that one's file in its
/// mounts, and an engine refuses a file that is gone from its directory.
fn put_once(fresh: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(fresh, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(path)?.len() == fs::metadata(fresh)?.len() {
                fs::remove_file(fresh)
            } else {
                fs::rename(fresh, path)
            }
        }
        // A file system without them.
        Err(_) => fs::rename(fresh, path),
        Ok(()) => fs::remove_file(fresh),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_that_containers_start_with_is_replaced_only_where_it_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let (fresh, path) = (dir.path().join("fresh"), dir.path().join("init"));
        let put = |text: &str| {
            fs::write(&fresh, text).unwrap();
            put_once(&fresh, &path).unwrap();
            assert!(!fresh.exists());
            (fs::metadata(&path).unwrap().ino(), fs::read_to_string(&path).unwrap())
        };
        let torn = put("wh");
        let whole = put("whole");
        assert_ne!(torn.0, whole.0);
        assert_eq!(put("whole"), whole, "the first one's");
    }
}
