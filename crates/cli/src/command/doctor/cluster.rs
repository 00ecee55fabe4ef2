//! The cluster: its configuration with where each value came from, the ResourceManager, HDFS, rights, logs, the program.

use std::time::{Duration, Instant};

use dybox_client::{Client, ClusterConf};
use dybox_model::{format_bytes, format_cpus};
use dybox_yarn::{NodeReport, QueueRights, ResourceManager, YarnError};

use super::{Finding, Level};
use crate::command::Context;
use crate::command::context::origin;
use crate::command::place::{Hadoop, Place, tokens};
use crate::report::Failure;

const PART: &str = "cluster";
/// Values that decide whether and how a run works.
const KEYS: &[&str] = &[
    "fs.defaultFS",
    "hadoop.security.authentication",
    "yarn.resourcemanager.address",
    "yarn.resourcemanager.ha.enabled",
    "yarn.resourcemanager.ha.rm-ids",
    "yarn.resourcemanager.webapp.address",
    "yarn.scheduler.minimum-allocation-mb",
    "yarn.nodemanager.remote-app-log-dir",
];
/// Nodes that do not work are named up to so many.
const NAMED: usize = 5;
/// A call that takes longer than this is slow.
const SLOW: Duration = Duration::from_secs(2);

/// Looks at the cluster that is meant. Nothing of it where this machine is meant.
pub(super) async fn look(context: &Context) -> Vec<Finding> {
    let hadoop = match context.place() {
        Ok(Place::Cluster(hadoop)) => hadoop,
        Ok(Place::Machine) => return vec![Finding::ok(PART, "place", "commands mean this machine")],
        Err(failure) => return vec![of(PART, "configuration", failure)],
    };
    let mut found = vec![Finding::ok(PART, "place", format!("commands mean the cluster of {}", hadoop.words()))];
    found.extend(configuration(hadoop));
    if let Err(failure) = tokens() {
        found.push(of(PART, "tokens", failure));
        return found;
    }
    let client = match context.client() {
        Ok(client) => client,
        Err(failure) => {
            found.push(of(PART, "configuration", failure));
            return found;
        }
    };
    let Some(conf) = client.cluster() else { return found };
    found.push(Finding::ok(PART, "user", conf.user.clone()));
    let (yarn, store) = tokio::join!(resource_manager(conf), store(&client, conf));
    found.extend(yarn);
    found.extend(store);
    found
}

fn configuration(hadoop: &Hadoop) -> Vec<Finding> {
    let settings = &hadoop.settings;
    let files: Vec<_> = settings.files().map(|path| path.display().to_string()).collect();
    let mut found = vec![Finding::ok(PART, "files", files.join(", "))];
    for &key in KEYS {
        if let Some(value) = settings.value(key) {
            found.push(Finding::ok(PART, key, format!("{}  [{}]", value.text, origin(&value.source))));
        }
    }
    let on = |key: &str| settings.get(key).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let from = |key: &str| settings.value(key).map_or_else(|| "default".to_owned(), |value| origin(&value.source));
    let key = "yarn.log-aggregation-enable";
    found.push(match on(key) {
        true => Finding::ok(PART, "log aggregation", format!("on  [{}]", from(key))),
        false => Finding::warn(
            PART,
            "log aggregation",
            format!(
                "off  [{}]: `dybox logs --system` has nothing after a run's end; tasks' logs are kept anyway",
                from(key)
            ),
            "set yarn.log-aggregation-enable to true, on the nodes and here",
        ),
    });
    let key = "yarn.nodemanager.vmem-check-enabled";
    found.push(match on(key) {
        false => Finding::ok(PART, "vmem check", format!("off  [{}]", from(key))),
        true => Finding::warn(
            PART,
            "vmem check",
            format!("on  [{}], where the nodes are configured as this machine", from(key)),
            "set yarn.nodemanager.vmem-check-enabled to false on the nodes: it counts addresses, not memory",
        ),
    });
    found
}

