//! Whole configurations in directories of their own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{ConfError, Settings, Source};

fn site(properties: &[(&str, &str)]) -> String {
    let lines =
        properties.iter().map(|(key, text)| format!("<property><name>{key}</name><value>{text}</value></property>\n"));
    format!("<configuration>\n{}</configuration>", lines.collect::<String>())
}

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(&path, text).expect("a file");
    path
}

fn load(dir: &TempDir) -> Result<Settings, ConfError> {
    let env = |name: &str| match name {
        "HADOOP_CONF_DIR" => Some(dir.path().to_string_lossy().into_owned()),
        "RM" => Some("rm7".to_owned()),
        "USER" => Some("ada".to_owned()),
        _ => None,
    };
    Settings::from_env_in(&env)
}

#[test]
fn later_files_win_and_every_value_knows_its_file() {
    let dir = TempDir::new().expect("a directory");
    write(dir.path(), "core-site.xml", &site(&[("fs.default.name", " hdfs://nn:8020 "), ("a", "1")]));
    let yarn = [("a", "2"), ("yarn.resourcemanager.hostname", "${env.RM}"), ("x", "${hadoop.tmp.dir}/x")];
    let path = write(dir.path(), "yarn-site.xml", &site(&yarn));
    let settings = load(&dir).expect("settings");
    assert_eq!(settings.get("fs.defaultFS"), Some("hdfs://nn:8020"));
    assert_eq!(settings.value("a").map(|value| value.source.clone()), Some(Source::File { path, line: 2 }));
    assert_eq!(settings.get("yarn.resourcemanager.scheduler.address"), Some("rm7:8030"));
    assert_eq!(settings.get("x"), Some("/tmp/hadoop-ada/x"));
    assert_eq!(settings.site().keys().collect::<Vec<_>>(), ["a", "fs.defaultFS", "x", "yarn.resourcemanager.hostname"]);
    assert_eq!(settings.files().count(), 2);
}

#[test]
fn what_is_final_stays() {
    let dir = TempDir::new().expect("a directory");
    let text = "<configuration><property name='a' value='1' final='true'/></configuration>";
    write(dir.path(), "core-site.xml", text);
    write(dir.path(), "hdfs-site.xml", &site(&[("a", "2")]));
    let settings = load(&dir).expect("settings");
    assert_eq!(settings.get("a"), Some("1"));
    assert!(settings.notes()[0].contains("hdfs-site.xml:2 has no effect"), "{:?}", settings.notes());
}

#[test]
fn includes_are_followed() {
    let dir = TempDir::new().expect("a directory");
    let include = |href: &str, inside: &str| {
        format!(
            "<configuration xmlns:xi=\"http://www.w3.org/2001/XInclude\">\n<xi:include href=\"{href}\">{inside}\
             </xi:include></configuration>"
        )
    };
    write(dir.path(), "core-site.xml", &include("more/one.xml", ""));
    write(dir.path(), "more/one.xml", &include("two.xml", ""));
    let two = write(dir.path(), "more/two.xml", &site(&[("a", "1")]));
    let fallback = "<xi:fallback><property name='b' value='2'/></xi:fallback>";
    write(dir.path(), "hdfs-site.xml", &include("none.xml", fallback));
    let settings = load(&dir).expect("settings");
    assert_eq!((settings.get("a"), settings.get("b")), (Some("1"), Some("2")));
    assert_eq!(settings.value("a").map(|value| value.source.to_string()), Some(format!("{}:2", two.display())));

    for (href, what) in [("none.xml", "is not there"), ("hdfs-site.xml", "each other"), ("http://a/b", "only files")] {
        write(dir.path(), "hdfs-site.xml", &include(href, ""));
        let said = load(&dir).expect_err("broken").to_string();
        assert!(said.contains("hdfs-site.xml:2:1: ") && said.contains(what), "{said}");
    }
}

#[test]
fn a_missing_configuration_says_where_was_looked() {
    let dir = TempDir::new().expect("a directory");
    let said = load(&dir).expect_err("nothing there").to_string();
    assert!(said.contains(&format!("{} holds none of core-site.xml", dir.path().display())), "{said}");
    let said = Settings::from_env_in(&|_| None).expect_err("nothing set").to_string();
    assert!(said.contains("HADOOP_CONF_DIR"), "{said}");
    let said = Settings::load(&["/none/of/these".into()]).expect_err("nothing there").to_string();
    assert!(said.contains("/none/of/these is no directory"), "{said}");
}

#[test]
fn broken_and_unreadable_files_are_named() {
    let dir = TempDir::new().expect("a directory");
    let path = write(dir.path(), "yarn-site.xml", "<configuration>\n<property>");
    let said = load(&dir).expect_err("broken").to_string();
    assert!(said.starts_with(&format!("{}:2:", path.display())), "{said}");
    fs::write(&path, b"<configuration>\xff</configuration>").expect("a file");
    assert!(matches!(load(&dir), Err(ConfError::Unreadable { .. })));
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a directory");
    assert!(matches!(load(&dir), Err(ConfError::Unreadable { .. })));
}

#[test]
fn typed_values_name_who_set_them() {
    let dir = TempDir::new().expect("a directory");
    let values =
        [("n", "12"), ("h", "0x10"), ("t", "3s"), ("b", "True"), ("l", "nn1, nn2 ,"), ("w", "a dozen"), ("e", "")];
    write(dir.path(), "core-site.xml", &site(&values));
    let settings = load(&dir).expect("settings");
    assert_eq!(settings.int("n").expect("a number"), Some(12));
    assert_eq!(settings.int("h").expect("a number"), Some(16));
    assert_eq!(settings.int("e").expect("nothing"), None);
    assert_eq!(settings.millis("t").expect("a time"), Some(3000));
    assert_eq!(settings.millis("n").expect("a time"), Some(12));
    assert_eq!(settings.bool("b").expect("a word"), Some(true));
    assert_eq!(settings.list("l"), ["nn1", "nn2"]);
    for said in [settings.int("w").expect_err("bad").to_string(), settings.millis("w").expect_err("bad").to_string()] {
        assert!(said.contains("w is \"a dozen\"") && said.contains("core-site.xml:7"), "{said}");
    }
}

#[test]
fn another_process_sees_the_same() {
    let dir = TempDir::new().expect("a directory");
    let values = [("yarn.resourcemanager.hostname", "${env.RM}"), ("dfs.ha.namenodes.ns", "nn1, nn2")];
    write(dir.path(), "yarn-site.xml", &site(&values));
    let there = Settings::from_map(load(&dir).expect("settings").site());
    assert_eq!(there.get("yarn.resourcemanager.address"), Some("rm7:8032"));
    assert_eq!(there.get("dfs.ha.namenodes.ns"), Some("nn1,nn2"));
    let over = there.with([("yarn.resourcemanager.hostname".to_owned(), "rm8".to_owned())].into());
    assert_eq!(over.get("yarn.resourcemanager.address"), Some("rm8:8032"));
}
