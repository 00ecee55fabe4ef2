//! What a user can do wrong, and what can be wrong with a cluster before a run begins: each gets a code, a place and a
//! next step, and leaves nothing in HDFS and nothing in a queue.

#[path = "cluster_input/between.rs"]
mod between;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use between::{Between, Wrong};
use dybox_tests::cluster::{Cluster, Daemon, Options};
use dybox_tests::{Done, Follow, Workspace, eventually};

const LONG: Duration = Duration::from_secs(120);
const JOB: &str = "version: 1\nname: small\nstages:\n  a:\n    image: dybox-test/busybox:1\n    command: [\"true\"]\n    \
                   cpus: 1\n    memory: 32MiB\n";

/// One node without an engine: hardly anything ever runs there.
fn cluster() -> &'static Cluster {
    let site = vec![("yarn.scheduler.capacity.root.etl.state".to_owned(), "STOPPED".to_owned())];
    Cluster::shared_as(&Options {
        nodes: 1,
        engines: false,
        acls: true,
        expiry_ms: 120_000,
        site,
        ..Options::default()
    })
}

/// The cluster for one test alone, whole again afterwards.
struct Alone(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Alone {
    fn take() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let held = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        cluster();
        Self(held)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let away = |daemon: &Daemon| cluster().process(*daemon).is_none();
        let away: Vec<_> = cluster().daemons().into_iter().filter(away).collect();
        away.iter().for_each(|&daemon| cluster().revive(daemon));
        if !away.is_empty() && !std::thread::panicking() {
            cluster().until_ready();
            // A DataNode takes its time to find a NameNode that was away.
            let person = Person::new();
            eventually("all is well", LONG, || (person.dybox(&["doctor", "--yarn"]).code == 0).then_some(()));
        }
    }
}

/// Somebody with a copy of a configuration that they may spoil.
struct Person {
    place: Workspace,
    user: &'static str,
}

impl Person {
    /// Of the cluster.
    fn new() -> Self {
        let person = Self::without();
        for entry in std::fs::read_dir(cluster().conf_dir()).expect("it is there").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            person.place.write(&format!("conf/{}", entry.file_name().to_string_lossy()), &text);
        }
        person
    }

    /// Of nothing yet.
    fn without() -> Self {
        let place = Workspace::new();
        place.write("job.yaml", JOB);
        Self { place, user: "root" }
    }

    fn conf(&self) -> PathBuf {
        self.place.path().join("conf")
    }

    /// `127.0.0.1:port` of a service becomes `to` in all files.
    fn moved(self, service: &str, to: &str) -> Self {
        let from = format!("127.0.0.1:{}<", cluster().ports().of(service));
        for entry in std::fs::read_dir(self.conf()).expect("it is there").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("text");
            std::fs::write(entry.path(), text.replace(&from, &format!("{to}<"))).expect("written");
        }
        self
    }

    /// The job with a line changed.
    fn job(&self, from: &str, to: &str) -> &Self {
        assert!(JOB.contains(from));
        self.place.write("job.yaml", &JOB.replacen(from, to, 1));
        self
    }

    fn dybox(&self, args: &[&str]) -> Done {
        self.with(args, &[])
    }

    fn with(&self, args: &[&str], env: &[(&str, &str)]) -> Done {
        let mut command = self.place.command(args);
        command.env("HADOOP_CONF_DIR", self.conf()).env("HADOOP_USER_NAME", self.user).env("NO_COLOR", "1");
        command.envs(env.iter().copied());
        Follow::start(&mut command).end(LONG)
    }

    /// `dybox run` says no with this code, names a place, says what to do, and leaves nothing.
    #[track_caller]
    fn is_refused(&self, args: &[&str], exit: i32, code: &str) -> Done {
        let before = Left::now();
        let done = self.dybox(&[&["run", "--yarn", "job.yaml"], args].concat()).expect(exit);
        before.is_still_so();
        tells(done, code)
    }
}

/// An error has a code that can be explained, and a next step.
#[track_caller]
fn tells(done: Done, code: &str) -> Done {
    let done = done.says(&format!("error[{code}]: "));
    assert!(done.err.contains("= next: ") || done.err.contains("= help: "), "{}", done.err);
    assert!(!done.err.contains("\tat ") && !done.err.contains("panicked"), "{}", done.err);
    Workspace::new().dybox(&["explain", code]).expect(0).says(code);
    done
}

/// What is there of runs.
#[derive(Debug, PartialEq)]
struct Left {
    /// Directories of runs in HDFS, and homes; nothing while the NameNode is away.
    files: Vec<String>,
    /// Applications that live.
    live: Vec<String>,
}

