//! Init and engine together, on the machine's real engine. Each test leaves the engine as it found it.

mod support;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use dybox_engine::{Asked, CgroupPaths, Identity, Joined, Kind, Role, STOP, STOP_NOW};
use dybox_model::{Attach, Cause, EndedBy, Millis, Mount, Resources, TaskSpec, Tmpfs};
use support::{IMAGE, SECRET, attach, eventually, frame, listen, shell, task, world};

const SOON: Duration = Duration::from_secs(10);

fn stop() -> Option<Asked> {
    Some(Asked { by: EndedBy::Stop, cause: Cause::Stopped, text: "asked".to_owned() })
}

#[tokio::test]
async fn output_arrives_byte_for_byte_and_apart() {
    let world = world().await;
    let ended = world.run(&shell(r"printf 'a\000\377\033[1mz'; printf 'err' >&2; exit 3")).await;
    assert_eq!(ended.stdout, b"a\0\xff\x1b[1mz");
    assert_eq!(ended.stderr, b"err");
    assert_eq!((ended.exit.cause, ended.exit.code, ended.seen.code), (Some(Cause::ExitCode), Some(3), Some(3)));
    assert!(ended.exit.used.memory > 0, "{:?}", ended.verdict);
}

#[tokio::test]
async fn two_hundred_megabytes_arrive_whole() {
    let world = world().await;
    let start = Instant::now();
    let ended = world.run(&shell("yes 0123456789abcde | head -c 209715203")).await;
    println!("200 MB in {:?}", start.elapsed());
    assert!(ended.exit.ok(), "{:?}", ended.exit);
    assert_eq!(ended.stdout.len(), 209_715_203);
    let pattern = b"0123456789abcde\n";
    assert!(ended.stdout.iter().zip(pattern.iter().cycle()).all(|(a, b)| a == b));
}

#[tokio::test]
async fn a_command_that_can_not_start_says_why() {
    let world = world().await;
    let missing = world.run(&task(&["nonesuch", "x"])).await;
    assert_eq!((missing.exit.cause, missing.seen.code), (Some(Cause::CommandNotFound), Some(127)));
    assert!(missing.exit.text.contains("nonesuch"), "{}", missing.exit.text);
    let absolute = world.run(&task(&["/bin/nonesuch"])).await;
    assert_eq!(absolute.exit.cause, Some(Cause::CommandNotFound));
    let locked = world.run(&task(&["/.dybox/in/spec"])).await;
    assert_eq!((locked.exit.cause, locked.seen.code), (Some(Cause::NotExecutable), Some(126)));
    let dir = world.run(&task(&["/bin"])).await;
    assert_eq!(dir.exit.cause, Some(Cause::NotExecutable));
    for script in ["#!/bin/sh\r\necho hi\r\n", "#!/usr/bin/perl\nprint 1;\n"] {
        let ended = world.run(&TaskSpec { script: Some(script.to_owned()), ..shell("") }).await;
        assert_eq!((ended.exit.cause, ended.seen.code), (Some(Cause::BadInterpreter), Some(127)), "{script:?}");
        assert_eq!(ended.exit.text.contains("CRLF"), script.contains('\r'), "{}", ended.exit.text);
    }
}

#[tokio::test]
async fn a_script_runs_with_and_without_a_first_line() {
    let world = world().await;
    for script in ["echo $0 $1", "#!/bin/sh -e\necho $0 $1"] {
        let ended = world.run(&TaskSpec { script: Some(script.to_owned()), ..shell("") }).await;
        assert_eq!(ended.out(), "/.dybox/in/script\n");
    }
}

