//! For a browser and for pages: one file, without a script and without anything from elsewhere.

use std::fmt::Write as _;

use super::layout::{Point, layout};
use super::{Dot, Picture, colours, edge_word, seen};

/// Of one character of a name.
const LETTER: f64 = 7.3;
const HEIGHT: f64 = 44.0;
/// The name and the version of the format; a part of every file.
const NAMESPACE: &str = "http://www.w3.org/2000/svg";

/// The picture as SVG.
#[must_use]
pub fn svg(picture: &Picture) -> String {
    let widths: Vec<f64> = picture.dots.iter().map(width).collect();
    let layout = layout(picture, &widths);
    let (width, height) = (layout.width.max(120.0), layout.height.max(80.0));
    let name = escaped(&picture.name);
    let mut out = format!(
        "<svg xmlns=\"{NAMESPACE}\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         role=\"img\" aria-label=\"{name}\">\n<title>{name}</title>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#607d8b\"/></marker></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    out.push_str("<g fill=\"none\" stroke=\"#607d8b\" stroke-width=\"1.4\">\n");
    let mut labels = String::new();
    let mut lines = layout.bends.iter();
    for (at, dot) in picture.dots.iter().enumerate() {
        for &(need, end) in &dot.needs {
            let bends = lines.next().map_or(&[][..], Vec::as_slice);
            let word = edge_word(end);
            let dash = if word.is_empty() { "" } else { " stroke-dasharray=\"5 4\"" };
            let way = way(layout.middles[need], bends, layout.middles[at]);
            let _ = writeln!(out, "<path d=\"{}\"{dash} marker-end=\"url(#arrow)\"/>", curve(&way));
            if !word.is_empty() {
                let (from, to) = (way[way.len() - 2], way[way.len() - 1]);
                let (x, y) = ((from.x + to.x) / 2.0 + 6.0, f64::midpoint(from.y, to.y));
                let _ = writeln!(labels, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"start\">{word}</text>");
            }
        }
    }
    out.push_str("</g>\n<g font-family=\"ui-monospace, monospace\" font-size=\"12\" text-anchor=\"middle\">\n");
    for (dot, (middle, width)) in picture.dots.iter().zip(layout.middles.iter().zip(&widths)) {
        draw(&mut out, dot, *middle, *width);
    }
    let _ =
        writeln!(out, "</g>\n<g font-family=\"sans-serif\" font-size=\"10\" fill=\"#546e7a\">\n{labels}</g>\n</svg>");
    out
}

fn width(dot: &Dot) -> f64 {
    let letters = dot.name.chars().count().max(dot.second_line().chars().count()) as f64;
    (letters * LETTER + 24.0).max(72.0)
}

/// From below a box, by the bends, to above the next one.
fn way(from: Point, bends: &[Point], to: Point) -> Vec<Point> {
    let start = Point { y: from.y + HEIGHT / 2.0, ..from };
    let end = Point { y: to.y - HEIGHT / 2.0, ..to };
    std::iter::once(start).chain(bends.iter().copied()).chain(std::iter::once(end)).collect()
}

fn curve(way: &[Point]) -> String {
    let mut path = way.first().map(|start| format!("M{:.1} {:.1}", start.x, start.y)).unwrap_or_default();
    for pair in way.windows(2) {
        let (from, to) = (pair[0], pair[1]);
        let middle = f64::midpoint(from.y, to.y);
        let _ = write!(path, "C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}", from.x, to.x, to.x, to.y);
    }
    path
}

fn draw(out: &mut String, dot: &Dot, middle: Point, width: f64) {
    let (fill, line) = colours(dot.state);
    let (x, y) = (middle.x - width / 2.0, middle.y - HEIGHT / 2.0);
    let round = if dot.tasks.is_none() { 20 } else { 6 };
    let name = escaped(&dot.name);
    let second = escaped(&dot.second_line());
    let title = if second.is_empty() { name.clone() } else { format!("{name}: {second}") };
    let _ = writeln!(out, "<g><title>{title}</title>");
    let _ = writeln!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" rx=\"{round}\" fill=\"{fill}\" stroke=\"{line}\"/>"
    );
    let up = if second.is_empty() { 4.0 } else { -3.0 };
    let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\" font-weight=\"600\">{name}</text>", middle.x, middle.y + up);
    if !second.is_empty() {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"{line}\">{second}</text>",
            middle.x,
            middle.y + 13.0
        );
    }
    out.push_str("</g>\n");
}

/// A text that is no markup, in an element or in an attribute.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in seen(text) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
