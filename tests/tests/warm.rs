//! `reuse: true`: tasks follow each other in one container, and none sees anything of the one before it.

use std::collections::BTreeSet;
use std::time::Duration;

use dybox_tests::{Line, Workspace, eventually, overlaps};

/// Says what it finds of another task, and leaves what it can.
const LOOK: &str = concat!(
    "      . /said/fns; say start\n",
    "      for dir in /tmp /scratch /dev/shm; do\n",
    "        [ -z \"$(ls -A $dir)\" ] || echo \"$dir: $(ls -A $dir)\" >> /said/seen\n",
    "        mkdir -p $dir/.d/e; echo $DYBOX_TASK_INDEX > $dir/.d/e/f; chmod 0 $dir/.d\n",
    "      done\n",
    "      [ ! -e $DYBOX_RESULT ] || echo result >> /said/seen\n",
    "      [ -z \"$LEFT\" ] || echo variable >> /said/seen\n",
    "      ! pidof sleep tail >/dev/null || echo process >> /said/seen\n",
    "      touch /left 2>/dev/null && echo root >> /said/seen\n",
    "      export LEFT=1; hostname >> /said/hosts\n",
);

fn stage(head: &str, end: &str) -> String {
    format!("stages:\n  w:\n    reuse: true\n    tmpfs: [/scratch]\n{head}    script: |\n{LOOK}{end}")
}

fn hosts(place: &Workspace) -> usize {
    let text = std::fs::read_to_string(place.path().join("said/hosts")).unwrap_or_default();
    text.lines().collect::<BTreeSet<_>>().len()
}

#[track_caller]
fn assert_nothing_seen(place: &Workspace) {
    let seen = std::fs::read_to_string(place.path().join("said/seen")).unwrap_or_default();
    assert_eq!(seen, "", "a task found something of another");
    let said = place.said();
    assert!(overlaps(&said).is_empty(), "{said:?}");
}

/// Each task was told the same name and number as is written down.
#[track_caller]
fn assert_told_as_written(place: &Workspace, run: &str) {
    let written: BTreeSet<_> = succeeded(place, run).into_iter().collect();
    let said = place.said();
    let ends: BTreeSet<_> = said.iter().filter(|line| line.what == "end").map(|l| (l.index, l.attempt)).collect();
    assert_eq!(ends.symmetric_difference(&written).collect::<Vec<_>>(), Vec::<&(u32, u32)>::new());
}

fn indexes(said: &[Line], what: &str) -> Vec<u32> {
    let mut all: Vec<u32> = said.iter().filter(|line| line.what == what).map(|line| line.index).collect();
    all.sort_unstable();
    all
}

#[test]
fn two_hundred_tasks_share_a_few_containers_and_nothing_else() {
    let place = Workspace::new();
    let end =
        "      echo $DYBOX_TASK_INDEX > $DYBOX_RESULT; echo \"from $DYBOX_TASK_INDEX try $DYBOX_ATTEMPT\"; say end\n";
    place.job(&format!(
        "{}  sum: {{ needs: [w], script: \"cat $DYBOX_NEEDS\" }}\n",
        stage("    parallelism: 200\n", end)
    ));
    place.dybox(&["plan", "job.yaml"]).expect(0).says("containers are used again");
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    assert_nothing_seen(&place);
    assert_eq!(indexes(&place.said(), "end"), (0..200).collect::<Vec<_>>(), "each once");
    assert_told_as_written(&place, &run);
    let hosts = hosts(&place);
    assert!(hosts <= 20, "{hosts} containers for 200 tasks");
    for index in ["0", "101", "199"] {
        let text = place.dybox(&["logs", &run, &format!("w/{index}")]).expect(0).out;
        assert_eq!(text.matches("from ").count(), 1, "{text}");
        assert!(text.contains(&format!("from {index} try ")), "{text}");
    }
    let needs = place.dybox(&["logs", &run, "sum"]).expect(0).out;
    assert!((0..200).all(|n: u32| needs.contains(&n.to_string())), "{needs}");
    place.assert_nothing_left();
}

#[test]
fn whatever_a_task_does_the_next_one_is_not_hurt() {
    let place = Workspace::new();
    let end = concat!(
        "      [ $DYBOX_ATTEMPT = 1 ] && case $DYBOX_TASK_INDEX in\n",
        "        3) exit 3 ;;\n",
        "        5) tail /dev/zero || exit 9 ;;\n",
        "        7) kill -SEGV $$ ;;\n",
        "        9) trap '' TERM; sleep 600 & wait ;;\n",
        "        11) (trap '' TERM HUP; sleep 600) & ;;\n",
        "        13) rm -f /.dybox/out/* 2>/dev/null; mkdir /.dybox/out/verdict.tmp ;;\n",
        "      esac\n      echo \"done $DYBOX_TASK_INDEX\"; say end\n",
    );
    let head =
        "    parallelism: 24\n    retry: { max: 1, backoff: 10ms }\n    timeout: { run: 8s }\n    stop_grace: 1s\n";
    place.job(&stage(head, end));
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    assert_nothing_seen(&place);
    assert_eq!(indexes(&place.said(), "end"), (0..24).collect::<Vec<_>>(), "each ended well once");
    assert_told_as_written(&place, &run);
    for (index, code) in [(3, "C1001"), (5, "C1003"), (7, "C1002"), (9, "C1014")] {
        place.dybox(&["why", &format!("{run}/w/{index}")]).expect(0).says(code);
    }
    place.assert_nothing_left();
}

#[test]
fn whoever_is_killed_no_task_is_done_again_after_its_success_was_written_down() {
    let place = Workspace::new();
    place.job(&stage("    parallelism: 120\n", "      sleep 0.05; say end\n"));
    let follow = place.start(&["run", "job.yaml"]);
    let some = |count: usize| {
        eventually("tasks end", Duration::from_secs(60), || {
            (indexes(&place.said(), "end").len() >= count).then_some(())
        });
    };
    some(10);
    assert!(place.kill_all("proxy") >= 1);
    some(25);
    assert_eq!(place.kill_all("master"), 1);
    some(40);
    follow.signal(nix::sys::signal::Signal::SIGKILL);
    place.kill_all("master");
    place.kill_all("proxy");
    follow.end(Duration::from_secs(10));
    let done = succeeded(&place, "@latest");
    let resumed = place.dybox(&["resume", "@latest"]).expect(0);
    let said = place.said();
    assert_nothing_seen(&place);
    for &(index, attempt) in &done {
        let later = said.iter().find(|line| line.index == index && line.attempt > attempt);
        assert_eq!(later, None, "task {index} was done");
    }
    let ended: BTreeSet<u32> = indexes(&said, "end").into_iter().collect();
    assert_eq!(ended.len(), 120, "{resumed:?}");
    place.until_idle();
    place.assert_nothing_left();
}

/// Tasks that were written down as succeeded, with the attempt.
fn succeeded(place: &Workspace, run: &str) -> Vec<(u32, u32)> {
    let run = place.dybox(&["status", &format!("{run}/w"), "-o", "json"]).expect(0).json();
    let tasks = run["stages"][0]["list"].as_array().cloned().expect("the stage's tasks");
    let number = |value: &serde_json::Value| value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    tasks
        .iter()
        .filter(|task| task["state"] == "succeeded")
        .map(|t| (number(&t["task"]), number(&t["attempt"])))
        .collect()
}
