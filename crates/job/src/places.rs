//! Places of inputs and outputs, as texts.

/// What a place looks like, for messages.
pub(crate) const PLACES: &str = "hdfs://HOST/DIR/NAME, hdfs:///DIR/NAME, file:///DIR/NAME, ./NAME or run:NAME";

/// Where a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In HDFS, or in the run's store.
    Far,
    /// On the machine, by its whole path.
    Machine,
    /// Beside the job file.
    Beside,
}

/// What kind of place this is. `begins`: more of it comes later, below the directory that is named here.
pub(crate) fn kind_of(given: &str, begins: bool) -> Result<Kind, &'static str> {
    if given.split('/').any(|part| part == "..") {
        return Err("it goes up with ..");
    }
    if let Some(rest) = given.strip_prefix("hdfs://") {
        let dir = rest.split_once('/').map_or("", |(_, dir)| dir);
        let named = if begins { dir } else { dir.trim_matches('/') };
        return if named.contains('/') { Ok(Kind::Far) } else { Err("it needs a directory and a name") };
    }
    if let Some(name) = given.strip_prefix("run:") {
        let none = name.trim_matches('/').is_empty() && !begins;
        return if none || name.starts_with('/') { Err("it needs a name") } else { Ok(Kind::Far) };
    }
    let below = |path: &str| if begins { path.contains('/') } else { true };
    match (given.strip_prefix("file://"), given.strip_prefix("./")) {
        (Some(path), _) if path.starts_with('/') && below(&path[1..]) => Ok(Kind::Machine),
        (None, Some(name)) if begins || !name.trim_matches('/').is_empty() => Ok(Kind::Beside),
        (Some(_), _) if begins => Err("what comes before ${ must name a directory, like file:///data/"),
        _ => Err("it is no place that is known"),
    }
}

/// Whether a place is one, now that all of it is known; it began as `template` says.
pub(crate) fn check(given: &str, template: &str) -> Result<(), String> {
    let start = &template[..template.find("${").unwrap_or(template.len())];
    let wrong = |why: &str| Err(format!("{given:?} is no place: {why}; write {PLACES}"));
    match kind_of(given, false) {
        Err(why) => wrong(why),
        Ok(_) if !given.starts_with(start) => wrong("it lies elsewhere"),
        Ok(_) if given.contains(['\n', '\0']) => wrong("it has line breaks"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_templates_add_stays_below_what_stands_before_them() {
        let good = |given, template| check(given, template).is_ok();
        assert!(good("file:///data/in/a", "file:///data/in/${item}"));
        assert!(good("hdfs:///data/a/b", "hdfs:///data/${item}"));
        assert!(good("run:a", "run:${item}"));
        assert!(!good("file:///data/in/../x", "file:///data/in/${item}"));
        assert!(!good("run:", "run:${item}"));
        assert!(!good("/etc/passwd", "${item}"));
        assert_eq!(kind_of("file:///", true), Err("what comes before ${ must name a directory, like file:///data/"));
        assert_eq!(kind_of("", true), Err("it is no place that is known"));
        assert_eq!(
            (kind_of("./", true), kind_of("./", false)),
            (Ok(Kind::Beside), Err("it is no place that is known"))
        );
        assert_eq!((kind_of("hdfs:///data/", true), kind_of("run:", true)), (Ok(Kind::Far), Ok(Kind::Far)));
        assert!(kind_of("hdfs://${host}", true).is_err() && kind_of("hdfs:///", true).is_err());
    }
}
