//! Priority between the stages of a run, and tasks that differ by their item, on a real cluster.

use std::time::Duration;

use dybox_tests::Workspace;
use dybox_tests::cluster::{Cluster, Options};

/// For what must have happened by now on a machine that is busy with other things, too.
const LONG: Duration = Duration::from_secs(240);

/// What a stage found decides image, size and places of the next one's tasks.
const LATE: &str = concat!(
    "stages:\n",
    "  list: { script: 'echo ''[{\"n\": \"a\", \"image\": \"busybox\", \"mb\": 70, \"cpus\": 0.1}, {\"n\": \"b\", \"image\": \"busybox\", \"mb\": 90, \"cpus\": 0.3}]'' > $DYBOX_RESULT' }\n",
    "  work:\n    needs: [list]\n    each: \"${results.list}\"\n    image: \"dybox-test/${item.image}:1\"\n",
    "    memory: \"${item.mb}MiB\"\n    cpus: \"${item.cpus}\"\n    outputs: { /out/x: \"run:got/${item.n}\" }\n",
    "    script: 'echo \"has $DYBOX_MEMORY_BYTES $DYBOX_CPUS\"; echo \"of ${item.n}\" > /out/x'\n",
    "  read: { needs: [work], inputs: { /in/got: \"run:got\", /in/b: \"run:got/${results.list[1].n}\" }, script: \"ls /in/got; cat /in/b\" }\n",
);

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
