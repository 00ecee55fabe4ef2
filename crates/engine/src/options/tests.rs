use std::collections::BTreeMap;

use dybox_model::{Attach, Mount, Port, PortRange, Protocol, SecretRef, SecretSource, SecretUse, Tmpfs};

use super::*;
use crate::testing::{image, task};

fn placed(network: Joined) -> Placed {
    Placed {
        name: "dybox-00000abc-extract-3-1".to_owned(),
        labels: BTreeMap::from([("dybox.kind".to_owned(), "task".to_owned())]),
        init: "/home/u/machine/init/0123".into(),
        input: "/home/u/run/s0-3-1/in".into(),
        output: "/home/u/run/s0-3-1/out".into(),
        stdout: "/home/u/run/s0-3-1.stdout".into(),
        stderr: "/home/u/run/s0-3-1.stderr".into(),
        uid: 1000,
        gid: 100,
        network,
        machine_cpus: 2,
        cgroup_parent: None,
    }
}

fn golden(options: &Options) -> String {
    serde_json::to_string_pretty(&options.json()).unwrap()
}

#[test]
fn a_plain_task() {
    insta::assert_snapshot!(golden(&options(&task(), &image(), &placed(Joined::Disabled))));
}

#[test]
fn a_task_with_everything_on_a_named_network() {
    let mut spec = task();
    spec.workdir = Some("/work".to_owned());
    spec.user = Some("0:7".to_owned());
    spec.shm = Some(128 << 20);
    spec.volumes = vec![Mount { source: "/data/a:b".into(), target: "/data".to_owned(), read_only: true, named: None }];
    spec.tmpfs = vec![
        Tmpfs { target: "/tmp".to_owned(), size: None },
        Tmpfs { target: "/scratch".to_owned(), size: Some(1 << 20) },
    ];
    spec.attach = Some(Attach { stdin: true, tty: true });
    let placed =
        Placed { cgroup_parent: Some("/yarn/c1".to_owned()), ..placed(Joined::Network("dybox-x-net".to_owned())) };
    insta::assert_snapshot!(golden(&options(&spec, &image(), &placed)));
}

#[test]
fn a_task_with_ports_has_a_network_of_its_own() {
    let port = |container, host: Option<&str>| Port {
        container,
        protocol: if container == 53 { Protocol::Udp } else { Protocol::Tcp },
        address: Some("127.0.0.1".parse().unwrap()),
        host: host.map(|host| PortRange::parse(host).unwrap()),
    };
    let ports = vec![port(80, None), port(53, Some("53")), port(80, Some("8000-8010"))];
    let spec = TaskSpec { ports, ..task() };
    let json = options(&spec, &image(), &placed(Joined::Bridge)).json();
    let at = |port: &str| serde_json::json!({ "HostIp": "127.0.0.1", "HostPort": port });
    assert_eq!(json["ExposedPorts"], serde_json::json!({ "53/udp": {}, "80/tcp": {} }));
    let any = serde_json::json!({ "HostIp": "127.0.0.1" });
    assert_eq!(json["HostConfig"]["PortBindings"]["80/tcp"], serde_json::json!([any, at("8000-8010")]));
    assert_eq!(json["HostConfig"]["PortBindings"]["53/udp"], serde_json::json!([at("53")]));
    assert_eq!((&json["HostConfig"]["NetworkMode"], &json["Hostname"]), (&"bridge".into(), &"extract-3".into()));
    let none = options(&task(), &image(), &placed(Joined::Bridge)).json();
    assert!(none.get("ExposedPorts").is_none() && none["HostConfig"].get("PortBindings").is_none());
}

#[test]
fn a_sandbox() {
    insta::assert_snapshot!(golden(&sandbox_options(&image(), &placed(Joined::Bridge))));
}

#[test]
fn a_task_in_a_sandbox_has_neither_network_nor_host_name_of_its_own() {
    let json = options(&task(), &image(), &placed(Joined::Sandbox("abc".to_owned()))).json();
    assert_eq!(json["HostConfig"]["NetworkMode"], "container:abc");
    assert!(json.get("Hostname").is_none() && json.get("NetworkDisabled").is_none());
}

#[test]
fn cpus_stay_within_what_the_engine_takes() {
    assert_eq!(nano_cpus(1500, 2), 1_500_000_000);
    assert_eq!(nano_cpus(64_000, 2), 2_000_000_000);
    assert_eq!(nano_cpus(64_000, 0), 64_000_000_000);
    assert_eq!(nano_cpus(1, 2), 10_000_000);
}

#[test]
fn a_tmpfs_belongs_to_the_user_where_the_user_is_a_number() {
    let fs = [Tmpfs { target: "/t".to_owned(), size: Some(10) }];
    let of = |user: &str| tmpfs(&fs, user, 100).unwrap()["/t"].clone();
    assert_eq!(of("5:6"), "size=10,mode=1777,uid=5,gid=6");
    assert_eq!(of("5"), "size=10,mode=1777,uid=5");
    assert_eq!(of("nobody"), "size=10,mode=1777");
    assert_eq!(tmpfs(&[], "5", 100), None);
}

#[test]
fn secrets_lie_in_a_directory_of_memory_and_no_value_is_asked_for() {
    let from = SecretSource::Env("PASSWORD".to_owned());
    let secret = SecretRef { name: "pw".to_owned(), from };
    let one = SecretUse { secret, target: "/run/secrets/pw".to_owned(), mode: 0o400 };
    let spec = TaskSpec { secrets: vec![one], user: None, ..task() };
    let json = options(&spec, &image(), &placed(Joined::Disabled)).json();
    let dir = json["HostConfig"]["Tmpfs"]["/run/secrets"].as_str().unwrap();
    assert!(dir.contains("mode=0755,uid=") && dir.contains(",gid="), "{dir}");
    assert!(!json.to_string().contains("PASSWORD"));
    let named = TaskSpec { user: Some("app".to_owned()), ..spec.clone() };
    let json = options(&named, &image(), &placed(Joined::Disabled)).json();
    assert!(json["HostConfig"]["Tmpfs"]["/run/secrets"].as_str().unwrap().ends_with("mode=1777"));
    assert!(cleared(&spec).contains(&"/run/secrets".to_owned()), "init writes them anew for each task");
    assert!(!cleared(&task()).contains(&"/run/secrets".to_owned()));
}

#[test]
fn a_long_stage_name_still_makes_a_host_name() {
    let mut spec = task();
    spec.stage = "a".repeat(63);
    let json = options(&spec, &image(), &placed(Joined::Disabled)).json();
    let name = json["Hostname"].as_str().unwrap();
    assert_eq!((name.len(), name.ends_with("-3")), (63, true));
}
