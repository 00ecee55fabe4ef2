//! Image references, as Docker's grammar has them.

use std::fmt;

use thiserror::Error;

/// A parsed image reference: `[registry/]path[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageRef {
    /// Host and port of the registry, where the text names one.
    pub registry: Option<String>,
    /// The repository's path without the registry.
    pub path: String,
    /// The tag, where given.
    pub tag: Option<String>,
    /// The digest (`sha256:` and 64 hex digits), where given.
    pub digest: Option<String>,
}

/// Why a text is no image reference, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{why}")]
pub struct BadImage {
    /// Byte offset of the first character that does not fit.
    pub at: usize,
    /// What is wrong there.
    pub why: String,
}

impl ImageRef {
    /// Parses a reference. Source of the grammar: the reference package of Docker's distribution project.
    ///
    /// # Errors
    /// [`BadImage`] with the place of the first character that does not fit.
    pub fn parse(text: &str) -> Result<Self, BadImage> {
        let bad = |at: usize, why: &str| Err(BadImage { at, why: why.to_owned() });
        if text.is_empty() {
            return bad(0, "an image name is empty");
        }
        if let Some(at) = text.find(|c: char| !c.is_ascii_graphic()) {
            return bad(at, "an image name has only visible ASCII characters");
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(parse_digest(digest, rest.len() + 1)?)),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(parse_tag(tag, name.len() + 1)?)),
            _ => (rest, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host.to_owned()), path),
            _ => (None, name),
        };
        parse_path(path, name.len() - path.len())?;
        if name.len() > 255 {
            return bad(255, "an image name has at most 255 characters");
        }
        Ok(Self { registry, path: path.to_owned(), tag, digest })
    }

    /// Whether it names neither a tag other than `latest` nor a digest, so that its meaning may change.
    #[must_use]
    pub fn floats(&self) -> bool {
        self.digest.is_none() && self.tag.as_deref().is_none_or(|tag| tag == "latest")
    }

    /// As an engine lists the image that it means: with a tag or a digest, without what Docker adds by itself.
    #[must_use]
    pub fn listed(&self) -> String {
        let (hub, path) = match self.registry.as_deref() {
            None | Some("docker.io" | "index.docker.io") => {
                (None, self.path.strip_prefix("library/").unwrap_or(&self.path))
            }
            Some(registry) => (Some(registry), self.path.as_str()),
        };
        let name = hub.map_or_else(|| path.to_owned(), |registry| format!("{registry}/{path}"));
        match &self.digest {
            Some(digest) => format!("{name}@{digest}"),
            None => format!("{name}:{}", self.tag.as_deref().unwrap_or("latest")),
        }
    }
}

fn parse_digest(digest: &str, at: usize) -> Result<String, BadImage> {
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return Ok(digest.to_owned());
    }
    Err(BadImage { at, why: "a digest is sha256: and 64 hex digits in lower case".to_owned() })
}

fn parse_tag(tag: &str, at: usize) -> Result<String, BadImage> {
    let wrong =
        tag.char_indices().find(|&(i, c)| !(c.is_ascii_alphanumeric() || c == '_' || i > 0 && matches!(c, '.' | '-')));
    match wrong {
        Some((i, _)) => Err(BadImage { at: at + i, why: "a tag has letters, digits, _ . and - only".to_owned() }),
        None if tag.is_empty() => Err(BadImage { at, why: "the tag after the colon is empty".to_owned() }),
        None if tag.len() > 128 => Err(BadImage { at: at + 128, why: "a tag has at most 128 characters".to_owned() }),
        None => Ok(tag.to_owned()),
    }
}

fn parse_path(path: &str, at: usize) -> Result<(), BadImage> {
    let mut start = at;
    for part in path.split('/') {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if let Some((i, c)) = part.char_indices().find(|&(_, c)| !(lower(c) || matches!(c, '.' | '_' | '-'))) {
            let why = if c.is_ascii_uppercase() {
                "an image name is in lower case"
            } else {
                "this character can't be in an image name"
            };
            return Err(BadImage { at: start + i, why: why.to_owned() });
        }
        if !part.starts_with(lower) || !part.ends_with(lower) {
            return Err(BadImage {
                at: start,
                why: "each part of an image name starts and ends with a letter or digit".to_owned(),
            });
        }
        start += part.len() + 1;
    }
    Ok(())
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_survive_their_own_text() {
        for text in ["busybox", "ubuntu:22.04", "127.0.0.1:5000/a/b_c:v1.0-x", "localhost/a", "centos:7"] {
            assert_eq!(ImageRef::parse(text).map(|image| image.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn an_engine_lists_an_image_without_what_docker_adds() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, listed) in [
            ("busybox", "busybox:latest".to_owned()),
            ("docker.io/library/busybox:1", "busybox:1".to_owned()),
            ("docker.io/ann/x", "ann/x:latest".to_owned()),
            ("127.0.0.1:5000/library/b:2", "127.0.0.1:5000/library/b:2".to_owned()),
            (&format!("busybox:1@{digest}"), format!("busybox@{digest}")),
        ] {
            assert_eq!(ImageRef::parse(text).map(|image| image.listed()), Ok(listed));
        }
    }

    #[test]
    fn the_caret_stands_under_the_first_wrong_character() {
        let place = |text: &str| ImageRef::parse(text).map_err(|bad| bad.at).err();
        assert_eq!(place("Ubuntu"), Some(0));
        assert_eq!(place("a/bC"), Some(3));
        assert_eq!(place("ubuntu:22 04"), Some(9));
        assert_eq!(place("ubuntu:"), Some(7));
        assert_eq!(place("a@sha256:00"), Some(2));
        assert_eq!(place("a//b"), Some(2));
        assert_eq!(place(""), Some(0));
    }
}
