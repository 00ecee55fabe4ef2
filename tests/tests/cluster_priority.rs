//! Priority between the stages of a run, and tasks that differ by their item, on a real cluster.

use std::time::Duration;

use dybox_tests::cluster::{Cluster, Options};
use dybox_tests::{LATE, Workspace};

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(240);

/// What a stage found decides image, size and places of the next one's tasks.
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

#[test]
fn images_sizes_and_places_are_those_of_each_item() {
    let cluster = Cluster::start(&Options { nodes: 1, ..Options::default() });
    let place = Workspace::of_cluster(&cluster);
    place.job(LATE);
    let run = place.start(&["run", "job.yaml"]).end(LONG).expect(0).run_id();
    for (task, mb, cpus) in [("work/0", 70, "0.1"), ("work/1", 90, "0.3")] {
        let has = format!("has {} {cpus}", mb << 20);
        place.dybox(&["logs", "--raw", "--no-prefix", &run, task]).expect(0).says(&has);
    }
    place.dybox(&["logs", "--raw", "--no-prefix", &run, "read"]).expect(0).says("a\nb\nof b");
    cluster.assert_over(&run);
    cluster.down().expect("it goes down");
}
