//! Inputs and outputs in HDFS, named volumes and the policies of a real cluster.

use std::time::Duration;

use dybox_tests::Workspace;
use dybox_tests::cluster::{Cluster, Options};

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(180);

#[test]
fn files_go_through_hdfs_and_policies_of_store_and_node_hold() {
    let cluster = Cluster::start(&Options { nodes: 2, ..Options::default() });
    let place = Workspace::of_cluster(&cluster);
    let run = |stages: &str, code: i32| {
        place.job(stages);
        place.start(&["run", "job.yaml"]).end(LONG).expect(code)
    };
    // Each task puts a part; the next stage takes all of them as one directory, and keeps its sum for the run.
    let first = run(
        concat!(
            "stages:\n",
            "  split: { parallelism: 2, outputs: { /out/part: \"hdfs:///data/parts/\" }, script: \"seq 1 $((10 + DYBOX_TASK_INDEX)) > /out/part\" }\n",
            "  sum: { needs: [split], inputs: { /in/parts: \"hdfs:///data/parts\" }, outputs: { /out/n: \"run:n\" }, script: \"ls /in/parts; cat /in/parts/* | wc -l > /out/n\" }\n",
            "  show: { needs: [sum], inputs: { /in/n: \"run:n\" }, script: \"cat /in/n\" }\n",
        ),
        0,
    );
    let id = first.run_id();
    place.dybox(&["logs", "--no-prefix", &id, "sum"]).expect(0).says("part-0").says("part-1");
    place.dybox(&["logs", "--no-prefix", &id, "show"]).expect(0).says("21");
    let moved = place.status(&format!("{id}/sum/0"))["attempts"][0]["moved"].clone();
    assert_eq!((&moved[0]["files"], &moved[0]["bytes"]), (&2.into(), &45.into()), "{moved}");
    cluster.assert_over(&id);
    // What is not there is told with its place, at once.
    let none =
        run("stages:\n  a: { inputs: { /in/x: \"hdfs:///data/nowhere\" }, retry: { max: 2 }, script: \"true\" }\n", 1);
    cluster.assert_over(&none.run_id());
    none.says("C1020").says("hdfs:///data/nowhere");
    // The policy in the store is read by the client, the node's by its proxy.
    let node = cluster.layout().at("etc/dybox/policy.toml");
    let lax = std::fs::read_to_string(&node).expect("the policy");
    place.job("stages:\n  a: { script: \". /said/fns; say start; until [ -e /said/go ]; do sleep 0.2; done\" }\n  b: { needs: [a], script: \"true\" }\n");
    let following = place.start(&["run", "job.yaml"]);
    place.until_said("a", "start", 1);
    std::fs::write(&node, format!("{lax}max_memory = \"8MiB\"\n")).expect("the policy");
    place.write("said/go", "");
    let refused = following.end(LONG).expect(4);
    let id = refused.run_id();
    refused.says("C1019").says("`max_memory` in /etc/dybox/policy.toml").says("127.0.0.");
    cluster.assert_over(&id);
    std::fs::write(&node, lax).expect("the policy");
    stages_are_taken_while_their_files_are_what_they_were(&place, &cluster);
    cluster.down().expect("it goes down");
}

/// The cache by a master on a node: files in HDFS and in the run's own store, a session, and `prune`.
fn stages_are_taken_while_their_files_are_what_they_were(place: &Workspace, cluster: &Cluster) {
    place.write(
        "cached.yaml",
        concat!(
            "name: cached\ndefaults: { image: \"dybox-test/busybox:1\", cpus: 0.2, memory: 64MiB, cache: true }\nstages:\n",
            "  list: { outputs: { /out/raw: \"hdfs:///cached/raw\" }, script: \"echo raw > /out/raw; echo '[1, 2]' > $DYBOX_RESULT\" }\n",
            "  part: { needs: [list], each: \"${results.list}\", inputs: { /in/raw: \"hdfs:///cached/raw\" }, outputs: { /out/p: \"run:parts/\" }, script: \"cat /in/raw > /out/p\" }\n",
            "  join: { needs: [part], inputs: { /in/parts: \"run:parts\" }, outputs: { /out/all: \"hdfs:///cached/all\" }, script: \"cat /in/parts/* > /out/all\" }\n",
        ),
    );
    let run = |more: &[&str]| {
        let id = place.start(&[&["run", "cached.yaml"], more].concat()).end(LONG).expect(0).run_id();
        cluster.assert_over(&id);
        id
    };
    let cached = |id: &str| {
        let status = place.status(id);
        let stages = status["stages"].as_array().expect("stages").iter();
        let taken = stages.filter(|stage| stage["cached"] == true).map(|stage| stage["stage"].to_string());
        taken.collect::<Vec<_>>().join(" ").replace('"', "")
    };
    let first = run(&[]);
    assert_eq!(cached(&first), "");
    assert_eq!(cached(&run(&[])), "list part join");
    // Another job writes where an output lies: it is made again, and only what that changes.
    place.job("stages:\n  p: { outputs: { /out/raw: \"hdfs:///cached/raw\" }, script: \"echo other > /out/raw\" }\n");
    let other = place.start(&["run", "job.yaml"]).end(LONG).expect(0).run_id();
    cluster.assert_over(&other);
    let third = run(&[]);
    assert_eq!(cached(&third), "join");
    let why = place.dybox(&["why", &format!("{third}/list")]).expect(0);
    why.says(&format!("other than in run {first}:")).says("output hdfs:///cached/raw: size 4 -> 6");
    place.dybox(&["why", &format!("{third}/part")]).expect(0).says("input hdfs:///cached/raw: was written anew");
    // What a run that is removed has left goes with it.
    let shown = place.dybox(&["prune", "--job", "cached", "--keep", "0", "--dry-run"]).expect(0);
    assert!(shown.out.contains("what later runs may take"), "{}", shown.out);
    place.dybox(&["prune", "--job", "cached", "--keep", "0", "--yes"]).expect(0).says("freed: 3 runs");
    assert_eq!(cached(&run(&[])), "");
}
