//! Hadoop's configuration: what holds, and which file says so.

mod defaults;
mod error;
mod expand;
mod files;
mod xml;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use defaults::{DEFAULTS, RENAMED};

pub use error::ConfError;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A site file.
    File {
        /// The file, also an included one.
        path: PathBuf,
        /// The line of its property.
        line: u32,
    },
    /// Hadoop's own default.
    Default,
    /// Set by the program, [`Settings::with`].
    Given,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("Hadoop's default"),
            Self::Given => f.write_str("given by dybox"),
        }
    }
}

/// One value, with its variables replaced, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Trimmed and substituted.
    pub text: String,
    /// Who says so.
    pub source: Source,
    raw: String,
    is_final: bool,
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, Value>,
    /// What variables may refer to beside other keys: `env.NAME`, `user.name` and the like.
    around: BTreeMap<String, String>,
    files: Vec<PathBuf>,
    notes: Vec<String>,
}

impl Settings {
    /// Reads core-site.xml, hdfs-site.xml and yarn-site.xml, each from the first of the directories that holds it.
    /// Variables refer to this process's environment.
    pub fn load(dirs: &[PathBuf]) -> Result<Self, ConfError> {
        Self::load_in(dirs, &|name| std::env::var(name).ok())
    }

    /// Looks where Hadoop's own tools look: HADOOP_CONF_DIR and YARN_CONF_DIR, or else HADOOP_HOME/etc/hadoop.
    pub fn from_env() -> Result<Self, ConfError> {
        Self::from_env_in(&|name| std::env::var(name).ok())
    }

    /// The same for another environment.
    pub fn from_env_in(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfError> {
        let (dirs, nowhere) = files::directories(env);
        if dirs.is_empty() {
            return Err(ConfError::NotFound { looked: nowhere });
        }
        Self::load_in(&dirs, env)
    }

    fn load_in(dirs: &[PathBuf], env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfError> {
        let sites = files::load(dirs)?;
        let mut settings = Self::defaults(env);
        settings.files = sites.files;
        for said in sites.said {
            for name in expand::environment_of(&said.text) {
                if let Some(value) = env(name) {
                    settings.around.insert(format!("env.{name}"), value);
                }
            }
            settings.take(said);
        }
        settings.resolve();
        Ok(settings)
    }

    fn defaults(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let user = env("USER").or_else(|| env("LOGNAME")).unwrap_or_else(|| "nobody".to_owned());
        let home = env("HOME").unwrap_or_else(|| "/".to_owned());
        let around = [("user.name", user), ("user.home", home), ("java.io.tmpdir", "/tmp".to_owned())];
        let mut settings = Self {
            around: around.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            ..Self::default()
        };
        for (key, text) in DEFAULTS {
            settings.put(key, (*text).to_owned(), Source::Default, false);
        }
        settings
    }

    fn put(&mut self, key: &str, raw: String, source: Source, is_final: bool) {
        let value = Value { text: raw.clone(), source, raw, is_final };
        self.values.insert(key.to_owned(), value);
    }

    /// Takes in a property, unless an earlier file said that its value is final.
    fn take(&mut self, said: files::Said) {
        let renamed = RENAMED.iter().find(|(old, _)| *old == said.key).map(|(_, new)| *new);
        let key = renamed.unwrap_or(&said.key);
        match self.values.get(key) {
            Some(before) if before.is_final => {
                if before.raw != said.text {
                    let note = format!(
                        "{key} in {} has no effect: {} says that its value is final",
                        said.source, before.source
                    );
                    self.notes.push(note);
                }
            }
            _ => self.put(key, said.text, said.source, said.is_final),
        }
    }

    /// Replaces the variables of all values but those that were given.
    fn resolve(&mut self) {
        let look_up = |name: &str| {
            let known = self.around.get(name).cloned();
            known.or_else(|| self.values.get(name).map(|value| value.raw.clone()))
        };
        let resolved: Vec<_> = self
            .values
            .iter()
            .filter(|(_, value)| value.source != Source::Given)
            .map(|(key, value)| (key.clone(), expand::expand(&value.raw, &look_up).trim().to_owned()))
            .collect();
        for (key, text) in resolved {
            if let Some(value) = self.values.get_mut(&key) {
                value.text = text;
            }
        }
    }

    /// What another process resolved (see [`Settings::site`]), on top of the defaults.
    #[must_use]
    pub fn from_map(map: BTreeMap<String, String>) -> Self {
        Self::defaults(&|name| std::env::var(name).ok()).with(map)
    }

    /// The same with these values on top, as they stand: variables in them are not replaced.
    #[must_use]
    pub fn with(mut self, map: BTreeMap<String, String>) -> Self {
        for (key, text) in map {
            self.put(&key, text.trim().to_owned(), Source::Given, false);
        }
        self.resolve();
        self
    }

    /// A value, trimmed and substituted.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.value(key).map(|value| value.text.as_str())
    }

    /// A value and where it comes from.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// All values, by key.
    pub fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// What the site files and [`Settings::with`] set, resolved: what another process (or another library) needs to
    /// see the same. Lists whose readers do not trim are trimmed here.
    #[must_use]
    pub fn site(&self) -> BTreeMap<String, String> {
        let set = self.values.iter().filter(|(_, value)| value.source != Source::Default);
        set.map(|(key, value)| {
            let text = if defaults::is_list(key) { parts(&value.text).join(",") } else { value.text.clone() };
            (key.clone(), text)
        })
        .collect()
    }

    /// A whole number; `None` when not set or empty.
    pub fn int(&self, key: &str) -> Result<Option<i64>, ConfError> {
        let read = |text: &str| match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(hex) => i64::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        self.read(key, "a whole number", read)
    }

    /// A time in milliseconds; a bare number counts milliseconds.
    pub fn millis(&self, key: &str) -> Result<Option<u64>, ConfError> {
        let read = |text: &str| {
            let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
            let (number, unit) = text.split_at(digits);
            let number: u64 = number.parse().ok()?;
            match unit.trim() {
                "" | "ms" => Some(number),
                "ns" => Some(number / 1_000_000),
                "us" => Some(number / 1000),
                "s" => number.checked_mul(1000),
                "m" => number.checked_mul(60_000),
                "h" => number.checked_mul(3_600_000),
                "d" => number.checked_mul(86_400_000),
                _ => None,
            }
        };
        self.read(key, "a time, e.g. 500, 500ms, 3s, 10m", read)
    }

    /// `true` or `false`; `None` when not set or empty.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, ConfError> {
        self.read(key, "true or false", |text| text.to_ascii_lowercase().parse().ok())
    }

    /// The trimmed parts between commas; empty when not set.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<String> {
        parts(self.get(key).unwrap_or_default()).into_iter().map(str::to_owned).collect()
    }

    fn read<T>(&self, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, ConfError> {
        match self.get(key) {
            None | Some("") => Ok(None),
            Some(text) => read(text).map(Some).ok_or_else(|| self.bad(key, expected)),
        }
    }

    /// Says that a value is none of what it must be, and who set it.
    #[must_use]
    pub fn bad(&self, key: &str, expected: &str) -> ConfError {
        let value = self.value(key);
        ConfError::Bad {
            key: key.to_owned(),
            text: value.map(|value| value.text.clone()).unwrap_or_default(),
            expected: expected.to_owned(),
            source_of: value.map_or(Source::Default, |value| value.source.clone()),
        }
    }

    /// The site files that were read, without included ones.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// What `doctor` shows beside the values: properties without effect.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn parts(text: &str) -> Vec<&str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests;
