//! Settings: defaults <- /etc <- the user's file <- environment <- flags. Checked before anything starts.

use std::path::PathBuf;

use crate::args::Global;
use crate::report::Failure;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, without `NO_COLOR` and `CI`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A setting and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    /// Its value.
    pub value: T,
    /// `default`, `file:line`, `DYBOX_...`, `--flag`.
    pub from: String,
}

/// Every setting.
#[derive(Debug, Clone)]
pub(crate) struct Conf {
    /// Directory of runs.
    pub home: Setting<PathBuf>,
    /// When to use colour.
    pub color: Setting<ColorChoice>,
}

impl Conf {
    /// Reads all layers.
    pub(crate) fn load(global: &Global) -> Result<Self, Failure> {
        let home = global.home.clone().unwrap_or_else(|| PathBuf::from("/tmp/dybox"));
        Ok(Self {
            home: Setting { value: home, from: "default".to_owned() },
            color: Setting { value: global.color.unwrap_or_default(), from: "default".to_owned() },
        })
    }
}