impl Left {
    fn now() -> Self {
        let names = |dir: &str| {
            let path = format!("/webhdfs/v1{dir}?op=LISTSTATUS&user.name=root");
            let answer = cluster().get(Daemon::NameNode, &path).ok()?.json().ok()?;
            let files = answer["FileStatuses"]["FileStatus"].as_array()?.clone();
            Some(files.iter().map(|file| format!("{dir}/{}", file["pathSuffix"].as_str().unwrap_or("?"))).collect())
        };
        let dirs = ["/user", "/user/root/.dybox/runs"];
        let files = dirs.iter().filter_map(|dir| names(dir)).flat_map(|names: Vec<String>| names).collect();
        let live = cluster().applications("NEW,NEW_SAVING,SUBMITTED,ACCEPTED,RUNNING").unwrap_or_default();
        Self { files, live }
    }

    #[track_caller]
    fn is_still_so(&self) {
        // An application that is being killed takes a moment to be gone.
        let start = std::time::Instant::now();
        while Self::now() != *self && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(Self::now(), *self, "something was left");
    }
}

fn line_of(file: &Path, words: &str) -> String {
    let text = std::fs::read_to_string(file).expect("text");
    let line = text.lines().position(|line| line.contains(words)).expect("it is in the file") + 1;
    format!("{}:{line}", file.display())
}

// --- configuration: no cluster is needed to say these

#[test]
fn without_a_configuration_it_says_where_it_looked() {
    let person = Person::without();
    let none = [("HADOOP_CONF_DIR", ""), ("YARN_CONF_DIR", ""), ("HADOOP_YARN_HOME", ""), ("HADOOP_HOME", "")];
    for command in [["run", "--yarn", "job.yaml"].as_slice(), &["ps", "--yarn"]] {
        let done = tells(person.with(command, &none).expect(3), "E2301");
        done.says("HADOOP_CONF_DIR, YARN_CONF_DIR, HADOOP_YARN_HOME and HADOOP_HOME").says("--local");
    }
    let done = tells(person.dybox(&["run", "--yarn", "job.yaml"]).expect(3), "E2301");
    done.says(&format!("HADOOP_CONF_DIR={}", person.conf().display()));
    person.with(&["doctor", "--yarn"], &none).expect(5).says("E2301").says("fix: set HADOOP_CONF_DIR");
}

#[test]
fn a_broken_configuration_is_told_with_its_line() {
    let person = Person::without();
    let site = "<configuration>\n<property><name>a</name>\n<value>b</valu></property>\n</configuration>\n";
    person.place.write("conf/yarn-site.xml", site);
    let file = person.conf().join("yarn-site.xml");
    tells(person.dybox(&["run", "job.yaml"]).expect(3), "E2302").says(&format!("--> {}:3:", file.display()));
    person.dybox(&["doctor"]).expect(5).says(&format!("{}:3:", file.display()));
    person.place.write("conf/yarn-site.xml", &site[..site.find("</valu>").expect("it is in it")]);
    tells(person.dybox(&["run", "job.yaml"]).expect(3), "E2302").says("never closed");

    let address = |text: &str| {
        let key = "yarn.resourcemanager.address";
        let site = format!(
            "<configuration>\n<property>\n<name>{key}</name>\n<value>{text}</value>\n</property>\n</configuration>\n"
        );
        person.place.write("conf/yarn-site.xml", &site);
        let core = site.replace(key, "fs.defaultFS").replace(text, "hdfs://127.0.0.1:1");
        person.place.write("conf/core-site.xml", &core);
    };
    address("rm:http");
    tells(person.dybox(&["run", "job.yaml"]).expect(3), "E2302").says("yarn-site.xml:").says("\"rm:http\"");
    address("no-such-host.invalid:8032");
    tells(person.dybox(&["run", "job.yaml"]).expect(5), "E2304").says("--> no-such-host.invalid:8032 (yarn.resource");
}

#[test]
fn token_files_that_are_none_are_told() {
    let person = Person::without();
    person.place.write("foreign", "this is no token file, but a letter");
    person.place.write("cut", "HDTS\0");
    person.place.write("empty", "");
    person.place.write("bare", "HDTS\0\0\0");
    let site = "<configuration><property><name>yarn.resourcemanager.address</name><value>127.0.0.1:1</value></property>\
                <property><name>fs.defaultFS</name><value>hdfs://127.0.0.1:1</value></property></configuration>";
    person.place.write("conf/yarn-site.xml", site);
    person.place.write("conf/core-site.xml", site);
    for name in ["nowhere", "foreign", "cut", "empty", "bare"] {
        let path = person.place.path().join(name).to_string_lossy().into_owned();
        let env = [
            ("HADOOP_TOKEN_FILE_LOCATION", path.as_str()),
            ("CONTAINER_ID", "container_1_0001_01_000001"),
            ("NM_HOST", "127.0.0.2"),
        ];
        for part in ["master", "proxy"] {
            let done = tells(person.with(&[part, "--yarn"], &env).expect(5), "E2303");
            done.says(&format!("--> {path} ($HADOOP_TOKEN_FILE_LOCATION)")).says("leave this to DYbox");
        }
        if name != "bare" {
            tells(person.with(&["run", "job.yaml"], &env).expect(5), "E2303").says(&path);
        }
    }
    for part in ["master", "proxy"] {
        let env = [("HADOOP_TOKEN_FILE_LOCATION", "")];
        person.with(&[part, "--yarn"], &env).expect(3).says("this is no YARN container").says("= next: ");
    }
}

