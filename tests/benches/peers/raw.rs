//! The peer: the same containers by a plain loop over the engine's API.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};
use futures_util::StreamExt;
use tokio::sync::{Semaphore, watch};

/// A DAG: for each node, the nodes that must have ended.
pub(crate) type Dag = Vec<Vec<usize>>;

/// Runs every node of `dag` as one container of `true`, at most `width` at once.
pub(crate) fn run(dag: &Dag, width: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let docker = Docker::connect_with_socket_defaults().unwrap().negotiate_version().await.unwrap();
        let slots = Arc::new(Semaphore::new(width));
        let ends: Vec<_> = dag.iter().map(|_| watch::channel(false)).collect();
        let mut tasks = tokio::task::JoinSet::new();
        for (node, needs) in dag.iter().enumerate() {
            let mut needs: Vec<_> = needs.iter().map(|&need| ends[need].1.clone()).collect();
            let (docker, slots, end) = (docker.clone(), slots.clone(), ends[node].0.clone());
            tasks.spawn(async move {
                for need in &mut needs {
                    need.wait_for(|ended| *ended).await.unwrap();
                }
                let slot = slots.acquire().await.unwrap();
                let name = format!("dybox-bench-{}-{node}", std::process::id());
                one(&docker, &name, &end).await;
                drop(slot);
            });
        }
        tasks.join_all().await;
    });
}

async fn one(docker: &Docker, name: &str, end: &watch::Sender<bool>) {
    let host = HostConfig {
        nano_cpus: Some(250_000_000),
        memory: Some(32 << 20),
        memory_swap: Some(32 << 20),
        pids_limit: Some(512),
        cap_drop: Some(vec!["ALL".into()]),
        security_opt: Some(vec!["no-new-privileges".into()]),
        ..HostConfig::default()
    };
    let body = ContainerCreateBody {
        image: Some("dybox-test/busybox:1".into()),
        cmd: Some(vec!["true".into()]),
        network_disabled: Some(true),
        labels: Some(HashMap::from([("dybox.bench".into(), "1".into())])),
        host_config: Some(host),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    docker.create_container(Some(options), body).await.unwrap();
    let mut wait = docker.wait_container(name, None::<bollard::query_parameters::WaitContainerOptions>);
    docker.start_container(name, None::<bollard::query_parameters::StartContainerOptions>).await.unwrap();
    let _ = wait.next().await;
    end.send_replace(true);
    let force = RemoveContainerOptionsBuilder::default().force(true).build();
    docker.remove_container(name, Some(force)).await.unwrap();
}
