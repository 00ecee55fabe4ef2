//! Containers as the engine sees them: limits, safety, networks, hooks between them.

use std::time::Duration;

use dybox_tests::{Workspace, eventually};

#[test]
fn the_defaults_are_safe_and_limits_hold() {
    let place = Workspace::new();
    place.job("stages:\n  a: { pids: 33, stop_grace: 1s, shm_size: 1MiB, tmpfs: [\"/scratch:size=1MiB\"], script: \"df -k /dev/shm /scratch; cat /proc/self/status; sleep 60\" }\n");
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    let container = eventually("it runs", Duration::from_secs(20), || place.containers().first().cloned());
    eventually("it speaks", Duration::from_secs(20), || {
        place.dybox(&["logs", &run]).out.contains("Seccomp").then_some(())
    });
    let of = |template: &str| place.engine().inspect(&container, template);
    assert_eq!(of("{{.HostConfig.CapDrop}}"), "[ALL]");
    assert!(of("{{.HostConfig.SecurityOpt}}").contains("no-new-privileges"));
    assert_eq!(of("{{.HostConfig.PidsLimit}}"), "34", "33 for the task and one for its init");
    assert_eq!(of("{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}"), "33554432 33554432");
    assert_eq!(of("{{.HostConfig.NanoCpus}}"), "200000000");
    assert_eq!(of("{{.HostConfig.AutoRemove}} {{.HostConfig.Privileged}}"), "false false");
    assert_eq!(of("{{.HostConfig.LogConfig.Type}}"), "none");
    assert_eq!(of("{{.Config.User}}"), format!("{}:{}", nix::unistd::getuid(), nix::unistd::getgid()));
    assert_eq!(of("{{.Config.NetworkDisabled}}"), "true");
    assert_eq!(of("{{index .Config.Labels \"dybox.proof\"}}").len(), 64);
    let logs = place.dybox(&["logs", "--raw", "--no-prefix", &run]).out;
    assert!(logs.contains("CapEff:\t0000000000000000") && logs.contains("NoNewPrivs:\t1"), "{logs}");
    assert!(logs.lines().filter(|line| line.contains(" 1024 ")).count() >= 2, "{logs}");
    place.dybox(&["stop", &run, "--yes"]).expect(0);
    place.assert_nothing_left();
}

#[test]
fn a_named_network_knows_stages_and_tasks_by_name() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  server: { network: web, parallelism: 2, stop_grace: 1s, timeout: { run: 12s }, script: \"mkdir /tmp/w; echo hello from $DYBOX_TASK_INDEX > /tmp/w/index.html; httpd -f -p 8080 -h /tmp/w\" }\n",
        "  client: { network: web, script: \"for i in $(seq 50); do wget -q -O - http://server-1:8080/ && wget -q -O - http://server:8080/ && exit 0; sleep 0.2; done; exit 1\" }\n",
    ));
    let done = place.dybox(&["run", "job.yaml"]);
    place.dybox(&["logs", &done.run_id(), "client"]).expect(0).says("hello from 1");
    place.assert_nothing_left();
}

#[test]
fn bridge_tasks_of_a_slot_share_one_sandbox_and_none_has_no_network() {
    let place = Workspace::new();
    place.job(concat!(
        "stages:\n  out: { network: bridge, parallelism: 3, script: \"ip addr show eth0 | grep inet\" }\n",
        "  none: { script: \"ip -o link | grep -c -v LOOPBACK; true\" }\n",
    ));
    let run = place.dybox(&["run", "job.yaml", "--cpus", "0.2"]).expect(0).run_id();
    let logs = place.dybox(&["logs", "--no-prefix", &run, "out"]).expect(0).out;
    let mut addresses: Vec<_> = logs.lines().map(str::trim).filter(|line| line.starts_with("inet ")).collect();
    assert_eq!(addresses.len(), 3, "{logs}");
    addresses.dedup();
    assert_eq!(addresses.len(), 1, "one slot, one sandbox: {logs}");
    assert_eq!(place.dybox(&["logs", "--no-prefix", &run, "none"]).expect(0).out.trim(), "0");
    place.assert_nothing_left();
}

