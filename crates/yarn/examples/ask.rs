//! Asks the cluster of HADOOP_CONF_DIR everything, and submits what it must refuse.

#![expect(clippy::print_stdout, reason = "an example speaks to whoever runs it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use dybox_hrpc::Settings;
use dybox_model::Resources;
use dybox_yarn::{Launch, LocalResource, Query, ResourceManager, Submission, Visibility, YarnError};

fn told(what: &str, result: Result<impl std::fmt::Debug, YarnError>) {
    match result {
        Ok(answer) => println!("{what}: {answer:?}"),
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            println!(
                "{what}: {:?}: {error}{cause}\n    class {:?}, advice: {}",
                error.kind(),
                error.class(),
                error.advice()
            );
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let rm = ResourceManager::from_settings(&Settings::from_env()?, "root")?;
    told("metrics", rm.metrics().await);
    told("nodes", rm.nodes().await);
    told("queue", rm.queue("default").await);
    told("root", rm.queue("root").await.map(|queue| queue.map(|queue| queue.children.len())));
    told("no queue", rm.queue("nope").await);
    told("rights", rm.queue_rights().await);
    told("labels", rm.labels().await);
    let some = Query { limit: Some(2), ..Query::default() };
    told(
        "applications",
        rm.applications(&some).await.map(|all| all.iter().map(|one| one.id.to_string()).collect::<Vec<_>>()),
    );
    told("no report", rm.report("application_1_0001".parse()?).await);
    let small = Resources { cpu_milli: 1000, memory: 64 << 20 };
    let launch = Launch { command: "exec sleep 60".to_owned(), ..Launch::default() };
    let submit = async |what: &str, change: &dyn Fn(&mut Submission)| {
        let began = Instant::now();
        let answer = async {
            let mut submission = Submission::new(rm.new_application().await?.id, "refused", launch.clone(), small);
            change(&mut submission);
            rm.submit(&submission).await.map(|report| report.state)
        };
        told(what, answer.await);
        println!("    {:.3} s", began.elapsed().as_secs_f64());
    };
    submit("unknown queue", &|s| s.queue = "nope".to_owned()).await;
    submit("too large", &|s| s.size.memory = 1 << 40).await;
    submit("unknown label", &|s| s.node_label = Some("gpu".to_owned())).await;
    submit("11 tags", &|s| s.tags = vec!["a".to_owned(); 11]).await;
    submit("closed queue", &|s| s.queue = "closed".to_owned()).await;
    let late = |s: &mut Submission| {
        let binary = LocalResource {
            url: "file:///nowhere/dybox".to_owned(),
            size: 1,
            mtime_ms: 1,
            visibility: Visibility::Public,
        };
        s.launch.resources = BTreeMap::from([("dybox".to_owned(), binary)]);
        s.attempts = 1;
        s.tags = vec!["missing".to_owned()];
    };
    submit("missing binary", &late).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let query = Query { tags: vec!["missing".to_owned()], ..Query::default() };
    told(
        "its end",
        rm.applications(&query).await.map(|all| all.first().map(|one| (one.state, one.diagnostics.clone()))),
    );
    let id = rm.new_application().await?.id;
    told("killed", rm.submit(&Submission::new(id, "killed", launch.clone(), small)).await.map(|report| report.state));
    let began = Instant::now();
    told("kill", rm.kill(id, "because").await);
    println!("    {:.3} s", began.elapsed().as_secs_f64());
    told("after it", rm.report(id).await.map(|report| (report.state, report.diagnostics)));
    told("kill again", rm.kill(id, "because").await);
    told("kill nothing", rm.kill("application_1_0001".parse()?, "because").await);
    Ok(())
}
