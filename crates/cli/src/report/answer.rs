//! What a reading command found, in each of the forms that `-o` offers.

use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde_json::{Map, Value, json};

use super::{Failure, Paint, Screen, yaml};
use crate::conf::{Conf, Format};

/// Version of the shape of every JSON answer. Fields are added without a new one; renamed or removed never.
pub(crate) const ANSWER_VERSION: u32 = 1;

/// How to print an answer.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Output {
    /// How to print, for people or for programs [default: table]
    #[arg(short, long, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Format>,
    /// Print ids only
    #[arg(short, long, conflicts_with = "output", help_heading = "Output")]
    pub quiet: bool,
}

impl Output {
    /// The form that flags and configuration ask for.
    pub(crate) fn format(&self, conf: &Conf) -> Format {
        if self.quiet { Format::Name } else { self.output.unwrap_or(conf.output.value) }
    }
}

/// An answer of a reading command.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// What the items are, in the plural: the key of the list in the JSON.
    pub kind: &'static str,
    /// The items as JSON objects.
    pub items: Vec<Value>,
    /// Fields of the JSON beside the list.
    pub extra: Map<String, Value>,
    /// The id of each item.
    pub names: Vec<String>,
    /// The same for people, with a line end after the last line.
    pub text: String,
}

impl Answer {
    /// All of it as one document.
    fn whole(&self) -> Value {
        let mut whole = json!({ "version": ANSWER_VERSION });
        if let Some(fields) = whole.as_object_mut() {
            fields.extend(self.extra.clone());
            fields.insert(self.kind.to_owned(), Value::Array(self.items.clone()));
        }
        whole
    }
}

impl Screen {
    /// Prints an answer.
    pub(crate) fn answer(&self, format: Format, answer: &Answer) -> Result<(), Failure> {
        match format {
            Format::Table => self.out(&answer.text),
            Format::Name => self.out(&answer.names.iter().map(|name| format!("{name}\n")).collect::<String>()),
            Format::Json => self.line(&format!("{:#}", answer.whole())),
            Format::Yaml => self.out(&yaml(&answer.whole())),
            Format::Jsonl => {
                let line = |item: &Value| {
                    let mut whole = json!({ "version": ANSWER_VERSION });
                    if let (Some(fields), Some(item)) = (whole.as_object_mut(), item.as_object()) {
                        fields.extend(item.clone());
                    }
                    format!("{whole}\n")
                };
                self.out(&answer.items.iter().map(line).collect::<String>())
            }
        }
    }

    /// An empty table without borders. On a terminal it wraps to its width; elsewhere a row is a line.
    pub(crate) fn table(&self, head: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(head.iter().map(|name| self.paint(Paint::Bold, name)));
        if self.out_is_terminal {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width);
        }
        table
    }
}

/// A finished table as text: columns two spaces apart, no trailing spaces.
pub(crate) fn table_text(mut table: Table, right: &[usize]) -> String {
    let last = table.column_count().saturating_sub(1);
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at == last { 0 } else { 2 }));
        if right.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}
