//! The registry of settings: one row makes the parser, `dybox doctor` and the reference page.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// Its name in a configuration file.
    pub name: &'static str,
    /// Environment variables that set it, the strongest first.
    pub env: &'static [&'static str],
    /// The flag that sets it.
    pub flag: &'static str,
    /// Its value when nobody sets it, in words.
    pub default: &'static str,
    /// What it is for.
    pub about: &'static str,
}

/// Every setting, in the order in which they are shown.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "home",
        env: &["DYBOX_HOME"],
        flag: "--home",
        default: "$XDG_DATA_HOME/dybox, or ~/.local/share/dybox",
        about: "Directory of runs, logs and journals. Runs that share it share one budget.",
    },
    Key {
        name: "cpus",
        env: &["DYBOX_CPUS"],
        flag: "run --cpus",
        default: "the machine's",
        about: "Cpus that all runs of this user on this machine may use together.",
    },
    Key {
        name: "memory",
        env: &["DYBOX_MEMORY"],
        flag: "run --memory",
        default: "the machine's",
        about: "Memory that all runs of this user on this machine may use together, with a unit.",
    },
    Key {
        name: "docker_host",
        env: &["DYBOX_DOCKER_HOST", "DOCKER_HOST"],
        flag: "--docker-host",
        default: "the current docker context, or unix:///var/run/docker.sock",
        about: "Address of the Docker engine.",
    },
    Key {
        name: "color",
        env: &["DYBOX_COLOR"],
        flag: "--color",
        default: "auto",
        about: "Colour: `auto` (on a terminal, without NO_COLOR and CI), `always` or `never`.",
    },
    Key {
        name: "output",
        env: &["DYBOX_OUTPUT"],
        flag: "-o",
        default: "table",
        about: "What reading commands print: `table`, `json`, `jsonl`, `yaml` or `name`.",
    },
    Key {
        name: "yarn",
        env: &["DYBOX_YARN"],
        flag: "--yarn, --local",
        default: "true where a YARN configuration is found",
        about: "Whether commands mean the YARN cluster (`true`) or this machine (`false`). The configuration is found as Hadoop finds it: in HADOOP_CONF_DIR, YARN_CONF_DIR, or etc/hadoop of HADOOP_YARN_HOME or HADOOP_HOME.",
    },
    Key {
        name: "store",
        env: &["DYBOX_STORE"],
        flag: "",
        default: "hdfs://<default fs>/user/<user>/.dybox",
        about: "On the cluster: the directory in HDFS of runs, logs, journals and the uploaded program.",
    },
    Key {
        name: "queue",
        env: &["DYBOX_QUEUE"],
        flag: "run --queue",
        default: "the job file's, or `default`",
        about: "On the cluster: the YARN queue of jobs that name none.",
    },
    Key {
        name: "master_cpus",
        env: &["DYBOX_MASTER_CPUS"],
        flag: "",
        default: "1",
        about: "On the cluster: cpus that each master asks for. YARN counts whole ones.",
    },
    Key {
        name: "master_memory",
        env: &["DYBOX_MASTER_MEMORY"],
        flag: "",
        default: "128MiB",
        about: "On the cluster: memory that each master asks for, with a unit. The scheduler rounds it up.",
    },
    Key {
        name: "profiles",
        env: &["DYBOX_PROFILES"],
        flag: "",
        default: "profiles.yaml in the store",
        about: "The administrator's registry of profiles: a path, or an hdfs:// address.",
    },
    Key {
        name: "state_servers",
        env: &["DYBOX_STATE_SERVERS"],
        flag: "node --servers",
        default: "none",
        about: "State servers, `host:port`, with commas between them: they know which machines' engines can run tasks, and masters on the cluster heed them.",
    },
    Key {
        name: "state_identity",
        env: &["DYBOX_STATE_IDENTITY"],
        flag: "node --identity",
        default: "none",
        about: "The certificate to show them: a file that `dybox state-server init` made, or its `ca.pem` where reading is open.",
    },
];

/// Environment variables of DYbox that are no settings.
pub(crate) const OTHER_ENV: &[(&str, &str)] = &[
    ("DYBOX_CONF", "The user's configuration file, instead of the one in the XDG configuration directory."),
    ("DYBOX_LOG", "What masters and proxies log: `warn`, `info`, `debug`, `trace`."),
];

/// The place of a key in [`KEYS`].
pub(crate) fn place(name: &str) -> Option<usize> {
    KEYS.iter().position(|key| key.name == name)
}
