//! What a job file leaves open until its stages begin, on the machine's real engine.

use dybox_tests::Workspace;

#[test]
fn a_list_that_a_stage_found_makes_the_tasks_of_the_next() {
    let place = Workspace::new();
    place.job(concat!(
        "params: { least: { type: int, default: 2 } }\n",
        "stages:\n",
        "  split: { script: 'echo ''[{\"n\": 1}, {\"n\": 5}, {\"n\": 9}]'' > $DYBOX_RESULT' }\n",
        "  work:\n    needs: [split]\n    each: \"${results.split}\"\n    env: { N: \"${item.n}\", OF: \"${task.index}/${task.count}\" }\n",
        "    script: 'echo \"$N $OF ${item.n * 2} $DYBOX_ITEM\"; echo $((N * 10)) > $DYBOX_RESULT'\n",
        "  join: { needs: [work], command: [echo, \"all ${results.work.map(n, string(n))[2]} of ${size(results.work)}\"] }\n",
        "  many: { needs: [work], when: size(results.work) > params.least, command: [\"true\"] }\n",
        "  few: { needs: [work], when: size(results.work) <= params.least, command: [\"true\"] }\n",
        "  after-few: { needs: [few], command: [\"true\"] }\n",
        "  none: { needs: [split], each: \"${results.split.filter(p, p.n > 100)}\", command: [\"false\"] }\n",
        "  after-none: { needs: [none], command: [echo, \"none: ${size(results.none)}\"] }\n",
    ));
    let run = place.dybox(&["run", "job.yaml"]).expect(0).run_id();
    place.dybox(&["logs", "--raw", "--no-prefix", &run, "work/1"]).expect(0).says("5 1/3 10 {\"n\":5}");
    place.dybox(&["logs", &run, "join"]).expect(0).says("all 90 of 3");
    place.dybox(&["logs", &run, "after-none"]).expect(0).says("none: 0");
    let status = place.dybox(&["status", &run]).expect(0);
    status.says("its condition is false: size(results.work) <= params.least");
    place.assert_nothing_left();
}

#[test]
fn results_cross_sub_dags_and_what_has_no_value_fails_its_task() {
    let place = Workspace::new();
    place.write("params.yaml", "day: tuesday\nlist: [x, y]\n");
    place.job(concat!(
        "params: { day: monday, list: { type: list, default: [] } }\n",
        "stages:\n",
        "  a: { subdag: one, script: \"echo '{\\\"rows\\\": 7}' > $DYBOX_RESULT\" }\n",
        "  b: { subdag: two, needs: [a], command: [\"true\"] }\n",
        "  c: { subdag: three, needs: [b], when: results.a.rows == 7, command: [echo, \"${results.a.rows} on ${params.day}\"] }\n",
        "  d: { subdag: three, needs: [b], each: \"${params.list}\", command: [echo, \"got ${item}\"] }\n",
        "  e: { subdag: three, needs: [b], command: [echo, \"${results.a.columns}\"] }\n",
    ));
    let done = place.dybox(&["run", "job.yaml", "--params", "params.yaml"]).expect(1);
    let run = done.run_id();
    place.dybox(&["logs", &run, "c"]).expect(0).says("7 on tuesday");
    place.dybox(&["logs", &run, "d/1"]).expect(0).says("got y");
    place.dybox(&["why", &run]).expect(0).says("results.a.columns has no value: there is no \"columns\" in it");
    place.assert_nothing_left();
}
