//! Numbers, times, retries, the working directory and the user of a stage.

use dybox_model::{HIGHEST_PRIORITY, format_bytes, format_cpus};

use crate::RetryOn;
use crate::draft::{RetryDraft, TimeoutDraft, Words};
use crate::fields::Scope;
use crate::node::{Kind, Node, Scalar, Value};
use crate::reader::{Reader, Spot};
use crate::sizes::{LEAST_MEMORY, milli_of};
use crate::text::Span;

/// `cpus` in thousandths, as many as the largest machine has.
pub(crate) fn cpus(reader: &mut Reader, node: &Node) -> Option<u32> {
    let Spot { value: milli, span } = thousandths(reader, node)?;
    if let Some(most) = reader.largest.map(|largest| largest.cpu_milli).filter(|&most| milli > most) {
        let message =
            format!("\"cpus\" asks for {}, the largest machine has {}", format_cpus(milli), format_cpus(most));
        let help = format!("ask for {} or less", format_cpus(most));
        reader.report.error("E0214", span, message).help(help);
        return None;
    }
    Some(milli)
}

/// A number of cpus in thousandths.
pub(crate) fn thousandths(reader: &mut Reader, node: &Node) -> Option<Spot<u32>> {
    const TAKES: &str = "a number of cpus, like 1 or 0.5";
    let text = reader.text(node, "cpus", TAKES)?;
    let plain = matches!(&node.value, Value::Scalar(scalar) if scalar.plain) || text.value != source(node);
    let cpus = match (Scalar { text: text.value.clone(), plain }).kind() {
        Kind::Int(cpus) => cpus as f64,
        Kind::Float(cpus) => cpus,
        _ => {
            reader.wrong_type(node, "cpus", TAKES);
            return None;
        }
    };
    match milli_of(cpus) {
        Ok(value) => Some(Spot { value, span: text.span }),
        Err(why) => {
            let message = format!("\"cpus\" can't be {}", text.value);
            reader.report.error("E0210", text.span, message).label(why).help("write a number of cpus, like 1 or 0.5");
            None
        }
    }
}

fn source(node: &Node) -> &str {
    match &node.value {
        Value::Scalar(scalar) => &scalar.text,
        _ => "",
    }
}

/// Reports what is more than the largest machine has, where it is known only now: a profile brought it.
pub(crate) fn check_largest(reader: &mut Reader, span: Span, (cpus, memory): (Option<u32>, Option<u64>)) {
    let Some(largest) = reader.largest else { return };
    let what = if let Some(asks) = memory.filter(|&memory| memory > largest.memory) {
        format!("{} of memory, the largest machine has {}", format_bytes(asks), format_bytes(largest.memory))
    } else if let Some(asks) = cpus.filter(|&cpus| cpus > largest.cpu_milli) {
        format!("{} cpus, the largest machine has {}", format_cpus(asks), format_cpus(largest.cpu_milli))
    } else {
        return;
    };
    let message = format!("the profile asks for {what}");
    reader.report.error("E0214", span, message).help("write less in the stage, or take another profile");
}

/// Memory in bytes, between the engine's least and the largest machine.
pub(crate) fn memory(reader: &mut Reader, node: &Node, name: &str) -> Option<u64> {
    let Spot { value, span } = reader.size(node, name)?;
    if value < LEAST_MEMORY {
        let message = format!("{name:?} asks for {}; the engine gives no less than 6MiB", format_bytes(value));
        reader.report.error("E0213", span, message).help("write 6MiB or more");
        return None;
    }
    if let Some(most) = reader.largest.map(|largest| largest.memory).filter(|&most| value > most) {
        let message =
            format!("{name:?} asks for {}, the largest machine has {}", format_bytes(value), format_bytes(most));
        reader.report.error("E0214", span, message).help(format!("ask for {} or less", format_bytes(most)));
        return None;
    }
    Some(value)
}

/// `priority` among the stages of a run.
pub(crate) fn priority(reader: &mut Reader, node: &Node) -> Option<i32> {
    let most = i64::from(HIGHEST_PRIORITY);
    let number = reader.integer(node, "priority", (-most, most))?;
    i32::try_from(number).ok()
}

/// `workdir`: absolute.
pub(crate) fn workdir(reader: &mut Reader, node: &Node) -> Option<Words> {
    let text = reader.words(node, "workdir", "an absolute path")?;
    let shown = text.value.shown();
    if (!shown.starts_with('/') && text.value.known.is_some()) || shown.contains('\n') {
        let message = format!("\"workdir\" takes an absolute path, found {shown:?}");
        reader.report.error("E0222", text.span, message).help(format!("write /{}", shown.trim_start_matches("./")));
        return None;
    }
    Some(text.value)
}

/// `user`: `uid`, `uid:gid`, or names of the image.
pub(crate) fn user(reader: &mut Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, "user", "uid, uid:gid or a name")?;
    let part = |part: &str| {
        !part.is_empty()
            && part.len() <= 64
            && !part.starts_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
    };
    let good = match text.value.split_once(':') {
        Some((user, group)) => part(user) && part(group),
        None => part(&text.value),
    };
    if !good {
        let message = format!("\"user\" takes uid, uid:gid or a name, found {:?}", text.value);
        reader.report.error("E0221", text.span, message).help("write 1000:1000, or a name that the image knows");
        return None;
    }
    Some(text.value)
}

