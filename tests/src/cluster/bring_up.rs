//! From nothing to a cluster that works.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use super::classes::Classes;
use super::conf::{Conf, whoami};
use super::daemon::Starts;
use super::layout::{Layout, Ports};
use super::{Broken, Cluster, Context, Daemon, Options, jars, keeper, pair, request, teardown};
use crate::Engine;

/// How the directories of tests' clusters are called.
const PREFIX: &str = "dyc-";

/// Images that every engine gets, as far as this machine has them.
const IMAGES: [&str; 3] = ["dybox-test/busybox:1", "dybox-demo/busybox:1", "dybox-demo/gnu:1"];

const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn bring_up(options: &Options) -> Result<Cluster, Broken> {
    if !(1..=2).contains(&options.rms) {
        return Err(Broken::new("a cluster has one ResourceManager or two"));
    }
    if !(1..=16).contains(&options.nodes) {
        return Err(Broken::new("a cluster has 1 to 16 nodes"));
    }
    let jars = jars::jars(&options.version)?;
    let java = jars::java()?;
    let layout = Layout::new(&directory(options)?);
    for name in ["log", "pid", "tmp", "hdfs"] {
        std::fs::create_dir_all(layout.at(name)).doing("making the cluster's directories")?;
    }
    let keeper = keeper::launch(&layout)?;
    let ports = Ports::read(&layout);
    let cluster = Cluster {
        layout,
        // The keeper wrote it before it listened.
        ports: ports?,
        nodes: options.nodes,
        rms: options.rms,
        engines: options.engines,
        version: options.version.clone(),
        jars,
        keeper: Some(keeper),
    };
    write(&cluster, options, &java)?;
    start(&cluster, options)?;
    Ok(cluster)
}

/// The cluster's directory, new and empty.
fn directory(options: &Options) -> Result<PathBuf, Broken> {
    teardown::sweep(Path::new("/tmp"), PREFIX);
    let Some(dir) = &options.dir else {
        // A short path: a socket's path has at most 108 bytes.
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in("/tmp").doing("making a directory")?;
        return open_to_all(dir.keep());
    };
    let dir = std::path::absolute(dir).doing("finding the directory")?;
    if dir.as_os_str().len() > 50 {
        return Err(Broken::new(format!("{} is too long for sockets below it", dir.display())));
    }
    if Layout::new(&dir).lock().exists() {
        if !teardown::is_dead(&dir) {
            return Err(Broken::new(format!("a cluster is up in {}", dir.display())));
        }
        teardown::teardown(&Layout::new(&dir))?;
    }
    if std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Broken::new(format!("{} is not empty, and is no cluster", dir.display())));
    }
    std::fs::create_dir_all(&dir).doing("making the directory")?;
    open_to_all(dir)
}

/// Containers of other users go through it to their files.
fn open_to_all(dir: PathBuf) -> Result<PathBuf, Broken> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).doing("opening the directory")?;
    Ok(dir)
}

fn write(cluster: &Cluster, options: &Options, java: &Path) -> Result<(), Broken> {
    let (layout, jars) = (&cluster.layout, cluster.jars());
    Conf { layout, ports: cluster.ports, options, jars }.write()?;
    for name in cluster.daemons().iter().map(ToString::to_string).chain(["client".to_owned()]) {
        std::fs::create_dir_all(layout.at("tmp").join(name)).doing("making a directory")?;
    }
    for number in 1..=options.nodes {
        std::fs::create_dir_all(layout.at(&format!("node-{number}"))).doing("making a node's directory")?;
    }
    let classes = Classes::beside(jars, java);
    classes.want(layout)?;
    Starts { layout, options, jars, java: java.to_owned(), classes }.write()?;
    let about = json!({
        "version": options.version, "nodes": options.nodes, "rms": options.rms, "engines": options.engines,
        "heartbeat_ms": options.heartbeat_ms, "jars": jars, "java": java,
    });
    std::fs::write(layout.at("cluster.json"), about.to_string()).doing("writing cluster.json")
}

fn start(cluster: &Cluster, options: &Options) -> Result<(), Broken> {
    let deadline = Instant::now() + PATIENCE;
    let run = |daemon: Daemon| keeper::say(&cluster.layout, &format!("start {daemon}"), Duration::from_secs(10));
    let format = format_names(cluster)?;
    run(Daemon::ResourceManager)?;
    if options.rms > 1 {
        run(Daemon::SecondResourceManager)?;
    }
    for number in (1..=options.nodes).filter(|_| options.engines) {
        run(Daemon::Engine(number))?;
    }
    let images = if options.engines { images(cluster)? } else { None };
    if let Some(mut format) = format {
        if !format.wait().doing("waiting for the NameNode's format")?.success() {
            return Err(Broken::new(format!("formatting failed: {}", tail(cluster, "format"))));
        }
        keep_formatted(cluster)?;
    }
    for daemon in [Daemon::NameNode, Daemon::DataNode] {
        run(daemon)?;
    }
    for number in 1..=options.nodes {
        run(Daemon::NodeManager(number))?;
    }
    if let Some(archive) = images {
        load(cluster, &archive, deadline)?;
    }
    until_ready(cluster, deadline)?;
    make_directories(cluster)
}

