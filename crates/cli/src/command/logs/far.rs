//! What masters and proxies of a cluster wrote: files that YARN gathered at an application's end, and while it runs the
//! pages of its nodes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use dybox_client::{Application, Client, ClusterConf, Phase};
use dybox_hrpc::Settings;
use dybox_model::SubDagId;
use dybox_store::{HdfsConf, Reader as FileReader, Store, StoreError};
use dybox_yarn::logs::{NodeFile, ReadAt, Reader, directories};
use dybox_yarn::{ApplicationId, ContainerId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::command::Context;
use crate::command::look::Looked;
use crate::report::Failure;
use crate::report::time::now;

/// Files of a YARN container that DYbox itself writes; the others are of payloads.
const OWN: [&str; 3] = ["prelaunch.err", "stdout", "stderr"];
/// Most bytes of one file that are shown.
const MOST: usize = 64 << 20;
/// How long a node's page may take.
const PAGE: Duration = Duration::from_secs(10);
/// How long YARN may take to gather the files of an application that has just ended.
const GATHERS: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A log with the name of who wrote it.
pub(super) type Log = (String, Vec<u8>);

/// Every log of the run's masters and proxies, masters first.
pub(super) async fn logs(context: &Context, looked: &Looked, settings: &Settings) -> Result<Vec<Log>, Failure> {
    let client = context.client()?;
    let Some(conf) = client.cluster() else { return Ok(Vec::new()) };
    let names = names(looked);
    let known = applications(&client, looked).await;
    if known.is_empty() {
        context.screen.warn("nothing tells the applications of this run, so their logs can't be found now");
    }
    let mut all = Vec::new();
    for (&id, of) in &known {
        let mut found = match &of.seen {
            Some(application) if application.phase.is_live() => from_nodes(conf, id).await?,
            _ => gathered(conf, settings, (id, of)).await?,
        };
        if of.seen.as_ref().is_some_and(|application| application.session) {
            let is_masters = |container: &str| container.parse().is_ok_and(|id| is_masters(&id));
            found.retain(|(container, ..)| names.contains_key(container) || is_masters(container));
        }
        if found.is_empty() {
            context.screen.warn(&format!("nothing was found of {id}: {}", why_nothing(of.seen.as_ref(), settings)));
        }
        let others = known.values().filter(|other| other.subdag == of.subdag).count() > 1;
        let name = |container: &str| {
            let name = names.get(container).cloned().unwrap_or_else(|| named_by_yarn(container, of.subdag));
            if others { format!("{name} of {id}") } else { name }
        };
        all.extend(found.into_iter().map(|(container, file, bytes)| {
            let name = name(&container);
            (if file == "stderr" { name } else { format!("{name} {file}") }, bytes)
        }));
    }
    all.sort_by_key(|(name, _)| !name.starts_with("master"));
    Ok(all)
}

/// An application whose logs are wanted.
struct Of {
    subdag: SubDagId,
    user: String,
    /// What YARN says of it; nothing where it can't be asked, or has forgotten it.
    seen: Option<Application>,
}

/// The applications of a run: the newest, as YARN reports them, and those of its grants in the journals. The latter alone
/// tell of a session that drove a run which is over, and are all that is known where YARN can't be asked.
async fn applications(client: &Client, looked: &Looked) -> BTreeMap<ApplicationId, Of> {
    let (standing, info) = (&looked.standing, &looked.info);
    let mut all = BTreeMap::new();
    for application in standing.applications.values() {
        if let Ok(id) = application.id.parse() {
            let (subdag, user) = (application.subdag, application.user.clone());
            all.insert(id, Of { subdag, user, seen: Some(application.clone()) });
        }
    }
    for (&subdag, sub) in &standing.view.subs {
        let containers = sub.places.values().filter_map(|place| place.container.parse::<ContainerId>().ok());
        let ids: BTreeSet<_> = containers.map(|container| container.attempt.application).collect();
        for id in ids {
            if let Entry::Vacant(entry) = all.entry(id) {
                let seen = client.drove(&info.run, subdag, id).await.ok().flatten();
                entry.insert(Of { subdag, user: info.user.clone(), seen });
            }
        }
    }
    all
}

fn why_nothing(application: Option<&Application>, settings: &Settings) -> &'static str {
    match application {
        Some(application) if application.phase == Phase::Waits => "its master has not started yet",
        Some(application) if application.phase.is_live() => "its YARN containers have written nothing, or are over",
        _ if settings.get("yarn.log-aggregation-enable") != Some("true") => {
            "yarn.log-aggregation-enable is off, so YARN keeps no logs"
        }
        None => "YARN gathers its logs when it has ended, and while it can't be asked nobody knows its nodes' pages",
        Some(_) => "YARN has not gathered its logs, or has removed them",
    }
}

/// YARN containers of proxies, by the grants that the journals tell.
fn names(looked: &Looked) -> BTreeMap<String, String> {
    let places = looked.standing.view.subs.values().flat_map(|sub| &sub.places);
    places.map(|(grant, place)| (place.container.clone(), format!("proxy {grant} on {}", place.host))).collect()
}

fn named_by_yarn(container: &str, SubDagId(subdag): SubDagId) -> String {
    let Ok(id) = container.parse::<ContainerId>() else { return container.to_owned() };
    match id.attempt.number {
        _ if !is_masters(&id) => format!("proxy in {container}"),
        number if number > 1 => format!("master {subdag} try {number}"),
        _ => format!("master {subdag}"),
    }
}

/// The first YARN container of an attempt is the master's.
const fn is_masters(id: &ContainerId) -> bool {
    id.counter() == 1
}

/// YARN container, file, bytes.
type Piece = (String, String, Vec<u8>);

