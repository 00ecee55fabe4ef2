//! Engines that are missing, old, closed, dead or hanging; disks that are full; registries that are real.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use dybox_tests::{Engine, Follow, PrivateEngine, Registry, Workspace, eventually};
use nix::sys::signal::Signal;

const ONE: &str = "stages:\n  a: { command: [\"true\"] }\n";

#[test]
fn an_engine_that_is_not_there_is_named_by_run_and_doctor() {
    let place = Workspace::on(Engine::at(std::path::Path::new("/nowhere/docker.sock")));
    place.job(ONE);
    let start = Instant::now();
    place.dybox(&["run", "job.yaml"]).expect(5).says("/nowhere/docker.sock").says("dybox doctor");
    place.dybox(&["doctor"]).expect(5).says("/nowhere/docker.sock");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_engine_whose_api_is_too_old_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("old.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let body = r#"{"Version":"17.03.0","ApiVersion":"1.27","MinAPIVersion":"1.12","Os":"linux","Arch":"amd64"}"#;
    let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.27\r\nContent-Type: application/json\r\nContent-Length";
    let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
    let serve = move |mut stream: std::os::unix::net::UnixStream| {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer)
            && stream.write_all(answer.as_bytes()).is_ok()
        {}
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    let place = Workspace::on(Engine::at(&socket));
    place.job(ONE);
    place.dybox(&["run", "job.yaml"]).expect(5).says("1.27").says("1.41");
    place.dybox(&["doctor"]).expect(5).says("1.27");
}

#[test]
fn an_engine_that_never_answers_is_given_up_in_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("mute.sock");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    let place = Workspace::on(Engine::at(&socket));
    place.job(ONE);
    let done = place.dybox(&["run", "job.yaml"]).expect(5);
    assert!(done.took < Duration::from_secs(30), "{:?}", done.took);
}

#[test]
fn a_socket_without_permission_is_named() {
    let place = Workspace::new();
    place.job(ONE);
    // A user without rights, in a directory that it may enter: setpriv is in util-linux.
    for dir in [place.path(), &place.home()] {
        std::fs::create_dir_all(dir).expect("a directory");
        Command::new("chmod").arg("777").arg(dir).status().expect("chmod");
    }
    let inner = place.command(&["doctor"]);
    let copy = place.path().join("dybox");
    std::fs::copy(inner.get_program(), &copy).expect("a copy that anybody may run");
    for args in [&["doctor"][..], &["run", "job.yaml"]] {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy)
            .args(args)
            .current_dir(place.path());
        command.env("DYBOX_HOME", place.path().join("theirs")).env("DYBOX_CONF", "/dev/null").env("HOME", place.path());
        Follow::start(&mut command).end(Duration::from_secs(30)).expect(5).says("permission").says("docker");
    }
}

#[test]
fn images_come_from_a_real_registry_and_are_pinned() {
    let registry = Registry::start();
    let place = Workspace::new();
    let image = registry.put(place.engine(), "dybox/pulled:1");
    place.job(&format!("stages:\n  a: {{ image: \"{image}\", parallelism: 4, script: \"echo here\" }}\n"));
    let run = place.dybox(&["run", "job.yaml"]).expect(0).says(&image).run_id();
    let journal = std::fs::read(place.home().join("runs").join(&run).join("sub/0/journal")).expect("the journal");
    assert!(String::from_utf8_lossy(&journal).contains("image_pinned"));
    place.job(&format!(
        "stages:\n  a: {{ image: \"{}\", retry: {{ max: 3 }}, command: [\"true\"] }}\n",
        registry.reference("dybox/nothing:1")
    ));
    place.dybox(&["run", "job.yaml"]).expect(1).says("C1010").says("dybox/nothing:1");
    place.assert_nothing_left();
    place.engine().docker(&["rmi", &image]);
}