async fn resource_manager(conf: &ClusterConf) -> Vec<Finding> {
    let start = Instant::now();
    let metrics = match conf.rm.metrics().await {
        Ok(metrics) => metrics,
        Err(error) => return vec![of(PART, "ResourceManager", error.into())],
    };
    let took = start.elapsed();
    let words = format!("active; answered in {} ms", took.as_millis());
    let mut found = vec![match took > SLOW {
        true => Finding::warn(PART, "ResourceManager", words, "it is slow: look at its log and its machine"),
        false => Finding::ok(PART, "ResourceManager", words),
    }];
    let away = metrics.lost + metrics.unhealthy;
    let nodes = format!("{} up, {} lost, {} unhealthy", metrics.active, metrics.lost, metrics.unhealthy);
    found.push(match (metrics.active, away) {
        (0, _) => Finding::fail(PART, "nodes", nodes, "start NodeManagers: nothing can run"),
        (_, 0) => Finding::ok(PART, "nodes", nodes),
        _ => Finding::warn(PART, "nodes", format!("{nodes}{}", sick(&conf.rm).await), "look at those nodes' logs"),
    });
    let (rights, largest) = tokio::join!(conf.rm.queue_rights(), conf.rm.new_application());
    found.push(queue(conf, rights).await);
    match largest {
        Ok(new) => {
            let words = format!("{} cpus, {}", format_cpus(new.max.cpu_milli), format_bytes(new.max.memory));
            found.push(Finding::ok(PART, "largest grant", words));
        }
        Err(error) => found.push(of(PART, "largest grant", error.into())),
    }
    found
}

/// Which nodes do not work, and what they say.
async fn sick(rm: &ResourceManager) -> String {
    let Ok(nodes) = rm.nodes().await else { return String::new() };
    let one = |node: &NodeReport| match node.health.trim() {
        "" => format!("{} {}", node.id.host, node.state),
        health => format!("{} {} ({health})", node.id.host, node.state),
    };
    let all: Vec<_> = nodes.iter().filter(|node| !node.node.usable).take(NAMED).map(one).collect();
    if all.is_empty() { String::new() } else { format!(": {}", all.join(", ")) }
}

async fn queue(conf: &ClusterConf, rights: Result<Vec<QueueRights>, YarnError>) -> Finding {
    let name = conf.queue.as_deref().unwrap_or("default");
    match conf.rm.queue(name).await {
        Err(error) => return of(PART, "queue", error.into()),
        Ok(None) => {
            let fix = "set `queue` of DYbox to a queue that exists, or name one in each job file";
            return Finding::warn(PART, "queue", format!("there is no queue {name:?}"), fix);
        }
        Ok(Some(queue)) if !queue.running => {
            return Finding::warn(PART, "queue", format!("{name} is stopped"), "ask its administrator to start it");
        }
        Ok(Some(_)) => {}
    }
    let known = rights.unwrap_or_default();
    let own = known.iter().find(|right| right.queue.rsplit('.').next() == Some(name));
    match own {
        Some(right) if right.submit => Finding::ok(PART, "queue", format!("{name}: {} may submit", conf.user)),
        None if known.is_empty() => Finding::ok(PART, "queue", format!("{name} runs; its rights are not shown")),
        _ => Finding::warn(
            PART,
            "queue",
            format!("{name}: {} may not submit", conf.user),
            "ask for the right, or set `queue` of DYbox to one of yours",
        ),
    }
}

/// HDFS: whether it can be read and written, and whether the program is there.
async fn store(client: &Client, conf: &ClusterConf) -> Vec<Finding> {
    let store = client.store();
    let probe = format!("runs/.doctor-{}", std::process::id());
    let tried = async {
        store.prepare().await?;
        store.put(&probe, "x").await?;
        store.remove(&probe).await.map(drop)
    };
    if let Err(error) = tried.await {
        return vec![of(PART, "store", Failure::from(error))];
    }
    let mut found = vec![Finding::ok(PART, "store", format!("{} can be written", conf.hdfs.url))];
    found.push(match client.program().await {
        Err(error) => of(PART, "program", error.into()),
        Ok((name, None)) => {
            Finding::ok(PART, "program", format!("{name} is not in HDFS yet: the first run puts it there"))
        }
        Ok((name, Some(public))) if public => {
            Finding::ok(PART, "program", format!("{name} is in HDFS; nodes share one copy of it"))
        }
        Ok((name, Some(_))) => Finding::warn(
            PART,
            "program",
            format!("{name} is in HDFS, and others may not read it: each user's nodes fetch a copy of their own"),
            "make the directories above it searchable for all (hdfs dfs -chmod o+x)",
        ),
    });
    found
}

/// A failure as a finding.
fn of(part: &'static str, name: &str, failure: Failure) -> Finding {
    let why = failure.why.clone().filter(|why| !failure.what.contains(why.as_str()));
    let code = failure.code.map(|code| format!("{code} ")).unwrap_or_default();
    let place = failure.place.clone().map(|place| format!(" ({place})")).unwrap_or_default();
    let found = match why {
        Some(why) => format!("{code}{}{place}: {why}", failure.what),
        None => format!("{code}{}{place}", failure.what),
    };
    Finding { level: Level::Fail, ..Finding::warn(part, name, found, failure.next.clone().unwrap_or_default()) }
}
