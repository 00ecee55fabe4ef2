//! A text in its parts: what is between templates, and the templates.

/// How many loops an expression has.
pub(crate) fn loops(expression: &str) -> usize {
    let words = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| matches!(*word, "map" | "filter" | "all" | "exists" | "exists_one")).count()
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment<'t> {
    /// As it is.
    Text(&'t str),
    /// `${...}`, with all.
    Template(&'t str),
    /// A template without an end, and all behind it.
    Unclosed(&'t str),
}

/// A text in its parts; `$${` is a literal `${`.
pub(crate) fn segments(text: &str) -> impl Iterator<Item = Segment<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.find('$').unwrap_or(rest.len());
        let cut = |at: usize| rest.split_at(at);
        let (segment, tail) = if at > 0 {
            (Segment::Text(cut(at).0), cut(at).1)
        } else if let Some(tail) = rest.strip_prefix("$${") {
            (Segment::Text("${"), tail)
        } else if !rest.starts_with("${") {
            (Segment::Text("$"), &rest[1..])
        } else if let Some(len) = template_len(rest) {
            (Segment::Template(cut(len).0), cut(len).1)
        } else {
            (Segment::Unclosed(rest), "")
        };
        rest = tail;
        Some(segment)
    })
}

/// The length of the template at the start of a text, `${` and `}` included. Texts inside it may hold brackets.
pub(crate) fn template_len(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1).take(64 * 1024) {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 1 => return Some(at + 1),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where a whole word stands in a template; all of the template when it is not found.
pub(crate) fn find_word(template: &str, word: &str) -> std::ops::Range<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    template
        .match_indices(word)
        .find(|(at, _)| {
            !template[..*at].ends_with(part) && !template[at + word.len()..].starts_with(part) && !word.is_empty()
        })
        .map_or(0..template.len(), |(at, _)| at..at + word.len())
}
