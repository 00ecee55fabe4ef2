//! Every YAML block of the guide and of the README is a whole job file without a problem.
#![expect(clippy::disallowed_methods, reason = "tests read their own files")]
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::Path;

use dybox_job::{Policy, Source, Submit, World, check, render};
use dybox_model::Found;
use dybox_model::Resources;

/// A directory in which all is that the guide speaks of.
struct Guide;

impl World for Guide {
    fn largest(&self) -> Option<Resources> {
        Some(Resources { cpu_milli: 2_000, memory: 4 << 30 })
    }

    fn look(&self, path: &Path) -> Found {
        Found::Directory(path.to_owned())
    }

    fn read(&self, _: &Path) -> Result<Vec<u8>, String> {
        Ok(b"MODE=slow\n".to_vec())
    }

    fn policy(&self) -> Policy {
        Policy { mount_roots: vec!["/guide".into()], ..Policy::none("/policy") }
    }
}

fn blocks(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let after = text.split("```yaml\n").skip(1);
    after.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_yaml_block_is_a_job_without_a_problem() {
    for (page, least) in [("docs/job-file.md", 5), ("README.md", 1)] {
        let blocks = blocks(page);
        assert!(blocks.len() >= least, "{page} has {} blocks", blocks.len());
        for block in blocks {
            let needs_day = block.contains("required: true");
            let params = needs_day.then(|| ("day".to_owned(), "2026-11-21".to_owned())).into_iter().collect();
            let source = Source { name: page, bytes: block.as_bytes(), dir: Path::new("/guide") };
            let outcome = check(&source, &Submit { params, ..Submit::default() }, &Guide);
            let said: String = outcome.diagnostics.iter().map(render).collect();
            assert!(outcome.plan.is_some() && said.is_empty(), "{page}:\n{block}\n{said}");
        }
    }
}
