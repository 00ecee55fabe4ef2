//! Hadoop's configuration files, one directory for each daemon and one for clients.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::layout::{Layout, Ports, node_host};
use super::{Broken, Context, Options, pair};

pub(super) type Site = BTreeMap<String, String>;

const LOG4J: &str = "log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.target=System.err
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
";

/// What the files are made from.
pub(super) struct Conf<'a> {
    pub(super) layout: &'a Layout,
    pub(super) ports: Ports,
    pub(super) options: &'a Options,
    pub(super) jars: &'a Path,
}

impl Conf<'_> {
    /// Writes all directories of configuration.
    pub(super) fn write(&self) -> Result<(), Broken> {
        for name in ["client", "namenode", "datanode", "resourcemanager"] {
            self.write_one(name, self.yarn())?;
        }
        if self.options.rms > 1 {
            pair::write(self)?;
        }
        for number in 1..=self.options.nodes {
            let mut yarn = self.yarn();
            yarn.extend(self.node(number));
            self.write_one(&format!("node-{number}"), yarn)?;
        }
        for page in ["hdfs", "datanode", "secondary", "jobhistory", "static"] {
            std::fs::create_dir_all(self.layout.at("stub/webapps").join(page)).doing("making the stub of the pages")?;
        }
        self.write_client()
    }

    /// The programs `node` and `client` run a command that finds the policy of this cluster, and `client` this cluster too:
    /// `dybox` takes the policy from /etc alone, and the machine's own /etc is not for tests to write.
    fn write_client(&self) -> Result<(), Broken> {
        use std::os::unix::fs::PermissionsExt;
        let etc = self.layout.at("etc/dybox");
        std::fs::create_dir_all(&etc).doing("making a directory")?;
        std::fs::write(etc.join("policy.toml"), "mount_roots = [\"/\"]\n").doing("writing the policy")?;
        let within = format!(
            "exec unshare --mount sh -c 'mount -t overlay overlay -o \"lowerdir=$0:/etc\" /etc && mount --bind \"$0/dybox\" /etc/dybox && exec \"$@\"' {etc} \"$@\"",
            etc = self.layout.text("etc"),
        );
        let conf = self.layout.conf("client");
        for (name, set) in [("node", String::new()), ("client", format!("export HADOOP_CONF_DIR={}\n", conf.display()))]
        {
            let program = self.layout.at(name);
            let text = format!("#!/bin/sh\n{set}{within}\n");
            std::fs::write(&program, text).doing("writing the programs `node` and `client`")?;
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).doing("making it executable")?;
        }
        Ok(())
    }

    pub(super) fn write_one(&self, name: &str, yarn: Site) -> Result<(), Broken> {
        let dir = self.layout.conf(name);
        std::fs::create_dir_all(&dir).doing("making a directory for configuration")?;
        let core = self.with_more(self.core(name), &["fs.", "ipc.", "hadoop.", "io."]);
        let hdfs = self.with_more(self.hdfs(), &["dfs."]);
        let yarn = self.with_more(yarn, &["yarn."]);
        let queues = self.with_more(self.queues(), &["yarn.scheduler.capacity."]);
        let files = [
            ("core-site.xml", xml(&core)),
            ("hdfs-site.xml", xml(&hdfs)),
            ("yarn-site.xml", xml(&yarn)),
            ("mapred-site.xml", xml(&self.mapred())),
            ("capacity-scheduler.xml", xml(&queues)),
            ("hadoop-policy.xml", xml(&Site::new())),
            ("log4j.properties", LOG4J.to_owned()),
        ];
        for (file, text) in files {
            std::fs::write(dir.join(file), text).doing("writing configuration")?;
        }
        Ok(())
    }

    fn with_more(&self, mut site: Site, prefixes: &[&str]) -> Site {
        let ours = self.options.site.iter().filter(|(key, _)| prefixes.iter().any(|prefix| key.starts_with(prefix)));
        site.extend(ours.cloned());
        site
    }

    pub(super) fn at(&self, host: &str, service: &str) -> String {
        format!("{host}:{}", self.ports.of(service))
    }

    fn core(&self, name: &str) -> Site {
        site([
            ("fs.defaultFS", format!("hdfs://{}", self.at("127.0.0.1", "nn.rpc"))),
            ("hadoop.tmp.dir", self.layout.text(&format!("tmp/{name}"))),
            ("hadoop.http.staticuser.user", whoami()),
            ("ipc.client.connect.max.retries", "3".into()),
        ])
    }

    fn hdfs(&self) -> Site {
        site([
            ("dfs.replication", "1".into()),
            ("dfs.namenode.name.dir", format!("file://{}", self.layout.text("hdfs/name"))),
            ("dfs.datanode.data.dir", format!("file://{}", self.layout.text("hdfs/data"))),
            ("dfs.namenode.rpc-address", self.at("127.0.0.1", "nn.rpc")),
            ("dfs.namenode.http-address", self.at("127.0.0.1", "nn.http")),
            ("dfs.datanode.address", self.at("127.0.0.1", "dn.data")),
            ("dfs.datanode.http.address", self.at("127.0.0.1", "dn.http")),
            ("dfs.datanode.ipc.address", self.at("127.0.0.1", "dn.ipc")),
            ("dfs.datanode.hostname", "127.0.0.1".into()),
            ("dfs.namenode.safemode.extension", "0".into()),
        ])
    }

    pub(super) fn yarn(&self) -> Site {
        let rm = |service| self.at("127.0.0.1", service);
        let beat = self.options.heartbeat_ms.to_string();
        let expiry = self.options.expiry_ms.to_string();
        let mut all = site([
            ("yarn.resourcemanager.hostname", "127.0.0.1".into()),
            ("yarn.resourcemanager.address", rm("rm.client")),
            ("yarn.resourcemanager.scheduler.address", rm("rm.scheduler")),
            ("yarn.resourcemanager.resource-tracker.address", rm("rm.tracker")),
            ("yarn.resourcemanager.admin.address", rm("rm.admin")),
            ("yarn.resourcemanager.webapp.address", rm("rm.http")),
            ("yarn.resourcemanager.connect.retry-interval.ms", "1000".into()),
            ("yarn.resourcemanager.am.max-attempts", "4".into()),
            ("yarn.resourcemanager.recovery.enabled", "true".into()),
            ("yarn.resourcemanager.work-preserving-recovery.enabled", "true".into()),
            ("yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms", "1000".into()),
            (
                "yarn.resourcemanager.store.class",
                "org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore".into(),
            ),
            ("yarn.resourcemanager.fs.state-store.uri", format!("file://{}", self.layout.text("rm-state"))),
            ("yarn.resourcemanager.nodemanagers.heartbeat-interval-ms", beat.clone()),
            ("yarn.resourcemanager.nodemanagers.heartbeat-interval-min-ms", beat),
            ("yarn.nm.liveness-monitor.expiry-interval-ms", expiry.clone()),
            ("yarn.am.liveness-monitor.expiry-interval-ms", expiry),
            (
                "yarn.resourcemanager.scheduler.class",
                "org.apache.hadoop.yarn.server.resourcemanager.scheduler.capacity.CapacityScheduler".into(),
            ),
            ("yarn.scheduler.minimum-allocation-mb", "16".into()),
            ("yarn.scheduler.maximum-allocation-mb", self.options.memory_mib.to_string()),
            ("yarn.scheduler.maximum-allocation-vcores", self.options.vcores.to_string()),
            ("yarn.log-aggregation-enable", "true".into()),
            ("yarn.nodemanager.remote-app-log-dir", "/app-logs".into()),
            ("yarn.application.classpath", format!("$HADOOP_CONF_DIR,{}/*", self.jars.display())),
        ]);
        if self.options.rms > 1 {
            pair::in_place_of_one(self, &mut all);
        }
        if self.options.acls {
            all.extend(site([("yarn.acl.enable", "true".into()), ("yarn.admin.acl", "operator".into())]));
        }
        if self.options.preemption {
            let prefix = "yarn.resourcemanager.monitor.capacity.preemption";
            all.extend([
                ("yarn.resourcemanager.scheduler.monitor.enable".to_owned(), "true".to_owned()),
                (format!("{prefix}.monitoring_interval"), "500".to_owned()),
                (format!("{prefix}.max_wait_before_kill"), "3000".to_owned()),
                (format!("{prefix}.total_preemption_per_round"), "1.0".to_owned()),
                (format!("{prefix}.natural_termination_factor"), "1.0".to_owned()),
            ]);
        }
        all
    }

    fn node(&self, number: usize) -> Site {
        let host = node_host(number);
        let own = |name: &str| self.layout.text(&format!("node-{number}/{name}"));
        let whitelist = "JAVA_HOME,HADOOP_COMMON_HOME,HADOOP_HDFS_HOME,HADOOP_CONF_DIR,HADOOP_YARN_HOME,HADOOP_HOME,PATH,LANG,TZ,DOCKER_HOST";
        site([
            ("yarn.nodemanager.hostname", host.clone()),
            ("yarn.nodemanager.address", self.at(&host, "nm.rpc")),
            ("yarn.nodemanager.localizer.address", self.at(&host, "nm.localizer")),
            ("yarn.nodemanager.webapp.address", self.at(&host, "nm.http")),
            ("yarn.nodemanager.collector-service.address", self.at(&host, "nm.collector")),
            ("yarn.nodemanager.bind-host", host.clone()),
            ("yarn.nodemanager.local-dirs", own("local")),
            ("yarn.nodemanager.log-dirs", own("logs")),
            ("yarn.nodemanager.recovery.enabled", "true".into()),
            ("yarn.nodemanager.recovery.supervised", "true".into()),
            ("yarn.nodemanager.recovery.dir", own("recovery")),
            ("yarn.nodemanager.resource.memory-mb", self.options.memory_mib.to_string()),
            ("yarn.nodemanager.resource.cpu-vcores", self.options.vcores.to_string()),
            ("yarn.nodemanager.pmem-check-enabled", "true".into()),
            ("yarn.nodemanager.vmem-check-enabled", "false".into()),
            ("yarn.nodemanager.resource.memory.enforced", "false".into()),
            ("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "99".into()),
            ("yarn.nodemanager.env-whitelist", whitelist.into()),
            ("yarn.nodemanager.aux-services", "mapreduce_shuffle".into()),
        ])
    }

    fn mapred(&self) -> Site {
        site([
            ("mapreduce.framework.name", "yarn".into()),
            // The shuffle of a NodeManager binds all addresses, so the nodes can't share a port.
            ("mapreduce.shuffle.port", "0".into()),
            ("mapreduce.application.classpath", format!("$HADOOP_CONF_DIR,{}/*", self.jars.display())),
        ])
    }

    fn queues(&self) -> Site {
        let prefix = "yarn.scheduler.capacity";
        let queues: &[(&str, &str)] = if self.options.acls {
            &[("default", "50"), ("etl", "50"), ("closed", "0")]
        } else {
            &[("default", "50"), ("etl", "50")]
        };
        let names: Vec<_> = queues.iter().map(|(name, _)| *name).collect();
        let mut all = Site::from([
            (format!("{prefix}.root.queues"), names.join(",")),
            (format!("{prefix}.maximum-am-resource-percent"), "0.8".to_owned()),
            (
                format!("{prefix}.resource-calculator"),
                "org.apache.hadoop.yarn.util.resource.DominantResourceCalculator".to_owned(),
            ),
            (format!("{prefix}.node-locality-delay"), "-1".to_owned()),
            (format!("{prefix}.per-node-heartbeat.maximum-container-assignments"), "100".to_owned()),
        ]);
        if self.options.acls {
            all.insert(format!("{prefix}.root.acl_submit_applications"), " ".to_owned());
            all.insert(format!("{prefix}.root.acl_administer_queue"), " ".to_owned());
        }
        for (name, capacity) in queues {
            let queue = format!("{prefix}.root.{name}");
            let who = if *name == "closed" { " " } else { "*" };
            all.extend([
                (format!("{queue}.capacity"), (*capacity).to_owned()),
                (format!("{queue}.maximum-capacity"), "100".to_owned()),
                (format!("{queue}.user-limit-factor"), "100".to_owned()),
                (format!("{queue}.acl_submit_applications"), who.to_owned()),
            ]);
        }
        all
    }
}

pub(super) fn site<const N: usize>(pairs: [(&str, String); N]) -> Site {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The user whom the daemons run as.
pub(super) fn whoami() -> String {
    nix::unistd::User::from_uid(nix::unistd::geteuid())
        .ok()
        .flatten()
        .map_or_else(|| "root".to_owned(), |user| user.name)
}

fn xml(site: &Site) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let mut text = String::from("<?xml version=\"1.0\"?>\n<configuration>\n");
    for (key, value) in site {
        let _ = writeln!(text, "  <property><name>{key}</name><value>{}</value></property>", escape(value));
    }
    text.push_str("</configuration>\n");
    text
}
