//! Logs: live, after the end and after a crash; byte for byte; shown safely.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dybox_tests::Workspace;

#[test]
fn large_lines_are_kept_byte_for_byte() {
    let place = Workspace::new();
    place.job("stages:\n  a: { memory: 64MiB, cpus: 1, script: \"for i in $(seq 100); do head -c 1048576 /dev/zero | tr '\\\\0' x; echo; done; printf 'no newline'\" }\n");
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    let logs = place.dybox(&["logs", "--raw", "--no-prefix", &run]).expect(0);
    assert_eq!(logs.bytes.len(), 100 * (1_048_576 + 1) + 10);
    assert!(logs.bytes.ends_with(b"no newline"));
    assert!(logs.bytes[..1_048_576].iter().all(|&byte| byte == b'x'));
    place.assert_nothing_left();
}

#[test]
fn escapes_are_shown_safely_unless_raw() {
    let place = Workspace::new();
    place.job("stages:\n  a: { script: \"printf '\\\\033[31mred\\\\033[0m \\\\007bell\\\\nbinary \\\\000\\\\377 end\\\\n'\" }\n");
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    let safe = place.dybox(&["logs", "--no-prefix", &run]).expect(0);
    assert!(!safe.bytes.contains(&0x1b) && !safe.bytes.contains(&7) && safe.out.contains("red"), "{:?}", safe.out);
    let raw = place.dybox(&["logs", "--raw", "--no-prefix", &run]).expect(0);
    assert_eq!(raw.bytes, b"\x1b[31mred\x1b[0m \x07bell\nbinary \0\xff end\n");
}

#[test]
fn following_is_less_than_half_a_second_behind() {
    let place = Workspace::new();
    place.job("stages:\n  a: { cpus: 0.5, script: \"for i in 1 2 3 4 5; do echo at $(cat /proc/uptime); sleep 0.7; done\" }\n");
    let run = place.dybox(&["run", "job.yaml", "--detach"]).expect(0).run_id();
    let follow = place.start(&["logs", "-f", "--no-prefix", &run]);
    let mut behind = Vec::new();
    let uptime = || {
        std::fs::read_to_string("/proc/uptime")
            .expect("uptime")
            .split(' ')
            .next()
            .and_then(|word| word.parse::<f64>().ok())
            .expect("seconds")
    };
    for _ in 0..4 {
        let (seen, text) = follow.until("at ", Duration::from_secs(20));
        let now = uptime() - seen.elapsed().as_secs_f64();
        let said: f64 = text
            .rsplit("at ")
            .next()
            .and_then(|rest| rest.split(' ').next())
            .and_then(|word| word.parse().ok())
            .expect("a time");
        behind.push(now - said);
    }
    // The first line may wait for `logs` to be started at all.
    assert!(behind[1..].iter().all(|lag| *lag < 0.5), "{behind:?}");
    let done = follow.end(Duration::from_secs(20)).expect(0);
    assert_eq!(done.out.matches("at ").count(), 5);
    place.assert_nothing_left();
}

#[test]
fn tail_since_grep_attempt_and_streams_choose() {
    let place = Workspace::new();
    place.job("stages:\n  a: { retry: { max: 1, backoff: 100ms }, script: \"seq 1000; echo attempt $DYBOX_ATTEMPT >&2; [ $DYBOX_ATTEMPT = 2 ]\" }\n");
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    let logs = |more: &[&str]| place.dybox(&[&["logs", "--no-prefix", &run][..], more].concat()).expect(0).out;
    assert_eq!(logs(&["--attempt", "2", "--stdout", "--tail", "3"]), "998\n999\n1000\n");
    assert_eq!(logs(&["--stderr", "--attempt", "1"]), "attempt 1\n");
    assert_eq!(logs(&["--grep", "^77.$", "--attempt", "2"]).lines().count(), 10);
    assert_eq!(logs(&["--since", "0s"]), "");
    assert!(SystemTime::now().duration_since(UNIX_EPOCH).is_ok());
    let start = Instant::now();
    place.dybox(&["logs", "nothing-like-it"]).expect(7);
    assert!(start.elapsed() < Duration::from_secs(2));
}
