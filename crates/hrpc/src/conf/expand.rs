//! Variables in values: `${key}`, `${env.NAME}`, `${env.NAME:-when unset or empty}`, `${env.NAME-when unset}`.

/// As Hadoop: so many replacements in one value at most.
const DEEPEST: usize = 20;

/// Replaces the variables of a value, innermost first. A variable without a value stays as it stands; so does the
/// whole value when it leads in a circle or too deep.
pub(super) fn expand(raw: &str, look_up: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = raw.to_owned();
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..DEEPEST {
        let Some((start, end)) = innermost(&text) else { return text };
        let name = &text[start + 2..end];
        let Some(value) = value_of(name, look_up) else { return text };
        let circle = value.contains(&format!("${{{name}}}")) || seen.iter().filter(|one| *one == name).count() >= 5;
        if circle {
            return raw.to_owned();
        }
        seen.push(name.to_owned());
        text.replace_range(start..=end, &value);
    }
    if innermost(&text).is_some() { raw.to_owned() } else { text }
}

/// The environment variables that a value asks for.
pub(super) fn environment_of(raw: &str) -> impl Iterator<Item = &str> {
    raw.split("${env.").skip(1).map(|rest| {
        let end = rest.find(['}', '-', ':', '$', ' ']).unwrap_or(rest.len());
        &rest[..end]
    })
}

/// Where the first variable begins and ends that holds no other one.
fn innermost(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let end = from + text[from..].find('}')?;
        if let Some(start) = text[from..end].rfind("${").map(|at| from + at) {
            let name = &text[start + 2..end];
            if !name.is_empty() && !name.contains([' ', '$']) {
                return Some((start, end));
            }
        }
        from = end + 1;
    }
}

fn value_of(name: &str, look_up: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let Some(variable) = name.strip_prefix("env.") else { return look_up(name) };
    match variable.split_once('-') {
        None => look_up(name),
        Some((variable, otherwise)) => {
            let (variable, also_empty) = variable.strip_suffix(':').map_or((variable, false), |short| (short, true));
            let found = look_up(&format!("env.{variable}")).filter(|value| !(also_empty && value.is_empty()));
            Some(found.unwrap_or_else(|| otherwise.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{environment_of, expand};

    fn look_up(name: &str) -> Option<String> {
        let value = match name {
            "host" => "rm1",
            "port" => "80${digit}",
            "digit" => "32",
            "me" => "x${me}",
            "left" => "${right}",
            "right" => "${left}",
            "twice" => "${twice2}${twice2}",
            "twice2" => "${twice3}${twice3}",
            "twice3" => "${digit}${digit}",
            "env.HOME" => "/root",
            "env.EMPTY" => "",
            "kind" => "digit",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn variables_are_replaced() {
        for (raw, text) in [
            ("${host}:${port}", "rm1:8032"),
            ("/a/${host}/b/${host}", "/a/rm1/b/rm1"),
            ("${env.HOME}/x", "/root/x"),
            ("${env.NONE:-y}${env.EMPTY:-z}", "yz"),
            ("${env.NONE-y}${env.EMPTY-z}", "y"),
            ("${${kind}}", "32"),
            ("${none} ${host}", "${none} ${host}"),
            ("${me}", "${me}"),
            ("${left}", "${left}"),
            ("${}${a b}${host}", "${}${a b}rm1"),
            ("$ {host} ${host", "$ {host} ${host"),
            ("}${host}", "}rm1"),
            ("${twice}", "${twice}"),
        ] {
            assert_eq!(expand(raw, &look_up), text, "{raw}");
        }
    }

    #[test]
    fn names_of_the_environment_are_found() {
        assert_eq!(environment_of("${env.A}/${env.B:-x}${env.C-y}${d}").collect::<Vec<_>>(), ["A", "B", "C"]);
    }

    proptest! {
        #[test]
        fn no_value_panics_or_grows_without_end(raw in "[${}a-c: .env-]{0,80}") {
            let look_up = |name: &str| (name.len() == 1).then(|| "${a}${b}${c}".to_owned());
            prop_assert!(expand(&raw, &look_up).len() < 2000);
        }
    }
}
