//! Help, configuration, exit codes.

use crate::home::Home;

#[test]
fn what_is_not_built_is_not_listed_and_not_known() {
    let home = Home::empty();
    let help = home.out(0, &["--help"]);
    let built = "run shell check plan graph ps status watch top logs why exec cp stop resume rerun session gc prune nodes doctor explain import schema completions state-server node";
    for command in built.split(' ') {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{command} "))), "{command}: {help}");
    }
    for hidden in ["  master", "  proxy", "  docs"] {
        assert!(!help.contains(hidden), "{hidden}: {help}");
    }
    home.err(2, &["ps", "--nonsense"]);
    home.err(2, &[]);
}

#[test]
fn the_version_is_said_at_once() {
    let home = Home::empty();
    assert!(home.out(0, &["--version"]).starts_with("dybox "));
    let start = std::time::Instant::now();
    home.out(0, &["--version"]);
    assert!(start.elapsed().as_millis() < 1000);
}

#[test]
fn an_unknown_key_of_the_configuration_is_an_error_with_its_place() {
    let home = Home::empty();
    let path = home.dir.path().join("dybox.toml");
    std::fs::write(&path, "color = \"never\"\ncpu = 4\n").unwrap();
    let output = home.dybox(&["ps"]).env("DYBOX_CONF", &path).assert().code(3).get_output().stderr.clone();
    let said = String::from_utf8(output).unwrap();
    let place = format!("{}:2", path.display());
    assert!(said.contains("error[E2003]: unknown key \"cpu\"") && said.contains(&place), "{said}");
    assert!(said.contains("did you mean \"cpus\"?"), "{said}");
}

#[test]
fn the_output_may_be_configured_and_a_flag_wins() {
    let home = Home::with_runs();
    let out = |args: &[&str]| {
        let output = home.dybox(args).env("DYBOX_OUTPUT", "name").assert().code(0).get_output().stdout.clone();
        String::from_utf8(output).unwrap()
    };
    assert_eq!(out(&["ps"]), format!("{}\n{}\n", crate::home::LOST, crate::home::FAILED));
    assert!(out(&["ps", "-o", "json"]).starts_with('{'));
}

#[test]
fn nothing_is_coloured_but_on_a_terminal_or_on_demand() {
    let home = Home::with_runs();
    assert!(!home.out(0, &["ps"]).contains('\x1b'));
    assert!(home.out(0, &["ps", "--color", "always"]).contains("\x1b["));
}

#[test]
fn doctor_says_what_is_wrong_with_the_engine_and_returns_5() {
    let home = Home::empty();
    let answer = home.dybox(&["doctor", "-o", "json", "--docker-host", "unix:///nowhere/docker.sock"]);
    let output = { answer }.assert().code(5).get_output().stdout.clone();
    let answer: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let engine = &answer["findings"][0];
    assert_eq!((&engine["part"], &engine["level"]), (&"engine".into(), &"fail".into()));
    assert_ne!(engine["fix"], "");
    let home_row = answer["findings"].as_array().unwrap().iter().find(|row| row["name"] == "home").unwrap();
    assert!(home_row["found"].as_str().unwrap().ends_with("[$DYBOX_HOME]"));
}

#[test]
fn check_finds_missing_files_and_good_jobs() {
    let home = Home::empty();
    let path = home.dir.path().join("job.yaml");
    std::fs::write(&path, "name: a\nstages:\n  one:\n    image: busybox:1\n    command: [\"true\"]\n").unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(home.out(0, &["check", path]), format!("{path}: ok, 1 stage, 1 task\n"));
    assert_eq!(home.json(&["check", path, "-o", "json"])["ok"], true);
    let said = home.err(3, &["check", &path.replace("job", "jbo")]);
    assert!(said.contains("did you mean"), "{said}");
    std::fs::write(path, "name: a\nstages:\n  one:\n    imge: busybox:1\n").unwrap();
    assert!(home.err(3, &["check", path]).contains("did you mean"), "{said}");
}
