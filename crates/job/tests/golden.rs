//! Every example job and every diagnostic, word for word. `DYBOX_BLESS=1 cargo test -p dybox-job` writes the texts anew.
#![expect(clippy::disallowed_methods, reason = "tests read their own files")]
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dybox_job::{
    CODES, Cluster, Outcome, Policy, Profiles, QueueFacts, Source, Submit, World, check, print, print_on, render,
};
use dybox_model::policy::{ANYBODY, PublishedPorts, Rules, RunAs};
use dybox_model::{Found, Node, PortRange, Resources, SecretSource};

/// A machine with 8 cpus, 16 GiB and a few files below `/work/job`.
#[derive(Default)]
struct TestWorld {
    registries: Option<Vec<String>>,
    policy: bool,
    rules: Vec<Rules>,
    cluster: bool,
    profiles: Profiles,
}

/// Three machines in two racks, containers up to 8 GiB and 4 vcores, a few queues.
fn cluster() -> Cluster {
    let node = |host: &str, rack: &str, memory: u64, label: Option<&str>| Node {
        host: host.to_owned(),
        rack: rack.to_owned(),
        labels: label.into_iter().map(str::to_owned).collect(),
        capacity: Resources { cpu_milli: 4_000, memory },
        used: Resources::default(),
        usable: true,
    };
    let queue = |path: &str, state: &str, capacity: f32| QueueFacts {
        name: path.rsplit('.').next().unwrap().to_owned(),
        path: path.to_owned(),
        state: state.to_owned(),
        may_submit: Some(path != "root.board"),
        parent: path == "root",
        capacity,
        max_capacity: 1.0,
        used: 0.25,
    };
    Cluster {
        max: Resources { cpu_milli: 4_000, memory: 8 << 30 },
        minimum: Some(Resources { cpu_milli: 1_000, memory: 512 << 20 }),
        increment: None,
        nodes: vec![
            node("n1.example", "/left", 8 << 30, None),
            node("n2.example", "/left", 4 << 30, None),
            node("n3.example", "/right", 2 << 30, Some("big")),
        ],
        queues: vec![
            queue("root", "RUNNING", 1.0),
            queue("root.default", "RUNNING", 0.5),
            queue("root.etl", "RUNNING", 0.3),
            queue("root.old", "STOPPED", 0.1),
            queue("root.board", "RUNNING", 0.1),
        ],
        default_queue: Some("default".to_owned()),
        labels: vec!["big".to_owned()],
    }
}

impl World for TestWorld {
    fn largest(&self) -> Option<Resources> {
        Some(Resources { cpu_milli: 8_000, memory: 16 << 30 })
    }

    fn look(&self, path: &Path) -> Found {
        match path.to_str().unwrap() {
            "/work/job/data" | "/work/job" | "/srv/corpus" | "/etc/ssl" => Found::Directory(path.to_owned()),
            "/work/job/decide.py" => Found::File(path.to_owned()),
            "/work/job/escape" => Found::Directory(PathBuf::from("/srv/secret")),
            "/work/job/root" => Found::Directory(PathBuf::from("/")),
            "/work/job/engine" => Found::Socket(PathBuf::from("/var/run/docker.sock")),
            "/work/job/locked" => Found::Unreadable("permission denied".to_owned()),
            _ => Found::Missing,
        }
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        match path.to_str().unwrap() {
            "/work/job/good.env" => Ok(b"# a comment\nMODE=fast\nexport NAME=\"two words\"\n\n".to_vec()),
            "/work/job/bad.env" => Ok(b"MODE=fast\nJUST_A_NAME\nDYBOX_RUN=1\nLD_PRELOAD=x\n=y\n".to_vec()),
            "/work/job/secrets.env" => Ok(b"DB_PASSWORD='hunter2'\nMODE=fast\n".to_vec()),
            "/work/job/notes.env" => Ok("a note\n".repeat(40).into_bytes()),
            "/work/job/long.env" => Ok(format!("A={}\n", "x".repeat(131_071)).into_bytes()),
            "/work/job/parts.yaml" => {
                Ok(b"stages:\n  shared: { image: \"busybox:1\", command: [x] }\n  mine: { imag: x }\n".to_vec())
            }
            "/work/job/wrong.yaml" => Ok(b"name: x\nstages: [\n".to_vec()),
            "/work/job/good-parts.yaml" => {
                Ok(b"params: { from: here }\ntemplates:\n  from-parts: { image: \"busybox:1.36\", \
                command: [\"${params.from}\"] }\nstages:\n  loaded: { extends: base }\n"
                    .to_vec())
            }
            "/work/job/latin1.env" => Ok(b"A=1\nNAME=J\xf6rg\n".to_vec()),
            _ => Err("no such file".to_owned()),
        }
    }