#[test]
fn the_machine_is_shared_within_one_budget() {
    let place = Workspace::new();
    place.job("stages:\n  a: { cpus: 0.5, parallelism: 4, script: \". /said/fns; say start; sleep 1; say end\" }\n");
    let first = place.start(&["run", "job.yaml", "--cpus", "1"]);
    let second = place.start(&["run", "job.yaml", "--cpus", "1"]);
    let mut most = 0;
    for _ in 0..40 {
        let ours = place.containers();
        let running = place.engine().docker(&["ps", "--format", "{{.Names}}"]);
        let running = String::from_utf8_lossy(&running.stdout).into_owned();
        most = most.max(ours.iter().filter(|name| running.lines().any(|line| line == *name)).count());
        std::thread::sleep(Duration::from_millis(100));
    }
    first.end(Duration::from_secs(60)).expect(0);
    second.end(Duration::from_secs(60)).expect(0);
    assert!(most <= 2, "{most} containers of half a cpu at once in a budget of one");
    assert_eq!(place.said().iter().filter(|line| line.what == "end").count(), 8);
    place.assert_nothing_left();
}

#[test]
fn an_ask_above_the_machine_is_refused_at_once() {
    let place = Workspace::new();
    place.job("stages:\n  a: { memory: 90TiB, command: [\"true\"] }\n");
    place.dybox(&["run", "job.yaml"]).expect(3).says("90TiB");
    place.job("stages:\n  a: { cpus: 0.5, command: [\"true\"] }\n");
    place.dybox(&["run", "job.yaml", "--cpus", "0.25"]).expect(3).says("0.5");
    assert!(place.runs().is_empty());
}

#[test]
fn a_hook_decides_from_results_what_follows() {
    let place = Workspace::new();
    place.write("decide.sh", "cat > said/stdin; n=$(sed -n 's/.*\"n\": *\\([0-9]*\\).*/\\1/p' said/stdin | head -n 1); echo \"{\\\"parallelism\\\": {\\\"many\\\": $n}, \\\"skip\\\": [\\\"unwanted\\\"]}\"\n");
    place.job(concat!(
        "stages:\n  first: { script: \"echo '{\\\"n\\\": 3}' > $DYBOX_RESULT\" }\n",
        "  many: { needs: [first], script: \". /said/fns; say start\" }\n",
        "  unwanted: { needs: [first], script: \". /said/fns; say start\" }\n",
        "  last: { needs: [many], script: \"cat $DYBOX_NEEDS\" }\n",
        "hooks: [{ after: [first], run: [sh, decide.sh] }]\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    assert_eq!(place.said().iter().filter(|line| line.stage == "many").count(), 3);
    assert!(place.said().iter().all(|line| line.stage != "unwanted"));
    place.dybox(&["status", &run]).expect(0).says("skipped");
    place.dybox(&["logs", &run, "last"]).expect(0).says("many");
    place.assert_nothing_left();
}

#[test]
fn a_hook_that_fails_or_babbles_fails_the_run_and_is_shown() {
    for (hook, shown) in [
        ("echo 'no such table' >&2; exit 4", "no such table"),
        ("echo not json", "not json"),
        ("echo '{\"skip\": [\"lst\"]}'", "lst"),
        ("echo '{\"parallelism\": {\"last\": 0}}'", "parallelism"),
        ("sleep 30", "time limit of 1.0s"),
    ] {
        let place = Workspace::new();
        place.write("hook.sh", hook);
        place.job("stages:\n  first: { command: [\"true\"] }\n  last: { needs: [first], script: \". /said/fns; say start\" }\nhooks: [{ after: [first], run: [sh, hook.sh], timeout: 1s }]\n");
        place.dybox(&["run", "job.yaml"]).expect(1).says(shown);
        assert!(place.said().is_empty());
        place.assert_nothing_left();
    }
}

#[test]
fn a_hook_can_stop_the_run() {
    let place = Workspace::new();
    place.write("hook.sh", "echo '{\"stop\": \"nothing to do today\"}'");
    place.job("stages:\n  first: { command: [\"true\"] }\n  last: { needs: [first], script: \". /said/fns; say start\" }\nhooks: [{ after: [first], run: [sh, hook.sh] }]\n");
    place.dybox(&["run", "job.yaml"]).expect(6).says("nothing to do today");
    assert!(place.said().is_empty());
    place.assert_nothing_left();
}

#[test]
fn forged_labels_are_reported_and_not_touched() {
    let place = Workspace::new();
    place.job("stages:\n  a: { command: [\"true\"] }\n");
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    place.assert_nothing_left();
    let name = format!("dybox-forged-{}", std::process::id());
    let label = format!("dybox.run={run}");
    let made = place.engine().docker(&[
        "create",
        "--name",
        &name,
        "--label",
        &label,
        "--label",
        "dybox.proof=00",
        "--label",
        "dybox.kind=task",
        "dybox-test/busybox:1",
        "true",
    ]);
    assert!(made.status.success());
    place.dybox(&["gc"]).expect(0).says(&name);
    assert_eq!(place.containers().as_slice(), std::slice::from_ref(&name));
    place.engine().docker(&["rm", "-f", &name]);
}
