//! For Markdown pages that draw Mermaid.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{Picture, colours, edge_word, seen};

/// The picture as a Mermaid flowchart.
#[must_use]
pub fn mermaid(picture: &Picture) -> String {
    let mut out = format!("---\ntitle: \"{}\"\n---\nflowchart TD\n", escaped(&picture.name));
    for subdag in 0..picture.subdags {
        let indent = if picture.subdags > 1 { "    " } else { "  " };
        if picture.subdags > 1 {
            let _ = writeln!(out, "  subgraph sub{subdag} [\"sub-DAG {subdag}\"]");
        }
        for (at, dot) in picture.dots.iter().enumerate().filter(|(_, dot)| dot.subdag as usize == subdag) {
            let second = dot.second_line();
            let mut label = escaped(&dot.name);
            if !second.is_empty() {
                let _ = write!(label, "<br/>{}", escaped(&second));
            }
            let (open, close) = if dot.tasks.is_none() { ("{{", "}}") } else { ("(", ")") };
            let class = dot.state.map(|state| format!(":::{state}")).unwrap_or_default();
            let _ = writeln!(out, "{indent}n{at}{open}\"{label}\"{close}{class}");
        }
        if picture.subdags > 1 {
            out.push_str("  end\n");
        }
    }
    for (at, dot) in picture.dots.iter().enumerate() {
        for &(need, end) in &dot.needs {
            let arrow = match edge_word(end) {
                "" => "-->".to_owned(),
                word => format!("-. {word} .->"),
            };
            let _ = writeln!(out, "  n{need} {arrow} n{at}");
        }
    }
    for state in picture.dots.iter().filter_map(|dot| dot.state).collect::<BTreeSet<_>>() {
        let (fill, line) = colours(Some(state));
        let _ = writeln!(out, "  classDef {state} fill:{fill},stroke:{line},color:#000");
    }
    out
}

/// A text inside of double quotes: what Mermaid or HTML would read as its own is written as an entity.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in seen(text) {
        match c {
            '"' | '<' | '>' | '&' | '#' | ';' | '\\' | '`' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
