//! A node of a cluster in one directory, masters played by the test, and proxies in processes of their own.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dybox_model::{
    AttemptId, GrantId, Millis, Network, PullPolicy, Resources, RunId, StageId, SubDagId, TaskId, TaskSpec, Timeouts,
};
use dybox_proxy::{ClusterConf, Spot};
use dybox_store::archive::{ArchiveReader, LogItem};
use dybox_store::bundle::{BUNDLE_VERSION, GrantBundle, Tls};
use dybox_store::layout::RunDir;
use dybox_store::{HdfsConf, Store};
use dybox_wire::{
    Address, Call, MasterClient, MasterOrder, ProxyNews, Relay, RunTls, Server, TlsIdentity, no_line, serve_tcp,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout_at};

const IMAGE: &str = "dybox-test/busybox:1";
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells a process of this test program which node's proxy it is, and of which grant.
const NODE: &str = "DYBOX_TEST_NODE";
const GRANT: &str = "DYBOX_TEST_GRANT";
/// `hdfs://host:port` of a real one, for whoever wants to try that.
const HDFS: &str = "DYBOX_TEST_HDFS";

pub(crate) fn attempt(number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(0), index: 0 }, number }
}

pub(crate) fn grant(number: u32) -> GrantId {
    GrantId::compose(SubDagId(0), 1, number)
}

/// Serves, where this process was started to be a proxy.
pub(crate) fn serve_if_told() {
    let Some(node) = std::env::var_os(NODE).map(PathBuf::from) else { return };
    let grant = std::env::var(GRANT).expect("the stage is set");
    let bundle = std::fs::read(node.join(format!("{grant}.bundle"))).expect("the stage is set");
    let conf = ClusterConf {
        bundle: GrantBundle::decode(&bundle).expect("the stage is set"),
        spot: Spot {
            container: format!("container_1_0001_01_{grant}"),
            host: "n1".to_owned(),
            user_dir: node.join("user"),
            log_dir: node.join("logs").join(grant),
        },
        shown_as: String::new(),
        store: far(&node),
    };
    dybox_proxy::run_in_grant(conf).expect("a clean end");
}

/// The store that stands for HDFS, or a directory of the one at this address.
fn far(node: &Path) -> Store {
    match std::env::var(HDFS) {
        Ok(url) => {
            let dir = node.file_name().and_then(|name| name.to_str()).expect("the stage is set");
            let url = format!("{url}/tmp/{dir}");
            Store::hdfs(HdfsConf { url, settings: [].into(), user: None }).expect("the stage is set")
        }
        Err(_) => Store::open_dir(node.join("far")),
    }
}

/// What a master hears.
pub(crate) type News = (GrantId, ProxyNews);

/// A master that passes on what clients ask, and brings news here.
pub(crate) struct Master {
    server: Server,
    pub(crate) port: u16,
    news: UnboundedReceiver<News>,
    orders: UnboundedReceiver<(GrantId, UnboundedSender<MasterOrder>)>,
    lines: std::collections::BTreeMap<GrantId, UnboundedSender<MasterOrder>>,
}

impl Master {
    async fn start(tls: &RunTls) -> Self {
        let served = serve_tcp((Ipv4Addr::LOCALHOST, 0).into(), &tls.master).await;
        let (server, calls, port) = served.expect("the stage is set");
        let (tell, news) = unbounded_channel();
        let (give, orders) = unbounded_channel();
        tokio::spawn(desk(calls, tell, give));
        Self { server, port, news, orders, lines: std::collections::BTreeMap::new() }
    }

    pub(crate) fn order(&mut self, grant: GrantId, order: MasterOrder) {
        while let Ok((grant, line)) = self.orders.try_recv() {
            self.lines.insert(grant, line);
        }
        self.lines[&grant].send(order).expect("the line is open");
    }

    /// All news up to the first that is wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&News) -> bool) -> Vec<News> {
        let end = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        loop {
            let news = timeout_at(end, self.news.recv()).await;
            let news = news.unwrap_or_else(|_| panic!("not told in time; so far {all:?}")).expect("the desk lives");
            let found = wanted(&news);
            all.push(news);
            if found {
                return all;
            }
        }
    }

    /// Greets a proxy; what it has in its hands.
    pub(crate) async fn greet(&mut self, grant: GrantId) -> Vec<AttemptId> {
        let hello = |news: &News| matches!(news, (of, ProxyNews::Hello { .. }) if *of == grant);
        let mut news = self.until(hello).await;
        let Some((_, ProxyNews::Hello { attempts, .. })) = news.pop() else { panic!("no hello") };
        self.order(grant, MasterOrder::Welcome { epoch: 1 });
        attempts
    }

    pub(crate) async fn die(mut self) {
        self.lines.clear();
        self.orders.close();
        while self.orders.try_recv().is_ok() {}
        drop(self.orders);
        self.news.close();
        self.server.close(Duration::ZERO).await;
    }
}

