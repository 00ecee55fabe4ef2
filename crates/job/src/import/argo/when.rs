//! `when`: Argo's conditions as expressions of ours.

use super::texts::{Around, as_expression, string};

/// A side of a comparison.
struct Side {
    expression: String,
    /// The words of a literal, which has no type in Argo.
    word: Option<String>,
    /// It is a text for certain.
    text: bool,
}

struct Words<'a> {
    rest: &'a str,
    around: &'a Around,
}

/// The condition as an expression, or why it can't be one.
pub(super) fn translated(around: &Around, text: &str) -> Result<String, String> {
    if text.contains("{{=") {
        return Err("it is written in another language of expressions".to_owned());
    }
    let mut words = Words { rest: text.trim(), around };
    let expression = words.either()?;
    match words.rest.trim() {
        "" => Ok(expression),
        rest => Err(format!("{rest:?} is not understood")),
    }
}

impl<'a> Words<'a> {
    fn takes(&mut self, word: &str) -> bool {
        let rest = self.rest.trim_start();
        match rest.strip_prefix(word) {
            Some(tail) => {
                self.rest = tail;
                true
            }
            None => false,
        }
    }

    fn either(&mut self) -> Result<String, String> {
        let mut out = self.both()?;
        while self.takes("||") {
            out = format!("{out} || {}", self.both()?);
        }
        Ok(out)
    }

    fn both(&mut self) -> Result<String, String> {
        let mut out = self.one()?;
        while self.takes("&&") {
            out = format!("{out} && {}", self.one()?);
        }
        Ok(out)
    }

    fn one(&mut self) -> Result<String, String> {
        if self.rest.trim_start().starts_with('!') && !self.rest.trim_start().starts_with("!=") {
            self.takes("!");
            return Ok(format!("!({})", self.one()?));
        }
        if self.takes("(") {
            let inner = self.either()?;
            return if self.takes(")") { Ok(format!("({inner})")) } else { Err("a bracket is not closed".to_owned()) };
        }
        let left = self.side()?;
        for operator in ["==", "!=", "<=", ">=", "=~", "<", ">"] {
            if self.takes(operator) {
                let right = self.side()?;
                return Ok(compared(&left, operator, &right));
            }
        }
        match left.word.as_deref() {
            Some("true" | "false") => Ok(left.word.unwrap_or_default()),
            Some(word) => Err(format!("{word:?} is no condition")),
            None if left.text => Ok(format!("{} == \"true\"", left.expression)),
            None => Ok(left.expression),
        }
    }

    fn side(&mut self) -> Result<Side, String> {
        let rest = self.rest.trim_start();
        if let Some(tail) = rest.strip_prefix("{{") {
            let end = tail.find("}}").ok_or("{{ is not closed")?;
            let name = tail[..end].trim();
            self.rest = &tail[end + 2..];
            let expression =
                self.around.expression(name).ok_or_else(|| format!("{{{{{name}}}}} has no counterpart"))?;
            let text =
                expression.starts_with("params.") || expression.starts_with("run.") || expression.starts_with('"');
            return Ok(Side { expression, word: None, text });
        }
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            let end = rest[1..].find(quote).ok_or("a quote is not closed")?;
            let inner = &rest[1..=end];
            self.rest = &rest[end + 2..];
            let mut unknown = Vec::new();
            let filled = self.around.fill(inner, &mut unknown);
            if let Some(name) = unknown.first() {
                return Err(format!("{{{{{name}}}}} has no counterpart"));
            }
            return Ok(Side { expression: as_expression(&filled), word: None, text: true });
        }
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':' | '*');
        let end = rest.find(|c| !plain(c)).unwrap_or(rest.len());
        if end == 0 {
            return Err(format!("{:?} is not understood", rest.chars().take(20).collect::<String>()));
        }
        let word = rest[..end].to_owned();
        self.rest = &rest[end..];
        Ok(Side { expression: string(&word), word: Some(word), text: false })
    }
}

/// One comparison. A word of Argo's has no type: beside a text it is a text, else what it looks like.
fn compared(left: &Side, operator: &str, right: &Side) -> String {
    if operator == "=~" {
        return format!("{}.matches({})", left.expression, right.expression);
    }
    let ordered = operator.starts_with(['<', '>']);
    let number = |side: &Side| side.word.as_deref().is_some_and(|word| word.parse::<f64>().is_ok());
    let whole = |side: &Side| side.word.as_deref().is_none_or(|word| !word.contains('.'));
    let cast = if whole(left) && whole(right) { "int" } else { "double" };
    let of = |side: &Side, other: &Side| match &side.word {
        Some(word) if other.expression == "run.state" => string(&word.to_lowercase()),
        Some(word) if number(side) && (ordered || !other.text) => word.clone(),
        Some(word) if matches!(word.as_str(), "true" | "false") && !other.text => word.clone(),
        None if side.text && ordered && number(other) => format!("{cast}({})", side.expression),
        _ => side.expression.clone(),
    };
    format!("{} {operator} {}", of(left, right), of(right, left))
}

#[cfg(test)]
mod tests {
    use super::super::texts::Placed;
    use super::*;

    #[test]
    fn conditions_become_expressions() {
        let mut around = Around::default();
        let flip = Placed { result: Some("flip-coin".to_owned()), ..Placed::default() };
        around.done.insert("flip".to_owned(), flip);
        around.params.insert("n".to_owned(), "${params.n}".to_owned());
        let said = |text| translated(&around, text).unwrap_or_else(|why| format!("! {why}"));
        assert_eq!(said("{{steps.flip.outputs.result}} == heads"), "results[\"flip-coin\"] == \"heads\"");
        assert_eq!(said("{{inputs.parameters.n}} == true"), "params.n == \"true\"");
        assert_eq!(said("{{inputs.parameters.n}} >= 3 && !({{item}} == 2)"), "int(params.n) >= 3 && !((item == 2))");
        assert_eq!(said("'{{workflow.status}}' != Succeeded"), "run.state != \"succeeded\"");
        assert_eq!(said("( \"a-{{item.x}}\" == 'a-b' )"), "(\"a-\" + string(item.x) == \"a-b\")");
        assert!(
            said("{{=x}}").starts_with('!')
                && said("{{pod.name}} == x").starts_with('!')
                && said("a ==").starts_with('!')
        );
    }
}