#[tokio::test]
async fn out_of_memory_is_what_the_counter_says() {
    let world = world().await;
    let limits = Resources { cpu_milli: 1000, memory: 16 << 20 };
    let main = world.run(&TaskSpec { limits, ..task(&["tail", "/dev/zero"]) }).await;
    assert_eq!((main.exit.cause, main.exit.by), (Some(Cause::Oom), EndedBy::Oom), "{:?}", main.verdict);
    let child = world.run(&TaskSpec { limits, ..shell("tail /dev/zero; exit 7") }).await;
    assert_eq!((child.exit.cause, child.exit.code), (Some(Cause::Oom), Some(7)));
    let fine = world.run(&TaskSpec { limits, ..shell("tail /dev/zero; exit 0") }).await;
    assert!(fine.exit.ok() && fine.exit.text.contains("want of memory"), "{:?}", fine.exit);
    let killed = world.run(&shell("kill -9 $$")).await;
    assert_eq!((killed.exit.cause, killed.exit.signal), (Some(Cause::Signal), Some(9)));
    assert_eq!(killed.seen.code, Some(137));
}

#[tokio::test]
async fn who_ignores_term_is_killed_after_the_grace() {
    let world = world().await;
    let spec = TaskSpec { stop_grace: Millis(700), ..shell("trap '' TERM; echo up; while :; do sleep 1; done") };
    let boxed = world.start(&spec).await;
    eventually(SOON, || boxed.stdout() == "up\n").await;
    let start = Instant::now();
    boxed.signal(STOP).await;
    let ended = boxed.ended(stop()).await;
    assert!(start.elapsed() >= Duration::from_millis(650) && start.elapsed() < Duration::from_secs(5));
    assert_eq!((ended.exit.cause, ended.exit.by, ended.exit.signal), (Some(Cause::Stopped), EndedBy::Stop, Some(9)));
}

#[tokio::test]
async fn who_hears_term_may_say_good_bye() {
    let world = world().await;
    let boxed = world.start(&shell("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.1; done")).await;
    eventually(SOON, || boxed.stdout() == "up\n").await;
    boxed.signal(STOP).await;
    let ended = boxed.ended(None).await;
    assert_eq!((ended.out().as_str(), ended.exit.code), ("up\nbye\n", Some(5)));
    assert_eq!((ended.exit.cause, ended.exit.by), (Some(Cause::KilledOutside), EndedBy::Outside));
}

#[tokio::test]
async fn stop_now_keeps_the_last_output() {
    let world = world().await;
    let spec = TaskSpec { stop_grace: Millis(60_000), ..shell("trap '' TERM; echo up; while :; do sleep 1; done") };
    let boxed = world.start(&spec).await;
    eventually(SOON, || boxed.stdout() == "up\n").await;
    boxed.signal(STOP_NOW).await;
    let ended = boxed.ended(stop()).await;
    assert_eq!((ended.exit.cause, ended.exit.signal, ended.out().as_str()), (Some(Cause::Stopped), Some(9), "up\n"));
}

#[tokio::test]
async fn a_lease_that_stands_still_ends_the_container_without_the_engine() {
    let world = world().await;
    let spec = TaskSpec { stop_grace: Millis(500), ..shell("trap '' TERM; echo up; while :; do sleep 1; done") };
    let boxed = world.start_with(&spec, Millis(1500), |_| {}).await.unwrap();
    eventually(SOON, || boxed.stdout() == "up\n").await;
    let pid = boxed.seen().await.pid.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(Path::new(&format!("/proc/{pid}")).exists(), "a lease that is renewed ends nothing");
    boxed.forsake();
    let start = Instant::now();
    eventually(SOON, || boxed.verdict().is_some() && !Path::new(&format!("/proc/{pid}/exe")).exists()).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let ended = boxed.ended(None).await;
    assert_eq!((ended.exit.cause, ended.exit.by), (Some(Cause::LeaseExpired), EndedBy::Lease));
    assert_eq!(ended.seen.code, Some(124));
}

#[tokio::test]
async fn a_sandbox_lives_by_the_lease_and_lends_its_network() {
    let world = world().await;
    let sandbox = world.sandbox().await;
    let joined = Joined::Sandbox(sandbox.clone());
    let boxed = world.start_with(&task(&["ip", "-o", "addr"]), Millis(15_000), |p| p.network = joined).await.unwrap();
    let ended = boxed.ended(None).await;
    assert!(ended.out().contains("eth0"), "{}", ended.out());
    assert!(world.engine.kill(&sandbox, STOP).await.unwrap());
    assert_eq!(world.engine.wait(&sandbox, SOON).await.unwrap(), 0);
}