    fn secret(&self, from: &SecretSource) -> Option<Result<u64, String>> {
        Some(match from {
            SecretSource::Env(name) if name == "GONE" => Err("it is not set".to_owned()),
            SecretSource::Env(name) if name == "SHORT" => Ok(3),
            SecretSource::File(path) if path.ends_with("lost.txt") => Err("no such file".to_owned()),
            SecretSource::Hdfs(_) => return None,
            _ => Ok(8),
        })
    }

    fn policy(&self) -> Policy {
        let roots = if self.policy { vec!["/srv/corpus".into()] } else { vec!["/work/job".into()] };
        Policy {
            exists: self.policy,
            mount_roots: roots,
            registries: self.registries.clone(),
            rules: self.rules.clone(),
            submitter: ("ann".to_owned(), 1000, 1000),
            ..Policy::none("/etc/dybox/policy.toml")
        }
    }

    fn cluster(&self) -> Option<Cluster> {
        self.cluster.then(cluster)
    }

    fn profiles(&self) -> Profiles {
        self.profiles.clone()
    }
}

/// A policy that is strict in all that it has a word in; the second one comes from a store.
fn rules(file: &str, max_cpus: u32) -> Rules {
    let far = file.starts_with("hdfs");
    Rules {
        file: file.to_owned(),
        lines: [("max_cpus", 4), ("max_memory", 5), ("may_run_as", 6)].map(|(key, at)| (key.to_owned(), at)).into(),
        mount_roots: far.then(|| vec!["/srv".into()]),
        trusted_registries: far.then(|| vec!["docker.io".to_owned()]),
        may_run_as: Some(RunAs { of: BTreeMap::from([(ANYBODY.to_owned(), vec!["33".to_owned()])]) }),
        max_cpus: Some(max_cpus),
        max_memory: Some(1 << 30),
        require_digest: !far,
        published_ports: Some(PublishedPorts::Within(PortRange { first: 8000, last: 8099 })),
    }
}

/// Checks a file as its first line asks: `#! --param day=1 --name x policy cluster registries a,b`.
fn check_file(path: &Path) -> Outcome {
    let (submit, world, bytes) = asked_of(path);
    let name = path.file_name().unwrap().to_str().unwrap();
    check(&Source { name, bytes: &bytes, dir: Path::new("/work/job") }, &submit, &world)
}

fn asked_of(path: &Path) -> (Submit, TestWorld, Vec<u8>) {
    let bytes = fs::read(path).unwrap();
    let first = String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned();
    let mut submit = Submit::default();
    let mut world = TestWorld::default();
    let mut words = first.strip_prefix("#! ").unwrap_or_default().split(' ');
    while let Some(word) = words.next() {
        match word {
            "--param" => {
                let (name, value) = words.next().unwrap().split_once('=').unwrap();
                submit.params.insert(name.to_owned(), value.replace("\\e", "\u{1b}"));
            }
            "--name" => submit.name = words.next().map(str::to_owned),
            "policy" => world.policy = true,
            "rules" => {
                world.rules = vec![rules("/etc/dybox/policy.toml", 4_000), rules("hdfs://nn/policy.toml", 2_000)]
            }
            "cluster" => world.cluster = true,
            "profiles" => world.profiles = registry(words.next().unwrap()),
            "registries" => world.registries = words.next().map(|list| list.split(',').map(str::to_owned).collect()),
            _ => {}
        }
    }
    (submit, world, bytes)
}

/// A registry of `tests/profiles`.
fn registry(name: &str) -> Profiles {
    let place = format!("/store/{name}");
    match name {
        "missing" => Profiles::Missing { place: "/store/profiles.yaml".to_owned() },
        "unread" => Profiles::Unread { place, why: "permission denied".to_owned() },
        _ => {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profiles").join(name);
            Profiles::File { name: place, bytes: fs::read(file).unwrap() }
        }
    }
}

