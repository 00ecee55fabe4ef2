//! Priority between the stages of a run, on a real cluster with room for one task.

use std::time::Duration;

use dybox_tests::Workspace;
use dybox_tests::cluster::{Cluster, Options};

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(240);

/// A cluster with room for a master and one task, so that it is seen who comes first.
#[test]
fn where_room_is_short_yarn_gives_it_to_the_higher_priority() {
    let cluster = Cluster::start(&Options { nodes: 1, vcores: 2, ..Options::default() });
    let place = Workspace::of_cluster(&cluster);
    let say = "script: \". /said/fns; say start; sleep 1\"";
    place.job(&format!(
        "stages:\n  low: {{ priority: -1, parallelism: 2, {say} }}\n  middle: {{ parallelism: 2, {say} }}\n  high: {{ priority: 7, parallelism: 2, memory: 200MiB, {say} }}\n",
    ));
    let run = place.start(&["run", "job.yaml"]).end(LONG).expect(0).run_id();
    let order: Vec<String> = place.said().into_iter().map(|line| line.stage).collect();
    assert_eq!(order, ["high", "high", "middle", "middle", "low", "low"]);
    cluster.assert_over(&run);
    cluster.down().expect("it goes down");
}
