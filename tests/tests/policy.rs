//! The administrator's policy: asked by the client, by the master and by the proxy.

use std::fs;

use dybox_tests::Workspace;

#[test]
fn a_job_that_breaks_a_rule_is_refused_with_the_rule_and_its_file() {
    let place = Workspace::new().under_policy("max_memory = \"16MiB\"\nmay_run_as = []\n");
    place.job("stages:\n  a: { user: \"0:0\", script: \"true\" }\n");
    for command in ["check", "plan", "run"] {
        let said = place.dybox(&[command, "job.yaml"]).expect(4);
        let said = said.says("`max_memory` in /etc/dybox/policy.toml:1").says("E0805");
        // Without mount_roots nothing is mounted; whoever runs this may be root and then is nobody else.
        said.says("/etc/dybox/policy.toml decides; it allows nothing");
    }
    place.assert_nothing_left();
}

#[test]
fn a_policy_that_cant_be_understood_allows_nothing() {
    let place = Workspace::new().under_policy("max_cpu = 1\n");
    place.job("stages:\n  a: { script: \"true\" }\n");
    place.dybox(&["run", "job.yaml"]).expect(3).says("/etc/dybox/policy.toml:1").says("did you mean \"max_cpus\"?");
}

#[test]
fn a_rule_that_comes_while_a_run_lives_is_kept_by_the_proxy_and_by_the_next_master() {
    let place = Workspace::new();
    let roots = format!("mount_roots = [\"{}\"]\n", place.path().display());
    let place = place.under_policy(&roots);
    let rule = place.path().join("etc/dybox/policy.toml");
    place.job(concat!(
        "stages:\n  a: { script: \". /said/fns; say start; until [ -e /said/go ]; do sleep 0.1; done\" }\n",
        "  b: { needs: [a], retry: { max: 3 }, script: \". /said/fns; say start\" }\n",
    ));
    let run = place.start(&["run", "job.yaml"]);
    place.until_said("a", "start", 1);
    fs::write(&rule, format!("{roots}max_memory = \"8MiB\"\n")).unwrap();
    place.write("said/go", "");
    let done = run.end(std::time::Duration::from_secs(120)).expect(4);
    let id = done.run_id();
    done.says("C1019").says("`max_memory` in /etc/dybox/policy.toml:2");
    let tries = place.status(&format!("{id}/b"));
    assert_eq!((place.said_by("b", "start"), place.said_by("a", "start")), (0, 1), "{tries}");
    // Whoever goes on with it asks for nothing.
    let again = place.dybox(&["resume", &id]).expect(4);
    again.says("max_memory");
    fs::write(&rule, &roots).unwrap();
    place.dybox(&["resume", &id]).expect(0);
    assert_eq!(place.said_by("b", "start"), 1);
    // A run of an old plan is asked about like any other.
    fs::write(&rule, format!("{roots}max_memory = \"8MiB\"\n")).unwrap();
    place.dybox(&["rerun", &id]).expect(4).says("max_memory");
    assert_eq!(place.said_by("a", "start"), 1);
    place.assert_nothing_left();
}
