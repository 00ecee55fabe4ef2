//! The registry of answers: what each reading command prints with `-o`. It makes the reference page; a test holds the
//! answers equal to it.

use dybox_job::DIALECT;
use serde_json::{Map, Value, json};

use super::ANSWER_VERSION;

/// One list of one command's answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// The command, and what it is asked for where that changes the answer.
    pub command: &'static str,
    /// The key of the list in the JSON document.
    pub list: &'static str,
    /// Keys of the document beside `version` and the list.
    pub beside: &'static [&'static str],
    /// Keys of an item. Those in brackets may be missing.
    pub keys: &'static str,
    /// What `-o name` prints of an item.
    pub name: &'static str,
}

impl Shape {
    /// What `dybox schema` calls it: `ps`, `status`, `status-task`, `session-ls`.
    pub(crate) fn id(&self) -> String {
        let small = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let words: Vec<&str> = self.command.split(' ').take_while(small).collect();
        let of_task = if self.command.ends_with("/N") { "-task" } else { "" };
        format!("{}{of_task}", words.join("-"))
    }

    /// Keys of an item, each with whether it must be there.
    fn item_keys(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.keys.split(' ').map(|key| (key.trim_matches(['[', ']']), !key.starts_with('[')))
    }
}

/// The JSON Schema of an answer: of the document that `-o json` prints, and under `$defs/item` of an item.
pub(crate) fn schema(shape: &Shape) -> Value {
    let id = shape.id();
    let item_keys: Map<String, Value> = shape.item_keys().map(|(key, _)| (key.to_owned(), kind(key))).collect();
    let must: Vec<&str> = shape.item_keys().filter(|(_, must)| *must).map(|(key, _)| key).collect();
    let mut properties = Map::new();
    properties.insert("version".to_owned(), json!({ "const": ANSWER_VERSION }));
    properties.extend(shape.beside.iter().map(|&key| (key.to_owned(), json!({}))));
    properties.insert(shape.list.to_owned(), json!({ "type": "array", "items": { "$ref": "#/$defs/item" } }));
    let mut required = vec!["version"];
    required.extend(shape.beside);
    required.push(shape.list);
    json!({
        "$schema": DIALECT,
        "$id": format!("urn:dybox:answer:{id}:{ANSWER_VERSION}"),
        "title": format!("dybox {} -o json", shape.command),
        "description": "Keys may be added without a new version. -o jsonl prints one item a line, with the version in it.",
        "type": "object",
        "properties": properties,
        "required": required,
        "$defs": { "item": { "type": "object", "properties": item_keys, "required": must } },
    })
}

/// What a key holds, wherever it stands: one word means one thing.
fn kind(key: &str) -> Value {
    let types: &[&str] = match key {
        "run" | "job" | "session" | "stage" | "stream" | "kind" | "code_name" | "severity" | "message" | "level"
        | "found" | "meaning" | "alias" => &["string"],
        "submitted" | "started" | "ended" | "given" | "since" | "at" => &["string", "null"],
        "seconds" | "cpu_seconds" | "image_waited_seconds" | "silent_seconds" | "ping_ms" | "list_ms" => {
            &["number", "null"]
        }
        "attempt" | "uid" | "tries" | "failures" | "samples" => &["integer", "null"],
        "peak_memory" | "needed_memory" | "working_set" | "cache" | "limit" | "read_bytes" | "written_bytes" => {
            &["integer", "null"]
        }
        "tags" | "applications" | "image_ahead" | "ports" | "hooks" | "subdags" | "notes" => &["array"],
        "resumable" | "whole" | "again" | "fail_fast" | "removed" => &["boolean", "null"],
        _ => return json!({}),
    };
    json!({ "type": types })
}

/// Every answer.
pub(crate) const SHAPES: &[Shape] = &[
    Shape {
        command: "ps",
        list: "runs",
        beside: &[],
        keys: "run job tags state resumable why submitted ended user uid job_file applications unknown stages tasks seconds",
        name: "its id",
    },
    Shape {
        command: "session ls",
        list: "sessions",
        beside: &[],
        keys: "session application state queue submitted spec silent since grants runs asked stops",
        name: "its name",
    },
    Shape {
        command: "status RUN, RUN/STAGE",
        list: "stages",
        beside: &["run"],
        keys: "stage state why waits image subdag needs cpus memory tries failures started ended seconds cpu_seconds peak_memory needed_memory cause image_waited_seconds image_ahead tasks taken_from left_out cached not_cached added_by ports [list]",
        name: "RUN/STAGE",
    },
    Shape {
        command: "status RUN/STAGE/N",
        list: "attempts",
        beside: &["run"],
        keys: "attempt state grant host yarn_container given container ports started ended seconds code signal cause cause_name owner why text again cpu_seconds peak_memory usage moved result visits",
        name: "RUN/STAGE/N#ATTEMPT",
    },
    Shape {
        command: "top",
        list: "tasks",
        beside: &["run"],
        keys: "task attempt grant host container cpus cpu_ms memory working_set cache limit granted peak_memory working_p50 working_p95 read_bytes written_bytes throttled_ms pids samples seconds",
        name: "RUN/STAGE/N",
    },
    Shape {
        command: "logs",
        list: "lines",
        beside: &[],
        keys: "run stage task attempt stream at text whole",
        name: "RUN/STAGE/N, each once",
    },
    Shape {
        command: "why",
        list: "reasons",
        beside: &["run"],
        keys: "subject state why cause cause_name owner reaction stderr other_tries next",
        name: "its subject",
    },
    Shape {
        command: "check",
        list: "problems",
        beside: &["ok", "tasks"],
        keys: "code severity message [place] [label] [notes] [help]",
        name: "its code",
    },
    Shape {
        command: "plan",
        list: "plans",
        beside: &[],
        keys: "version name tags params fail_fast stages hooks subdags tasks learned [images] [asks] [cluster] [queue] [priority] [node_label]",
        name: "the names of its stages",
    },
    Shape {
        command: "graph",
        list: "stages",
        beside: &["run", "job"],
        keys: "stage kind tasks tasks_known state subdag needs",
        name: "the names of its stages",
    },
    Shape {
        command: "nodes",
        list: "nodes",
        beside: &["server"],
        keys: "host health why since silent_seconds clock_ahead_ms drained drained_by drained_why yarn agent engine storage cgroup kernel running ping_ms list_ms disks pressure canary sweep arrivals images [image_list] [history]",
        name: "its host",
    },
    Shape {
        command: "doctor",
        list: "findings",
        beside: &[],
        keys: "part name level found fix",
        name: "PART/NAME, of what is not ok",
    },
    Shape {
        command: "explain",
        list: "topics",
        beside: &[],
        keys: "kind name alias meaning [why] [owner] [when] [reaction] [next] [exit] [takes] [default] [note] [file] [env] [flag]",
        name: "its name",
    },
    Shape {
        command: "prune",
        list: "runs",
        beside: &[],
        keys: "run job state submitted bytes lost_with_it",
        name: "its id",
    },
    Shape {
        command: "gc",
        list: "leftovers",
        beside: &[],
        keys: "kind id name run fate removed why",
        name: "its name",
    },
];
