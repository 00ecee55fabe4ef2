//! Inputs and outputs on one machine: brought before, put after a success, whole or not at all.

use std::fs;
use std::time::Duration;

use dybox_tests::{Workspace, eventually};

#[test]
fn stages_hand_files_on_through_the_runs_own_store_and_files_beside_the_job() {
    let place = Workspace::new();
    place.write("in/words/a", "one\ntwo\n");
    place.write("in/words/b", "three\n");
    place.job(concat!(
        "stages:\n",
        "  split: { inputs: { /data/words: ./in/words }, outputs: { /out/all: \"run:all\" }, script: \"cat /data/words/* > /out/all; echo no > /data/words/a; true\" }\n",
        "  count: { needs: [split], parallelism: 2, inputs: { /in/all: \"run:all\" }, outputs: { /out/lines: ./result/ }, script: \"mkdir /out/lines; wc -l < /in/all > /out/lines/$DYBOX_TASK_INDEX\" }\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    let result = |name: &str| fs::read_to_string(place.path().join("result").join(name)).unwrap();
    assert_eq!((result("lines-0/0").trim(), result("lines-1/1").trim()), ("3", "3"));
    assert_eq!(fs::read_dir(place.path().join("result")).unwrap().count(), 2, "nothing half-way is left");
    assert_eq!(fs::read_to_string(place.path().join("in/words/a")).unwrap(), "one\ntwo\n", "an input is a copy");
    let tries = place.status(&format!("{run}/count/0"));
    let moved = &tries["attempts"][0]["moved"];
    assert_eq!(
        (&moved[0]["out"], &moved[0]["bytes"], &moved[0]["files"]),
        (&false.into(), &14.into(), &1.into()),
        "{tries}"
    );
    assert_eq!((&moved[1]["out"], &moved[1]["bytes"]), (&true.into(), &2.into()), "{tries}");
    place.assert_nothing_left();
    let grants = place.home().join("runs").join(&run).join("grants");
    eventually("no copy stays", Duration::from_secs(30), || {
        let mut grants = fs::read_dir(&grants).into_iter().flatten().flatten();
        let data = |dir: fs::DirEntry| {
            let mut files = fs::read_dir(dir.path()).into_iter().flatten().flatten();
            files.any(|file| file.path().extension().is_some_and(|end| end == "data"))
        };
        (!grants.any(data)).then_some(())
    });
}

#[test]
fn a_missing_input_is_the_users_and_costs_no_try_and_a_failure_shows_no_output() {
    let place = Workspace::new();
    place.write("out/x", "before");
    place.job(concat!(
        "stages:\n",
        "  none: { inputs: { /in/x: ./nowhere }, retry: { max: 3 }, script: \"true\" }\n",
        "  fails: { outputs: { /out/x: ./out/x }, script: \"echo half > /out/x; exit 3\" }\n",
        "  silent: { outputs: { /out/y: ./out/y }, script: \"true\" }\n",
        "  link: { outputs: { /out/z: ./out/z }, script: \"ln -s /etc/passwd /out/z\" }\n",
    ));
    let done = place.dybox(&["run", "job.yaml"]).expect(1);
    let run = done.run_id();
    done.says("C1020").says("nowhere").says("C1021").says("/out/y: it was not written");
    assert_eq!(place.status(&format!("{run}/none/0"))["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_to_string(place.path().join("out/x")).unwrap(), "before");
    assert_eq!(fs::read_dir(place.path().join("out")).unwrap().count(), 1, "no y, no z, nothing hidden");
    place.assert_nothing_left();
}

#[test]
fn a_machines_own_files_are_given_and_taken_as_the_policy_says() {
    let place = Workspace::new();
    place.job("stages:\n  a: { inputs: { /in/x: \"file:///etc/hostname\" }, outputs: { /out/x: \"file:///srv/x\" }, script: \"true\" }\n");
    place.dybox(&["check", "job.yaml"]).expect(4).says("E0802").says("/etc/hostname is outside");
    fs::create_dir_all(place.path().join("in")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", place.path().join("in/link")).unwrap();
    let roots = format!("mount_roots = [\"{}\"]\n", place.path().display());
    let place = place.under_policy(&roots);
    place.job("stages:\n  a: { inputs: { /in/x: ./in/link }, script: \"cat /in/x\" }\n");
    place.dybox(&["run", "job.yaml"]).expect(4).says("C1019").says("`mount_roots` in /etc/dybox/policy.toml:1");
    place.assert_nothing_left();
}
