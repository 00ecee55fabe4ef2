//! What every command has at hand.

use std::path::Path;

use dybox_client::Client;
use dybox_engine::EngineConf;

use crate::args::Global;
use crate::conf::Conf;
use crate::report::{Failure, Screen, codes};

/// The configuration and where to print; one a process.
#[derive(Debug)]
pub(crate) struct Context {
    /// All settings, checked, each with where it came from.
    pub conf: Conf,
    /// Where to print, and how.
    pub screen: Screen,
}

impl Context {
    /// Reads and checks the whole configuration. Touches nothing else.
    pub(crate) fn open(global: &Global) -> Result<Self, Failure> {
        let conf = Conf::load(global)?;
        let screen = Screen::detect(Some(conf.color.value), global.debug);
        Ok(Self { conf, screen })
    }

    /// The runs of this home. Touches nothing.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let binary = std::env::current_exe()
            .map_err(|e| Failure::coded(codes::INTERNAL, "the path of this program can't be found").source(e))?;
        Ok(Client::new(self.home(), binary).with_engine(self.conf.docker_host.value.clone()))
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
