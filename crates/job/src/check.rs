//! The one way from the text of a job file to a plan.

use std::collections::BTreeMap;
use std::path::Path;

use crate::build::build;
use crate::diagnostic::Diagnostic;
use crate::extends;
use crate::hidden::report_hidden;
use crate::include;
use crate::load::load;
use crate::node::Node;
use crate::plan::Plan;
use crate::read::Shelf;
use crate::reader::Reader;
use crate::report::Report;
use crate::text::{Text, decode};
use crate::world::{Profiles, World};

/// A job file.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The path as the user gave it, for messages.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
    /// Its directory, absolute: `./` in the file starts there.
    pub dir: &'a Path,
}

/// What a submission adds to the file.
#[derive(Debug, Clone, Default)]
pub struct Submit {
    /// `--param k=v`.
    pub params: BTreeMap<String, String>,
    /// `--params FILE`: its name and what is in it, as YAML or JSON. What `--param` says comes before it.
    pub params_file: Option<(String, Vec<u8>)>,
    /// `--name`.
    pub name: Option<String>,
    /// `--queue`: takes the place of the job's own queue. Stages that name one keep theirs.
    pub queue: Option<String>,
}

/// A plan, where there is no error, and everything that is to be said.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Nothing when one of the problems is an error.
    pub plan: Option<Plan>,
    /// All problems, in the order of the file; warnings too.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads, checks and plans a job. All problems are found at once; nothing is touched.
#[must_use]
pub fn check(source: &Source, submit: &Submit, world: &dyn World) -> Outcome {
    let text = match decode(source.name, "the job file", source.bytes) {
        Ok(text) => text,
        Err(wrong) => return Outcome { plan: None, diagnostics: vec![*wrong] },
    };
    let text = Text::new(source.name, text);
    let mut report = Report::new(&text);
    let Some(root) = load(&mut report) else {
        return Outcome { plan: None, diagnostics: report.into_sorted() };
    };
    report_hidden(&mut report, &root);
    let fragments = include::fragments(&mut report, &root, source.dir, world);
    if fragments.is_empty() {
        return go_on(report, root, (source, submit, world));
    }
    let (whole, starts) = include::joined(text.text, &fragments);
    let names: Vec<String> = fragments.iter().map(|fragment| fragment.name.clone()).collect();
    let more = starts.iter().copied().zip(names.iter().map(String::as_str));
    let joined = Text::joined(source.name, &whole, more);
    let found = report.found;
    let mut report = Report::new(&joined);
    report.found = found;
    let root = include::merged(&mut report, root, fragments, &starts);
    go_on(report, root, (source, submit, world))
}

/// From the tree to the plan.
fn go_on(mut report: Report, mut root: Node, (source, submit, world): (&Source, &Submit, &dyn World)) -> Outcome {
    extends::resolve(&mut report, &mut root);
    let profiles = world.profiles();
    let registry = match &profiles {
        Profiles::File { name, bytes } => decode(name, "the registry", bytes).ok().map(|text| Text::new(name, text)),
        _ => None,
    };
    let mut reader = Reader::new(report, world, source.dir);
    reader.profiles = Shelf::of(&profiles, registry.as_ref(), world);
    let job = crate::read::job(&mut reader, &root, source.name, submit);
    let (mut report, cluster) = (reader.report, reader.cluster);
    report.found.extend(reader.profiles.problems());
    let plan = build(&mut report, job, cluster.as_ref());
    Outcome { plan: plan.filter(|_| !report.failed()), diagnostics: report.into_sorted() }
}
