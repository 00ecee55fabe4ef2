//! Profiles: the administrator's registry of kinds of containers, and which of them a stage takes.

use std::collections::BTreeMap;

use super::stage;
use crate::draft::{Body, ProfileWanted};
use crate::node::{Key, Node, Value};
use crate::profiled::{KEYS, brings};
use crate::reader::{Reader, Spot};
use crate::report::{Report, listed};
use crate::text::Text;
use crate::world::{Profiles, World};

/// A registry that was opened.
pub(crate) struct Registry<'a> {
    /// Reads its text; what is wrong with a profile is said at its place there.
    reader: Reader<'a>,
    /// All profiles, as they stand there; nothing when the file is wrong as a whole.
    all: Option<Vec<(Key, Node)>>,
    /// Those that were read.
    read: BTreeMap<String, Profile>,
}

/// The registry, or why there is none.
#[derive(Default)]
pub(crate) enum Shelf<'a> {
    /// Nobody looked for one.
    #[default]
    Unasked,
    /// There is none at this place.
    Missing(String),
    /// It can't be read: place and reason.
    Unread(String, String),
    /// It is there.
    Closed(&'a Text<'a>, &'a dyn World),
    /// It was read.
    Open(Box<Registry<'a>>),
}

/// A profile.
#[derive(Clone)]
pub(crate) struct Profile {
    pub(crate) name: String,
    /// Its file and line.
    pub(crate) from: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) body: Body,
    /// Only a cluster can run it.
    needs_yarn: bool,
}

impl<'a> Shelf<'a> {
    /// What the world has.
    pub(crate) fn of(profiles: &Profiles, text: Option<&'a Text<'a>>, world: &'a dyn World) -> Self {
        match (profiles, text) {
            (Profiles::Unasked, _) => Self::Unasked,
            (Profiles::Missing { place }, _) => Self::Missing(place.clone()),
            (Profiles::Unread { place, why }, _) => Self::Unread(place.clone(), why.clone()),
            (Profiles::File { name, .. }, None) => Self::Unread(name.clone(), "it is no UTF-8 text".to_owned()),
            (Profiles::File { .. }, Some(text)) => Self::Closed(text, world),
        }
    }

    /// Opens it when the first stage asks: a job that takes no profile does not care what is in it.
    fn open(self) -> Self {
        match self {
            Self::Closed(text, world) => Self::Open(Box::new(Registry::open(text, world))),
            other => other,
        }
    }

    /// What is wrong with what was read of it.
    pub(crate) fn problems(self) -> Vec<crate::Diagnostic> {
        match self {
            Self::Open(registry) => registry.reader.report.into_sorted(),
            _ => Vec::new(),
        }
    }
}

/// Reads `profile` of a stage: a name, or labels.
pub(crate) fn wanted(reader: &mut Reader, node: &Node) -> Option<Spot<ProfileWanted>> {
    const TAKES: &str = "a name, or { labels: {...} }";
    let Value::Map(entries) = &node.value else {
        let name = reader.text(node, "profile", TAKES)?;
        return Some(Spot { value: ProfileWanted::Name(name.value), span: name.span });
    };
    let mut labels = None;
    for (key, node) in entries {
        match key.text.as_str() {
            "labels" => labels = labels_of(reader, node),
            other => {
                let message = format!("\"profile\" has no key {other:?}");
                let help = "write a name, or { labels: {...} }";
                reader.report.error("E0201", key.span, message).nearest(other, ["labels"].into_iter()).help(help);
                return None;
            }
        }
    }
    match labels {
        Some(labels) if !labels.is_empty() => Some(Spot { value: ProfileWanted::Labels(labels), span: node.span }),
        _ => {
            reader.wrong_type(node, "profile", TAKES);
            None
        }
    }
}

fn labels_of(reader: &mut Reader, node: &Node) -> Option<BTreeMap<String, String>> {
    let entries = reader.entries(node, "labels", "a mapping of texts")?;
    let text = |(key, node): &(Key, Node)| Some((key.text.clone(), reader.text(node, &key.text, "a text")?.value));
    entries.iter().map(text).collect()
}

