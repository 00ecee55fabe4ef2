//! `dybox explain`: codes, causes, exit codes, keys of the job file, settings.

use dybox_job::{CODES, Code, FIELDS, Field, Scope, fields_named};
use dybox_model::{CAUSES, Cause, CauseInfo, EXITS, ExitCode, Phase, Reaction};
use serde_json::{Value, json};

use super::{Context, Outcome};
use crate::conf::{Format, KEYS, Key};
use crate::report::codes::{self, ERRORS, ErrorInfo};
use crate::report::state::owner;
use crate::report::{Answer, Failure, Output, Paint, Screen, nearest, table_text};

/// Explains an error code, a cause, an exit code, a key of the job file or a setting
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  dybox explain C1003          a cause, by code\n  dybox explain oom            the same, by name\n  dybox explain 9              an exit code of dybox\n  dybox explain retry.on       a key of the job file\n  dybox explain                everything there is"
)]
pub(crate) struct Args {
    /// A code (C1003, E0312, 9), a cause (oom) or a key (memory, retry.max); nothing lists all
    #[arg(value_name = "CODE|FIELD")]
    pub topic: Option<String>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Exit codes that tasks have and dybox has not: what each means, and what to do.
const OF_TASKS: [(u8, &str, &str); 9] = [
    (125, "the container never ran", "`dybox why RUN` says what was in the way."),
    (126, "the command is there and can't be executed", "Check its rights and its first line (#!)."),
    (127, "the command is not there", "Check its spelling; `dybox shell --image IMAGE -- ls` looks into the image."),
    (
        134,
        "128 + 6: the program ended itself with SIGABRT",
        "Its last lines say why: `dybox logs RUN/STAGE/N --stderr`.",
    ),
    (137, "128 + 9: it was killed (SIGKILL)", "`dybox why RUN` says by whom: for want of memory it is C1003."),
    (
        139,
        "128 + 11: it touched memory that is not its own (SIGSEGV)",
        "A fault of the program, or of an image for another processor.",
    ),
    (141, "128 + 13: it wrote to a pipe that nobody reads (SIGPIPE)", "Look at the end of the pipe in the command."),
    (143, "128 + 15: it was asked to end (SIGTERM)", "`dybox why RUN` says by whom: a stop, or a timeout."),
    (
        255,
        "the program says so itself, or it is out of range",
        "Its last lines say why: `dybox logs RUN/STAGE/N --stderr`.",
    ),
];

/// Something that can be explained.
#[derive(Debug, Clone, Copy)]
enum Topic {
    Cause(&'static CauseInfo),
    Problem(&'static Code),
    Error(&'static ErrorInfo),
    Exit(ExitCode, &'static str),
    Field(&'static Field),
    Setting(&'static Key),
    /// An exit code of a task.
    Task(&'static (u8, &'static str, &'static str)),
}

/// Finds and prints.
pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    let topics = match &args.topic {
        None => all(),
        Some(text) => find(text)?,
    };
    let screen = &context.screen;
    let text = match args.topic {
        None => list(screen, &topics),
        Some(_) => topics.iter().map(|topic| topic.text(screen)).collect::<Vec<_>>().join("\n"),
    };
    let answer = Answer {
        kind: "topics",
        items: topics.iter().map(Topic::json).collect(),
        names: topics.iter().map(Topic::name).collect(),
        text,
        ..Answer::default()
    };
    let format: Format = args.output.format(&context.conf);
    screen.answer(format, &answer)?;
    Ok(ExitCode::Ok as u8)
}

/// The name of everything that can be explained, and its other name.
pub(crate) fn names() -> Vec<String> {
    let mut names: Vec<String> = all().iter().flat_map(|topic| [topic.name(), topic.alias()]).collect();
    names.dedup();
    names
}

fn all() -> Vec<Topic> {
    let mut all: Vec<Topic> = CAUSES.iter().map(Topic::Cause).collect();
    all.extend(CODES.iter().map(Topic::Problem));
    all.extend(ERRORS.iter().map(|info| Topic::Error(info)));
    all.extend(EXITS.iter().map(|&(exit, meaning)| Topic::Exit(exit, meaning)));
    all.extend(FIELDS.iter().map(Topic::Field));
    all.extend(KEYS.iter().map(Topic::Setting));
    all.extend(OF_TASKS.iter().map(Topic::Task));
    all
}

fn find(text: &str) -> Result<Vec<Topic>, Failure> {
    let wanted = text.trim().to_lowercase();
    let all = all();
    let found: Vec<Topic> = all.iter().filter(|topic| topic.answers(&wanted)).copied().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    // A place in a job file of one's own: stages.join.retry.max
    let fields = fields_named(&wanted);
    if !fields.is_empty() {
        return Ok(fields.into_iter().map(Topic::Field).collect());
    }
    let failure = Failure::coded(codes::NO_TOPIC, format!("nothing is known by the name {text:?}"));
    let mut names: Vec<String> = all.iter().flat_map(|topic| [topic.name(), topic.alias()]).collect();
    names.extend(FIELDS.iter().map(|field| field.name.to_owned()));
    Err(match nearest(&wanted, names.iter().map(String::as_str)) {
        Some(near) => failure.next(format!("did you mean {near:?}?")),
        None => failure,
    })
}

impl Topic {
    fn answers(&self, wanted: &str) -> bool {
        let last = match self {
            Self::Field(field) => field.name == wanted,
            Self::Cause(info) => Cause::find(wanted) == Some(info.cause),
            _ => false,
        };
        last || self.name().to_lowercase() == wanted || self.alias().to_lowercase() == wanted
    }

    fn name(&self) -> String {
        match self {
            Self::Cause(info) => info.code.to_owned(),
            Self::Problem(code) => code.code.to_owned(),
            Self::Error(info) => info.code.to_owned(),
            Self::Exit(exit, _) => (*exit as u8).to_string(),
            Self::Field(field) => path(field),
            Self::Setting(key) => key.env[0].to_owned(),
            Self::Task((code, ..)) => code.to_string(),
        }
    }

    fn alias(&self) -> String {
        match self {
            Self::Cause(info) => info.name.to_owned(),
            Self::Exit(exit, _) => format!("exit {}", *exit as u8),
            Self::Setting(key) => key.name.to_owned(),
            _ => self.name(),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Cause(_) => "cause",
            Self::Problem(_) => "problem of a job file",
            Self::Error(_) => "error",
            Self::Exit(..) => "exit code",
            Self::Field(_) => "key of the job file",
            Self::Setting(_) => "setting",
            Self::Task(_) => "exit code of a task",
        }
    }

    fn phrase(&self) -> &'static str {
        match self {
            Self::Cause(info) => info.phrase,
            Self::Problem(code) => code.meaning,
            Self::Error(info) => info.phrase,
            Self::Exit(_, meaning) => meaning,
            Self::Field(field) => field.meaning,
            Self::Setting(key) => key.about,
            Self::Task((_, meaning, _)) => meaning,
        }
    }

    /// Further rows: name and text.
    fn rows(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Cause(info) => vec![
                ("why", info.reason.to_owned()),
                ("owner", owner(info.owner).to_owned()),
                ("when", phase(info.phase).to_owned()),
                ("reaction", reaction(info.reaction).to_owned()),
                ("next", info.next.to_owned()),
            ],
            Self::Problem(code) => vec![("next", code.next.to_owned())],
            Self::Error(info) => vec![
                ("why", info.reason.to_owned()),
                ("exit", format!("{}", info.exit as u8)),
                ("next", info.next.to_owned()),
            ],
            Self::Exit(..) => Vec::new(),
            Self::Task((.., next)) => vec![("next", (*next).to_owned())],
            Self::Field(field) => {
                let mut rows = Vec::new();
                if !field.takes.is_empty() {
                    rows.push(("takes", field.takes.to_owned()));
                }
                if !field.default.is_empty() {
                    rows.push(("default", field.default.to_owned()));
                }
                if !field.built {
                    rows.push(("note", "not supported yet".to_owned()));
                }
                rows
            }
            Self::Setting(key) => vec![
                ("file", format!("`{} = ...` in dybox.toml", key.name)),
                ("env", key.env.join(", ")),
                ("flag", key.flag.to_owned()),
                ("default", key.default.to_owned()),
            ],
        }
    }

    fn text(&self, screen: &Screen) -> String {
        let alias = self.alias();
        let name = if alias.ends_with(&self.name()) { alias } else { format!("{} {alias}", self.name()) };
        let mut text = format!("{} ({}): {}\n", screen.paint(Paint::Bold, &name), self.kind(), self.phrase());
        for (name, row) in self.rows() {
            text.push_str(&format!("  {}{row}\n", screen.paint(Paint::Dim, &format!("{name:<10}"))));
        }
        text
    }

    fn json(&self) -> Value {
        let mut item =
            json!({ "kind": self.kind(), "name": self.name(), "alias": self.alias(), "meaning": self.phrase() });
        if let Some(fields) = item.as_object_mut() {
            fields.extend(self.rows().into_iter().map(|(name, row)| (name.to_owned(), Value::String(row))));
        }
        item
    }
}

fn list(screen: &Screen, topics: &[Topic]) -> String {
    let mut table = screen.table(&["NAME", "KIND", "MEANING"]);
    for topic in topics {
        let alias = topic.alias();
        let name = match topic {
            Topic::Cause(_) => format!("{} {alias}", topic.name()),
            _ => topic.name(),
        };
        table.add_row([name, topic.kind().to_owned(), topic.phrase().to_owned()]);
    }
    table_text(table, &[])
}

/// A key with the mapping that it stands in: `retry.max`.
pub(crate) fn path(field: &Field) -> String {
    let lead = match field.scope {
        Scope::Top => "",
        Scope::Stage => "stages.*.",
        Scope::Param => "params.*.",
        Scope::Retry => "retry.",
        Scope::Timeout => "timeout.",
        Scope::Placement => "placement.",
        Scope::Memory => "memory.",
        Scope::Idle => "idle.",
        Scope::Hook => "hooks[].",
        Scope::Volume => "volumes.*.",
        Scope::Secret => "secrets.*.",
        Scope::File => "stages.*.secrets.*.",
        Scope::Login => "registry_auth.",
    };
    format!("{lead}{}", field.name)
}

/// When it happens, in words.
pub(crate) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Submit => "before anything is asked for",
        Phase::Allocate => "while it waits for room",
        Phase::Pull => "while the image is brought",
        Phase::Create => "while the container is made",
        Phase::Run => "while it runs",
        Phase::Ship => "while its output is stored",
    }
}

/// What DYbox does about it, in words.
pub(crate) const fn reaction(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Never => "not tried again: another try would fail the same way",
        Reaction::UpToMax => "tried again up to `retry.max`, where `retry.on` names it",
        Reaction::Always => "tried again without using the user's retries",
        Reaction::BackOff => "tried again after a growing pause, without using the user's retries",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn names_of(text: &str) -> Vec<String> {
        find(text).unwrap_or_default().iter().map(Topic::name).collect()
    }

    #[test]
    fn a_slip_leads_to_the_key_that_is_meant() {
        let next = |text: &str| find(text).err().and_then(|failure| failure.next.clone()).unwrap_or_default();
        assert_eq!(next("imgae"), "did you mean \"image\"?");
        assert_eq!(next("paralelism"), "did you mean \"parallelism\"?");
    }

    #[test]
    fn everything_there_is_can_be_asked_for_by_each_of_its_names() {
        for topic in all() {
            for name in [topic.name(), topic.alias(), topic.name().to_lowercase()] {
                assert!(names_of(&name).contains(&topic.name()), "{name} does not lead to {}", topic.name());
            }
            assert!(!topic.phrase().is_empty(), "{}", topic.name());
            let empty = topic.rows().into_iter().find(|(_, row)| row.trim().is_empty()).map(|(row, _)| row);
            assert!(matches!(empty, None | Some("default" | "flag")), "{} says nothing of {empty:?}", topic.name());
        }
        // A key as it stands in a file.
        for field in FIELDS {
            assert!(names_of(&field.path()).contains(&path(field)), "{}", field.path());
        }
    }

    /// Every code that any crate can print.
    #[test]
    fn no_code_is_printed_that_can_not_be_explained() {
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut files);
        let known: BTreeSet<String> = all().iter().map(Topic::name).collect();
        let mut seen = 0;
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices('"') {
                let word: String = text[at + 1..].chars().take(6).collect();
                let Some(code) = word.strip_suffix('"') else { continue };
                let digits = code.get(1..).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
                if digits && code.starts_with(['E', 'W', 'C']) {
                    seen += 1;
                    assert!(known.contains(code), "{}: {code} is in no registry", path.display());
                }
            }
        }
        assert!(seen > 200, "{seen} codes");
    }

    fn sources(below: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(below).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => sources(&path, found),
                false if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
                false => {}
            }
        }
    }
}