#[tokio::test]
async fn no_network_has_a_loopback_of_its_own_and_nothing_else() {
    let world = world().await;
    let ended = world.run(&shell("ip -o link; hostname")).await;
    let names: Vec<_> = ended.out().lines().filter_map(|l| l.split(": ").nth(1).map(str::to_owned)).collect();
    assert!(names.iter().any(|name| name == "lo") && !names.iter().any(|name| name.starts_with("eth")), "{names:?}");
    assert!(ended.out().ends_with("main-0\n"), "{}", ended.out());
}

#[tokio::test]
async fn tasks_find_each_other_on_a_named_network() {
    let world = world().await;
    let name = format!("dybox-test-{}", world.run);
    let identity = Identity { grant: None, attempt: None, name: name.clone(), ..world.identity(Role::Network) };
    let labels = identity.labels(SECRET);
    let id = world.engine.ensure_network(&name, &labels).await.unwrap();
    assert_eq!(world.engine.ensure_network(&name, &labels).await.unwrap(), id);
    let other = Identity { name: "x".to_owned(), ..identity.clone() }.labels(SECRET);
    assert_eq!(world.engine.ensure_network(&name, &other).await.unwrap_err().kind, Kind::Conflict);
    let listed = world.engine.list_networks(Some(&world.run)).await.unwrap();
    assert!(identity.proven(SECRET, &listed[0].labels));

    let network = || Joined::Network(name.clone());
    let server = shell("echo hello | nc -l -p 7000");
    let server = world.start_with(&server, Millis(15_000), |p| p.network = network()).await.unwrap();
    let client = shell("until nc main-0 7000; do sleep 0.1; done; nslookup main >/dev/null && echo known");
    let client = TaskSpec { stage: "client".to_owned(), ..client };
    let client = world.start_with(&client, Millis(15_000), |p| p.network = network()).await.unwrap();
    let ended = client.ended(None).await;
    assert!(ended.out().starts_with("hello\n"), "{:?}", ended);
    assert!(server.ended(None).await.exit.ok());
    assert!(world.engine.remove_network(&id).await.unwrap());
    assert!(!world.engine.remove_network(&id).await.unwrap());
}

#[tokio::test]
async fn orphans_are_reaped_and_do_not_hold_the_end_up() {
    let world = world().await;
    let script = "for i in 1 2 3; do (sleep 0.05 &); done; sleep 0.5; grep -l 'State:.Z' /proc/[0-9]*/status; \
                  (setsid sleep 1000 &); sleep 1000 & echo done";
    let start = Instant::now();
    let ended = world.run(&shell(script)).await;
    assert_eq!(ended.out(), "done\n");
    assert!(ended.exit.ok() && start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_task_is_its_submitter_and_has_no_power() {
    let world = world().await;
    let mut spec = shell(
        "id -u; id -g; grep -h CapEff /proc/self/status; grep -h NoNewPrivs /proc/self/status; \
         cat /proc/self/oom_score_adj; stat -c '%u %g %a' /scratch; touch /scratch/x && echo wrote; \
         cat /sys/fs/cgroup/pids/pids.max; touch /.dybox/in/x 2>/dev/null || echo closed; echo $DYBOX_TASK; cat /data/f",
    );
    std::fs::write(world.dir.path().join("f"), "volume\n").unwrap();
    spec.env.push(("DYBOX_TASK".to_owned(), "a b=c".to_owned()));
    spec.tmpfs = vec![Tmpfs { target: "/scratch".to_owned(), size: Some(1 << 20) }];
    spec.volumes =
        vec![Mount { source: world.dir.path().to_owned(), target: "/data".to_owned(), read_only: true, named: None }];
    std::fs::set_permissions(world.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ended = world.run(&spec).await;
    let out = ended.out();
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..2], ["12345", "12346"], "{ended:?}");
    assert!(lines[2].ends_with("0000000000000000") && lines[3].ends_with('1'), "{lines:?}");
    assert!(lines[4].parse::<i32>().unwrap() >= 500);
    assert_eq!(lines[5..], ["12345 12346 1777", "wrote", "65", "closed", "a b=c", "volume"]);
}

#[tokio::test]
async fn a_log_by_way_of_pid_1_is_kept() {
    let world = world().await;
    let ended = world.run(&shell("echo one > /proc/1/fd/1; echo two > /proc/1/fd/2; echo three")).await;
    assert_eq!((ended.out().as_str(), ended.stderr.as_slice()), ("one\nthree\n", b"two\n".as_slice()));
}

#[tokio::test]
async fn copied_labels_are_no_proof() {
    let world = world().await;
    let boxed = world.start(&task(&["sleep", "100"])).await;
    let seen = boxed.seen().await;
    let claim = Identity::claimed(&seen.name, &seen.labels).unwrap();
    assert!(claim.proven(SECRET, &seen.labels));
    let forged =
        world.start_with(&task(&["sleep", "100"]), Millis(15_000), |p| p.labels = support::labels(&seen)).await;
    let forged = forged.unwrap().seen().await;
    assert!(!Identity::claimed(&forged.name, &forged.labels).unwrap().proven(SECRET, &forged.labels));
    let listed = world.engine.list(Some(&world.run)).await.unwrap();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|container| container.running && !container.name.starts_with('/')));
    let claims = listed.iter().filter_map(|c| Some((Identity::claimed(&c.name, &c.labels)?, &c.labels)));
    assert_eq!(claims.filter(|(claim, labels)| claim.proven(SECRET, labels)).count(), 1);
}