/// `timeout`.
pub(crate) fn timeout(reader: &mut Reader, node: &Node) -> TimeoutDraft {
    let mut timeout = TimeoutDraft::default();
    let takes = "a mapping, like { run: 2h }";
    for (key, node) in reader.entries(node, "timeout", takes).unwrap_or_default() {
        match key.text.as_str() {
            "run" => timeout.run = reader.duration(node, "run", false),
            "pull" => timeout.pull = reader.duration(node, "pull", false),
            "silence" => timeout.silence = reader.duration(node, "silence", false),
            "queue" => timeout.queue = reader.duration(node, "queue", false),
            _ => reader.unknown(Scope::Timeout, key),
        }
    }
    timeout
}

/// `retry`.
pub(crate) fn retry(reader: &mut Reader, node: &Node) -> RetryDraft {
    let mut retry = RetryDraft::default();
    for (key, node) in reader.entries(node, "retry", "a mapping, like { max: 3 }").unwrap_or_default() {
        match key.text.as_str() {
            "max" => retry.max = reader.integer(node, "max", (0, 100)).map(|max| max as u32),
            "backoff" => retry.backoff = reader.duration(node, "backoff", true),
            "memory" => retry.memory = factor(reader, node),
            "cap" => retry.cap = memory(reader, node, "cap").map(|value| Spot { value, span: node.span }),
            "on" => {
                let words = reader.text_or_texts(node, "on").unwrap_or_default();
                retry.on = Some(words.iter().filter_map(|word| retry_on(reader, word)).collect());
            }
            _ => reader.unknown(Scope::Retry, key),
        }
    }
    retry
}

/// `x1.5`, as hundredths.
fn factor(reader: &mut Reader, node: &Node) -> Option<Spot<u32>> {
    let text = reader.text(node, "memory", "a factor, like x1.5")?;
    let number = text.value.strip_prefix('x').and_then(|number| number.parse::<f64>().ok());
    match number.filter(|number| (1.1..=10.0).contains(number)) {
        Some(number) => Some(Spot { value: (number * 100.0).round() as u32, span: text.span }),
        None => {
            let message = format!("\"memory\" of retry takes a factor from x1.1 to x10, found {:?}", text.value);
            reader.report.error("E0208", text.span, message).help("write x1.5; cap: says how far");
            None
        }
    }
}

fn retry_on(reader: &mut Reader, word: &Spot<String>) -> Option<RetryOn> {
    const WORDS: [&str; 6] = ["any", "oom", "infra", "image", "timeout", "idle"];
    let found = match word.value.as_str() {
        "any" => Some(RetryOn::Any),
        "oom" => Some(RetryOn::Oom),
        "infra" => Some(RetryOn::Infra),
        "image" => Some(RetryOn::Image),
        "timeout" => Some(RetryOn::Timeout),
        "idle" => Some(RetryOn::Idle),
        text => match text.split_once(':') {
            Some(("exit", codes)) => exit_codes(codes),
            Some(("signal", name)) => signal(name).map(RetryOn::Signal),
            _ => None,
        },
    };
    if found.is_none() {
        let message = format!("\"on\" does not take {:?}", word.value);
        let help = "write any, oom, infra, image, timeout, idle, exit:75, exit:1-9 or signal:TERM";
        let near = WORDS.iter().copied();
        reader.report.error("E0220", word.span, message).nearest(&word.value, near).help(help);
    }
    found
}

fn exit_codes(text: &str) -> Option<RetryOn> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.parse::<i32>().ok().filter(|code| (1..=255).contains(code));
    let (first, last) = (code(first)?, code(last)?);
    (first <= last).then_some(RetryOn::Exit(first, last))
}

/// `stop_signal`: a name, without SIG.
pub(crate) fn stop_signal(reader: &mut Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, "stop_signal", "the name of a signal, like INT")?;
    if signal(&text.value).is_none_or(|number| number == 9) {
        let message =
            format!("\"stop_signal\" takes the name of a signal that a program can handle, found {:?}", text.value);
        reader.report.error("E0208", text.span, message).help("write INT, QUIT, HUP, USR1 or TERM");
        return None;
    }
    Some(text.value.trim_start_matches("SIG").to_owned())
}

/// The number of a signal by its name, as Linux has them on the machines that we run on.
fn signal(name: &str) -> Option<i32> {
    const NAMES: [(&str, i32); 16] = [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("ILL", 4),
        ("TRAP", 5),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("KILL", 9),
        ("USR1", 10),
        ("SEGV", 11),
        ("USR2", 12),
        ("PIPE", 13),
        ("ALRM", 14),
        ("TERM", 15),
        ("XCPU", 24),
    ];
    let name = name.strip_prefix("SIG").unwrap_or(name);
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}
