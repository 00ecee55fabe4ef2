//! Completions, as real shells ask for them.

use std::path::Path;
use std::process::Command;

use crate::home::{FAILED, Home, LOST};

/// What bash offers after a line, the cursor at its end.
fn offered(home: &Home, line: &str) -> Vec<String> {
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
    run(home, Command::new("bash").args(["--norc", "--noprofile", "-c", &asked]))
}

/// The lines that a shell prints, in the home's directory.
fn run(home: &Home, shell: &mut Command) -> Vec<String> {
    let program = assert_cmd::cargo::cargo_bin("dybox");
    shell.current_dir(home.dir.path());
    shell.env_clear().env("PATH", format!("{}:/usr/bin:/bin", program.parent().unwrap().display()));
    shell.env("DYBOX_HOME", home.dir.path()).env("HOME", home.dir.path()).env("TERM", "xterm");
    let output = shell.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Whether a shell is here; `scripts/prepare --tests` installs it.
fn is_here(shell: &str) -> bool {
    Path::new("/usr/bin").join(shell).exists()
}

/// What fish offers after a line, without the descriptions.
fn by_fish(home: &Home, line: &str) -> Vec<String> {
    let asked = format!("source (dybox completions fish | psub); complete -C '{line}'");
    let lines = run(home, Command::new("fish").args(["--no-config", "-c", &asked]));
    lines.iter().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

/// What zsh offers after a line. It completes on a terminal only: one that it makes itself, where a second zsh writes
/// down what it was given to offer.
fn by_zsh(home: &Home, line: &str) -> Vec<String> {
    let setup = home.dir.path().join("setup.zsh");
    let found = home.dir.path().join("found");
    let _ = std::fs::remove_file(&found);
    let lines = format!(
        r#"PS1=; autoload -U compinit; compinit -u -D; source <(dybox completions zsh)
        compadd() {{
            if [[ ${{@[1,(i)(-|--)]}} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
            local -a offered; builtin compadd -A offered "$@"; print -rl -- $offered >> {found}
            builtin compadd "$@"
        }}
        told() {{ print IT-IS-TOLD }}; comppostfuncs=(told); bindkey '^I' complete-word"#,
        found = found.display()
    );
    std::fs::write(&setup, lines).unwrap();
    let asked = format!(
        r#"zmodload zsh/zpty; zpty inner zsh -f -i; zpty -w inner 'source {setup}; print READ''Y'
        zpty -r -m inner seen '*READY*'; zpty -w -n inner '{line}'$'\t'; zpty -r -m inner seen '*IT-IS-TOLD*'; zpty -d inner"#,
        setup = setup.display()
    );
    run(home, Command::new("timeout").args(["60", "zsh", "-f", "-c", &asked]));
    std::fs::read_to_string(found).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn fish_completes_commands_flags_runs_and_stages() {
    if !is_here("fish") {
        return;
    }
    let home = Home::with_runs();
    let commands = by_fish(&home, "dybox st");
    assert!(["status", "stop"].iter().all(|name| commands.iter().any(|one| one == name)), "{commands:?}");
    assert_eq!(by_fish(&home, "dybox ps --sta"), ["--state"]);
    assert_eq!(by_fish(&home, "dybox status 01jd"), [LOST, FAILED]);
    assert_eq!(by_fish(&home, "dybox why nightly/"), ["nightly/extract", "nightly/join"]);
}

#[test]
fn zsh_completes_commands_flags_runs_and_stages() {
    if !is_here("zsh") {
        return;
    }
    let home = Home::with_runs();
    let commands = by_zsh(&home, "dybox st");
    assert!(["status", "stop"].iter().all(|name| commands.iter().any(|one| one == name)), "{commands:?}");
    assert_eq!(by_zsh(&home, "dybox ps --sta"), ["--state"]);
    assert_eq!(by_zsh(&home, "dybox status 01jd"), [LOST, FAILED]);
    assert_eq!(by_zsh(&home, "dybox why nightly/"), ["nightly/extract", "nightly/join"]);
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
