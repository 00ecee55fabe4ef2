//! Which place commands mean: this machine or the YARN cluster, and who says so.

use std::path::{Path, PathBuf};

use dybox_hrpc::{ConfError, Credentials, Settings};

use crate::conf::Conf;
use crate::report::{Failure, codes};

/// The file whose presence makes a directory a YARN configuration.
const YARN_SITE: &str = "yarn-site.xml";
/// Where Hadoop's clients, ApplicationMasters and containers find their tokens.
const TOKEN_FILE: &str = "HADOOP_TOKEN_FILE_LOCATION";
/// Variables that lead to Hadoop's configuration, the strongest first, as Hadoop's own scripts take them.
const LEADS: [(&str, &str); 4] =
    [("HADOOP_CONF_DIR", ""), ("YARN_CONF_DIR", ""), ("HADOOP_YARN_HOME", "etc/hadoop"), ("HADOOP_HOME", "etc/hadoop")];

/// The place that commands mean.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// This machine.
    Machine,
    /// A YARN cluster.
    Cluster(Box<Hadoop>),
}

/// A cluster's configuration.
#[derive(Debug, Clone)]
pub(crate) struct Hadoop {
    /// All of it, each value with its file.
    pub settings: Settings,
    /// The yarn-site.xml that was found.
    pub site: Option<PathBuf>,
}

/// What was chosen, and in words why.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// The place.
    pub place: Place,
    /// A line for people who may not expect it; nothing where they chose themselves, or had no choice.
    pub hint: Option<String>,
}

impl Chosen {
    /// Chooses as flags, environment and configuration files say, else the cluster where its configuration is found.
    ///
    /// # Errors
    /// No configuration for a cluster that is asked for, or one that can't be read.
    pub(crate) fn of(conf: &Conf) -> Result<Self, Failure> {
        let said = conf.yarn.from.as_str();
        match (conf.yarn.value, load()) {
            (Some(false), _) => Ok(Self { place: Place::Machine, hint: None }),
            (Some(true), Ok(Some(hadoop))) => Ok(Self { place: Place::Cluster(Box::new(hadoop)), hint: None }),
            (Some(true), Ok(None)) => Err(missing(said)),
            (None, Ok(Some(hadoop))) => {
                let hint = format!("on the cluster of {}; --local uses this machine", hadoop.words());
                Ok(Self { place: Place::Cluster(Box::new(hadoop)), hint: Some(hint) })
            }
            (None, Ok(None)) => Ok(Self { place: Place::Machine, hint: None }),
            (Some(true), Err(failure)) => Err(failure),
            (None, Err(mut failure)) => {
                let next = failure.next.take().unwrap_or_default();
                Err(failure.next(format!("{next}; --local uses this machine without it")))
            }
        }
    }
}

impl Hadoop {
    /// Where it was found, in words.
    pub(crate) fn words(&self) -> String {
        let Some(site) = &self.site else { return "the Hadoop configuration".to_owned() };
        let dir = site.parent();
        let lead = LEADS.iter().find(|(name, below)| {
            std::env::var_os(name).is_some_and(|value| dir.is_some_and(|dir| Path::new(&value).join(below) == dir))
        });
        lead.map_or_else(|| site.display().to_string(), |(name, _)| format!("{} (${name})", site.display()))
    }

    /// Who talks to the cluster: HADOOP_USER_NAME where that is set, as every Hadoop client does, else this user.
    pub(crate) fn user() -> String {
        let named = std::env::var("HADOOP_USER_NAME").ok().filter(|name| !name.is_empty());
        let uid = nix::unistd::geteuid();
        named.unwrap_or_else(|| {
            let user = nix::unistd::User::from_uid(uid).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name)
        })
    }
}

/// The configuration, where there is one of a YARN cluster.
fn load() -> Result<Option<Hadoop>, Failure> {
    if !LEADS.iter().any(|(name, _)| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return Ok(None);
    }
    match Settings::from_env() {
        Ok(settings) => {
            let site = settings.files().find(|path| path.ends_with(YARN_SITE)).map(Path::to_owned);
            Ok(site.map(|site| Hadoop { settings, site: Some(site) }))
        }
        Err(ConfError::NotFound { .. }) => Ok(None),
        Err(error) => {
            let next = error.advice().to_owned();
            let failure = Failure::coded(codes::HADOOP_CONF, "the Hadoop configuration can't be used").next(next);
            let failure = match &error {
                ConfError::Broken { path, line, column, what } => {
                    failure.place(format!("{}:{line}:{column}", path.display())).why(what.as_str())
                }
                ConfError::Unreadable { path, source } => {
                    failure.place(path.display().to_string()).why(source.to_string())
                }
                _ => failure.why(error.to_string()),
            };
            Err(failure.source(error))
        }
    }
}

fn missing(said: &str) -> Failure {
    let set: Vec<String> = LEADS
        .iter()
        .filter_map(|(name, _)| {
            std::env::var(name).ok().filter(|v| !v.is_empty()).map(|value| format!("{name}={value}"))
        })
        .collect();
    let why = match set.is_empty() {
        true => "none of HADOOP_CONF_DIR, YARN_CONF_DIR, HADOOP_YARN_HOME and HADOOP_HOME is set".to_owned(),
        false => format!("there is no {YARN_SITE} where {} points", set.join(", ")),
    };
    Failure::coded(codes::NO_CLUSTER, "there is no YARN configuration").place(said).why(why)
}

/// The tokens that the environment hands over; a file that is none is told before anything uses it.
///
/// # Errors
/// The file can't be read, or is no credentials file.
pub(crate) fn tokens() -> Result<Option<Credentials>, Failure> {
    let Some(path) = std::env::var_os(TOKEN_FILE).filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let bytes = std::fs::read(path).map_err(|error| bad_tokens(error.to_string()))?;
    Credentials::read(&bytes).map(Some).map_err(|error| bad_tokens(error.to_string()))
}

/// The file of tokens can't be used, or what it must have is not in it.
pub(crate) fn bad_tokens(why: impl Into<String>) -> Failure {
    let path = PathBuf::from(std::env::var_os(TOKEN_FILE).unwrap_or_default());
    let place = format!("{} (${TOKEN_FILE})", path.display());
    Failure::coded(codes::TOKENS, codes::TOKENS.phrase).place(place).why(why)
}
