//! Named volumes: those that outlive a run, and those that go with it.

use std::time::Duration;

use dybox_tests::{Workspace, eventually};

const SOON: Duration = Duration::from_secs(60);

const VOLUMES: &str = "volumes:\n  cache:\n  work: { keep: false }\n";

#[test]
fn a_volume_of_the_run_joins_its_stages_and_goes_and_a_kept_one_stays() {
    let place = Workspace::new();
    place.job(&format!(
        "stages:\n  a: {{ volumes: [\"cache:/cache\", \"work:/work\"], script: \"echo x >> /cache/seen; echo {} > /work/part\" }}\n{}{VOLUMES}",
        "part", "  b: { needs: [a], volumes: [\"work:/work:ro\", \"cache:/cache\"], script: \"cat /work/part; wc -l < /cache/seen; echo no > /work/x && exit 7; true\" }\n",
    ));
    let of_run = |run: &str| place.home().join("runs").join(run).join("volumes");
    for times in ["1", "2"] {
        let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
        let said = place.dybox(&["logs", "--no-prefix", &run, "b"]).expect(0).says("part").says(times);
        assert!(!said.out.contains("no"), "read-only: {}", said.out);
        eventually("it goes with the run", SOON, || (!of_run(&run).exists()).then_some(()));
        assert!(place.home().join("volumes/cache/seen").exists());
    }
    place.assert_nothing_left();
}

#[test]
fn what_a_failed_run_left_in_its_volume_is_there_when_it_goes_on() {
    let place = Workspace::new();
    place.job(&format!(
        "stages:\n  a: {{ volumes: [\"work:/work\"], script: \"echo kept > /work/part\" }}\n  b: {{ needs: [a], volumes: [\"work:/work\", \"./said:/said\"], script: \"cat /work/part; [ -e /said/go ]\" }}\n{VOLUMES}"
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    let left = place.home().join("runs").join(&run).join("volumes/work/part");
    assert!(left.exists());
    eventually("its master is gone", SOON, || {
        place.dybox(&["gc", "--dry-run"]).expect(0).out.contains("work").then_some(())
    });
    assert!(left.exists());
    place.write("said/go", "");
    place.dybox(&["resume", &run]).expect(0);
    place.dybox(&["logs", "--no-prefix", &run, "b"]).expect(0).says("kept");
    eventually("it goes with the run", SOON, || (!left.exists()).then_some(()));
    std::fs::remove_file(place.path().join("said/go")).unwrap();
    let run = place.dybox(&["run", "job.yaml"]).expect(1).run_id();
    let left = place.home().join("runs").join(&run).join("volumes/work");
    eventually("gc removes it", SOON, || {
        place.dybox(&["gc"]).expect(0);
        (!left.exists()).then_some(())
    });
    place.assert_nothing_left();
}
