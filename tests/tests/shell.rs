//! `dybox shell` beside `docker run`: streams, stdin, a terminal, the container's own exit code.

use std::time::Duration;

use dybox_tests::Workspace;

const IMAGE: [&str; 3] = ["shell", "--image", "dybox-test/busybox:1"];

fn shell(place: &Workspace, more: &[&str]) -> dybox_tests::Done {
    place.dybox(&[&IMAGE[..], more].concat())
}

#[test]
fn the_exit_code_is_the_container_s_own() {
    let place = Workspace::new();
    for (script, code) in [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137)] {
        shell(&place, &["--", "sh", "-c", script]).expect(code);
    }
    shell(&place, &["--", "no-such-program"]).expect(127).says("no-such-program");
    shell(&place, &["--", "/etc/passwd"]).expect(126);
    place.dybox(&["shell", "--image", "dybox-test/nothing:1", "--pull", "never", "--", "true"]).expect(125);
    place.assert_nothing_left();
}

#[test]
fn streams_stay_apart_and_are_byte_for_byte() {
    let place = Workspace::new();
    let done = shell(&place, &["--", "sh", "-c", "printf 'out\\033[1m\\000no newline'; printf err >&2"]).expect(0);
    assert_eq!(done.bytes, b"out\x1b[1m\0no newline");
    assert_eq!(done.err, "err");
}

#[test]
fn stdin_reaches_the_container_and_ends() {
    let place = Workspace::new();
    let input: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let done = place.dybox_fed(&[&IMAGE[..], &["-i", "--", "cat"]].concat(), &input);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.bytes == input, "{} of {} bytes", done.bytes.len(), input.len());
    place.assert_nothing_left();
}

#[test]
fn a_terminal_is_a_terminal() {
    let place = Workspace::new();
    // script(1) gives the command a terminal of its own.
    let line = format!("{} -it -- sh -c 'tty; stty size; read x; echo got $x'", IMAGE.join(" "));
    let binary = place.command(&[]).get_program().to_string_lossy().into_owned();
    let inner = format!("stty rows 33 cols 111; {binary} {line}");
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &inner, "/dev/null"]).current_dir(place.path());
    command.env("DYBOX_HOME", place.home()).env("DYBOX_CONF", "/dev/null").stdin(std::process::Stdio::piped());
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("script(1)");
    let mut input = child.stdin.take().expect("piped");
    let feeder = std::thread::spawn(move || {
        use std::io::Write;
        std::thread::sleep(Duration::from_secs(3));
        let _ = input.write_all(b"word\n");
        input
    });
    let output = child.wait_with_output().expect("it ends");
    drop(feeder.join());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("/dev/") && text.contains("33 111") && text.contains("got word"), "{text}");
    place.assert_nothing_left();
}

#[test]
fn signals_reach_the_container() {
    let place = Workspace::new();
    let follow = place.start(
        &[&IMAGE[..], &["--", "sh", "-c", "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.1; done"]]
            .concat(),
    );
    follow.until("ready", Duration::from_secs(20));
    follow.signal(nix::sys::signal::Signal::SIGINT);
    follow.end(Duration::from_secs(20)).expect(9).says("caught");
    place.assert_nothing_left();
}
