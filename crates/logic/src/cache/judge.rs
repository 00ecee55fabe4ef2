//! Which earlier successes fit, and what differs from the one that is nearest.

use std::collections::BTreeSet;

use dybox_model::cache::{Field, Fields, Missed, Print, Success};
use dybox_model::{Millis, Moved};
use sha2::{Digest, Sha256};

/// A stage that begins, as far as it depends on anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of the plan and of other stages.
    pub fields: Fields,
    /// The id of its image, or the image itself where it is written with its digest.
    pub image: String,
    /// What lies at the places of its inputs.
    pub inputs: Vec<Print>,
}

/// Those that came to what this stage would come to, in their order. That their outputs are still there is not looked at.
pub fn fitting<'a>(wanted: &'a Wanted, earlier: &'a [Success]) -> impl Iterator<Item = &'a Success> {
    earlier.iter().filter(|one| changed(wanted, one).is_empty())
}

/// What differs from the nearest of them; of equally near ones the first counts.
#[must_use]
pub fn nearest(wanted: &Wanted, earlier: &[Success]) -> Missed {
    let all = earlier.iter().map(|one| (one, changed(wanted, one)));
    let Some((one, changed)) = all.min_by_key(|(_, changed)| changed.len()) else {
        return Missed::because("nothing is known of an earlier success of it");
    };
    Missed { nearest: Some(one.run.clone()), changed }
}

/// What differs, each in a phrase.
fn changed(wanted: &Wanted, one: &Success) -> Vec<String> {
    let mut all = Vec::new();
    if wanted.image != one.image {
        all.push(format!("image: was {}, is {}", short(&one.image), short(&wanted.image)));
    }
    let names: BTreeSet<&String> = wanted.fields.keys().chain(one.fields.keys()).collect();
    for name in names {
        all.extend(difference(name, one.fields.get(name), wanted.fields.get(name)));
    }
    for input in &wanted.inputs {
        let before = one.inputs.iter().find(|before| before.place == input.place && before.path == input.path);
        if let Some(before) = before.filter(|before| before.sum != input.sum) {
            all.push(other_print("input", before, input));
        } else if before.is_none() {
            all.push(format!("input {}: is new", input.place));
        }
    }
    all
}

/// Ids are told by their beginning.
fn short(image: &str) -> &str {
    match image.strip_prefix("sha256:") {
        Some(id) => &image[..7 + id.len().min(12)],
        None => image,
    }
}

fn difference(name: &str, was: Option<&Field>, is: Option<&Field>) -> Option<String> {
    match (was, is) {
        (Some(was), Some(is)) if was.sum == is.sum => None,
        (Some(was), Some(is)) if was.text.is_empty() || is.text.is_empty() => Some(format!("{name}: is another")),
        (Some(was), Some(is)) => Some(format!("{name}: was {}, is {}", was.text, is.text)),
        (None, Some(_)) => Some(format!("{name}: is new")),
        (Some(_), None) => Some(format!("{name}: is gone")),
        (None, None) => None,
    }
}

/// How what lies at a place differs from what lay there.
fn other_print(what: &str, was: &Print, is: &Print) -> String {
    let place = &is.place;
    if was.files != is.files {
        return format!("{what} {place}: files {} -> {}", was.files, is.files);
    }
    if was.bytes != is.bytes {
        return format!("{what} {place}: size {} -> {}", was.bytes, is.bytes);
    }
    if was.newest != is.newest && is.newest.0 > 0 {
        return format!("{what} {place}: was written anew since, size {}", is.bytes);
    }
    format!("{what} {place}: has another content, size {}", is.bytes)
}

/// What the run itself has put at a place of its own store, or below it: told by its content, which is the same in every
/// run. Nothing where it put nothing there.
#[must_use]
pub fn print_of<'a>((path, place): (&str, &str), kept: impl Iterator<Item = &'a Moved>) -> Option<Print> {
    let place = place.trim_end_matches('/');
    let below = format!("{place}/");
    let mut all: Vec<&Moved> = kept.filter(|one| one.place == place || one.place.starts_with(&below)).collect();
    all.sort_by(|one, other| one.place.cmp(&other.place));
    let mut digest = Sha256::new();
    for one in &all {
        digest.update(format!("{}\0{}\0{}\0{:08x}\0", one.place, one.files, one.bytes, one.crc32c));
    }
    (!all.is_empty()).then(|| Print {
        place: place.to_owned(),
        path: path.to_owned(),
        files: all.iter().map(|one| one.files).sum(),
        bytes: all.iter().map(|one| one.bytes).sum(),
        newest: Millis(0),
        sum: hex::encode(&digest.finalize()[..12]),
    })
}

/// Why what an earlier success left is not there any more as it was left; nothing where it is.
#[must_use]
pub fn spoilt(was: &Print, is: Option<&Print>) -> Option<String> {
    match is {
        None => Some(format!("output {}: is gone", was.place)),
        Some(is) if is.sum == was.sum => None,
        Some(is) => Some(other_print("output", was, is)),
    }
}
