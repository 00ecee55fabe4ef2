//! The laws of the house that a machine can hold: who may import whom, how large a file may be, what each dependency
//! is for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which crates of ours each crate may import (docs/architecture.md draws it).
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("job", &["model"]),
    ("journal", &["model"]),
    ("logic", &["model", "job"]),
    ("wire", &["model"]),
    ("engine", &["model"]),
    ("store", &["model", "hrpc"]),
    ("state", &["model", "logic", "wire"]),
    ("node", &["model", "wire", "engine"]),
    ("local", &["model"]),
    ("redact", &[]),
    ("init", &["redact"]),
    ("hrpc", &[]),
    ("yarn", &["model", "hrpc"]),
    ("web", &["model", "journal"]),
    ("driver", &["model", "logic"]),
    ("client", &["model", "job", "journal", "wire", "yarn", "store"]),
    ("proxy", &["model", "logic", "wire", "engine", "store", "redact"]),
    ("master", &["model", "job", "logic", "journal", "wire", "yarn", "store", "web", "driver", "local"]),
    (
        "cli",
        &[
            "model", "job", "logic", "journal", "wire", "hrpc", "yarn", "engine", "store", "web", "driver", "client",
            "master", "proxy", "local", "state", "node",
        ],
    ),
    ("tests", &["model", "job", "logic", "journal", "wire", "hrpc", "yarn", "engine", "store", "client"]),
];

/// The one place of each foreign library whose types must stop at the door.
const DOORS: &[(&str, &[&str])] = &[
    ("bollard", &["engine", "tests"]),
    ("tonic", &["wire"]),
    ("prost", &["wire", "hrpc", "yarn", "store"]),
    ("hdfs-native", &["store"]),
    ("roxmltree", &["hrpc"]),
    ("rustls", &["wire"]),
    ("ring", &["wire"]),
    ("rcgen", &["wire"]),
    ("askama", &["web"]),
    ("axum", &["master", "state"]),
    ("redb", &["state"]),
    ("clap", &["cli"]),
    ("petgraph", &["job"]),
    ("rust-sugiyama", &["job"]),
    ("clap_complete", &["cli"]),
    ("serde-saphyr", &["job"]),
    ("cel", &["job"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the workspace").to_owned()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// Crate (without `dybox-`) -> its dependencies: (name, kind).
fn imports() -> BTreeMap<String, Vec<(String, String)>> {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("normal").to_owned();
    packages
        .iter()
        .map(|package| {
            let name = text(&package["name"]).trim_start_matches("dybox-").to_owned();
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            (name, dependencies.iter().map(|d| (text(&d["name"]), text(&d["kind"]))).collect())
        })
        .collect()
}

#[test]
fn arrows_point_inwards_only() {
    let allowed: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    for (name, dependencies) in imports() {
        let allowed = allowed.get(name.as_str()).unwrap_or_else(|| panic!("crate {name} is not in the table"));
        for (dependency, kind) in dependencies {
            let Some(ours) = dependency.strip_prefix("dybox-") else { continue };
            assert!(kind == "dev" || allowed.contains(&ours), "{name} may not import {ours}");
        }
    }
}

#[test]
fn foreign_types_stop_at_their_door() {
    for (name, dependencies) in imports() {
        for (dependency, kind) in dependencies.iter().filter(|(_, kind)| kind == "normal") {
            if let Some((_, doors)) = DOORS.iter().find(|(foreign, _)| foreign == dependency) {
                assert!(doors.contains(&name.as_str()), "{name} imports {dependency} ({kind})");
            }
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let text = std::fs::read_to_string(root().join("docs/decisions/dependencies.md")).expect("dependencies.md");
    let reasons: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned)).collect();
    let used: BTreeSet<_> =
        imports().into_values().flatten().map(|(name, _)| name).filter(|name| !name.starts_with("dybox-")).collect();
    assert_eq!(used.difference(&reasons).collect::<Vec<_>>(), Vec::<&String>::new(), "used without a reason");
    assert_eq!(reasons.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new(), "a reason for what is not used");
    assert!(used.len() <= 60, "{} direct dependencies", used.len());
}

fn sources(below: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(below).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Lines before the first `#[cfg(test)]`.
fn lines_without_tests(text: &str) -> usize {
    text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
}

#[test]
fn files_stay_small() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    let long: Vec<_> = files
        .iter()
        .filter(|path| {
            !path
                .components()
                .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs" | "benches" | "examples")))
        })
        .map(|path| (lines_without_tests(&std::fs::read_to_string(path).expect("source")), path))
        .filter(|(lines, _)| *lines > 400)
        .collect();
    assert!(long.is_empty(), "over 400 lines: {long:?}");
}

#[test]
fn every_library_says_what_enters_leaves_and_never_happens() {
    for (name, _) in ARROWS.iter().filter(|(name, _)| !matches!(*name, "tests" | "init" | "cli")) {
        let text = std::fs::read_to_string(root().join("crates").join(name).join("src/lib.rs")).expect("lib.rs");
        let docs: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        for word in ["Enters", "Leaves", "Never"] {
            assert!(
                docs.to_lowercase().contains(&word.to_lowercase()),
                "crates/{name}/src/lib.rs does not say: {word}"
            );
        }
    }
}

#[test]
fn unsafe_stays_in_init() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    for path in files.iter().filter(|path| !path.starts_with(root().join("crates/init"))) {
        let text = std::fs::read_to_string(path).expect("source");
        assert!(
            !text.lines().any(|line| line.trim_start().starts_with("unsafe ") || line.contains(" unsafe {")),
            "{}",
            path.display()
        );
    }
}
