//! Published ports on the real engine: spoken to from outside, taken, forbidden, and free again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use dybox_tests::{Workspace, eventually};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(120);
/// A payload that says who it is to whoever asks at its port 8080.
const WEB: &str =
    "mkdir /tmp/w; echo hello from $DYBOX_STAGE $DYBOX_TASK_INDEX > /tmp/w/index.html; httpd -f -p 8080 -h /tmp/w";

/// What answers there; nothing where nobody does.
fn asked(address: &str) -> Option<String> {
    let mut line = TcpStream::connect(address).ok()?;
    line.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    line.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut said = String::new();
    line.read_to_string(&mut said).ok()?;
    (!said.is_empty()).then_some(said)
}

/// Addresses of a stage's running tasks, once there are so many.
#[track_caller]
fn addresses(place: &Workspace, run: &str, count: usize) -> Vec<String> {
    eventually("its ports are known", LONG, || {
        let status = place.status(run);
        let ports = status["stages"][0]["ports"].as_array()?.clone();
        let said = |port: &Value| port["address"].as_str().map(str::to_owned);
        (ports.len() == count).then(|| ports.iter().filter_map(said).collect())
    })
}

/// A port of the loopback that nobody had a moment ago.
fn free_port() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    (listener, port)
}

#[test]
fn two_tasks_are_spoken_to_at_the_addresses_that_status_tells() {
    let place = Workspace::new();
    place.job(&format!("stages:\n  web: {{ parallelism: 2, ports: [8080], stop_grace: 1s, script: '{WEB}' }}\n"));
    let follow = place.start(&["run", "job.yaml"]);
    follow.until("web/1 runs, port 8080 at 127.0.0.1:", LONG);
    let run = place.runs().pop().expect("one run");
    let all = addresses(&place, &run, 2);
    assert!(all[0] != all[1] && all.iter().all(|one| one.starts_with("127.0.0.1:")), "{all:?}");
    for (index, address) in all.iter().enumerate() {
        let said = eventually("it answers", LONG, || asked(address));
        assert!(said.contains(&format!("hello from web {index}")), "{address}: {said}");
    }
    let task = place.status(&format!("{run}/web/1"));
    assert_eq!(task["attempts"][0]["ports"][0]["address"], all[1].as_str(), "{task}");
    place.dybox(&["status", &format!("{run}/web")]).expect(0).says(&format!("port 8080 at {}", all[0]));
    place.dybox(&["why", &format!("{run}/web/0")]).expect(0).says(&format!("it is reached: port 8080 at {}", all[0]));
    place.dybox(&["stop", &run, "--yes"]).expect(0);
    follow.end(LONG).expect(6);
    place.assert_nothing_left();
    for address in &all {
        TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} is free again: {error}"));
    }
    let over = place.status(&run);
    assert_eq!(over["stages"][0]["ports"], Value::Array(Vec::new()), "nobody is there any more: {over}");
}

#[test]
fn a_named_network_and_a_port_of_the_machine_go_together() {
    let place = Workspace::new();
    let (listener, port) = free_port();
    drop(listener);
    place.job(&format!(
        "stages:\n  web: {{ network: inner, ports: ['{port}:8080'], stop_grace: 1s, script: '{WEB}' }}\n  \
         inside: {{ network: inner, script: 'for i in $(seq 100); do wget -q -O - http://web:8080/ && exit 0; sleep 0.2; done; exit 1' }}\n"
    ));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    let said = eventually("it answers", LONG, || asked(&format!("127.0.0.1:{port}")));
    assert!(said.contains("hello from web 0"), "{said}");
    eventually("the other stage has found it", LONG, || {
        (place.status(&run)["stages"][1]["state"] == "succeeded").then_some(())
    });
    place.dybox(&["stop", &run, "--yes"]).expect(0);
    place.assert_nothing_left();
}