async fn gathered(
    conf: &ClusterConf,
    settings: &Settings,
    (id, of): (ApplicationId, &Of),
) -> Result<Vec<Piece>, Failure> {
    let ended = of.seen.as_ref().and_then(|application| application.ended);
    let just_now = ended.is_some_and(|ended| now().since(ended).0 < 60_000);
    let until = Instant::now() + if just_now { GATHERS } else { Duration::ZERO };
    loop {
        for dir in directories(settings, &of.user, id) {
            let found = in_directory(conf, &dir).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        if Instant::now() >= until {
            return Ok(Vec::new());
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// All files of a directory of gathered logs; nothing where one of them is still being written.
async fn in_directory(conf: &ClusterConf, dir: &str) -> Result<Vec<Piece>, Failure> {
    let root = conf.hdfs.url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let path = dir.strip_prefix(&root).unwrap_or(dir).trim_matches('/');
    let Some((above, last)) = path.rsplit_once('/') else { return Ok(Vec::new()) };
    let store = Store::hdfs(HdfsConf { url: format!("{root}/{above}"), ..conf.hdfs.clone() })?;
    let mut all = Vec::new();
    for entry in store.list(last).await? {
        let Some(file) = NodeFile::from_name(&entry.name).filter(|_| !entry.is_dir) else { continue };
        if file.unfinished {
            return Ok(Vec::new());
        }
        let reader = store.open(&format!("{last}/{}", entry.name)).await?;
        let length = reader.size().await?;
        all.extend(contents(Gathered { reader, length }).await.map_err(|error| unread(&store, last, &error))?);
    }
    Ok(all)
}

fn unread(store: &Store, dir: &str, error: &dyn std::error::Error) -> Failure {
    StoreError::unreachable("read the gathered logs in", store.url(dir), error.to_string()).into()
}

async fn contents(file: Gathered) -> Result<Vec<Piece>, dybox_yarn::logs::LogError> {
    let mut reader = Reader::open(file).await?;
    let mut all = Vec::new();
    while let Some(entry) = reader.next().await? {
        if !OWN.contains(&entry.name.as_str()) || entry.length == 0 {
            continue;
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = reader.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MOST {
                break;
            }
        }
        all.push((entry.container, entry.name, bytes));
    }
    Ok(all)
}

/// A gathered file in HDFS.
#[derive(Debug)]
struct Gathered {
    reader: FileReader,
    length: u64,
}

impl ReadAt for Gathered {
    fn len(&self) -> u64 {
        self.length
    }

    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let more = self.reader.read_at(offset + bytes.len() as u64, length - bytes.len()).await;
            let more = more.map_err(io::Error::other)?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }
}

/// What the containers of a live application have written so far, from the pages of their nodes.
async fn from_nodes(conf: &ClusterConf, id: ApplicationId) -> Result<Vec<Piece>, Failure> {
    let (attempts, nodes) = tokio::join!(conf.rm.attempts(id), conf.rm.nodes());
    let pages: BTreeMap<_, _> = nodes?.into_iter().map(|node| (node.id.host, node.http)).collect();
    let mut all = Vec::new();
    let Some(attempt) = attempts?.pop() else { return Ok(all) };
    for container in conf.rm.containers(attempt.id).await?.into_iter().filter(|container| !container.complete) {
        let Some(page) = container.node.and_then(|node| pages.get(&node.host)) else { continue };
        for file in OWN {
            let path = format!("/ws/v1/node/containerlogs/{}/{file}?user.name={}", container.id, conf.user);
            match timeout(PAGE, page_of(page, &path)).await {
                Ok(Ok(bytes)) if !bytes.is_empty() => all.push((container.id.to_string(), file.to_owned(), bytes)),
                // A file that is not there yet, or a node that does not answer: the others may.
                _ => {}
            }
        }
    }
    Ok(all)
}

/// The body of a page; nothing where it is not there.
async fn page_of(host: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut line = TcpStream::connect(host).await?;
    line.write_all(format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: text/plain\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    line.take(MOST as u64).read_to_end(&mut answer).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    match head.split_whitespace().nth(1) {
        Some("200") => Ok(unframed(answer.split_off(end + 4))),
        _ => Ok(Vec::new()),
    }
}

/// The file in a page of a node, which frames it: `LogLength:12`, then `LogContents:`, then those bytes, then an epilogue.
fn unframed(page: Vec<u8>) -> Vec<u8> {
    const LENGTH: &[u8] = b"\nLogLength:";
    const CONTENTS: &[u8] = b"\nLogContents:\n";
    let find = |part: &[u8]| page.windows(part.len()).position(|bytes| bytes == part).map(|at| at + part.len());
    let (Some(length), Some(from)) = (find(LENGTH), find(CONTENTS)) else { return page };
    let digits = page[length..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = str::from_utf8(&page[length..length + digits]).ok().and_then(|text| text.parse().ok());
    match length.and_then(|length: usize| page.get(from..from.checked_add(length)?)) {
        Some(file) => file.to_vec(),
        None => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_of_a_nodes_page_is_no_part_of_the_log() {
        let page = b"Container: container_1_0008_01_000001 on 127.0.0.3:23111\nLogAggregationType: LOCAL\n====\n\
            LogType:stderr\nLogLastModifiedTime:Sat Nov 21 14:15:18 +0000 2026\nLogLength:9\nLogContents:\none\ntwo.\n\
            End of LogType:stderr.This log file belongs to a running container\n****\n\n";
        assert_eq!(unframed(page.to_vec()), b"one\ntwo.\n");
        assert_eq!(unframed(b"as it is".to_vec()), b"as it is");
        let short = b"x\nLogLength:99\nLogContents:\nab".to_vec();
        assert_eq!(unframed(short.clone()), short, "a page that was cut is shown as it came");
    }
}
