//! A real registry on a free port of the loopback.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::engine::Engine;
use crate::wait::eventually;

/// Debian's docker-registry with a directory of its own. Ended when dropped.
#[derive(Debug)]
pub struct Registry {
    child: Child,
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
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let conf = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"127.0.0.1:{port}\" }}\n",
            dir.path().display()
        );
        std::fs::write(dir.path().join("config.yml"), conf).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(dir.path().join("config.yml")).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::null()).spawn().expect("Debian's docker-registry");
        eventually("the registry listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(())
        });
        Self { child, port, _dir: dir }
    }

    /// Puts the test image there under `name`, and takes that name off `engine` again. Gives the full reference.
    ///
    /// # Panics
    /// When the push fails.
    pub fn put(&self, engine: &Engine, name: &str) -> String {
        let reference = format!("127.0.0.1:{}/{name}", self.port);
        engine.docker(&["tag", "dybox-test/busybox:1", &reference]);
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

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
