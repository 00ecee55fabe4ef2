//! A world for tests against the machine's real engine. Everything made here has a unique name and is removed on drop.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dybox_engine::{
    Asked, End, Engine, EngineConf, EngineInfo, Identity, ImageInfo, Joined, Placed, Role, Seen, Verdict, argv,
    exit_of, init_spec, options, sandbox_options,
};
use dybox_model::{
    AttemptId, Exit, Millis, Network, PullPolicy, Resources, StageId, TaskId, TaskSpec, Timeouts, Usage,
};

mod build {
    include!("../../../init/build_static.rs");
    pub(super) fn init() -> PathBuf {
        let init = Path::new(env!("CARGO_MANIFEST_DIR")).join("../init");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("init");
        let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        build_static(OsStr::new(env!("CARGO")), &init, &target, &host).expect("init builds")
    }
}

pub(crate) const IMAGE: &str = "dybox-test/busybox:1";
pub(crate) const SECRET: &str = "00112233";
static NEXT: AtomicU32 = AtomicU32::new(1);

/// The static init, built once a process.
pub(crate) fn init() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build::init)
}

/// The test image, made from the machine's static busybox where it is missing.
fn ensure_image() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let mut look = Command::new("docker");
        look.args(["image", "inspect", IMAGE]).stdout(Stdio::null()).stderr(Stdio::null());
        if look.status().expect("docker").success() {
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        let bin = root.path().join("bin");
        std::fs::create_dir(&bin).expect("a directory");
        for dir in ["etc", "tmp", "root"] {
            std::fs::create_dir(root.path().join(dir)).expect("a directory");
        }
        std::fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
        let list = Command::new("/bin/busybox").arg("--list").output().expect("busybox");
        for name in String::from_utf8_lossy(&list.stdout).lines().filter(|&name| name != "busybox") {
            std::os::unix::fs::symlink("busybox", bin.join(name)).expect("a link");
        }
        let pack = format!("tar -C {} -c . | docker import - {IMAGE}", root.path().display());
        assert!(Command::new("sh").args(["-c", &pack]).stdout(Stdio::null()).status().expect("sh").success());
    });
}

/// An engine and what this test made on it.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) info: EngineInfo,
    pub(crate) image: ImageInfo,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) run: String,
}

pub(crate) async fn world() -> World {
    ensure_image();
    let engine = Engine::connect(EngineConf::default()).await.expect("an engine");
    let info = engine.info().await.expect("facts");
    let image = engine.image(IMAGE).await.expect("an answer").expect("the test image");
    let dir = tempfile::tempdir().expect("a directory");
    let unique = format!("{:010}{:06}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    World { engine, info, image, dir, run: format!("0000000000{unique}") }
}

impl Drop for World {
    fn drop(&mut self) {
        let filter = format!("label=dybox.run={}", self.run);
        let docker = |args: &[&str]| {
            let output = Command::new("docker").args(args).output().expect("docker");
            String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        for id in docker(&["ps", "-aq", "--filter", &filter]) {
            docker(&["rm", "-fv", &id]);
        }
        for id in docker(&["network", "ls", "-q", "--filter", &filter]) {
            docker(&["network", "rm", &id]);
        }
        if !std::thread::panicking() {
            assert_eq!(docker(&["ps", "-aq", "--filter", &filter]), Vec::<String>::new(), "containers are left");
        }
    }
}

/// A task that runs `sh -c SCRIPT`.
pub(crate) fn shell(script: &str) -> TaskSpec {
    task(&["sh", "-c", script])
}

pub(crate) fn task(command: &[&str]) -> TaskSpec {
    TaskSpec {
        run: "01jd0000000000000000000abc".parse().expect("a run id"),
        job: "test".to_owned(),
        stage: "main".to_owned(),
        attempt: AttemptId { task: TaskId { stage: StageId(0), index: 0 }, number: 1 },
        tasks: 1,
        image: IMAGE.to_owned(),
        pinned: None,
        pull: PullPolicy::Never,
        entrypoint: None,
        command: Some(command.iter().map(|&word| word.to_owned()).collect()),
        script: None,
        workdir: None,
        env: vec![("PATH".to_owned(), "/bin".to_owned())],
        user: None,
        limits: Resources { cpu_milli: 1000, memory: 64 << 20 },
        shm: None,
        pids: 64,
        volumes: Vec::new(),
        tmpfs: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        secrets: Vec::new(),
        registry_auth: None,
        network: Network::None,
        timeout: Timeouts::default(),
        stop_grace: Millis(1000),
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

/// One container of a test, and the beat of its lease.
pub(crate) struct Boxed<'a> {
    pub(crate) world: &'a World,
    pub(crate) id: String,
    pub(crate) home: PathBuf,
    beat: Arc<AtomicBool>,
}

/// How a container ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) seen: Seen,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Ended {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl World {
    pub(crate) fn identity(&self, role: Role) -> Identity {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Identity {
            role,
            run: self.run.parse().expect("a run id"),
            grant: Some("g0-1-1".parse().expect("a grant id")),
            attempt: Some(AttemptId { task: TaskId { stage: StageId(0), index: 0 }, number }),
            name: format!("dybox-test-{}-{number}", self.run),
        }
    }

    pub(crate) fn place(&self, identity: &Identity) -> Placed {
        let home = self.dir.path().join(&identity.name);
        for (dir, mode) in [("in", 0o755), ("out", 0o777)] {
            std::fs::create_dir_all(home.join(dir)).expect("a directory");
            std::fs::set_permissions(home.join(dir), std::fs::Permissions::from_mode(mode)).expect("mode");
        }
        for file in ["stdout", "stderr"] {
            std::fs::write(home.join(file), "").expect("a file");
            std::fs::set_permissions(home.join(file), std::fs::Permissions::from_mode(0o666)).expect("mode");
        }
        std::fs::write(home.join("in/lease"), 1u64.to_le_bytes()).expect("a lease");
        Placed {
            name: identity.name.clone(),
            labels: identity.labels(SECRET),
            init: init().to_owned(),
            input: home.join("in"),
            output: home.join("out"),
            stdout: home.join("stdout"),
            stderr: home.join("stderr"),
            uid: 12_345,
            gid: 12_346,
            network: self.info.no_network(),
            machine_cpus: self.info.cpus,
            cgroup_parent: None,
        }
    }

    /// Makes and starts a container whose lease lasts `ttl`.
    pub(crate) async fn start_with(
        &self,
        spec: &TaskSpec,
        ttl: Millis,
        change: impl FnOnce(&mut Placed),
    ) -> dybox_engine::Result<Boxed<'_>> {
        let mut placed = self.place(&self.identity(Role::Task));
        change(&mut placed);
        let words = argv(spec, &self.image).expect("a command");
        std::fs::write(placed.input.join("spec"), init_spec(spec, &self.image, &words, ttl)).expect("a spec");
        if let Some(script) = &spec.script {
            let path = placed.input.join("script");
            std::fs::write(&path, script).expect("a script");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
        }
        let id = self.engine.create(options(spec, &self.image, &placed)).await?;
        self.engine.start(&id).await?;
        let home = placed.input.parent().expect("a parent").to_owned();
        let beat = Arc::new(AtomicBool::new(true));
        tokio::spawn(write_lease(home.join("in/lease"), Arc::clone(&beat)));
        Ok(Boxed { world: self, id, home, beat })
    }

    pub(crate) async fn start(&self, spec: &TaskSpec) -> Boxed<'_> {
        self.start_with(spec, Millis(15_000), |_| {}).await.expect("a container")
    }

    pub(crate) async fn run(&self, spec: &TaskSpec) -> Ended {
        self.start(spec).await.ended(None).await
    }

    /// A sandbox on the engine's bridge.
    pub(crate) async fn sandbox(&self) -> String {
        let identity = Identity { attempt: None, ..self.identity(Role::Sandbox) };
        let placed = Placed { network: Joined::Bridge, ..self.place(&identity) };
        let id = self.engine.create(sandbox_options(&self.image, &placed)).await.expect("a sandbox");
        self.engine.start(&id).await.expect("it starts");
        id
    }
}

