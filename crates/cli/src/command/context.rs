//! What every command has at hand.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use dybox_client::{Client, ClusterConf};
use dybox_engine::EngineConf;
use dybox_hrpc::{Settings, Source};
use dybox_model::Resources;
use dybox_store::HdfsConf;
use dybox_yarn::{Launch, ResourceManager};

use super::answers::answers;
use super::place::{Chosen, Hadoop, Place, tokens};
use super::servers;
use crate::args::Global;
use crate::conf::Conf;
use crate::report::{Failure, Screen, codes};

/// What a master asks for when nobody says otherwise. YARN counts whole cpus.
const MASTER: Resources = Resources { cpu_milli: 1000, memory: 128 << 20 };
/// What the store says where somebody answered, and not as a NameNode does.
const CUT: &str = "the connection was cut";
/// Settings of Hadoop that name servers.
const ADDRESSES: &[&str] = &["yarn.resourcemanager.address", "fs.defaultFS"];
/// Variables that masters and proxies get from here: what they log.
const HANDED_ON: &[&str] = &["DYBOX_LOG"];

/// The configuration and where to print; one a process.
#[derive(Debug)]
pub(crate) struct Context {
    /// All settings, checked, each with where it came from.
    pub conf: Conf,
    /// Where to print, and how.
    pub screen: Screen,
    /// The place that is meant, once somebody asked.
    chosen: OnceCell<Chosen>,
    /// Its runs.
    client: OnceCell<Client>,
}

impl Context {
    /// Reads and checks the whole configuration. Touches nothing else.
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        let conf = Conf::load(global)?;
        let screen = Screen::detect(Some(conf.color.value), global.debug);
        Ok(Self { conf, screen, chosen: OnceCell::new(), client: OnceCell::new() })
    }

    /// The place that is meant: this machine or a cluster.
    ///
    /// # Errors
    /// A cluster is asked for and its configuration is not there, or can't be read.
    pub(crate) fn place(&self) -> Result<&Place, Failure> {
        Ok(&self.chosen()?.place)
    }

    /// Whether a cluster is meant.
    pub(crate) fn is_cluster(&self) -> Result<bool, Failure> {
        Ok(matches!(self.place()?, Place::Cluster(_)))
    }

    /// Says which place was chosen and by whom, where there was a choice.
    pub(crate) fn say_place(&self) -> Result<(), Failure> {
        if let Some(hint) = &self.chosen()?.hint {
            self.screen.hint(hint);
        }
        Ok(())
    }

    fn chosen(&self) -> Result<&Chosen, Failure> {
        if let Some(chosen) = self.chosen.get() {
            return Ok(chosen);
        }
        let chosen = Chosen::of(&self.conf)?;
        Ok(self.chosen.get_or_init(|| chosen))
    }

    /// The runs of the place that is meant. Touches nothing.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = match self.place()? {
            Place::Machine => self.machine()?,
            Place::Cluster(hadoop) => self.cluster(hadoop)?,
        };
        Ok(self.client.get_or_init(|| client).clone())
    }

    /// The runs of this home, whatever place is meant. Touches nothing.
    pub(crate) fn machine(&self) -> Result<Client, Failure> {
        Ok(Client::new(self.home(), binary()?).with_engine(self.conf.docker_host.value.clone()))
    }

    /// The runs of a cluster. Touches nothing but the file of tokens.
    pub(crate) fn cluster(&self, hadoop: &Hadoop) -> Result<Client, Failure> {
        let user = Hadoop::user();
        let mut launch = Launch::default();
        launch.credentials.tokens = tokens()?.map(|credentials| credentials.tokens).unwrap_or_default();
        let handed = HANDED_ON.iter().filter_map(|&name| Some((name.to_owned(), std::env::var(name).ok()?)));
        launch.env.extend(handed);
        let conf = ClusterConf {
            rm: ResourceManager::from_settings(&hadoop.settings, &user).map_err(dybox_client::ClientError::from)?,
            hdfs: HdfsConf {
                url: self.store(&hadoop.settings, &user)?,
                settings: hadoop.settings.site(),
                user: Some(user.clone()),
            },
            user,
            binary: binary()?,
            cache: cache_dir(),
            master: Resources {
                cpu_milli: self.conf.master_cpus.value.unwrap_or(MASTER.cpu_milli),
                memory: self.conf.master_memory.value.unwrap_or(MASTER.memory),
            },
            queue: self.conf.queue.value.clone(),
            minimum: minimum(&hadoop.settings),
            roster: servers::for_masters(self),
            launch,
            pages: pages(&hadoop.settings),
        };
        Ok(Client::of_cluster(conf)?)
    }

    /// The address of the directory in HDFS.
    fn store(&self, settings: &Settings, user: &str) -> Result<String, Failure> {
        if let Some(store) = &self.conf.store.value {
            if !store.starts_with("hdfs://") && !store.starts_with('/') {
                return Err(Failure::coded(codes::CONF_VALUE, format!("`store` can't be {store:?}"))
                    .place(self.conf.store.from.clone())
                    .why("it is an address in HDFS, like hdfs://namenode:8020/user/ann/.dybox"));
            }
            if store.starts_with("hdfs://") {
                return Ok(store.trim_end_matches('/').to_owned());
            }
        }
        let value = settings.value("fs.defaultFS");
        let default = value.map(|value| value.text.trim_end_matches('/')).filter(|text| text.starts_with("hdfs://"));
        let Some(default) = default else {
            let found = value.map_or_else(|| "it is not set".to_owned(), |value| format!("it is {:?}", value.text));
            return Err(Failure::coded(codes::HADOOP_CONF, "fs.defaultFS does not name an HDFS")
                .place(value.map_or_else(String::new, |value| origin(&value.source)))
                .why(found)
                .next("set fs.defaultFS in core-site.xml to hdfs://NAMENODE:PORT, or `store` of DYbox to an hdfs:// address"));
        };
        let dir = self.conf.store.value.clone().unwrap_or_else(|| format!("/user/{user}/.dybox"));
        Ok(format!("{default}{dir}"))
    }

    /// A failure with the line of Hadoop's configuration that names the server it is about.
    pub(crate) fn located(&self, failure: Failure) -> Failure {
        let Some(Chosen { place: Place::Cluster(hadoop), .. }) = self.chosen.get() else { return failure };
        let Some(at) = failure.place.clone() else { return failure };
        let cut = failure.code == Some(codes::HDFS.code) && failure.why.as_deref().is_some_and(|why| why.contains(CUT));
        let failure = match cut.then(|| answers(&at)).flatten() {
            Some(why) => failure.why(why),
            None => failure,
        };
        let of_store = failure.code == Some(codes::HDFS.code);
        let named = ADDRESSES.iter().filter(|key| !of_store || key.starts_with("fs.")).find_map(|&key| {
            let value = hadoop.settings.value(key)?;
            (value.text.trim_start_matches("hdfs://") == at).then_some((key, value))
        });
        match named {
            Some((key, value)) => failure.place(format!("{at} ({key}, {})", origin(&value.source))),
            None => failure,
        }
    }

    /// Which engine to use.
    pub(crate) fn engine_conf(&self) -> EngineConf {
        EngineConf { host: self.conf.docker_host.value.clone(), config_dir: None }
    }

    /// The directory of runs: `$DYBOX_HOME`.
    pub(crate) fn home(&self) -> &Path {
        &self.conf.home.value
    }
}

