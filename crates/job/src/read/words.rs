//! Texts of tasks, expressions and plain values: what they read may be known later than the rest.

use serde_json::{Number, Value as Json};

use crate::draft::Words;
use crate::node::{Key, Kind, Node, Value};
use crate::reader::{Reader, Spot};
use crate::segments::{find_word, template_len};
use crate::template::Filled;
use crate::text::Span;
use crate::uses::Use;

/// An expression that stands alone.
pub(crate) struct Expression {
    /// Without `${` and `}`.
    pub(crate) text: String,
    /// Where it is known now.
    pub(crate) value: Option<cel::Value>,
    pub(crate) uses: Vec<Spot<Use>>,
}

impl Reader<'_> {
    /// Where the names that templates of a text read stand.
    pub(crate) fn spots(&self, read: Vec<(Use, String)>, span: Span) -> Vec<Spot<Use>> {
        let spot = |(what, template): (Use, String)| {
            let at = find_word(&template, what.word());
            Spot { span: self.inside(span, &template, at), value: what }
        };
        read.into_iter().map(spot).collect()
    }

    /// A text of a task: what its templates read may be known later.
    pub(crate) fn words(&mut self, node: &Node, name: &str, takes: &str) -> Option<Spot<Words>> {
        let templates = self.templates.as_mut();
        let (Value::Scalar(scalar), Some(templates)) = (&node.value, templates) else {
            return self.text(node, name, takes).map(|text| Spot { value: Words::plain(text.value), span: text.span });
        };
        if !scalar.text.contains('$') {
            return self.text(node, name, takes).map(|text| Spot { value: Words::plain(text.value), span: text.span });
        }
        templates.read.clear();
        let late = matches!(templates.fill(&scalar.text), Ok(Filled::Late));
        let read = std::mem::take(&mut templates.read);
        let uses = self.spots(read, node.span);
        let (written, span) = (Some(scalar.text.clone()), node.span);
        if late {
            self.without_returns(&scalar.text, name, span).then_some(())?;
            return Some(Spot { value: Words { known: None, written, uses }, span });
        }
        let known = self.text(node, name, takes)?.value;
        Some(Spot { value: Words { known: Some(known), written, uses }, span })
    }

    /// An expression alone, or as a template: its text, its value where that is known, and what it reads.
    pub(crate) fn expression(&mut self, node: &Node, name: &str, takes: &str) -> Option<Expression> {
        let Value::Scalar(scalar) = &node.value else {
            self.wrong_type(node, name, takes);
            return None;
        };
        let text = scalar.text.trim();
        if text.is_empty() || node.is_null() {
            self.wrong_type(node, name, takes);
            return None;
        }
        let whole = text.starts_with("${") && template_len(text) == Some(text.len());
        let template = if whole { text.to_owned() } else { format!("${{{text}}}") };
        let templates = self.templates.as_mut()?;
        templates.read.clear();
        let unset = !templates.unset.is_empty();
        let value = templates.evaluate(&template);
        let read = std::mem::take(&mut templates.read);
        let text = template[2..template.len() - 1].to_owned();
        match value {
            Ok(value) => {
                // What has no value is reported already.
                let value = value.filter(|_| !unset || !read.iter().any(|(what, _)| *what == Use::Params));
                let bare = |(what, _): (Use, String)| {
                    let at = find_word(&text, what.word());
                    Spot { span: self.inside(node.span, &text, at), value: what }
                };
                let uses = read.into_iter().map(bare).collect();
                Some(Expression { value, uses, text })
            }
            Err(mut fault) => {
                if !whole {
                    fault.template = text;
                    fault.at =
                        fault.at.start.saturating_sub(2)..fault.at.end.saturating_sub(2).min(fault.template.len());
                    if fault.help.contains("$${") {
                        fault.help = format!("{name} takes an expression, like results.join.rows > 0");
                    }
                }
                self.template_fault(*fault, node.span);
                None
            }
        }
    }

    /// A list of texts of a task.
    pub(crate) fn words_list(&mut self, node: &Node, name: &str) -> Option<Vec<Spot<Words>>> {
        match &node.value {
            Value::List(items) => {
                let each = format!("an item of {name:?}");
                Some(items.iter().filter_map(|item| self.words(item, &each, "a text")).collect())
            }
            _ => self.texts(node, name).map(|_| Vec::new()),
        }
    }

    /// Any value as JSON, templates filled in.
    pub(crate) fn json(&mut self, node: &Node, name: &str) -> Option<Json> {
        match &node.value {
            Value::Bad => None,
            Value::List(items) => {
                items.iter().map(|item| self.json(item, name)).collect::<Option<_>>().map(Json::Array)
            }
            Value::Map(entries) => {
                let pair = |(key, node): &(Key, Node)| Some((key.text.clone(), self.json(node, name)?));
                entries.iter().map(pair).collect::<Option<_>>().map(Json::Object)
            }
            Value::Scalar(_) => {
                let scalar = self.scalar(node, name, "a text, a number, a list or a mapping")?;
                Some(match scalar.kind() {
                    Kind::Null => Json::Null,
                    Kind::Bool(truth) => Json::Bool(truth),
                    Kind::Int(int) => Json::from(int),
                    Kind::Float(float) => match Number::from_f64(float) {
                        Some(number) => Json::Number(number),
                        None => {
                            self.wrong_type(node, name, "a finite number");
                            return None;
                        }
                    },
                    Kind::Text => Json::String(scalar.text),
                })
            }
        }
    }
}
