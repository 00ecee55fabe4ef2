//! Words of other tools, and what they are called here.

use crate::fields::Scope::{self, Hook, Idle, Placement, Retry, Stage, Top};

/// The key that a sentence of [`said_elsewhere`] names.
pub(crate) fn key_in(said: &'static str) -> Option<&'static str> {
    let rest = said.strip_prefix("it is called ").or_else(|| said.strip_prefix("write "))?;
    rest.split([' ', ':']).next()
}

/// What a key of compose, Kubernetes, Argo, Nextflow or Nomad is called here.
pub(crate) fn said_elsewhere(scope: Scope, name: &str) -> Option<&'static str> {
    Some(match (scope, name) {
        (Top, "services" | "jobs" | "tasks" | "steps" | "templates" | "process") => "it is called stages here",
        (Top, "parameters" | "arguments" | "vars" | "variables") => "it is called params here",
        (Stage, "depends_on" | "dependencies" | "depends" | "after") => "it is called needs here",
        (Stage, "environment") => "it is called env here",
        (Stage, "working_dir" | "workingDir" | "work_dir" | "cwd") => "it is called workdir here",
        (Stage, "args" | "cmd") => "it is called command here",
        (Stage, "run" | "source") => "it is called script here",
        (Stage, "container") => "it is called image here",
        (Stage, "cpu") => "it is called cpus here",
        (Stage, "mem" | "mem_limit") => "it is called memory here",
        (Stage, "resources" | "deploy") => "write cpus and memory",
        (Stage, "pids_limit") => "it is called pids here",
        (Stage, "replicas" | "scale" | "count") => "it is called parallelism here",
        (Stage, "mounts" | "volumeMounts" | "bind") => "it is called volumes here",
        (Stage, "networks" | "network_mode") => "it is called network here",
        (Stage, "publish" | "expose" | "port") => "it is called ports here",
        (Stage, "pull_policy" | "imagePullPolicy") => "it is called pull here",
        (Stage, "stop_grace_period" | "kill_timeout") => "it is called stop_grace here",
        (Stage, "restart" | "retries" | "retryStrategy" | "maxRetries" | "errorStrategy") => "write retry: { max: 3 }",
        (Stage, "activeDeadlineSeconds" | "time") => "write timeout: { run: 1h }",
        (Stage, "withItems" | "foreach") => "it is called each here",
        (Stage, "affinity" | "constraints" | "nodeSelector" | "node_selector" | "constraint") => {
            "it is called placement here"
        }
        (Placement, "hosts" | "node" | "host" | "on") => "it is called nodes here",
        (Placement, "max" | "limit" | "max_replicas_per_node" | "per_host") => "it is called max_per_host here",
        (Placement, "anti_affinity" | "podAntiAffinity" | "not_with" | "away_from") => "it is called apart_from here",
        (Placement, "rack") => "it is called racks here",
        (Placement, "soft" | "required" | "preferred") => "write hard: false",
        (Retry, "limit" | "attempts" | "retries" | "count") => "it is called max here",
        (Retry, "delay" | "interval" | "pause") => "it is called backoff here",
        (Stage, "idle_timeout" | "idleTimeout" | "idle_ttl" | "cull") => "it is called idle here",
        (Idle, "cpu" | "threshold") => "it is called cpus here",
        (Idle, "time" | "timeout" | "for") => "it is called after here",
        (Hook, "command" | "script") => "it is called run here",
        (Hook, "needs") => "it is called after here",
        _ => return None,
    })
}
