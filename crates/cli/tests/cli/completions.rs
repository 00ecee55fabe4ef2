//! Completions, as a real bash asks for them.

use std::process::Command;

use crate::home::{FAILED, Home, LOST};

/// What bash offers after a line, the cursor at its end.
fn offered(home: &Home, line: &str) -> Vec<String> {
    let program = assert_cmd::cargo::cargo_bin("dybox");
    let script = home.dir.path().join("completions.bash");
    std::fs::write(&script, home.out(0, &["completions", "bash"])).unwrap();
    // What bash does after TAB: it cuts the line into words and calls the function that was registered.
    let asked = format!(
        r#"source {script}
        words=({line}); [[ "{line}" == *" " ]] && words+=("")
        COMP_WORDS=("${{words[@]}}"); COMP_CWORD=$((${{#words[@]}} - 1)); COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}
        COMP_TYPE=9
        spec=$(complete -p dybox); function=$(sed 's/.*-F \([^ ]*\).*/\1/' <<< "$spec")
        $function dybox "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
        printf '%s\n' "${{COMPREPLY[@]}}""#,
        script = script.display()
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "--noprofile", "-c", &asked]).current_dir(home.dir.path());
    bash.env_clear().env("PATH", format!("{}:/usr/bin:/bin", program.parent().unwrap().display()));
    bash.env("DYBOX_HOME", home.dir.path()).env("HOME", home.dir.path());
    let output = bash.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_flags_runs_stages_and_files() {
    let home = Home::with_runs();
    std::fs::write(home.dir.path().join("job.yaml"), "").unwrap();
    std::fs::write(home.dir.path().join("notes.txt"), "").unwrap();
    let commands = offered(&home, "dybox st");
    assert!(
        ["status", "stop", "state-server"].iter().all(|name| commands.iter().any(|one| one == name)),
        "{commands:?}"
    );
    assert_eq!(offered(&home, "dybox ps --sta"), ["--state"]);
    assert_eq!(offered(&home, "dybox status 01jd"), [LOST, FAILED]);
    let all = offered(&home, "dybox logs ");
    assert!(["@latest", "nightly", LOST].iter().all(|name| all.iter().any(|one| one == name)), "{all:?}");
    assert_eq!(offered(&home, "dybox why nightly/"), ["nightly/extract", "nightly/join"]);
    assert_eq!(offered(&home, "dybox check j"), ["job.yaml"]);
    assert_eq!(offered(&home, "dybox check n"), [""; 1], "a text is no job file");
    assert_eq!(offered(&home, "dybox explain retry.ma"), ["retry.max"]);
    assert_eq!(offered(&home, "dybox schema statu"), ["status", "status-task"]);
    assert_eq!(offered(&home, "dybox graph --format s"), ["svg"]);
}

#[test]
fn every_shell_gets_a_script_of_its_own() {
    let home = Home::empty();
    assert!(home.out(0, &["completions", "bash"]).contains("complete "));
    assert!(home.out(0, &["completions", "zsh"]).contains("#compdef dybox"));
    assert!(home.out(0, &["completions", "fish"]).contains("complete --keep-order"));
    home.err(2, &["completions", "tcsh"]);
}
