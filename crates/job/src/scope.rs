//! The mappings that a job file is made of.

/// Which mapping a key stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The file itself.
    Top,
    /// A stage, or `defaults`.
    Stage,
    /// One of `params`.
    Param,
    /// `retry`
    Retry,
    /// `timeout` of a stage
    Timeout,
    /// `placement` of a stage
    Placement,
    /// `memory` of a stage, where it is a mapping
    Memory,
    /// `idle` of a stage, where it is a mapping
    Idle,
    /// One of `hooks`.
    Hook,
    /// One of `volumes`, at the top.
    Volume,
    /// One of `secrets`, at the top.
    Secret,
    /// One of `secrets` of a stage, where they are a mapping.
    File,
    /// `registry_auth`, where it is a mapping.
    Login,
}

impl Scope {
    /// What a key of this scope belongs to, as a sentence has it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Top => "the top of the file",
            Self::Stage => "a stage",
            Self::Param => "a parameter",
            Self::Retry => "retry",
            Self::Timeout => "timeout",
            Self::Placement => "placement",
            Self::Memory => "memory",
            Self::Idle => "idle",
            Self::Hook => "a hook",
            Self::Volume => "a volume",
            Self::Secret | Self::File => "a secret",
            Self::Login => "registry_auth",
        }
    }

    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Stage => "stages.NAME.",
            Self::Param => "params.NAME.",
            Self::Retry => "stages.NAME.retry.",
            Self::Timeout => "stages.NAME.timeout.",
            Self::Placement => "stages.NAME.placement.",
            Self::Memory => "stages.NAME.memory.",
            Self::Idle => "stages.NAME.idle.",
            Self::Hook => "hooks.",
            Self::Volume => "volumes.NAME.",
            Self::Secret => "secrets.NAME.",
            Self::File => "stages.NAME.secrets.NAME.",
            Self::Login => "stages.NAME.registry_auth.",
        }
    }
}
