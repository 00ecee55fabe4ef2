//! For Graphviz.

use std::fmt::Write as _;

use super::{Dot, Picture, colours, edge_word, seen};

/// The picture in the DOT language.
#[must_use]
pub fn dot(picture: &Picture) -> String {
    let mut out = format!("digraph {} {{\n", quoted(&picture.name));
    out.push_str("  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for subdag in 0..picture.subdags {
        let own = picture.dots.iter().enumerate().filter(|(_, dot)| dot.subdag as usize == subdag);
        let indent = if picture.subdags > 1 { "    " } else { "  " };
        if picture.subdags > 1 {
            let _ = writeln!(out, "  subgraph cluster_{subdag} {{\n    label=\"sub-DAG {subdag}\"; style=dashed;");
        }
        for (at, dot) in own {
            let _ = writeln!(out, "{indent}n{at} [{}];", attributes(dot));
        }
        if picture.subdags > 1 {
            out.push_str("  }\n");
        }
    }
    for (at, dot) in picture.dots.iter().enumerate() {
        for &(need, end) in &dot.needs {
            let style = match edge_word(end) {
                "" => String::new(),
                word => format!(" [label=\"{word}\", style=dashed]"),
            };
            let _ = writeln!(out, "  n{need} -> n{at}{style};");
        }
    }
    out.push_str("}\n");
    out
}

fn attributes(dot: &Dot) -> String {
    let (fill, line) = colours(dot.state);
    let second = dot.second_line();
    let label = if second.is_empty() { dot.name.clone() } else { format!("{}\n{second}", dot.name) };
    let shape = if dot.tasks.is_none() { ", shape=hexagon" } else { "" };
    format!("label={}, fillcolor=\"{fill}\", color=\"{line}\"{shape}", quoted(&label))
}

/// A text in double quotes; `\n` stays a line end.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for line in text.split('\n').enumerate() {
        if line.0 > 0 {
            out.push_str("\\n");
        }
        for c in seen(line.1) {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
    }
    out.push('"');
    out
}
