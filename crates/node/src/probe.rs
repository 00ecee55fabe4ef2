//! One look at the node. The engine gets a few seconds for each answer, whatever it does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dybox_engine::{Engine, EngineError};
use dybox_model::Millis;
use dybox_model::roster::{Canary, Disk, NodeFacts, NodeImage, Pulse};

use crate::conf::Conf;
use crate::pressure;

/// For each answer of the engine. Two of them in a row, and the time between reports, are less than what makes a node
/// silent.
const ANSWER: Duration = Duration::from_secs(4);
/// For a test container, from creation to removal.
const CANARY: Duration = Duration::from_secs(8);
/// Between two test containers.
const CANARY_AGAIN: Duration = Duration::from_secs(60);
/// An engine that takes longer is suspect.
const SUSPECT: Duration = Duration::from_secs(2);
/// Looks between two looks at what hardly ever changes.
const RARELY: u32 = 10;

/// What is remembered between looks.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    engine: Option<Engine>,
    root: Option<PathBuf>,
    looks: u32,
    facts: NodeFacts,
    suspect: bool,
    canary: Option<Canary>,
    tried: Option<Instant>,
}

impl Probe {
    /// Looks at everything. The facts are the same as before where they have not changed.
    pub(crate) async fn look(&mut self, conf: &Conf) -> (Pulse, NodeFacts) {
        let mut pulse = Pulse { at: now(), ..Pulse::default() };
        let was_well = self.engine.is_some();
        match self.ask(conf, &mut pulse).await {
            Ok(()) => {}
            Err(trouble) => {
                // The next look connects anew: another engine may be there by then.
                self.engine = None;
                self.suspect = true;
                pulse.trouble = trouble;
            }
        }
        if pulse.list.is_some() {
            if !was_well || self.looks.is_multiple_of(RARELY) {
                self.look_at_facts(conf).await;
            }
            self.looks = self.looks.wrapping_add(1);
            self.start_canary(conf, &pulse).await;
        }
        pulse.canary.clone_from(&self.canary);
        pulse.pressure = pressure::read(&conf.pressure);
        let engine = self.root.iter().filter_map(|root| disk("engine", root));
        pulse.disks = engine.chain(conf.logs.iter().filter_map(|dir| disk("logs", dir))).collect();
        (pulse, self.facts.clone())
    }

    /// A sign of life and a list, at the same time.
    async fn ask(&mut self, conf: &Conf, pulse: &mut Pulse) -> Result<(), String> {
        let engine = match self.engine.clone() {
            Some(engine) => engine,
            None => answer(Engine::connect(conf.engine.clone())).await.map(|(engine, _)| engine)?,
        };
        let (ping, list) = tokio::join!(answer(engine.ping()), answer(engine.list(None)));
        self.engine = Some(engine);
        if let Ok(((), took)) = &ping {
            pulse.ping = Some(*took);
        }
        if let Ok((all, took)) = &list {
            pulse.list = Some(*took);
            let running = all.iter().filter(|one| one.running).count();
            pulse.running = u32::try_from(running).unwrap_or(u32::MAX);
        }
        ping.map(drop).and(list.map(drop))
    }

    /// At the next look: there is another one.
    pub(crate) const fn look_at_images(&mut self) {
        self.looks = 0;
    }

    async fn look_at_facts(&mut self, conf: &Conf) {
        let Some(engine) = &self.engine else { return };
        let mut facts = NodeFacts {
            agent: conf.version.clone(),
            yarn: conf.yarn.clone(),
            kernel: kernel(),
            ..std::mem::take(&mut self.facts)
        };
        if let Ok((info, _)) = answer(engine.info()).await {
            facts.engine = info.version;
            facts.storage = info.storage;
            facts.cgroup = info.cgroup_version;
            self.root = Some(info.root_dir.into()).filter(|root: &PathBuf| root.is_absolute());
        }
        if let Ok((images, _)) = answer(engine.images()).await {
            let image =
                |image: dybox_engine::ImageListed| NodeImage { id: image.id, names: image.names, size: image.size };
            facts.images = images.into_iter().map(image).collect();
        }
        self.facts = facts;
    }

