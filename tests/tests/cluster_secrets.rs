//! Secrets and private registries on real YARN: what a node gets comes in credentials, and stays in memory.

use std::time::Duration;

use dybox_tests::cluster::{Cluster, Options};
use dybox_tests::{Done, Follow, PASSWORD, Registry, USER, Workspace};

const LONG: Duration = Duration::from_secs(180);
const VALUE: &str = "correct-horse battery";
/// `user:password` for `config.json`.
const RIGHT: &str = "YW5uOm9wZW4gc2VzYW1l";

struct Scene {
    cluster: Cluster,
    place: Workspace,
}

impl Scene {
    fn run(&self, args: &[&str], stages: &str) -> Done {
        let secrets = "secrets:\n  password: { env: DYTEST_PASSWORD }\n  there: { hdfs: /private/key }\n";
        self.place.job(&format!("{stages}{secrets}"));
        let mut command = self.place.command(&[&["run"], args, &["job.yaml"]].concat());
        command.env("DYTEST_PASSWORD", VALUE).env("DOCKER_CONFIG", self.place.path().join("docker"));
        Follow::start(&mut command).end(LONG)
    }

    /// No file of the nodes, of YARN or of HDFS's disks holds the value.
    fn assert_on_no_disk(&self, values: &[&str]) {
        let mut grep = std::process::Command::new("grep");
        values.iter().for_each(|value| {
            grep.args(["-e", value]);
        });
        let found =
            grep.args(["-rlaF", "--exclude-dir=docker"]).arg(self.cluster.layout().root()).output().expect("grep runs");
        let found = String::from_utf8_lossy(&found.stdout).into_owned();
        assert_eq!(found, "", "on a disk");
    }
}

#[test]
fn secrets_and_logins_reach_the_nodes_in_credentials_alone() {
    let cluster = Cluster::start(&Options { nodes: 2, ..Options::default() });
    let place = Workspace::of_cluster(&cluster);
    let scene = Scene { cluster, place };
    secrets_reach_tasks(&scene);
    logins_open_a_private_registry(&scene);
    in_a_session(&scene);
    scene.cluster.down().expect("it goes down");
}

fn secrets_reach_tasks(scene: &Scene) {
    let place = &scene.place;
    // A file in HDFS, put there by a task.
    let put = "stages:\n  put: { outputs: { /out/key: \"hdfs:///private/key\" }, script: \"printf 'hdfs-%s' secret-value > /out/key\" }\n";
    scene.run(&[], put).expect(0);
    let stages = concat!(
        "stages:\n",
        "  one: { secrets: [password, there], script: \"cat /run/secrets/password; ls -l /run/secrets; wc -c < /run/secrets/there; cat /run/secrets/there; cat /run/secrets/password > $DYBOX_RESULT\" }\n",
        "  two: { needs: [one], subdag: other, parallelism: 2, secrets: [password], script: \"wc -c < /run/secrets/password; cat /run/secrets/password >&2\" }\n",
    );
    let run = scene.run(&[], stages).expect(0).run_id();
    let one = place.dybox(&["logs", "--no-prefix", &run, "one"]).expect(0).says("***").says("-r--------").says("17");
    assert!(!one.out.contains("horse") && !one.out.contains("secret-value"), "{}", one.out);
    let two = place.dybox(&["logs", "--no-prefix", &run, "two"]).expect(0).out;
    assert_eq!(two.lines().filter(|line| *line == "21").count(), 2, "{two}");
    let status = place.status(&format!("{run}/one/0")).to_string();
    assert!(status.contains("***") && !status.contains("horse"), "{status}");
    scene.cluster.assert_over(&run);
    // YARN's own state of the ResourceManager and the credentials that a node keeps for as long as a container lives are
    // gone with the run; nothing else ever held it.
    scene.assert_on_no_disk(&[VALUE]);
    let missing = "stages:\n  a: { secrets: [there], script: \"true\" }\nx: 1\n".replace("x: 1\n", "");
    place.job(&format!("{missing}secrets: {{ there: {{ hdfs: /private/nowhere }} }}\n"));
    place.start(&["run", "job.yaml"]).end(LONG).expect(1).says("C1020").says("/private/nowhere");
}

fn logins_open_a_private_registry(scene: &Scene) {
    let Scene { cluster, place } = scene;
    let registry = Registry::private_of_cluster(cluster);
    let image = registry.reference("team/tool:1");
    let server = registry.server();
    let config = place.write("docker/config.json", &format!(r#"{{"auths":{{"{server}":{{"auth":"{RIGHT}"}}}}}}"#));
    let (engine, dir) = (cluster.engine(1), config.parent().expect("a directory").display().to_string());
    engine.docker(&["tag", "dybox-test/busybox:1", &image]);
    let pushed = engine.docker(&["--config", &dir, "push", &image]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let forget = || (1..=cluster.nodes()).for_each(|node| drop(cluster.engine(node).docker(&["rmi", &image])));
    forget();
    // The submitter's own login goes along.
    let stages = format!("stages:\n  a: {{ image: \"{image}\", script: \"echo came in\" }}\n");
    let run = scene.run(&[], &stages).expect(0).run_id();
    place.dybox(&["logs", "--no-prefix", &run]).expect(0).says("came in");
    forget();
    // Without it nobody comes in, and a key of the stage opens it again.
    place.write("docker/config.json", "{}");
    scene.run(&[], &stages).expect(1).says("C1011");
    place.write("login", &format!("{USER}:{PASSWORD}\n"));
    place.write("word", &format!("{PASSWORD}\n"));
    for auth in ["login", "{ username: ann, password_secret: word }"] {
        let text = format!(
            "stages:\n  a: {{ image: \"{image}\", registry_auth: {auth}, script: \"echo came in; ! ls /run/secrets\" }}\nsecrets: {{ {0}: {{ file: ./{0} }} }}\n",
            if auth == "login" { "login" } else { "word" }
        );
        place.job(&text);
        let run = place.start(&["run", "job.yaml"]).end(LONG).expect(0).run_id();
        place.dybox(&["logs", "--no-prefix", &run]).expect(0).says("came in");
        forget();
    }
    scene.assert_on_no_disk(&[PASSWORD]);
}

fn in_a_session(scene: &Scene) {
    let place = &scene.place;
    place.dybox(&["session", "start", "etl", "--grants", "1", "--memory", "512MiB"]).expect(0);
    let stages =
        "stages:\n  a: { reuse: true, parallelism: 2, secrets: [password, there], script: \"cat /run/secrets/*\" }\n";
    for _ in 0..2 {
        let run = scene.run(&["--session", "etl"], stages).expect(0).run_id();
        let said = place.dybox(&["logs", "--no-prefix", &run]).expect(0).says("***").out;
        assert!(!said.contains("horse") && !said.contains("secret-value"), "{said}");
    }
    // Its journal in HDFS has what it took, sealed.
    scene.assert_on_no_disk(&[VALUE]);
    place.dybox(&["session", "stop", "etl"]).expect(0);
}