#[test]
fn a_plan_for_a_cluster_is_shown_with_what_yarn_gives() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster");
    let mut wrong = Vec::new();
    for path in files(&dir, is_yaml) {
        let outcome = check_file(&path);
        let plan = outcome.plan.as_ref().unwrap_or_else(|| panic!("{}", told(&outcome)));
        let said: String = outcome.diagnostics.iter().map(render).collect::<Vec<_>>().join("\n");
        wrong.extend(golden(&path.with_extension("txt"), &format!("{said}{}", print_on(plan, &cluster()))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn told(outcome: &Outcome) -> String {
    let mut text: String = outcome.diagnostics.iter().map(render).collect::<Vec<_>>().join("\n");
    if let Some(plan) = &outcome.plan {
        text.push_str(&print(plan));
    }
    text
}

/// Compares, or writes when asked to; gives what differs.
fn golden(expected: &Path, seen: &str) -> Option<String> {
    if std::env::var_os("DYBOX_BLESS").is_some() {
        fs::write(expected, seen).unwrap();
        return None;
    }
    let known = fs::read_to_string(expected).unwrap_or_default();
    (known != seen).then(|| format!("--- {} says\n{known}\n--- but it is\n{seen}\n", expected.display()))
}

fn files(dir: &Path, fits: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| fits(path));
    files.sort();
    files
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml")
}

#[test]
fn every_bad_file_gets_exactly_its_text() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut wrong = Vec::new();
    for path in files(&dir, is_yaml) {
        let outcome = check_file(&path);
        assert!(!outcome.diagnostics.is_empty(), "{} is said to be fine", path.display());
        assert_eq!(outcome.plan.is_some(), outcome.diagnostics.iter().all(|d| d.is_warning()), "{}", path.display());
        wrong.extend(golden(&path.with_extension("txt"), &told(&outcome)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_code_has_a_golden_text_and_a_next_step() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut seen = BTreeSet::new();
    for path in files(&dir, is_yaml) {
        for problem in check_file(&path).diagnostics {
            assert!(!problem.help.is_empty(), "{}: no next step", problem.message);
            seen.insert(problem.code);
        }
    }
    // The client and `import` find these out; too many sub-DAGs, too large and what only a plan shows have tests of their own,
    // and so have stages that hooks add.
    let elsewhere = [
        "E0101", "E0102", "E0103", "E0105", "E0119", "E0120", "E0322", "E0325", "E0326", "W0901", "W0902", "W0908",
        "W0909",
    ];
    let known: BTreeSet<&str> = CODES.iter().map(|code| code.code).collect();
    let missing: Vec<_> = known.iter().filter(|code| !seen.contains(*code) && !elsewhere.contains(code)).collect();
    assert!(missing.is_empty(), "no file in tests/bad shows {missing:?}");
    assert!(seen.is_subset(&known), "not in the registry: {:?}", seen.difference(&known));
    assert!(CODES.windows(2).all(|pair| pair[0].code < pair[1].code), "the registry is sorted");
}

#[test]
fn every_example_plans_as_shown() {
    let jobs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../jobs");
    let inner = files(&jobs, |path| path.join("job.yaml").exists()).into_iter().map(|dir| dir.join("job.yaml"));
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good");
    let all = files(&jobs, is_yaml).into_iter().chain(inner).chain(files(&own, is_yaml));
    let mut wrong = Vec::new();
    for path in all {
        let stem = match path.file_stem().unwrap().to_str().unwrap() {
            "job" => path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned(),
            stem => stem.to_owned(),
        };
        let outcome = check_example(&path);
        let text = told(&outcome).replace(jobs.to_str().unwrap(), "JOBS");
        assert!(outcome.plan.is_some(), "{} has no plan:\n{text}", path.display());
        wrong.extend(golden(&own.join(stem).with_extension("txt"), &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Examples of `jobs/` mount real files beside them.
fn check_example(path: &Path) -> Outcome {
    struct Real(PathBuf);
    impl World for Real {
        fn largest(&self) -> Option<Resources> {
            None
        }
        fn look(&self, path: &Path) -> Found {
            if path.starts_with(&self.0) { Found::Directory(path.to_owned()) } else { TestWorld::default().look(path) }
        }
        fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
            fs::read(path).or_else(|_| TestWorld::default().read(path))
        }
        fn policy(&self) -> Policy {
            Policy { mount_roots: vec![self.0.clone(), "/work/job".into()], ..TestWorld::default().policy() }
        }
    }
    let bytes = fs::read(path).unwrap();
    let own = path.parent().unwrap().ends_with("tests/good");
    let dir = if own { Path::new("/work/job") } else { path.parent().unwrap() };
    let submit = Submit { params: BTreeMap::new(), ..Submit::default() };
    let name = path.file_name().unwrap().to_str().unwrap();
    check(&Source { name, bytes: &bytes, dir }, &submit, &Real(dir.to_owned()))
}