/// The profile that a stage asks for, read; nothing when that is not possible, and reported.
pub(crate) fn take(reader: &mut Reader, wanted: &Spot<ProfileWanted>) -> Option<Profile> {
    let mut shelf = std::mem::take(&mut reader.profiles).open();
    let found = match &mut shelf {
        Shelf::Open(registry) => registry.find(reader, wanted),
        none => {
            let message = format!("{} is asked for, and there is no registry of profiles", words(&wanted.value));
            let wrong = reader.report.error("E0330", wanted.span, message);
            match none {
                Shelf::Missing(place) => wrong.note(format!("it is looked for at {place}")),
                Shelf::Unread(place, why) => wrong.note(format!("{place} can't be read: {why}")),
                _ => wrong,
            };
            wrong.help("have the administrator put one there, or name another with the setting `profiles`");
            None
        }
    };
    reader.profiles = shelf;
    let profile = found?;
    if profile.needs_yarn && !reader.world.is_cluster() {
        let message = format!("profile {:?} needs a YARN cluster, and this is one machine", profile.name);
        let note = format!("{} says needs_yarn", profile.from);
        reader.report.error("E0333", wanted.span, message).note(note).help("run it on the cluster (--yarn)");
    }
    Some(Profile { body: profile.body.at(wanted.span), ..profile })
}

fn words(wanted: &ProfileWanted) -> String {
    match wanted {
        ProfileWanted::Name(name) => format!("profile {name:?}"),
        ProfileWanted::Labels(labels) => format!("a profile with {}", pairs(labels)),
    }
}