#[test]
fn the_image_of_the_next_stage_comes_while_the_one_before_it_runs_and_the_timeline_shows_it() {
    let registry = Registry::start();
    let place = Workspace::new();
    let own = registry.put(place.engine(), "dybox/own:1");
    let next = registry.put(place.engine(), "dybox/next:1");
    let gone = registry.reference("dybox/nobody-put-it:1");
    place.job(&format!(
        "stages:\n  a: {{ image: \"{own}\", script: \"until [ -e /said/go ]; do sleep 0.1; done\" }}\n  b: {{ needs: [a], image: \"{next}\", command: [\"true\"] }}\n  c: {{ needs: [a], image: \"{gone}\", command: [\"true\"] }}\n"
    ));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    let stages = || place.dybox(&["status", &run, "-o", "json"]).expect(0).json()["stages"].clone();
    let ahead = |stage: usize| stages()[stage]["image_ahead"].as_array().map_or(0, Vec::len);
    eventually("both are told of before they are needed", Duration::from_secs(90), || {
        (ahead(1) == 1 && ahead(2) == 1).then_some(())
    });
    let inspect = |image: &str| place.engine().docker(&["image", "inspect", image]).status.success();
    assert!(inspect(&next) && !inspect(&gone));
    let seen = stages();
    assert_eq!((&seen[0]["state"], &seen[1]["state"]), (&"running".into(), &"waiting".into()), "{seen:#}");
    assert!(seen[0]["image_waited_seconds"].as_f64().is_some_and(|waited| waited > 0.0), "{seen:#}");
    place.write("said/go", "");
    eventually("all is over", Duration::from_secs(90), || {
        let seen = stages();
        (seen[1]["state"] == "succeeded" && seen[2]["state"] == "failed").then_some(())
    });
    let seen = stages();
    assert_eq!(seen[1]["image_waited_seconds"], 0.0, "{seen:#}");
    let told = place.dybox(&["status", &run, "--timeline"]).expect(0);
    told.says("the first task waited").says("brought ahead in").says("while a ran").says("not brought ahead: ");
    place.assert_nothing_left();
    place.engine().docker(&["rmi", &own, &next]);
}

#[test]
fn an_engine_killed_in_the_middle_costs_a_try_but_no_retry() {
    let mut private = PrivateEngine::start(&[]);
    let place = Workspace::on(private.engine());
    place.job("stages:\n  a: { stop_grace: 1s, script: \". /said/fns; say start; sleep 6; say end\" }\n");
    let follow = place.start(&["run", "job.yaml"]);
    eventually("it runs", Duration::from_secs(30), || (!place.said().is_empty()).then_some(()));
    private.kill();
    std::thread::sleep(Duration::from_secs(1));
    private.up();
    follow.end(Duration::from_secs(90)).expect(0);
    let said = place.said();
    assert!(dybox_tests::overlaps(&said).is_empty(), "{said:?}");
    assert!(said.iter().any(|line| line.what == "end"));
    place.assert_nothing_left();
}

#[test]
fn a_run_on_a_hanging_engine_can_be_stopped() {
    let private = PrivateEngine::start(&[]);
    let place = Workspace::on(private.engine());
    place.job("stages:\n  a: { stop_grace: 2s, script: \". /said/fns; say start; for i in $(seq 300); do sleep 0.2; say beat; done\" }\n");
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    eventually("it runs", Duration::from_secs(30), || (!place.said().is_empty()).then_some(()));
    private.signal(Signal::SIGSTOP);
    let stop = place.dybox(&["stop", &run, "--yes"]);
    assert!(stop.took < Duration::from_secs(32), "{:?}", stop.took);
    let before = place.said().len();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(place.said().len(), before, "the payload runs on");
    private.signal(Signal::SIGCONT);
    eventually("its containers are gone", Duration::from_secs(40), || {
        place.containers().is_empty().then_some(()).or_else(|| {
            place.dybox(&["gc"]);
            None
        })
    });
    place.assert_nothing_left();
}

/// A file system of its own size, gone with the test.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn at(path: &std::path::Path, size: &str) -> Self {
        std::fs::create_dir_all(path).expect("a directory");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(path).status();
        assert!(done.expect("mount").success());
        Self(path.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_store_is_said_and_ends_the_run() {
    let place = Workspace::new();
    place.job(
        "stages:\n  a: { memory: 64MiB, stop_grace: 1s, script: \"while :; do head -c 1000000 /dev/zero; done\" }\n",
    );
    let disk = SmallDisk::at(&place.home(), "24m");
    let done = Follow::start(&mut place.command(&["run", "job.yaml"])).end(Duration::from_secs(120));
    assert!(matches!(done.code, 5 | 9), "{done:?}");
    done.says("full").says("dybox resume");
    eventually("no container is left", Duration::from_secs(60), || place.containers().is_empty().then_some(()));
    eventually("no process is left", Duration::from_secs(60), || {
        (place.pids("master").is_empty() && place.pids("proxy").is_empty()).then_some(())
    });
    drop(disk);
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let place = Workspace::new();
    place.job(ONE);
    std::fs::write(place.home(), "a file where a directory should be").expect("a file");
    place.dybox(&["run", "job.yaml"]).expect(5).says(&place.home().to_string_lossy());
}
