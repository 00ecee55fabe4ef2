//! The engine: there, running, open to us, new enough, with room.

use std::path::Path;
use std::time::Instant;

use dybox_engine::{Engine, EngineInfo};
use dybox_model::format_bytes;

use super::{Finding, machine};
use crate::command::Context;

const PART: &str = "engine";

/// Looks at the engine. A failure to use it is a finding, too.
pub(super) async fn look(context: &Context) -> Vec<Finding> {
    let engine = match Engine::connect(context.engine_conf()).await {
        Ok(engine) => engine,
        Err(e) => return vec![Finding::fail(PART, "connection", e.to_string(), e.advice())],
    };
    let mut found = vec![Finding::ok(PART, "connection", engine.address())];
    match engine.info().await {
        Ok(info) => facts(&mut found, &info, is_local(&engine.address())),
        Err(e) => found.push(Finding::fail(PART, "answers", e.to_string(), e.advice())),
    }
    found.push(answers(&engine).await);
    found
}

/// A ping proves nothing; a list of containers does.
async fn answers(engine: &Engine) -> Finding {
    let start = Instant::now();
    match engine.list(None).await {
        Err(e) => Finding::fail(PART, "answers", e.to_string(), e.advice()),
        Ok(list) => {
            let took = start.elapsed().as_millis();
            let found = format!("listed {} of DYbox's containers in {took} ms", list.len());
            if took > 2000 {
                return Finding::warn(PART, "answers", found, "the engine is slow: look at its log and its disk");
            }
            Finding::ok(PART, "answers", found)
        }
    }
}

fn facts(found: &mut Vec<Finding>, info: &EngineInfo, local: bool) {
    found.push(Finding::ok(PART, "version", format!("Docker {}, API {}", info.version, info.api)));
    found.push(Finding::ok(PART, "cgroups", format!("version {}, driver {}", info.cgroup_version, info.cgroup_driver)));
    found.push(Finding::ok(PART, "size", format!("{} cpus, {}", info.cpus, format_bytes(info.memory))));
    found.push(if info.live_restore {
        Finding::ok(PART, "live-restore", "on: containers survive a restart of the engine")
    } else {
        Finding::warn(
            PART,
            "live-restore",
            "off: a restart of the engine kills all containers",
            "set \"live-restore\": true in /etc/docker/daemon.json and reload the engine",
        )
    });
    if !info.has_bridge {
        let fix = "start the engine without --bridge=none; stages with `network: bridge` need it";
        found.push(Finding::warn(PART, "bridge", "there is no default bridge network", fix));
    }
    if local {
        found.push(machine::disk(PART, "disk", Path::new(&info.root_dir)));
    }
    // What an engine on cgroup v1 always says and nobody can act upon.
    let known = ["blkio", "WARNING: No cpu", "IPv4", "bridge-nf-call"];
    for warning in info.warnings.iter().filter(|text| !known.iter().any(|word| text.contains(word))) {
        found.push(Finding::warn(PART, "warning", warning.trim_start_matches("WARNING: "), "see the engine's log"));
    }
}

fn is_local(address: &str) -> bool {
    address.starts_with("unix://")
}