#[tokio::test]
async fn usage_comes_from_the_cgroup() {
    let world = world().await;
    let boxed = world.start(&shell("while :; do :; done")).await;
    let mut cgroup = CgroupPaths::of_pid(boxed.seen().await.pid.unwrap()).unwrap();
    let mut last = cgroup.read().unwrap();
    let begin = last.cpu_ms;
    eventually(SOON, || {
        last = cgroup.read().unwrap();
        last.cpu_ms > begin + 100
    })
    .await;
    assert!(last.memory > 0 && last.peak_memory >= last.memory && last.pids >= 2, "{last:?}");
    boxed.signal(STOP_NOW).await;
    assert!(boxed.ended(stop()).await.exit.used.cpu_ms >= last.cpu_ms);
}

#[tokio::test]
async fn what_the_engine_refuses_has_a_kind() {
    let world = world().await;
    let kind = async |spec: TaskSpec| world.start_with(&spec, Millis(15_000), |_| {}).await.err().map(|e| e.kind);
    let nowhere = Mount { source: "/no/such/dir".into(), target: "/data".to_owned(), read_only: true, named: None };
    assert_eq!(kind(TaskSpec { volumes: vec![nowhere], ..shell("") }).await, Some(Kind::MountMissing));
    assert_eq!(kind(TaskSpec { user: Some("nobodyatall".to_owned()), ..shell("") }).await, Some(Kind::BadUser));
    assert_eq!(kind(TaskSpec { workdir: Some("/bin/sh".to_owned()), ..shell("") }).await, Some(Kind::BadWorkdir));
    let tiny = Resources { cpu_milli: 1000, memory: 1 << 20 };
    assert_eq!(kind(TaskSpec { limits: tiny, ..shell("") }).await, Some(Kind::BadOptions));
    let boxed = world.start(&task(&["sleep", "100"])).await;
    let name = boxed.seen().await.name;
    let again = world.start_with(&shell(""), Millis(15_000), |p| p.name = name).await;
    assert_eq!(again.err().map(|error| error.kind), Some(Kind::Conflict));
    world.engine.start(&boxed.id).await.unwrap();
    assert!(world.engine.remove(&boxed.id).await.unwrap());
    assert!(!world.engine.remove(&boxed.id).await.unwrap());
    assert_eq!(world.engine.inspect(&boxed.id).await.unwrap(), None);
    assert!(!world.engine.kill(&boxed.id, STOP).await.unwrap());
}

