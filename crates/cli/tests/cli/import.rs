//! Job files made from files of other tools.

use crate::home::Home;

const COMPOSE: &str = "services:\n  one:\n    image: busybox:1\n    command: echo hi\n    healthcheck: { test: x }\n  two:\n    image: busybox:1\n    depends_on: { one: { condition: service_completed_successfully } }\n";

#[test]
fn what_is_made_passes_check_and_draws() {
    let home = Home::empty();
    let path = |name: &str| home.dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("compose.yaml"), COMPOSE).unwrap();
    let (given, out) = (path("compose.yaml"), path("job.yaml"));
    let said = home.err(0, &["import", "compose", &given, "--out", &out]);
    assert!(said.contains("wrote") && said.contains("1 comment in it says"), "{said}");
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.contains("# healthcheck (line 5): has no counterpart"), "{text}");
    assert!(home.out(0, &["check", &out]).contains("ok, 2 stages"));
    assert!(home.out(0, &["graph", &out]).contains("two  \u{2190} one"));
    assert_eq!(home.out(0, &["import", "compose", &given]), text);
    // It may have been changed by hand.
    assert!(home.err(8, &["import", "compose", &given, "--out", &out]).contains("E2150"));
    home.err(0, &["import", "compose", &given, "--out", &out, "--force"]);
}

#[test]
fn wrong_files_are_refused_with_their_place_and_nothing_is_written() {
    let home = Home::empty();
    let path = home.dir.path().join("Makefile");
    std::fs::write(&path, "all:\n\techo\nnonsense\n").unwrap();
    let (given, out) = (path.to_str().unwrap(), home.dir.path().join("job.yaml"));
    let said = home.err(3, &["import", "make", given, "--out", out.to_str().unwrap()]);
    assert!(said.contains("error[E0120]") && said.contains("Makefile:3:1"), "{said}");
    assert!(!out.exists());
    assert!(home.err(3, &["import", "make", "nowhere"]).contains("can't be read"));
    home.err(2, &["import", "cmake", given]);
    let output = home.dybox(&["import", "skein", "-"]).write_stdin("master: { script: echo }\n").assert().code(0);
    assert!(String::from_utf8(output.get_output().stdout.clone()).unwrap().contains("  master:"));
}
