//! What Hadoop takes where no site file says otherwise: the values that DYbox looks at, as of 3.4.2.

/// Key and value, before variables are replaced.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("fs.defaultFS", "file:///"),
    ("hadoop.tmp.dir", "/tmp/hadoop-${user.name}"),
    ("hadoop.security.authentication", "simple"),
    ("hadoop.security.authorization", "false"),
    ("hadoop.security.token.service.use_ip", "true"),
    ("hadoop.rpc.protection", "authentication"),
    ("hadoop.http.authentication.type", "simple"),
    ("ipc.client.connect.timeout", "20000"),
    ("ipc.client.rpc-timeout.ms", "120000"),
    ("ipc.client.fallback-to-simple-auth-allowed", "false"),
    ("ipc.maximum.data.length", "134217728"),
    ("ipc.ping.interval", "60000"),
    ("dfs.replication", "3"),
    ("dfs.blocksize", "134217728"),
    ("dfs.permissions.enabled", "true"),
    ("dfs.namenode.http-address", "0.0.0.0:9870"),
    ("dfs.client.failover.max.attempts", "15"),
    ("dfs.client.use.datanode.hostname", "false"),
    ("dfs.encrypt.data.transfer", "false"),
    ("yarn.resourcemanager.hostname", "0.0.0.0"),
    ("yarn.resourcemanager.address", "${yarn.resourcemanager.hostname}:8032"),
    ("yarn.resourcemanager.scheduler.address", "${yarn.resourcemanager.hostname}:8030"),
    ("yarn.resourcemanager.resource-tracker.address", "${yarn.resourcemanager.hostname}:8031"),
    ("yarn.resourcemanager.admin.address", "${yarn.resourcemanager.hostname}:8033"),
    ("yarn.resourcemanager.webapp.address", "${yarn.resourcemanager.hostname}:8088"),
    ("yarn.resourcemanager.webapp.https.address", "${yarn.resourcemanager.hostname}:8090"),
    ("yarn.http.policy", "HTTP_ONLY"),
    ("yarn.resourcemanager.ha.enabled", "false"),
    ("yarn.client.failover-proxy-provider", "org.apache.hadoop.yarn.client.ConfiguredRMFailoverProxyProvider"),
    ("yarn.resourcemanager.connect.max-wait.ms", "900000"),
    ("yarn.resourcemanager.connect.retry-interval.ms", "30000"),
    (
        "yarn.resourcemanager.scheduler.class",
        "org.apache.hadoop.yarn.server.resourcemanager.scheduler.capacity.CapacityScheduler",
    ),
    ("yarn.resourcemanager.am.max-attempts", "2"),
    ("yarn.resourcemanager.rm.container-allocation.expiry-interval-ms", "600000"),
    ("yarn.resourcemanager.nodemanagers.heartbeat-interval-ms", "1000"),
    ("yarn.resourcemanager.placement-constraints.handler", "disabled"),
    ("yarn.resourcemanager.auto-update.containers", "false"),
    ("yarn.resourcemanager.application.max-tags", "10"),
    ("yarn.resourcemanager.application.max-tag.length", "100"),
    ("yarn.scheduler.minimum-allocation-mb", "1024"),
    ("yarn.scheduler.maximum-allocation-mb", "8192"),
    ("yarn.scheduler.minimum-allocation-vcores", "1"),
    ("yarn.scheduler.maximum-allocation-vcores", "4"),
    ("yarn.am.liveness-monitor.expiry-interval-ms", "900000"),
    ("yarn.nm.liveness-monitor.expiry-interval-ms", "600000"),
    ("yarn.client.nodemanager-connect.max-wait-ms", "180000"),
    ("yarn.client.nodemanager-connect.retry-interval-ms", "10000"),
    ("yarn.nodemanager.log.retain-seconds", "10800"),
    ("yarn.nodemanager.remote-app-log-dir", "/tmp/logs"),
    ("yarn.nodemanager.remote-app-log-dir-suffix", "logs"),
    ("yarn.nodemanager.remote-app-log-dir-include-older", "true"),
    ("yarn.nodemanager.sleep-delay-before-sigkill.ms", "250"),
    ("yarn.nodemanager.amrmproxy.enabled", "false"),
    ("yarn.nodemanager.linux-container-executor.cgroups.hierarchy", "/hadoop-yarn"),
    ("yarn.nodemanager.container-executor.class", "org.apache.hadoop.yarn.server.nodemanager.DefaultContainerExecutor"),
    ("yarn.log-aggregation-enable", "false"),
    ("yarn.log-aggregation.file-formats", "TFile"),
    (
        "yarn.log-aggregation.file-controller.TFile.class",
        "org.apache.hadoop.yarn.logaggregation.filecontroller.tfile.LogAggregationTFileController",
    ),
    ("yarn.nodemanager.log-aggregation.compression-type", "none"),
    ("yarn.node-labels.enabled", "false"),
    ("yarn.acl.enable", "false"),
    ("yarn.timeline-service.enabled", "false"),
];

/// Names that older files use, and what they are called today.
pub(super) const RENAMED: &[(&str, &str)] = &[
    ("dfs.block.size", "dfs.blocksize"),
    ("dfs.federation.nameservices", "dfs.nameservices"),
    ("dfs.permissions", "dfs.permissions.enabled"),
    ("dfs.umaskmode", "fs.permissions.umask-mode"),
    ("fs.default.name", "fs.defaultFS"),
];

/// Lists whose readers do not trim the parts.
pub(super) fn is_list(key: &str) -> bool {
    matches!(key, "dfs.nameservices" | "dfs.internal.nameservices" | "yarn.resourcemanager.ha.rm-ids")
        || key.starts_with("dfs.ha.namenodes.")
}