/// An empty name directory: a copy of the one that was formatted first on this machine, for this release.
fn format_names(cluster: &Cluster) -> Result<Option<Child>, Broken> {
    let made = formatted(cluster);
    if made.is_dir() {
        return copy(&made, &cluster.layout.at("hdfs/name")).map(|()| None);
    }
    let log = std::fs::File::create(cluster.layout.log("format")).doing("opening a log")?;
    let class = "org.apache.hadoop.hdfs.server.namenode.NameNode";
    let mut command = java_program(cluster, "namenode", &[class, "-format", "-force", "-nonInteractive"])?;
    let err = log.try_clone().doing("a log")?;
    command.stdin(Stdio::null()).stdout(log).stderr(err).spawn().map(Some).doing("starting java")
}

fn formatted(cluster: &Cluster) -> PathBuf {
    cluster.jars.with_file_name("formatted")
}

/// Keeps a fresh name directory for the next cluster. It appears whole, or not at all.
fn keep_formatted(cluster: &Cluster) -> Result<(), Broken> {
    let new = cluster.jars.with_file_name(format!("formatted.{}", std::process::id()));
    copy(&cluster.layout.at("hdfs/name"), &new)?;
    if std::fs::rename(&new, formatted(cluster)).is_err() {
        // Another cluster was first.
        let _ = std::fs::remove_dir_all(&new);
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Broken> {
    let done = Command::new("cp").arg("-r").arg(from).arg(to).status().doing("copying a name directory")?;
    if done.success() { Ok(()) } else { Err(Broken::new(format!("{} can't be copied", from.display()))) }
}

/// A Java program with a daemon's or client's configuration, in nobody else's environment.
fn java_program(cluster: &Cluster, conf: &str, words: &[&str]) -> Result<Command, Broken> {
    let text = std::fs::read_to_string(cluster.layout.at("cluster.json")).doing("reading cluster.json")?;
    let about: serde_json::Value = serde_json::from_str(&text).doing("reading cluster.json")?;
    let java = PathBuf::from(about["java"].as_str().unwrap_or_default());
    let options = Options::default();
    let classes = Classes::beside(cluster.jars(), &java);
    let starts = Starts { layout: &cluster.layout, options: &options, jars: cluster.jars(), java, classes };
    let line = starts.java_line(conf, "256m", words);
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env_clear().envs(starts.env(conf));
    Ok(command)
}

pub(super) fn java_client(cluster: &Cluster, words: &[&str]) -> Result<Command, Broken> {
    let mut command = java_program(cluster, "client", words)?;
    // Not a part of the cluster: teardown leaves it to its owner.
    command.env_remove("DYBOX_CLUSTER");
    Ok(command)
}

/// One archive of the images that this machine has.
fn images(cluster: &Cluster) -> Result<Option<PathBuf>, Broken> {
    let engine = Engine::machine();
    let has = |image: &&str| engine.docker(&["image", "inspect", "-f", "{{.Id}}", image]).status.success();
    let there: Vec<_> = IMAGES.into_iter().filter(has).collect();
    if there.is_empty() {
        return Ok(None);
    }
    let archive = cluster.layout.at("images.tar");
    let path = archive.to_string_lossy().into_owned();
    let saved = engine.docker(&[&["save", "-o", &path], there.as_slice()].concat());
    if !saved.status.success() {
        return Err(Broken::new(format!("saving images: {}", String::from_utf8_lossy(&saved.stderr).trim())));
    }
    Ok(Some(archive))
}

fn load(cluster: &Cluster, archive: &Path, deadline: Instant) -> Result<(), Broken> {
    let path = archive.to_string_lossy().into_owned();
    std::thread::scope(|scope| {
        let loads: Vec<_> = (1..=cluster.nodes)
            .map(|number| {
                let (path, engine) = (&path, cluster.engine(number));
                scope.spawn(move || {
                    until_engine(cluster, number, deadline)?;
                    let loaded = engine.docker(&["load", "-q", "-i", path]);
                    let said = String::from_utf8_lossy(&loaded.stderr).trim().to_owned();
                    if loaded.status.success() { Ok(()) } else { Err(Broken::new(format!("loading images: {said}"))) }
                })
            })
            .collect();
        loads.into_iter().try_for_each(|load| load.join().expect("no load panics"))
    })
}

fn until_engine(cluster: &Cluster, number: usize, deadline: Instant) -> Result<(), Broken> {
    until(cluster, Daemon::Engine(number), deadline, || {
        // Its socket is asked first: Docker's client takes long to give up.
        std::os::unix::net::UnixStream::connect(cluster.layout.docker(number)).is_ok()
            && cluster.engine(number).docker(&["version"]).status.success()
    })
}

/// Waits until every daemon works: HDFS can be written, every node offers its room, every engine answers.
pub(super) fn until_ready(cluster: &Cluster, deadline: Instant) -> Result<(), Broken> {
    until(cluster, Daemon::NameNode, deadline, || hdfs_works(cluster).unwrap_or(false))?;
    // The NameNode and the ResourceManager hold what died a moment ago for alive, so it is asked for its own word too.
    let data = "successfully registered with NN";
    until(cluster, Daemon::DataNode, deadline, || said_since_start(cluster, Daemon::DataNode, data))?;
    pair::one_serves(cluster, deadline)?;
    until(cluster, cluster.active(), deadline, || nodes_that_work(cluster).is_some_and(|nodes| nodes > 0))?;
    for number in 1..=cluster.nodes {
        let node = Daemon::NodeManager(number);
        let works = || nodes_that_work(cluster) == Some(cluster.nodes);
        let registered = || said_since_start(cluster, node, "Registered with ResourceManager");
        until(cluster, node, deadline, || works() && registered())?;
    }
    for number in (1..=cluster.nodes).filter(|_| cluster.engines) {
        until_engine(cluster, number, deadline)?;
    }
    Ok(())
}

fn hdfs_works(cluster: &Cluster) -> Result<bool, Broken> {
    let bean = |name: &str| -> Result<serde_json::Value, Broken> {
        let path = format!("/jmx?qry=Hadoop:service=NameNode,name={name}");
        Ok(cluster.get(Daemon::NameNode, &path)?.json()?["beans"][0].clone())
    };
    let live = bean("FSNamesystemState")?["NumLiveDataNodes"].as_u64();
    Ok(live == Some(1) && bean("NameNodeInfo")?["Safemode"].as_str() == Some(""))
}

fn said_since_start(cluster: &Cluster, daemon: Daemon, words: &str) -> bool {
    let log = cluster.log(daemon);
    log.rsplit(keeper::MARK).next().is_some_and(|since| since.contains(words))
}

/// How many live NodeManagers have registered at the ResourceManager that runs now.
fn nodes_that_work(cluster: &Cluster) -> Option<usize> {
    let answer = cluster.rest("/ws/v1/cluster/nodes?states=RUNNING").ok()?;
    answer["nodes"]["node"].as_array().map(Vec::len).or(Some(0))
}

fn until(cluster: &Cluster, daemon: Daemon, deadline: Instant, mut works: impl FnMut() -> bool) -> Result<(), Broken> {
    loop {
        if works() {
            return Ok(());
        }
        if cluster.process(daemon).is_none() {
            return Err(Broken::new(format!("{daemon} died: {}", tail(cluster, &daemon.to_string()))));
        }
        if Instant::now() > deadline {
            return Err(Broken::new(format!("{daemon} is not ready: {}", tail(cluster, &daemon.to_string()))));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn tail(cluster: &Cluster, name: &str) -> String {
    let text = std::fs::read_to_string(cluster.layout.log(name)).unwrap_or_default();
    let telling =
        |line: &&str| [" ERROR ", " FATAL ", "Exception", "level=fatal"].iter().any(|sign| line.contains(sign));
    let told: Vec<_> = text.lines().filter(telling).take(6).collect();
    let last: Vec<_> = text.lines().rev().take(6).collect();
    let lines: Vec<_> = told.into_iter().chain(["..."]).chain(last.into_iter().rev()).collect();
    lines.join("\n")
}

/// The directories that an administrator makes.
fn make_directories(cluster: &Cluster) -> Result<(), Broken> {
    let address = cluster.page(Daemon::NameNode).expect("it has a page");
    let user = whoami();
    for (path, mode) in
        [(format!("/user/{user}"), "755"), ("/tmp".to_owned(), "1777"), ("/app-logs".to_owned(), "1777")]
    {
        let path = format!("/webhdfs/v1{path}?op=MKDIRS&permission={mode}&user.name={user}");
        let answer = request("PUT", &address, &path)?;
        if answer.status != 200 {
            return Err(Broken::new(format!("making directories in HDFS: {}", answer.body)));
        }
    }
    Ok(())
}
