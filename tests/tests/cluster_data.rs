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
    cluster.down().expect("it goes down");
}
