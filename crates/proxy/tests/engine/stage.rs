//! A run's directory, a master played by the test, and a proxy on a thread of its own.

pub(crate) mod meddler;

use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dybox_model::{
    AttemptId, Exit, GrantId, Millis, Network, PullPolicy, Resources, RunId, StageId, SubDagId, TaskId, TaskSpec,
    Timeouts,
};
use dybox_proxy::{Conf, ProxyError, SweepReport};
use dybox_store::Store;
use dybox_store::archive::{ArchiveReader, LogItem};
use dybox_store::layout::{Home, MASTER_SOCKET, RunDir};
use dybox_wire::{Call, MasterOrder, ProxyNews, Server, serve};
use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tokio::time::{Instant, sleep, timeout_at};

const IMAGE: &str = "dybox-test/busybox:1";
/// Longer than the longest deadline of a call of the engine.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn attempt(number: u32) -> AttemptId {
    AttemptId { task: TaskId { stage: StageId(0), index: 0 }, number }
}

/// One grant with everything around it.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    run: RunId,
    conf: Conf,
    calls: Receiver<Call>,
    server: Option<Server>,
    orders: Option<UnboundedSender<MasterOrder>>,
    proxy: Option<std::thread::JoinHandle<Result<(), ProxyError>>>,
    child: Option<Child>,
}

/// Tells a process of this test program that it is a proxy.
const RUN_DIR: &str = "DYBOX_TEST_RUN_DIR";

/// Serves, where this process was started to be a proxy.
pub(crate) fn serve_if_told() {
    if let Some(dir) = std::env::var_os(RUN_DIR) {
        dybox_proxy::run(conf(dir.into())).expect("a clean end");
    }
}

fn conf(run_dir: PathBuf) -> Conf {
    Conf { run_dir, subdag: SubDagId(0), grant: GrantId::compose(SubDagId(0), 1, 1) }
}

impl Stage {
    /// Starts a master and, in this process, a proxy.
    pub(crate) async fn open() -> Self {
        let mut stage = Self::with_master().await;
        let conf = stage.conf.clone();
        stage.proxy = Some(std::thread::spawn(move || dybox_proxy::run(conf)));
        stage.greet().await;
        stage
    }

    /// Starts a master and, in a process of its own, a proxy: the test `a_proxy_as_a_process`.
    pub(crate) async fn open_killable() -> Self {
        Self::open_on(None).await
    }