async fn desk(
    mut calls: Receiver<Call>,
    tell: UnboundedSender<News>,
    give: UnboundedSender<(GrantId, UnboundedSender<MasterOrder>)>,
) {
    let mut opened = std::collections::BTreeMap::new();
    let mut relays: std::collections::BTreeMap<GrantId, Relay> = std::collections::BTreeMap::new();
    let mut grants = std::collections::BTreeMap::new();
    loop {
        let call = tokio::select! {
            call = calls.recv() => call,
            () = give.closed() => None,
        };
        match call {
            Some(Call::Linked { link, orders, relay }) => drop(opened.insert(link, (orders, relay))),
            Some(Call::News { link, news }) => {
                if let (ProxyNews::Hello { grant, .. }, Some((orders, relay))) = (&news, opened.remove(&link)) {
                    grants.insert(link, *grant);
                    relays.insert(*grant, relay);
                    let _ = give.send((*grant, orders));
                }
                let _ = tell.send((grants[&link], news));
            }
            Some(Call::Relay { grant, ask }) => match relays.get(&grant) {
                Some(relay) => relay.pass(ask),
                None => ask.refuse(&no_line(grant)),
            },
            Some(_) => {}
            None => return,
        }
    }
}

/// One node: scratch of its user, logs of its grants, and the store that stands for HDFS.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    pub(crate) run: RunId,
    tls: RunTls,
    children: Vec<(GrantId, Child)>,
    /// Directories of cgroups for the proxies to be in.
    pub(crate) cgroups: String,
}

impl Stage {
    pub(crate) async fn open() -> (Self, Master) {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().expect("the stage is set");
        let mark = format!("{:04}{:04}", std::process::id() % 10_000, COUNTER.fetch_add(1, Ordering::Relaxed));
        let run: RunId = format!("01je00000000000000{mark}").parse().expect("the stage is set");
        std::fs::create_dir(dir.path().join("user")).expect("the stage is set");
        let tls = RunTls::make(&run).expect("the stage is set");
        let master = Master::start(&tls).await;
        (Self { dir, run, tls, children: Vec::new(), cgroups: String::new() }, master)
    }

    pub(crate) async fn another_master(&self) -> Master {
        Master::start(&self.tls).await
    }