#[tokio::test]
async fn a_registry_that_is_down_is_told_from_an_image_that_is_not_there() {
    let world = world().await;
    assert_eq!(world.engine.image("dybox-test/nonesuch:1").await.unwrap(), None);
    assert!(world.engine.image(IMAGE).await.unwrap().is_some());
    let error = world.engine.pull("127.0.0.1:1/x:1", Duration::from_secs(20), None, |_, _| {}).await.unwrap_err();
    assert_eq!((error.kind, error.cause()), (Kind::RegistryDown, Cause::RegistryDown), "{error}");
}

#[tokio::test]
async fn a_container_killed_from_outside_is_nobodys_own_fault() {
    let world = world().await;
    let boxed = world.start(&task(&["sleep", "100"])).await;
    boxed.signal("SIGKILL").await;
    let ended = boxed.ended(None).await;
    assert_eq!((ended.exit.cause, ended.verdict), (Some(Cause::KilledOutside), None));
}

#[tokio::test]
async fn the_engine_tells_about_itself() {
    let world = world().await;
    let info = &world.info;
    assert!(!info.version.is_empty() && info.cpus > 0 && info.memory > 0 && !info.root_dir.is_empty(), "{info:?}");
    assert!(info.api.as_str() >= "1.41" && [1, 2].contains(&info.cgroup_version));
    world.engine.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_feeds_stdin_and_sees_all_output() {
    let world = world().await;
    let attach_stdin = Some(Attach { stdin: true, tty: false });
    let boxed = world.start(&TaskSpec { attach: attach_stdin, ..shell("cat; echo end >&2; exit 4") }).await;
    let mut stream = attach(&boxed).await;
    let typed = vec![b'x'; 3 << 20];
    let mut writer = stream.try_clone().unwrap();
    let sent = typed.clone();
    let writing = std::thread::spawn(move || {
        for part in sent.chunks(100_000) {
            writer.write_all(&frame(0, part)).unwrap();
        }
        writer.write_all(&frame(1, &[])).unwrap();
    });
    let (out, err) = listen(&mut stream);
    writing.join().unwrap();
    assert!(out == typed, "{} bytes", out.len());
    assert_eq!(err, b"end\n");
    let ended = boxed.ended(None).await;
    assert!(ended.stdout == typed);
    assert_eq!(ended.exit.code, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_has_a_terminal_with_its_size_and_sends_signals() {
    let world = world().await;
    let tty = Some(Attach { stdin: true, tty: true });
    let script =
        "tty; read line; stty size; echo \"[$line]\"; trap 'echo int; exit 9' INT; while :; do sleep 0.1; done";
    let boxed = world.start(&TaskSpec { attach: tty, ..shell(script) }).await;
    let mut stream = attach(&boxed).await;
    stream.write_all(&frame(2, &[40, 0, 120, 0])).unwrap();
    eventually(SOON, || boxed.stdout().contains("/dev/pts/")).await;
    stream.write_all(&frame(0, b"hello\n")).unwrap();
    eventually(SOON, || boxed.stdout().contains("[hello]")).await;
    // Control-C as a terminal in raw mode sends it.
    stream.write_all(&frame(0, &[3])).unwrap();
    let (out, _) = listen(&mut stream);
    let out = String::from_utf8_lossy(&out).into_owned();
    assert!(out.contains("40 120\r\n") && out.contains("int\r\n"), "{out:?}");
    assert_eq!(boxed.ended(None).await.exit.code, Some(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_stdin_and_not_the_task() {
    let world = world().await;
    let attach_stdin = Some(Attach { stdin: true, tty: false });
    let boxed = world.start(&TaskSpec { attach: attach_stdin, ..shell("echo up; cat; echo went on") }).await;
    let mut stream = attach(&boxed).await;
    stream.write_all(&frame(0, b"typed\n")).unwrap();
    eventually(SOON, || boxed.stdout().contains("typed")).await;
    drop(stream);
    assert_eq!(boxed.ended(None).await.out(), "up\ntyped\nwent on\n");
}