// --- a cluster that works, and a job that it can't run

#[test]
fn queues_that_take_nothing_are_refused_before_anything_is_submitted() {
    let _alone = Alone::take();
    let person = Person::new();
    person.is_refused(&["--queue", "defualt"], 4, "E0901").says("did you mean \"default\"?").says("(--queue");
    person.job("name: small", "name: small\nqueue: defualt");
    person
        .is_refused(&[], 4, "E0901")
        .says("job.yaml:3:8")
        .says("did you mean \"default\"?")
        .says("nothing was submitted");
    person.is_refused(&["--queue", "root"], 4, "E0902").says("holds other queues");
    person.is_refused(&["--queue", "closed"], 4, "E0804").says("may not submit").says("open to you: default");
    person.is_refused(&["--queue", "etl"], 4, "E0902").says("is stopped").says("open to you: default");
    // The file's queue does not count where another one is asked for.
    person.dybox(&["plan", "--yarn", "job.yaml", "--queue", "default"]).expect(0);
    let done = person.with(&["run", "--yarn", "--name", "x", "job.yaml"], &[("DYBOX_QUEUE", "closed")]);
    done.expect(4).says("E0901");
    person.job("cpus: 1", "cpus: 0.5");
    tells(person.with(&["run", "--yarn", "job.yaml"], &[("DYBOX_QUEUE", "closed")]).expect(4), "E0804");
    let shell = ["shell", "--yarn", "--queue", "closed", "--image", "dybox-test/busybox:1", "--", "true"];
    let done = person.dybox(&shell);
    assert_ne!(done.code, 0, "{done:?}");
    done.says("E0804");
}

#[test]
fn what_the_cluster_could_never_give_is_said_with_figures() {
    let _alone = Alone::take();
    let person = Person::new();
    person.job("32MiB", "32GiB").is_refused(&[], 3, "E0904").says("32GiB").says("8GiB").says("job.yaml:4:3");
    person.job("cpus: 1", "cpus: 99").is_refused(&[], 3, "E0904").says("99 vcores").says("16");
    person.dybox(&["plan", "--yarn", "job.yaml"]).expect(3).says("99 vcores");
    person.job("name: small", "name: small\nnode_label: gpu").is_refused(&[], 3, "E0903").says("job.yaml:3:13");
}

#[test]
fn names_and_tags_that_are_too_long_are_refused() {
    let _alone = Alone::take();
    let person = Person::new();
    let long = "x".repeat(300);
    person.is_refused(&["--name", &long], 3, "E0301").says("at most 63 characters").says("--name");
    person.job("small", &long).is_refused(&[], 3, "E0301").says("at most 63 characters").says("job.yaml:2:7");
    person.job("name: small", &format!("name: small\ntags: [{long}]")).is_refused(&[], 3, "E0207").says("job.yaml:3:");
}

#[test]
fn who_may_not_write_into_hdfs_is_told_before_anything_is_submitted() {
    let _alone = Alone::take();
    let person = Person { user: "mallory", ..Person::new() };
    let done = person.is_refused(&[], 4, "E2309");
    done.says("user=mallory").says("/user/mallory/.dybox").says("ask the administrator");
    // A directory that is there, and of somebody else.
    let before = Left::now();
    let done = person.with(&["run", "--yarn", "job.yaml"], &[("DYBOX_STORE", "/user/root/.dybox")]);
    tells(done.expect(4), "E2309").says("user=mallory");
    before.is_still_so();
    person.dybox(&["doctor", "--yarn"]).expect(5).says("E2309").says("fix: ask the administrator");
}

// --- a cluster that does not work