    pub(crate) fn node(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn far(&self) -> Store {
        far(self.node())
    }

    pub(crate) fn log(&self, grant: GrantId, name: &str) -> String {
        let path = self.node().join("logs").join(grant.to_string()).join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Starts the proxy of a grant and greets it.
    pub(crate) async fn proxy(&mut self, master: &mut Master, grant: GrantId) {
        self.launch(master, grant, None);
        assert_eq!(master.greet(grant).await, []);
    }

    pub(crate) fn launch(&mut self, master: &Master, grant: GrantId, engine: Option<&str>) {
        let own = |identity: &TlsIdentity| Tls {
            ca: identity.ca.clone(),
            cert: identity.cert.clone(),
            key: identity.key.clone(),
        };
        let bundle = GrantBundle {
            version: BUNDLE_VERSION,
            run: self.run.clone(),
            subdag: SubDagId(0),
            grant,
            size: Resources { cpu_milli: 1000, memory: 64 << 20 },
            store: HdfsConf { url: "hdfs://nowhere:1/x".to_owned(), settings: [].into(), user: None },
            secret: "ab".repeat(32),
            tls: own(&self.tls.proxy),
            host: "127.0.0.1".to_owned(),
            port: master.port,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            user: "me".to_owned(),
            private: dybox_store::Private::default(),
            extra: [].into(),
        };
        std::fs::write(self.node().join(format!("{grant}.bundle")), bundle.encode()).expect("the stage is set");
        std::fs::create_dir_all(self.node().join("logs").join(grant.to_string())).expect("the stage is set");
        let mut command = Command::new("sh");
        // Into a cgroup of its own first, where there is one.
        let within = "for dir in $CGROUPS; do echo $$ > $dir/cgroup.procs || exit 1; done; exec \"$0\" \"$@\"";
        command.args(["-c", within]).arg(std::env::current_exe().expect("this program"));
        command.env("CGROUPS", &self.cgroups).args(["--exact", "a_proxy_as_a_process", "--nocapture"]);
        command.env(NODE, self.node()).env(GRANT, grant.to_string());
        let log = std::fs::File::create(self.node().join(format!("{grant}.out"))).expect("the stage is set");
        command.stdout(log.try_clone().expect("the stage is set")).stderr(log);
        if let Some(engine) = engine {
            command.env("DOCKER_HOST", engine);
        }
        self.children.push((grant, command.spawn().expect("this program starts")));
    }

    /// What the kernel counts of a proxy's memory.
    pub(crate) fn memory(&self, grant: GrantId) -> String {
        let child = &self.children.iter().find(|(of, _)| *of == grant).expect("it was started").1;
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it lives");
        let wanted = |line: &&str| ["VmHWM", "RssAnon", "RssFile", "Threads"].iter().any(|word| line.starts_with(word));
        status.lines().filter(wanted).map(|line| line.split_whitespace().collect::<String>() + " ").collect()
    }

    pub(crate) fn signal(&self, grant: GrantId, signal: Signal) {
        let child = self.children.iter().find(|(of, _)| *of == grant);
        let pid = child.expect("it was started").1.id().cast_signed();
        kill(Pid::from_raw(pid), signal).expect("it lives");
    }

    /// How the process of a proxy ended.
    pub(crate) async fn ended(&mut self, grant: GrantId) -> ExitStatus {
        let at = self.children.iter().position(|(of, _)| *of == grant).expect("it was started");
        let (_, mut child) = self.children.remove(at);
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("it is ours") {
                return status;
            }
            assert!(Instant::now() < end, "the proxy does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Lets a proxy go, and sees that it leaves nothing.
    pub(crate) async fn dismiss(&mut self, master: &mut Master, grant: GrantId) {
        master.order(grant, MasterOrder::Leave);
        master.until(|news| matches!(news, (of, ProxyNews::Leaving { .. }) if *of == grant)).await;
        assert!(self.ended(grant).await.success());
    }

    pub(crate) async fn client(&self, master: &Master) -> MasterClient {
        let identity = self.tls.client.clone();
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port: master.port, identity };
        MasterClient::dial_at(&address, Duration::ZERO).await.expect("the master listens")
    }

    /// A shell command on busybox without a network.
    pub(crate) fn spec(&self, number: u32, shell: &str) -> Box<TaskSpec> {
        Box::new(TaskSpec {
            run: self.run.clone(),
            job: "j".to_owned(),
            stage: "a".to_owned(),
            attempt: attempt(number),
            tasks: 1,
            image: IMAGE.to_owned(),
            pinned: None,
            pull: PullPolicy::Never,
            entrypoint: None,
            command: Some(["sh", "-c", shell].map(str::to_owned).to_vec()),
            script: None,
            workdir: None,
            env: vec![],
            user: None,
            limits: Resources { cpu_milli: 1000, memory: 64 << 20 },
            shm: None,
            pids: 64,
            volumes: vec![],
            tmpfs: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            secrets: Vec::new(),
            registry_auth: None,
            network: Network::None,
            timeout: Timeouts::default(),
            stop_grace: Millis::from_secs(5),
            stop_signal: None,
            ports: Vec::new(),
            keep_failed: false,
            attach: None,
            reuse: false,
            results: None,
            needs: "{}".to_owned(),
            hook: false,
        })
    }

    /// What the copy of the archive holds of one attempt's stdout.
    pub(crate) async fn copied(&self, grant: GrantId, number: u32) -> Vec<u8> {
        let name = RunDir::new(&self.run).archive(grant);
        let Ok(mut reader) = ArchiveReader::open(&self.far(), &name).await else { return Vec::new() };
        let mut all = Vec::new();
        for n in 0..reader.pieces() {
            if let Some(LogItem::Chunk { source, bytes, .. }) = reader.piece(n).await.expect("the archive is whole")
                && (source.attempt, source.stream.word()) == (attempt(number), "stdout")
            {
                all.extend_from_slice(&bytes);
            }
        }
        all
    }

    pub(crate) fn containers(&self) -> usize {
        let filter = format!("label=dybox.run={}", self.run);
        let done = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().expect("docker is there");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).lines().count()
    }

    /// Nothing of any run is left in the user's scratch, and nothing on the engine.
    pub(crate) fn assert_clean(&self) {
        assert_eq!(self.containers(), 0);
        let home = self.node().join("user/dybox");
        for dir in ["runs", "machine/shares"] {
            let left: Vec<_> = std::fs::read_dir(home.join(dir)).expect("it was used").flatten().collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for (grant, child) in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
            let log = self.dir.path().join(format!("{grant}.out"));
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{grant}: {text}").as_bytes());
        }
    }
}