async fn write_lease(file: PathBuf, beat: Arc<AtomicBool>) {
    for count in 2u64.. {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if !beat.load(Ordering::Relaxed) || std::fs::write(&file, count.to_le_bytes()).is_err() {
            return;
        }
    }
}

impl Boxed<'_> {
    /// Stops the beat of the lease, as the death of the proxy does.
    pub(crate) fn forsake(&self) {
        self.beat.store(false, Ordering::Relaxed);
    }

    pub(crate) fn verdict(&self) -> Option<Verdict> {
        Verdict::parse(&std::fs::read_to_string(self.home.join("out/verdict")).ok()?)
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.home.join("stdout")).expect("stdout")).into_owned()
    }

    pub(crate) async fn seen(&self) -> Seen {
        self.world.engine.inspect(&self.id).await.expect("an answer").expect("a container")
    }

    pub(crate) async fn signal(&self, signal: &str) {
        assert!(self.world.engine.kill(&self.id, signal).await.expect("an answer"), "it does not run");
    }

    /// Waits for the end and takes everything.
    pub(crate) async fn ended(self, asked: Option<Asked>) -> Ended {
        self.world.engine.wait(&self.id, Duration::from_secs(60)).await.expect("an end");
        let seen = self.seen().await;
        let verdict = self.verdict();
        let exit = exit_of(&End {
            verdict: verdict.as_ref(),
            seen: Some(&seen),
            asked: asked.as_ref(),
            engine_started: self.world.info.started,
            usage: Usage::default(),
            now: Millis(1),
        });
        assert!(self.world.engine.remove(&self.id).await.expect("an answer"));
        let read = |name: &str| std::fs::read(self.home.join(name)).expect("a file");
        Ended { exit, verdict, seen, stdout: read("stdout"), stderr: read("stderr") }
    }
}

impl Drop for Boxed<'_> {
    fn drop(&mut self) {
        self.forsake();
    }
}

/// Waits until `what` holds, at most `limit`.
pub(crate) async fn eventually(limit: Duration, mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < limit, "it does not come true within {limit:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Labels that somebody else could have copied.
pub(crate) fn labels(seen: &Seen) -> BTreeMap<String, String> {
    seen.labels.clone()
}

/// Connects to a container's init as `dybox shell` does.
pub(crate) async fn attach(boxed: &Boxed<'_>) -> UnixStream {
    let socket = boxed.home.join("out/attach.sock");
    let mut stream = None;
    eventually(Duration::from_secs(10), || {
        stream = UnixStream::connect(&socket).ok();
        stream.is_some()
    })
    .await;
    stream.expect("a client")
}

/// All frames until the last: stdout and stderr.
pub(crate) fn listen(stream: &mut UnixStream) -> (Vec<u8>, Vec<u8>) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a client");
    let (mut out, mut err) = (Vec::new(), Vec::new());
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).expect("a client");
        let mut bytes = vec![0; u32::from_le_bytes(head[1..].try_into().expect("a client")) as usize];
        stream.read_exact(&mut bytes).expect("a client");
        match head[0] {
            10 => out.extend(bytes),
            11 => err.extend(bytes),
            12 => return (out, err),
            kind => panic!("frame {kind}"),
        }
    }
}

pub(crate) fn frame(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&u32::try_from(bytes.len()).expect("a client").to_le_bytes());
    frame.extend_from_slice(bytes);
    frame
}
