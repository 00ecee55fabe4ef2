//! Submits the example `am` to the cluster of HADOOP_CONF_DIR, follows it, and says how long each step took.
//!
//! `submit AM_BINARY_URL SIZE MTIME_MS CONTAINERS [crash]`: the binary must lie where NodeManagers can fetch it.

#![expect(clippy::print_stdout, reason = "an example speaks to whoever runs it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use dybox_hrpc::{Credentials, Settings};
use dybox_model::Resources;
use dybox_yarn::{AppState, Launch, LocalResource, Query, ResourceManager, Submission, Visibility};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, size, mtime, containers, mode @ ..] = arguments.as_slice() else {
        return Err("submit URL SIZE MTIME_MS CONTAINERS [crash]".into());
    };
    let began = Instant::now();
    let at = || format!("{:>7.3} s", began.elapsed().as_secs_f64());
    let settings = Settings::from_env()?;
    let rm = ResourceManager::from_settings(&settings, "root")?;
    let new = rm.new_application().await?;
    println!("{} {} (largest container {:?})", at(), new.id, new.max);
    let binary = LocalResource {
        url: url.clone(),
        size: size.parse()?,
        mtime_ms: mtime.parse()?,
        visibility: Visibility::Public,
    };
    let credentials = Credentials {
        tokens: Vec::new(),
        secrets: BTreeMap::from([("dybox.bundle".to_owned(), b"a secret".to_vec())]),
    };
    let env = [("SITE", serde(&settings)), ("BINARY", format!("{url} {size} {mtime}"))];
    let launch = Launch {
        resources: BTreeMap::from([("am".to_owned(), binary)]),
        env: env.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        command: format!("exec ./am {containers} {} 1><LOG_DIR>/stdout 2><LOG_DIR>/stderr", mode.join(" ")),
        credentials,
        ..Launch::default()
    };
    let mut submission = Submission::new(new.id, "example", launch, Resources { cpu_milli: 1000, memory: 128 << 20 });
    submission.tags = vec![format!("dybox-run:{}", new.id)];
    let accepted = rm.submit(&submission).await?;
    println!("{} accepted: {:?}", at(), accepted.state);
    let found = rm.applications(&Query { tags: submission.tags.clone(), ..Query::default() }).await?;
    println!("{} found by tag: {}", at(), found.len());
    let mut last = AppState::Accepted;
    loop {
        let report = rm.report(new.id).await?;
        if report.state != last {
            println!("{} {:?} master {:?}", at(), report.state, report.master);
            last = report.state;
        }
        if report.state.is_over() {
            println!("{} {:?}: {}", at(), report.final_status, report.diagnostics);
            for attempt in rm.attempts(new.id).await? {
                println!("{} {} {} {:?}", at(), attempt.id, attempt.state, attempt.container.map(|c| c.to_string()));
            }
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The site's settings in one variable: names and values hold no tabs and no line ends here.
fn serde(settings: &Settings) -> String {
    let pairs = settings.site();
    pairs.iter().filter(|(_, value)| !value.contains(['\t', ';'])).map(|(k, v)| format!("{k}\t{v};")).collect()
}
