//! A real registry on the loopback: of this machine, or of the engines of a cluster.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::cluster::{Cluster, Daemon};
use crate::engine::Engine;
use crate::wait::eventually;

/// Whom [`Registry::private`] knows.
pub const USER: &str = "ann";
/// Ann's password.
pub const PASSWORD: &str = "open sesame";
/// The same as `htpasswd -B` would write it.
const PASSWORD_HASH: &str = "$2y$05$abcdefghijklmnopqrstuupx2xBUC4954936wVIjyyPHmUBFu0wCW";

/// Debian's docker-registry with a directory of its own. Ended when dropped.
#[derive(Debug)]
pub struct Registry {
    children: Vec<Child>,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Registry {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not come up within 20 s.
    #[must_use]
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let dir = configured(port);
        let child = serve(Command::new("docker-registry"), dir.path());
        eventually("the registry listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
        });
        Self { children: vec![child], port, _dir: dir }
    }

    /// One with TLS that lets nobody in but [`USER`] with [`PASSWORD`]. An engine takes its certificate as it is, for
    /// that is what engines do on the loopback.
    ///
    /// # Panics
    /// When it does not come up within 20 s.
    #[must_use]
    pub fn private() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let dir = configured(port);
        lock(dir.path());
        let child = serve(Command::new("docker-registry"), dir.path());
        eventually("the registry listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
        });
        Self { children: vec![child], port, _dir: dir }
    }

    /// `127.0.0.1:PORT`, as docker's `config.json` names it.
    #[must_use]
    pub fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// One that every engine of `cluster` finds at its own loopback, for each of them has a network of its own that
    /// leads nowhere: a process in each, all with one directory.
    ///
    /// # Panics
    /// When it does not come up within 20 s.
    #[must_use]
    pub fn of_cluster(cluster: &Cluster) -> Self {
        // Nothing else listens there.
        Self::at_cluster(cluster, 5000, configured(5000))
    }

    /// The same with TLS, for [`USER`] with [`PASSWORD`] alone.
    ///
    /// # Panics
    /// When it does not come up within 20 s.
    #[must_use]
    pub fn private_of_cluster(cluster: &Cluster) -> Self {
        let dir = configured(5001);
        lock(dir.path());
        Self::at_cluster(cluster, 5001, dir)
    }

    fn at_cluster(cluster: &Cluster, port: u16, dir: tempfile::TempDir) -> Self {
        let within = |node: usize| {
            let engine = cluster.process(Daemon::Engine(node)).expect("the engine is up").pid().to_string();
            let mut command = Command::new("nsenter");
            // Whoever takes the cluster down takes it along, should this process be killed.
            command.args(["--target", &engine, "--net"]).env("DYBOX_CLUSTER", cluster.layout().root());
            command
        };
        let one = |node: usize| {
            let lo = within(node).args(["ip", "link", "set", "lo", "up"]).status().expect("nsenter runs");
            assert!(lo.success(), "the loopback of node {node} does not come up");
            let mut command = within(node);
            command.arg("docker-registry");
            serve(command, dir.path())
        };
        let children = (1..=cluster.nodes()).map(one).collect();
        for node in 1..=cluster.nodes() {
            eventually("the registry listens", Duration::from_secs(20), || {
                let found = within(node).args(["ss", "-Hltn", &format!("sport = :{port}")]).output().expect("it runs");
                (!found.stdout.is_empty()).then_some(())
            });
        }
        Self { children, port, _dir: dir }
    }

    /// Puts the test image there under `name`, and takes that name off `engine` again. Gives the full reference.
    ///
    /// # Panics
    /// When the push fails.
    pub fn put(&self, engine: &Engine, name: &str) -> String {
        self.put_image(engine, "dybox-test/busybox:1", name)
    }

    /// The same with an image of `engine`, which keeps its own name there.
    ///
    /// # Panics
    /// When the push fails.
    pub fn put_image(&self, engine: &Engine, image: &str, name: &str) -> String {
        let reference = format!("127.0.0.1:{}/{name}", self.port);
        engine.docker(&["tag", image, &reference]);
        let pushed = engine.docker(&["push", &reference]);
        assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
        engine.docker(&["rmi", &reference]);
        reference
    }

    /// A reference there that nobody has put.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }
}

/// A directory with the configuration of a registry at `port`.
fn configured(port: u16) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let conf = format!(
        "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"127.0.0.1:{port}\" }}\n",
        dir.path().display()
    );
    std::fs::write(dir.path().join("config.yml"), conf).expect("a file");
    dir
}

/// Gives a configured registry TLS, and a password.
fn lock(dir: &Path) {
    let at = |name: &str| dir.join(name).display().to_string();
    let (cert, key) = (at("cert.pem"), at("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &key, "-out", &cert])
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::write(at("htpasswd"), format!("{USER}:{PASSWORD_HASH}\n")).expect("a file");
    let conf = std::fs::read_to_string(at("config.yml")).expect("it was just written").replace(
        "http: {",
        &format!(
            "auth: {{ htpasswd: {{ realm: private, path: {} }} }}\nhttp: {{ tls: {{ certificate: {cert}, key: {key} }},",
            at("htpasswd")
        ),
    );
    std::fs::write(at("config.yml"), conf).expect("a file");
}

fn serve(mut registry: Command, dir: &Path) -> Child {
    registry.arg("serve").arg(dir.join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null());
    registry.stderr(Stdio::null()).spawn().expect("Debian's docker-registry")
}

impl Drop for Registry {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