    /// At the start, and where the engine answers again after it did not, answers late, or could not start the last one;
    /// now and then in any case: an engine whose images are damaged answers every question well.
    async fn start_canary(&mut self, conf: &Conf, pulse: &Pulse) {
        let slow = Millis(u64::try_from(SUSPECT.as_millis()).unwrap_or(u64::MAX));
        let late = pulse.ping.max(pulse.list).is_some_and(|took| took > slow);
        let failed = self.canary.as_ref().is_some_and(|canary| !canary.why.is_empty());
        let since = self.tried.map(|tried| tried.elapsed());
        let soon = since.is_some_and(|since| since < CANARY_AGAIN.min(conf.canary_every));
        let due = since.is_none_or(|since| since >= conf.canary_every);
        let (Some(image), Some(engine)) = (&conf.canary, &self.engine) else { return };
        if soon || !(due || self.suspect || late || failed) {
            return;
        }
        self.tried = Some(Instant::now());
        let why = engine.canary(image, CANARY).await.err().map(|error| error.to_string()).unwrap_or_default();
        self.suspect = false;
        self.canary = Some(Canary { at: now(), why });
    }

    /// What is known before the engine was heard.
    pub(crate) fn before(conf: &Conf, brings: bool) -> Self {
        let facts = NodeFacts {
            brings,
            agent: conf.version.clone(),
            yarn: conf.yarn.clone(),
            kernel: kernel(),
            ..NodeFacts::default()
        };
        Self { facts, ..Self::default() }
    }
}

/// The answer, and how long it took; else what went wrong.
async fn answer<T>(call: impl Future<Output = Result<T, EngineError>>) -> Result<(T, Millis), String> {
    let start = Instant::now();
    match tokio::time::timeout(ANSWER, call).await {
        Ok(Ok(value)) => Ok((value, Millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)))),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

/// By the machine's clock. Servers show it, and do not believe it.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// The room in a directory, for who is not root; nothing where it is not there.
pub(crate) fn disk(of: &str, path: &Path) -> Option<Disk> {
    let seen = nix::sys::statvfs::statvfs(path).ok()?;
    let block = seen.fragment_size();
    let (free, used) = (seen.blocks_available() * block, (seen.blocks() - seen.blocks_free()) * block);
    Some(Disk { of: of.to_owned(), path: path.display().to_string(), free, total: free + used })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Of an agent without an engine.
    pub(crate) fn conf(dir: &Path) -> Conf {
        Conf {
            host: "n1".to_owned(),
            servers: Vec::new(),
            identity: dybox_wire::TlsIdentity { ca: String::new(), cert: String::new(), key: String::new() },
            engine: dybox_engine::EngineConf { host: Some("unix:///not/there.sock".to_owned()), config_dir: None },
            yarn: None,
            logs: vec!["/".into()],
            canary: None,
            canary_every: Duration::from_secs(600),
            pressure: dir.join("pressure"),
            interval: Duration::from_secs(3),
            version: "1".to_owned(),
            cleaning: crate::sweep::tests::cleaning(dir),
            bringing: crate::conf::Bringing { home: dir.join("lib"), at_once: 2, policy: None },
        }
    }

    #[test]
    fn a_disk_has_room_and_what_is_not_there_has_none() {
        let root = disk("engine", Path::new("/")).unwrap();
        assert!(root.total >= root.free && root.total > 0);
        assert_eq!(disk("logs", Path::new("/not/there")), None);
    }

    #[tokio::test]
    async fn no_engine_is_trouble_in_words() {
        let conf = conf(Path::new("/not/there"));
        let (pulse, facts) = Probe::before(&conf, false).look(&conf).await;
        assert_eq!((pulse.ping, pulse.list), (None, None));
        assert!(pulse.trouble.contains("/not/there.sock"), "{}", pulse.trouble);
        assert_eq!((pulse.disks.len(), facts.agent.as_str()), (1, "1"));
        assert!(!facts.kernel.is_empty());
    }
}
