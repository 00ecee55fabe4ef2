//! JSON as the reader of job files takes it: YAML, but for two things.

/// The same text where tabs are spaces (a string of JSON holds none) and pairs of surrogates are the characters that they
/// mean. Lines stay what they are.
pub(crate) fn as_yaml(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(['\t', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(more) = rest.strip_prefix('\t') {
            out.push(' ');
            rest = more;
        } else if let Some((character, more)) = pair(rest) {
            out.push(character);
            rest = more;
        } else {
            let escape = rest.chars().take(2).map(char::len_utf8).sum();
            out.push_str(&rest[..escape]);
            rest = &rest[escape..];
        }
    }
    out.push_str(rest);
    out
}

/// The character of `\uD83D\uDE00` at the beginning, and what follows.
fn pair(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let units = [unit(text)?, unit(text.get(6..)?)?];
    let character = char::decode_utf16(units).next()?.ok().filter(|_| (0xd800..0xdc00).contains(&units[0]))?;
    Some((character, &text[12..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_allows_and_yaml_does_not_is_put_right() {
        assert_eq!(as_yaml("{\n\t\"a\":\t1}"), "{\n \"a\": 1}");
        assert_eq!(as_yaml(r#"{"a":"x\ud83d\ude00y\\ud83d\ude00"}"#), "{\"a\":\"x\u{1f600}y\\\\ud83d\\ude00\"}");
        assert_eq!(as_yaml(r#""\\\t\u00e9\""#), r#""\\\t\u00e9\""#);
        assert_eq!(as_yaml("\\"), "\\");
    }
}