#[test]
fn a_taken_port_is_told_with_its_owner_and_the_way_out() {
    let place = Workspace::new();
    let (listener, port) = free_port();
    place.job(&format!("stages:\n  a: {{ ports: ['{port}:80'], script: 'true' }}\n"));
    let done = place.dybox(&["run", "job.yaml"]).expect(1);
    let run = done.run_id();
    done.says("C1023").says(&format!("port {port}"));
    place.dybox(&["why", &run]).expect(0).says("Leave out the host port").says("the user");
    place.assert_nothing_left();
    drop(listener);
    place.dybox(&["resume", &run]).expect(0);
    // Of a range each task gets one of its own, and what another program holds is passed over.
    let (holder, port) = free_port();
    let first: u16 = port.parse().expect("a port");
    let range = format!("{first}-{}", first.saturating_add(20));
    let web = format!("parallelism: 2, ports: ['{range}:8080'], stop_grace: 1s, script: '{WEB}'");
    place.job(&format!("stages:\n  web: {{ {web} }}\n"));
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    let found = addresses(&place, &run, 2);
    assert_ne!(found[0], found[1]);
    drop(holder);
    for address in found {
        assert!(!address.ends_with(&port), "{address} is somebody's");
        assert!(eventually("it answers", LONG, || asked(&address)).contains("hello from web"));
    }
    place.dybox(&["stop", &run, "--yes"]).expect(0);
    place.assert_nothing_left();
}

#[test]
fn an_address_of_another_machine_is_the_users_mistake() {
    let place = Workspace::new();
    // 192.0.2.0/24 is nobody's.
    place.job("stages:\n  a: { ports: ['192.0.2.7::80'], script: 'true' }\n");
    place.dybox(&["run", "job.yaml"]).expect(1).says("C1013").says("cannot assign requested address");
    place.assert_nothing_left();
}

#[test]
fn a_policy_bounds_ports_and_forbids_them() {
    let place = Workspace::new();
    let roots = format!("mount_roots = [\"{}\"]\n", place.path().display());
    let place = place.under_policy(&format!("{roots}published_ports = \"28000-28099\"\n"));
    let rule = place.path().join("etc/dybox/policy.toml");
    place.job("stages:\n  a: { ports: ['27999:80'], script: 'true' }\n");
    place.dybox(&["run", "job.yaml"]).expect(4).says("E0809").says("`published_ports` in /etc/dybox/policy.toml:2");
    place.job(concat!(
        "stages:\n  a: { ports: [80], script: '. /said/fns; say start; until [ -e /said/go ]; do sleep 0.1; done' }\n",
        "  b: { needs: [a], retry: { max: 3 }, ports: [80], script: '. /said/fns; say start' }\n",
    ));
    let follow = place.start(&["run", "job.yaml"]);
    place.until_said("a", "start", 1);
    let run = place.runs().pop().expect("one run");
    let address = addresses(&place, &run, 1).remove(0);
    let port: u16 = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    assert!((28_000..28_100).contains(&port), "the engine had the choice within the range: {address}");
    // The proxy reads the rule anew for each task.
    std::fs::write(&rule, format!("{roots}published_ports = \"none\"\n")).expect("the rule");
    place.write("said/go", "");
    follow.end(LONG).expect(4).says("C1019").says("no port may be published");
    assert_eq!(place.said_by("b", "start"), 0);
    place.assert_nothing_left();
}

#[test]
fn a_shell_publishes_as_docker_does() {
    let place = Workspace::new();
    let words = ["shell", "-p", "8080", "--image", "dybox-test/busybox:1", "--", "sh", "-c", WEB];
    let shell = place.start(&words);
    let (_, said) = shell.until("port 8080 at 127.0.0.1:", LONG);
    let run = eventually("the run is there", LONG, || place.runs().pop());
    let address = addresses(&place, &run, 1).remove(0);
    assert!(said.contains(&address), "{said}");
    assert!(eventually("it answers", LONG, || asked(&address)).contains("hello from shell 0"));
    place.dybox(&["stop", &run, "--yes"]).expect(0);
    shell.end(LONG);
    place.dybox(&["shell", "-p", "80/sctp", "--image", "dybox-test/busybox:1", "--", "true"]).expect(125).says("E0530");
    place.assert_nothing_left();
}