fn pairs(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

impl<'a> Registry<'a> {
    fn open(text: &'a Text<'a>, world: &'a dyn World) -> Self {
        let mut reader = Reader::new(Report::new(text), world, std::path::Path::new("/"));
        // A stage may ask for less than its profile does: what counts is looked at there.
        reader.largest = None;
        let all = match text.text.trim().is_empty() {
            true => Some(Vec::new()),
            false => crate::load::load(&mut reader.report).and_then(|root| profiles_in(&mut reader, &root)),
        };
        Self { reader, all, read: BTreeMap::new() }
    }

    fn all(&self) -> &[(Key, Node)] {
        self.all.as_deref().unwrap_or_default()
    }

    fn find(&mut self, job: &mut Reader, wanted: &Spot<ProfileWanted>) -> Option<Profile> {
        self.all.as_ref()?;
        let place = self.reader.report.text.name.to_owned();
        let name = match &wanted.value {
            ProfileWanted::Name(name) => {
                let names = || self.all().iter().map(|(key, _)| key.text.as_str());
                if !names().any(|known| known == name) {
                    let message = format!("there is no profile {name:?}");
                    let help = match self.all().is_empty() {
                        true => format!("{place} has none"),
                        false => format!("the profiles of {place} are {}", listed(names())),
                    };
                    job.report.error("E0331", wanted.span, message).nearest(name, names()).help(help);
                    return None;
                }
                name.clone()
            }
            ProfileWanted::Labels(labels) => self.labelled(job, wanted, labels)?,
        };
        self.read(&name)
    }

    /// The one profile that has all these labels.
    fn labelled(
        &self,
        job: &mut Reader,
        wanted: &Spot<ProfileWanted>,
        labels: &BTreeMap<String, String>,
    ) -> Option<String> {
        let all = || self.all().iter().map(|(key, node)| (key.text.as_str(), quiet_labels(node)));
        let has = |own: &BTreeMap<String, String>| labels.iter().all(|(name, value)| own.get(name) == Some(value));
        let fitting: Vec<&str> = all().filter(|(_, own)| has(own)).map(|(name, _)| name).collect();
        let place = self.reader.report.text.name;
        let (message, help) = match fitting[..] {
            [one] => return Some(one.to_owned()),
            [] => {
                let known: Vec<String> = all()
                    .filter(|(_, own)| !own.is_empty())
                    .map(|(name, own)| format!("{name} ({})", pairs(&own)))
                    .collect();
                let help = match known.is_empty() {
                    true => format!("{place} has none with labels"),
                    false => format!("{place} has {}", listed(known.iter().map(String::as_str))),
                };
                (format!("no profile has the labels {}", pairs(labels)), help)
            }
            _ => {
                let message = format!("{} profiles have the labels {}", fitting.len(), pairs(labels));
                (message, format!("add a label, or name one: {}", listed(fitting.into_iter())))
            }
        };
        job.report.error("E0332", wanted.span, message).help(help);
        None
    }

    /// Reads a profile, once.
    fn read(&mut self, name: &str) -> Option<Profile> {
        if let Some(known) = self.read.get(name) {
            return Some(known.clone());
        }
        let (key, node) = self.all().iter().find(|(key, _)| key.text == name)?.clone();
        let reader = &mut self.reader;
        let what = format!("profile {name:?}");
        let (mut labels, mut needs_yarn, mut own) = (BTreeMap::new(), false, Vec::new());
        for (key, node) in reader.entries(&node, &what, "a mapping of keys")? {
            match key.text.as_str() {
                "labels" => labels = labels_of(reader, node).unwrap_or_default(),
                "needs_yarn" => needs_yarn = reader.truth(node, "needs_yarn").unwrap_or_default(),
                brought if brings(brought) => own.push((key.clone(), node.clone())),
                _ => unknown(reader, key),
            }
        }
        let body = stage::body(reader, &Node { span: node.span, value: Value::Map(own) }, &what);
        super::check_targets(reader, &body);
        let from = reader.report.text.short(key.span);
        let profile = Profile { name: name.to_owned(), from, labels, body, needs_yarn };
        self.read.insert(name.to_owned(), profile.clone());
        Some(profile)
    }
}

fn profiles_in(reader: &mut Reader, root: &Node) -> Option<Vec<(Key, Node)>> {
    let mut all = Vec::new();
    for (key, node) in reader.entries(root, "the registry", "a mapping of keys")? {
        match key.text.as_str() {
            "profiles" => all = reader.entries(node, "profiles", "a mapping of names to profiles")?.to_vec(),
            "version" => drop(reader.integer(node, "version", (1, 1))),
            other => {
                let message = format!("a registry of profiles has no key {other:?}");
                let help = "the keys are version and profiles";
                reader.report.error("E0201", key.span, message).nearest(other, ["profiles"].into_iter()).help(help);
            }
        }
    }
    Some(all)
}

/// Labels of a profile that nobody may have asked for: what is wrong with them is its own affair.
fn quiet_labels(node: &Node) -> BTreeMap<String, String> {
    let entries = |node: &Node| match &node.value {
        Value::Map(entries) => entries.clone(),
        _ => Vec::new(),
    };
    let labels = entries(node).into_iter().find(|(key, _)| key.text == "labels");
    let pairs = labels.map(|(_, node)| entries(&node)).unwrap_or_default();
    let text = |(key, node): (Key, Node)| match node.value {
        Value::Scalar(scalar) => Some((key.text, scalar.text)),
        _ => None,
    };
    pairs.into_iter().filter_map(text).collect()
}

fn unknown(reader: &mut Reader, key: &Key) {
    let name = key.text.as_str();
    let mut names: Vec<&str> = KEYS.iter().filter_map(|(key, _)| key.split('.').next()).collect();
    names.dedup();
    names.extend(["env", "labels", "needs_yarn"]);
    let of_stage = crate::fields::find(crate::fields::Scope::Stage, name).is_some_and(|field| field.built);
    let message = match of_stage {
        true => format!("a profile can't bring {name:?}: that is the job's to say"),
        false => format!("a profile has no key {name:?}"),
    };
    let help = format!("the keys are {}", names.join(", "));
    reader.report.error("E0201", key.span, message).nearest(name, names.into_iter()).help(help);
}