#[test]
fn a_wrong_port_is_told_from_a_daemon_that_is_down() {
    let _alone = Alone::take();
    let port = |service: &str| format!("127.0.0.1:{}", cluster().ports().of(service));
    for (service, words, next) in [
        ("rm.http", "answers like a web server", "take the daemon's RPC port"),
        ("nn.rpc", "Unknown protocol", "belongs to another Hadoop service"),
    ] {
        let person = Person::new().moved("rm.client", &port(service));
        let done = person.is_refused(&[], 5, "E2305").says(words).says(next);
        let site = person.conf().join("yarn-site.xml");
        done.says(&format!(
            "--> {} (yarn.resourcemanager.address, {})",
            port(service),
            line_of(&site, "manager.address<")
        ));
    }
    let person = Person::new().moved("nn.rpc", &port("nn.http"));
    let core = person.conf().join("core-site.xml");
    let done = person.is_refused(&[], 5, "E2307").says("RPC port, not its page");
    done.says(&format!("--> {} (fs.defaultFS, {})", port("nn.http"), line_of(&core, "fs.defaultFS")));
}

#[test]
fn a_resource_manager_that_is_down_is_told() {
    let _alone = Alone::take();
    let person = Person::new();
    person.dybox(&["doctor", "--yarn"]).expect(0).says("1 up, 0 lost").says("default: root may submit");
    cluster().kill(Daemon::ResourceManager);
    let at = format!("127.0.0.1:{}", cluster().ports().of("rm.client"));
    let site = line_of(&person.conf().join("yarn-site.xml"), "manager.address<");
    let done = person.is_refused(&[], 5, "E2304");
    done.says(&format!("--> {at} (yarn.resourcemanager.address, {site})"))
        .says("nobody listens")
        .says("check that the daemon");
    tells(person.dybox(&["plan", "--yarn", "job.yaml"]).expect(5), "E2304");
    // What needs no ResourceManager works.
    person.dybox(&["ps", "--yarn"]).expect(0);
    person.dybox(&["check", "job.yaml"]).expect(0).says("the cluster was not asked");
    let done = person.dybox(&["doctor", "--yarn"]).expect(5);
    done.says("fail ResourceManager").says("E2304").says("/.dybox can be written");
}

#[test]
fn a_name_node_that_is_down_or_in_safe_mode_is_told() {
    let _alone = Alone::take();
    let person = Person::new();
    let at = format!("127.0.0.1:{}", cluster().ports().of("nn.rpc"));
    let core = line_of(&person.conf().join("core-site.xml"), "fs.defaultFS");
    let place = format!("--> {at} (fs.defaultFS, {core})");

    assert!(safe_mode("enter").contains("ON"));
    person.is_refused(&[], 5, "E2308").says(&place).says("wait until");
    let done = person.dybox(&["doctor", "--yarn"]).expect(5);
    done.says("fail store").says("E2308").says("ResourceManager  ");
    person.dybox(&["ps", "--yarn"]).expect(0);
    assert!(safe_mode("leave").contains("OFF"));

    cluster().kill(Daemon::NameNode);
    person.is_refused(&[], 5, "E2307").says(&place).says("nothing listens there");
    tells(person.dybox(&["ps", "--yarn"]).expect(5), "E2307").says(&place);
    person.dybox(&["doctor", "--yarn"]).expect(5).says("fail store").says("E2307").says("1 up, 0 lost");
}

fn safe_mode(word: &str) -> String {
    let mut command = cluster().java(&["org.apache.hadoop.hdfs.tools.DFSAdmin", "-safemode", word]);
    let output = command.output().expect("java runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn answers_that_are_none_are_told() {
    let _alone = Alone::take();
    let real = format!("127.0.0.1:{}", cluster().ports().of("rm.client"));
    // From the first answer on; then the answers to the questions of a plan, to a submission, and to how it went.
    for wrong in [Wrong::Cut, Wrong::Garbage, Wrong::Huge] {
        let between = Between::start(&real, wrong, 0, true);
        let person = Person::new().moved("rm.client", &between.address());
        let done = person.dybox(&["run", "--yarn", "job.yaml"]).expect(5);
        let code = if wrong == Wrong::Cut { "E2304" } else { "E2305" };
        tells(done, code).says(&format!("--> {} (yarn.resourcemanager.address", between.address()));
        assert!(person.place.runs().is_empty());
    }
    let mut refused = 0;
    for (wrong, frame) in [(Wrong::Garbage, 3), (Wrong::Huge, 5), (Wrong::Garbage, 6), (Wrong::Huge, 7)] {
        let between = Between::start(&real, wrong, frame, false);
        let person = Person::new().moved("rm.client", &between.address());
        let before = Left::now();
        let done = person.dybox(&["run", "--yarn", "job.yaml"]);
        assert!(between.has_spoilt(), "{done:?}");
        if done.code == 0 {
            // The answer was of a kind that a run can do without (who may submit where), or was asked for again.
            done.says("succeeded");
            eventually("its application is over", LONG, || (Left::now().live == before.live).then_some(()));
            continue;
        }
        tells(done.expect(5), "E2305");
        before.is_still_so();
        refused += 1;
    }
    assert!(refused > 0, "no answer that matters was spoilt");
}
