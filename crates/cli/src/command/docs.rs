//! The reference pages, made from the code. A test holds the checked-in ones equal to them.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::CommandFactory;
use dybox_job::{CODES, FIELDS, Field, Scope};
use dybox_model::{CAUSES, EXITS, ExitCode, Owner};
use dybox_store::policy::{POLICY, POLICY_FILE, POLICY_KEYS};

use super::explain::{path, phase, reaction};
use super::{Context, Outcome};
use crate::conf::{KEYS, OTHER_ENV};
use crate::report::Failure;
use crate::report::codes::ERRORS;
use crate::report::shapes::SHAPES;
use crate::report::state::owner;

/// Writes the reference pages into a directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to.
    pub dir: PathBuf,
}

/// Writes all pages.
pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    for (name, text) in pages() {
        let path = args.dir.join(name);
        std::fs::write(&path, text).map_err(failed)?;
        context.screen.hint(&format!("wrote {}", path.display()));
    }
    Ok(ExitCode::Ok as u8)
}

fn failed(error: std::io::Error) -> Failure {
    Failure::new(ExitCode::Unreachable, "the pages can't be written").source(error)
}

/// Every page: name of the file and text.
pub(crate) fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("cli.md", commands()),
        ("output.md", answers()),
        ("causes.md", causes()),
        ("exit-codes.md", exits()),
        ("job-file.md", fields()),
        ("errors.md", errors()),
        ("configuration.md", settings()),
    ]
}

fn page(title: &str, lead: &str) -> String {
    format!("# {title}\n\n<!-- Made from the code by `dybox docs`; a test holds it equal. -->\n\n{lead}\n\n")
}