/// Where a value of Hadoop's configuration comes from, in words.
pub(crate) fn origin(source: &Source) -> String {
    match source {
        Source::File { path, line } => format!("{}:{line}", path.display()),
        Source::Default => "default".to_owned(),
        Source::Given => "set by DYbox".to_owned(),
    }
}

/// The address of the ResourceManager's pages.
pub(crate) fn pages(settings: &Settings) -> Option<String> {
    let secure = settings.get("yarn.http.policy").is_some_and(|policy| policy.starts_with("HTTPS"));
    let (key, scheme) = match secure {
        true => ("yarn.resourcemanager.webapp.https.address", "https"),
        false => ("yarn.resourcemanager.webapp.address", "http"),
    };
    let one = settings.list("yarn.resourcemanager.ha.rm-ids").into_iter().next();
    let of_one = one.and_then(|id| settings.get(&format!("{key}.{id}")));
    of_one.or_else(|| settings.get(key)).map(|address| format!("{scheme}://{address}"))
}

/// The scheduler's smallest container, where a site file says so: a client's own configuration may not be the
/// scheduler's, and Hadoop's defaults prove nothing.
fn minimum(settings: &Settings) -> Option<Resources> {
    let said = |key: &str| {
        let value = settings.value(key).filter(|value| value.source != Source::Default)?;
        value.text.parse::<u64>().ok()
    };
    let memory = said("yarn.scheduler.minimum-allocation-mb")?;
    let cpus = said("yarn.scheduler.minimum-allocation-vcores").unwrap_or(1);
    Some(Resources { cpu_milli: u32::try_from(cpus.saturating_mul(1000)).unwrap_or(u32::MAX), memory: memory << 20 })
}

fn binary() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|e| Failure::coded(codes::INTERNAL, "the path of this program can't be found").source(e))
}

fn cache_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var(name).ok().filter(|text| text.starts_with('/')).map(PathBuf::from);
    let dir = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    dir.map(|dir| dir.join("dybox"))
}
