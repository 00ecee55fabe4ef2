//! Image references.

use dybox_model::ImageRef;

use crate::draft::Words;
use crate::node::Node;
use crate::reader::{Reader, Spot};

/// Reads a reference, and its templates where it has some.
pub(crate) fn read(reader: &mut Reader, node: &Node) -> (Option<String>, Option<Spot<Words>>) {
    let Some(words) = reader.words(node, "image", "an image reference, like ubuntu:22.04") else { return (None, None) };
    let Spot { value, span } = &words;
    let image = match &value.known {
        Some(known) => reference(reader, &Spot { value: known.clone(), span: *span }),
        None => Some(value.shown().to_owned()),
    };
    let templates = (!value.uses.is_empty()).then_some(words);
    (image, templates)
}

/// Warns of a reference that floats, refuses registries that the policy does not trust.
fn reference(reader: &mut Reader, text: &Spot<String>) -> Option<String> {
    let image = match ImageRef::parse(&text.value) {
        Ok(image) => image,
        Err(bad) => {
            let next = text.value[bad.at..].chars().next().map_or(0, char::len_utf8);
            let span = reader.inside(text.span, &text.value, bad.at..bad.at + next);
            let message = format!("{:?} is no image reference", text.value);
            reader
                .report
                .error("E0401", span, message)
                .label(bad.why)
                .help("write [registry/]name[:tag][@sha256:...], like ubuntu:22.04");
            return None;
        }
    };
    let registry = image.registry.as_deref().unwrap_or("docker.io");
    if let Some(trusted) = reader.policy.registries.clone()
        && !trusted.iter().any(|known| known == registry)
    {
        let message = format!("the registry {registry} is not trusted here");
        let note = format!("{} decides; it trusts {}", reader.policy.file.display(), trusted.join(", "));
        let help = "use an image of a trusted registry, or ask the administrator";
        reader.report.error("E0803", text.span, message).note(note).help(help);
        return None;
    }
    if image.floats() {
        let what = if image.tag.is_none() { "has no tag" } else { "has the tag latest" };
        let message = format!("the image {} {what}, so it may be another one tomorrow", text.value);
        reader.report.warning("W0402", text.span, message).help("name a version, or pin it with @sha256:...");
    }
    Some(text.value.clone())
}