/// A table's row, with nothing in it that ends a cell.
fn row(text: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn head(text: &mut String, cells: &[&str]) {
    row(text, cells);
    row(text, &vec!["---"; cells.len()]);
}

fn commands() -> String {
    let mut text = page("The command line", "What `--help` says, command by command.");
    let mut root = crate::args::Args::command().term_width(100);
    root.build();
    let _ = writeln!(text, "## dybox\n\n```text\n{}\n```\n", root.render_long_help().to_string().trim_end());
    for command in root.get_subcommands_mut().filter(|command| !command.is_hide_set()) {
        let help = command.render_long_help().to_string();
        let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
        let _ = writeln!(text, "## dybox {}\n\n```text\n{}\n```\n", command.get_name(), lines.join("\n"));
        let name = command.get_name().to_owned();
        for below in command.get_subcommands_mut().filter(|below| !below.is_hide_set()) {
            let help = below.render_long_help().to_string();
            let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
            let lines = lines.join("\n");
            let _ = writeln!(text, "## dybox {name} {}\n\n```text\n{lines}\n```\n", below.get_name());
        }
    }
    ended(text)
}

fn answers() -> String {
    let lead = "What the reading commands print with `-o`. `table` is for people and may change. `json` is one document: \
        `version` (1; keys are added without a new version, never renamed or removed), the keys beside the list, and the \
        list. `yaml` is the same document as YAML. `jsonl` is one item a line, each with `version`. `name` is one name a line. Keys in brackets may be missing. \
        Times are RFC 3339 in UTC, bytes and seconds are numbers, `owner` is `user`, `cluster` or `dybox`, and every \
        `cause` is a code of [causes.md](causes.md).\n\n`dybox run -o json` (or `yaml`) prints one document at the end: `version`, \
        `run`, `job`, `state`, `why`, `seconds`, `granted`, `used`, `stages`, `failures`. `dybox run -o jsonl` prints one document an event, \
        its kind under `event`, and that document as its last line.";
    let mut text = page("Answers for programs", lead);
    head(&mut text, &["command", "list", "beside it", "keys of an item", "`name` prints"]);
    for shape in SHAPES {
        let code = |word: &str| format!("`{word}`");
        let keys: Vec<String> = shape.keys.split(' ').map(code).collect();
        let beside: Vec<String> = shape.beside.iter().map(|word| code(word)).collect();
        row(&mut text, &[&code(shape.command), &code(shape.list), &beside.join(", "), &keys.join(", "), shape.name]);
    }
    ended(text)
}

fn causes() -> String {
    let lead = "Why an attempt failed, whose problem it is, and what DYbox does. `dybox explain CODE` says the same.";
    let mut text = page("Causes", lead);
    for who in [Owner::User, Owner::Cluster, Owner::Dybox] {
        let _ = writeln!(text, "## {}\n", capital(owner(who)));
        head(&mut text, &["code", "name", "what", "why", "when", "reaction", "next step"]);
        for info in CAUSES.iter().filter(|info| info.owner == who) {
            let cells =
                [info.code, info.name, info.phrase, info.reason, phase(info.phase), reaction(info.reaction), info.next];
            row(&mut text, &cells);
        }
        text.push('\n');
    }
    ended(text)
}

fn exits() -> String {
    let mut text = page("Exit codes", "What `dybox` returns to the shell.");
    head(&mut text, &["code", "meaning"]);
    for (exit, meaning) in EXITS {
        row(&mut text, &[&(exit as u8).to_string(), meaning]);
    }
    text.push_str("\n`dybox shell` returns the container's own code; 125, 126, 127 and 128+n as `docker run` does.\n");
    ended(text)
}

fn fields() -> String {
    let mut text = page("The job file", "Every key. What is not built yet is refused by name, never ignored.");
    let scopes = [
        (Scope::Top, "The file"),
        (Scope::Stage, "A stage, and `defaults`"),
        (Scope::Param, "A parameter"),
        (Scope::Retry, "`retry`"),
        (Scope::Timeout, "`timeout`"),
        (Scope::Placement, "`placement`"),
        (Scope::Memory, "`memory`"),
        (Scope::Idle, "`idle`"),
        (Scope::Hook, "A hook"),
        (Scope::Volume, "A named volume"),
        (Scope::Secret, "A secret"),
        (Scope::File, "A secret of a stage"),
        (Scope::Login, "`registry_auth`"),
    ];
    for (scope, title) in scopes {
        let _ = writeln!(text, "## {title}\n");
        head(&mut text, &["key", "takes", "default", "meaning"]);
        let built = |field: &&Field| field.scope == scope && field.built;
        for field in FIELDS.iter().filter(built) {
            row(&mut text, &[&format!("`{}`", field.name), field.takes, field.default, field.meaning]);
        }
        text.push('\n');
    }
    let later: Vec<String> =
        FIELDS.iter().filter(|field| !field.built).map(|field| format!("`{}`", path(field))).collect();
    let _ = writeln!(text, "## Not supported yet\n\n{}", later.join(", "));
    ended(text)
}

fn errors() -> String {
    let mut text = page("Errors", "Codes of errors and warnings. `dybox explain CODE` says the same.");
    text.push_str("## Problems of a job file\n\n");
    head(&mut text, &["code", "what", "next step"]);
    for code in CODES {
        row(&mut text, &[code.code, code.meaning, code.next]);
    }
    text.push_str("\n## Errors of the command line\n\n");
    head(&mut text, &["code", "exit", "what", "why", "next step"]);
    for info in ERRORS {
        row(&mut text, &[info.code, &(info.exit as u8).to_string(), info.phrase, info.reason, info.next]);
    }
    ended(text)
}

fn settings() -> String {
    let lead = "Defaults <- `/etc/dybox/dybox.toml` <- `$XDG_CONFIG_HOME/dybox/dybox.toml` (or the file that `$DYBOX_CONF` \
                names) <- environment <- flags. Unknown keys are errors. `dybox doctor` prints each value and where it \
                came from.";
    let mut text = page("Configuration", lead);
    head(&mut text, &["key", "environment", "flag", "default", "what for"]);
    for key in KEYS {
        let env = key.env.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        row(&mut text, &[&format!("`{}`", key.name), &env, &format!("`{}`", key.flag), key.default, key.about]);
    }
    text.push_str("\nOther variables:\n\n");
    head(&mut text, &["variable", "what for"]);
    for (name, about) in OTHER_ENV {
        row(&mut text, &[&format!("`{name}`"), about]);
    }
    let _ = writeln!(
        text,
        "\n## The policy\n\nWhat a user must not loosen: `{POLICY_FILE}`, the administrator's, on every machine; on a cluster `{POLICY}` in the store counts too. What any of them refuses is refused.\n"
    );
    head(&mut text, &["key", "what for"]);
    for (name, about) in POLICY_KEYS {
        row(&mut text, &[&format!("`{name}`"), about]);
    }
    ended(text)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// One line end at the end.
fn ended(text: String) -> String {
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `UPDATE_DOCS=1 cargo test -p dybox-cli` writes them anew.
    #[test]
    fn the_checked_in_pages_are_what_the_code_says() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
        for (name, text) in pages() {
            let path = dir.join(name);
            if std::env::var_os("UPDATE_DOCS").is_some() {
                std::fs::create_dir_all(&dir).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(there == text, "{name} is stale: UPDATE_DOCS=1 cargo test -p dybox-cli");
        }
    }

    #[test]
    fn no_cell_of_a_table_breaks_it() {
        let mut text = String::new();
        row(&mut text, &["a|b", "c\nd"]);
        assert_eq!(text, "| a\\|b | c d |\n");
    }
}