    /// Like [`Stage::open_killable`], with the engine behind this socket.
    pub(crate) async fn open_on(socket: Option<&std::path::Path>) -> Self {
        let mut stage = Self::with_master().await;
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "a_proxy_as_a_process", "--nocapture"]).env(RUN_DIR, &stage.conf.run_dir);
        // Its own report of passed and failed tests would be taken for this one's.
        let log = std::fs::File::create(stage.dir.path().join("child.log")).expect("the stage is set");
        command.stdout(log.try_clone().expect("the stage is set")).stderr(log);
        if let Some(socket) = socket {
            command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
        }
        stage.child = Some(command.spawn().expect("this program starts"));
        stage.greet().await;
        stage
    }

    /// Kills the proxy's process, as `kill -9` does.
    pub(crate) fn kill_proxy(&mut self) {
        let mut child = self.child.take().expect("a proxy of its own");
        child.kill().expect("it lives");
        child.wait().expect("it is ours");
    }

    async fn with_master() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let dir = tempfile::tempdir().expect("the stage is set");
        let mark = format!("{:04}{:04}", std::process::id() % 10_000, COUNTER.fetch_add(1, Ordering::Relaxed));
        let run: RunId = format!("01jd00000000000000{mark}").parse().expect("the stage is set");
        let home = Home::new(dir.path());
        let names = RunDir::new(&run);
        std::fs::create_dir_all(home.path(&names.sub(SubDagId(0)).root())).expect("the stage is set");
        std::fs::write(home.path(&names.secret()), "ab".repeat(32)).expect("the stage is set");
        let conf = conf(home.path(&names.root()));
        let master = home.path(&names.sub(SubDagId(0)).root());
        let (server, calls) = serve(&master, MASTER_SOCKET).await.expect("the stage is set");
        Self { dir, run, conf, calls, server: Some(server), orders: None, proxy: None, child: None }
    }

    async fn greet(&mut self) {
        let hello = self.until(|news| matches!(news, ProxyNews::Hello { .. })).await;
        let expected = self.child.as_ref().map_or_else(std::process::id, Child::id);
        let ProxyNews::Hello { grant, pid, attempts } = &hello[0] else { panic!("not greeted first: {hello:?}") };
        assert_eq!((*grant, *pid, attempts.len()), (self.conf.grant, expected, 0));
        self.order(MasterOrder::Welcome { epoch: 1 });
    }

    /// A shell command on busybox without a network.
    pub(crate) fn spec(&self, number: u32, shell: &str) -> TaskSpec {
        TaskSpec {
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
            env: vec![("DYBOX_RESULT".to_owned(), "/.dybox/out/result".to_owned())],
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
        }
    }

    pub(crate) fn container(&self, number: u32) -> String {
        format!("dybox-{}-a-0-{number}", self.run.short())
    }

    pub(crate) fn order(&self, order: MasterOrder) {
        self.orders.as_ref().expect("a line").send(order).expect("the line is open");
    }

    /// All news up to the first that is wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&ProxyNews) -> bool) -> Vec<ProxyNews> {
        let end = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        loop {
            let call = timeout_at(end, self.calls.recv()).await;
            match call.unwrap_or_else(|_| panic!("not told in time; so far {all:?}")) {
                Some(Call::Linked { orders, .. }) => self.orders = Some(orders),
                Some(Call::News { news, .. }) => {
                    let found = wanted(&news);
                    all.push(news);
                    if found {
                        return all;
                    }
                }
                Some(_) => {}
                None => panic!("the server ended; so far {all:?}"),
            }
        }
    }

    pub(crate) fn exit_of(&self, news: &[ProxyNews], number: u32) -> Exit {
        let exit = news.iter().find_map(|news| match news {
            ProxyNews::Exited { attempt: of, exit } if *of == attempt(number) => Some(exit.clone()),
            _ => None,
        });
        exit.expect("it ended")
    }

    /// Runs one attempt to its acknowledged end.
    pub(crate) async fn run(&mut self, spec: TaskSpec) -> Exit {
        let wanted = spec.attempt;
        self.order(MasterOrder::Start(Box::new(spec)));
        let news = self.until(|news| matches!(news, ProxyNews::Exited { attempt, .. } if *attempt == wanted)).await;
        self.order(MasterOrder::Ack { attempt: wanted });
        self.exit_of(&news, wanted.number)
    }

    /// What the archive holds of one output.
    pub(crate) async fn archived(&self, number: u32, stream: &str) -> Vec<u8> {
        let store = Store::open_dir(self.dir.path());
        let name = RunDir::new(&self.run).archive(self.conf.grant);
        let Ok(mut reader) = ArchiveReader::open(&store, &name).await else { return Vec::new() };
        let mut all = Vec::new();
        for n in 0..reader.pieces() {
            if let Some(LogItem::Chunk { source, bytes, .. }) = reader.piece(n).await.expect("the stage is set")
                && (source.attempt, source.stream.word()) == (attempt(number), stream)
            {
                all.extend_from_slice(&bytes);
            }
        }
        all
    }

    pub(crate) async fn eventually_archived(&self, number: u32, wanted: &[u8]) {
        let end = Instant::now() + PATIENCE;
        while self.archived(number, "stdout").await != wanted {
            assert!(Instant::now() < end, "not shipped");
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn lose_master(&mut self) {
        self.orders = None;
        if let Some(server) = self.server.take() {
            server.close(Duration::ZERO).await;
        }
        self.calls.close();
    }

    /// Waits for the proxy's end.
    pub(crate) async fn ended(&mut self) {
        let proxy = self.proxy.take().expect("it was not awaited before");
        let end = Instant::now() + PATIENCE;
        while !proxy.is_finished() {
            assert!(Instant::now() < end, "the proxy does not end");
            sleep(Duration::from_millis(50)).await;
        }
        proxy.join().expect("no panic").expect("a clean end");
    }

    /// Lets a proxy of its own process go; whether it left nothing.
    pub(crate) async fn dismiss(&mut self) -> bool {
        self.order(MasterOrder::Leave);
        let mut child = self.child.take().expect("a proxy of its own");
        let end = Instant::now() + 2 * PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("it is ours") {
                return status.success();
            }
            assert!(Instant::now() < end, "the proxy does not end");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// What sweeps of the grant have written down.
    pub(crate) fn swept(&self) -> String {
        let names = RunDir::new(&self.run).grant(self.conf.grant);
        std::fs::read_to_string(Home::new(self.dir.path()).path(&names.swept())).expect("a sweep wrote it")
    }

    /// Acknowledges everything, lets the proxy go, and awaits its end.
    pub(crate) async fn leave(&mut self) {
        for number in 1..=20 {
            self.order(MasterOrder::Ack { attempt: attempt(number) });
        }
        self.order(MasterOrder::Leave);
        self.until(|news| matches!(news, ProxyNews::Leaving { .. })).await;
        self.ended().await;
    }

    /// Leaves, and sees that nothing is left.
    pub(crate) async fn close(mut self) {
        self.leave().await;
        self.assert_no_containers();
        let filter = format!("name=dybox-{}", self.run.short());
        assert_eq!(self.docker(&["network", "ls", "-q", "--filter", &filter]), "");
        let home = Home::new(self.dir.path());
        let grant = home.path(&RunDir::new(&self.run).grant(self.conf.grant).root());
        let left: Vec<PathBuf> = std::fs::read_dir(grant)
            .expect("the stage is set")
            .map(|entry| entry.expect("the stage is set").path())
            .collect();
        assert!(left.iter().all(|path| path.ends_with("owner.lock")), "{left:?}");
    }

    pub(crate) async fn sweep(&self) -> SweepReport {
        let conf = self.conf.clone();
        let swept = tokio::task::spawn_blocking(move || std::thread::spawn(|| dybox_proxy::sweep(conf)).join());
        swept.await.expect("the stage is set").expect("no panic").expect("swept")
    }

    pub(crate) fn assert_no_containers(&self) {
        let filter = format!("label=dybox.run={}", self.run);
        assert_eq!(self.docker(&["ps", "-aq", "--filter", &filter]), "");
    }

    pub(crate) fn docker(&self, words: &[&str]) -> String {
        let done = Command::new("docker").args(words).output().expect("the stage is set");
        assert!(done.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).expect("the stage is set")
    }
}
