//! What holds for every DAG and for every file, not only for those that somebody thought of.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use dybox_job::{NoWorld, Outcome, Plan, Source, Submit, check, critical_path, levels, lint, print, render};
use proptest::prelude::*;

fn checked(bytes: &[u8]) -> Outcome {
    check(&Source { name: "job.yaml", bytes, dir: Path::new("/work") }, &Submit::default(), &NoWorld)
}

/// A DAG of up to 30 stages: edges lead to earlier stages; some stages name a sub-DAG, some hooks stand between.
#[derive(Debug, Clone)]
struct Dag {
    needs: Vec<BTreeSet<usize>>,
    named: Vec<Option<u8>>,
    tasks: Vec<u32>,
    split: String,
    hook: Option<usize>,
}

impl Dag {
    fn text(&self) -> String {
        let mut text = format!("name: any\nsplit: {}\ndefaults: {{ image: \"busybox:1\" }}\nstages:\n", self.split);
        for (own, needs) in self.needs.iter().enumerate() {
            let needs: Vec<String> = needs.iter().map(|need| format!("s{need}")).collect();
            let _ = write!(text, "  s{own}: {{ parallelism: {}, needs: [{}]", self.tasks[own], needs.join(", "));
            if let Some(name) = self.named[own] {
                let _ = write!(text, ", subdag: n{name}");
            }
            text.push_str(" }\n");
        }
        if let Some(after) = self.hook {
            let _ = write!(text, "hooks:\n  - {{ after: [s{after}], run: [x] }}\n");
        }
        text
    }
}

fn dags() -> impl Strategy<Value = Dag> {
    let splits = prop_oneof![Just("auto"), Just("components"), Just("none"), Just("2"), Just("7")];
    (1_usize..30, 0_u8..3, splits, any::<bool>()).prop_flat_map(|(count, names, split, hook)| {
        let needs = (0..count).map(|own| prop::collection::btree_set(0..own.max(1), 0..=own.min(2)));
        let named = prop::collection::vec(prop_oneof![4 => Just(None), 1 => (0..=names).prop_map(Some)], count);
        let tasks = prop::collection::vec(1_u32..9, count);
        (needs.collect::<Vec<_>>(), named, tasks, 0..count).prop_map(move |(mut needs, mut named, tasks, after)| {
            needs[0].clear();
            if names == 0 {
                named.fill(None);
            }
            Dag { needs, named, tasks, split: split.to_owned(), hook: hook.then_some(after) }
        })
    })
}

fn whole(plan: &Plan, dag: &Dag) {
    let mut seen = vec![0; dag.needs.len()];
    for (number, subdag) in plan.subdags.iter().enumerate() {
        assert!(!subdag.stages.is_empty());
        assert!(subdag.stages.is_sorted());
        for stage in &subdag.stages {
            seen[stage.0 as usize] += 1;
            assert_eq!(plan.stages[stage.0 as usize].subdag.0 as usize, number);
        }
    }
    assert!(seen.iter().all(|&times| times == 1), "every stage is in one sub-DAG");
    let hooks: usize = plan.subdags.iter().map(|subdag| subdag.hooks.len()).sum();
    assert_eq!(hooks, plan.hooks.len());
}

fn cut_by_the_rules(plan: &Plan, dag: &Dag) {
    let of = |stage: usize| plan.stages[stage].subdag.0;
    for own in 0..dag.needs.len() {
        for &need in &dag.needs[own] {
            if dag.named[own].is_none() && dag.named[need].is_none() {
                assert_eq!(of(own), of(need), "an edge between stages without a name is not cut");
            }
            let needs = &plan.subdags[of(own) as usize].needs;
            assert!(of(own) == of(need) || needs.iter().any(|id| id.0 == of(need)), "a cut edge is a need");
        }
        for other in 0..own {
            if dag.named[own] != dag.named[other] {
                assert_ne!(of(own), of(other), "different names are apart");
            } else if dag.named[own].is_some() {
                assert_eq!(of(own), of(other), "the same name is together");
            }
        }
    }
    let most = match dag.split.as_str() {
        "auto" => 4,
        "none" => 1,
        "components" => usize::MAX,
        number => number.parse().unwrap(),
    };
    if dag.named.iter().all(Option::is_none) {
        assert!(plan.subdags.len() <= most);
    }
}

fn without_circle(plan: &Plan) {
    let mut done = vec![false; plan.subdags.len()];
    for _ in 0..plan.subdags.len() {
        for (number, subdag) in plan.subdags.iter().enumerate() {
            done[number] |= subdag.needs.iter().all(|need| done[need.0 as usize]);
        }
    }
    assert!(done.iter().all(|&done| done), "sub-DAGs need each other in a circle");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_dag_is_cut_by_the_rules_or_refused_by_them(dag in dags()) {
        let outcome = checked(dag.text().as_bytes());
        let Some(plan) = outcome.plan else {
            let codes: BTreeSet<_> = outcome.diagnostics.iter().map(|problem| problem.code).collect();
            prop_assert!(codes.iter().all(|code| ["E0320", "E0321"].contains(code)), "{codes:?}\n{}", dag.text());
            prop_assert!(dag.named.iter().any(Option::is_some), "without names every DAG can be cut");
            return Ok(());
        };
        whole(&plan, &dag);
        cut_by_the_rules(&plan, &dag);
        without_circle(&plan);
        let depth = levels(&plan);
        prop_assert_eq!(depth.iter().map(Vec::len).sum::<usize>(), plan.stages.len());
        prop_assert_eq!(critical_path(&plan).len(), depth.len());
        prop_assert!(!print(&plan).is_empty());
        // Nothing but that there may be more masters than anybody needs.
        let warned: Vec<_> = lint(&plan).iter().map(|warning| warning.code).collect();
        let many = plan.subdags.len() > 16;
        prop_assert_eq!(warned, if many { vec!["W0902"] } else { vec![] });
        let text = serde_json::to_string(&plan).unwrap();
        prop_assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for problem in checked(&bytes).diagnostics {
            prop_assert!(render(&problem).ends_with('\n'));
        }
    }

    #[test]
    fn no_text_that_looks_like_a_job_makes_it_panic(
        words in prop::collection::vec(prop_oneof![
            Just("stages:\n".to_owned()), Just("  a:\n".to_owned()), Just("    image: ".to_owned()),
            Just("${".to_owned()), Just("}".to_owned()), Just("params.x".to_owned()), Just("[".to_owned()),
            Just("]".to_owned()), Just("{".to_owned()), Just(": ".to_owned()), Just("&x ".to_owned()),
            Just("*x".to_owned()), Just("!!tag ".to_owned()), Just("|\n".to_owned()), Just("\"".to_owned()),
            Just("<<: ".to_owned()), Just("- ".to_owned()), Just("\t".to_owned()), Just("---\n".to_owned()),
            Just("needs: [a]\n".to_owned()), Just("volumes: [./a:/b:c]\n".to_owned()), "[ -~\n]{0,6}", "\\PC{0,3}",
        ], 0..40)
    ) {
        for problem in checked(words.concat().as_bytes()).diagnostics {
            prop_assert!(render(&problem).ends_with('\n'));
        }
    }

    #[test]
    fn no_expression_makes_it_panic(expression in "[a-z0-9.+*/?:!=<>&|(){}\\[\\]\"' ,%#-]{0,40}") {
        let quoted = serde_json::to_string(&format!("${{{expression}}}")).unwrap();
        let text = format!("params: {{ x: \"1\" }}\nstages:\n  a:\n    image: busybox:1\n    command: [{quoted}]\n");
        for problem in checked(text.as_bytes()).diagnostics {
            prop_assert!(render(&problem).ends_with('\n'));
        }
    }

    #[test]
    fn any_name_and_any_value_of_a_key_is_answered(key in "\\PC{0,20}", value in "\\PC{0,20}") {
        let (key, value) = (serde_json::to_string(&key).unwrap(), serde_json::to_string(&value).unwrap());
        let text = format!("{{\"stages\": {{\"a\": {{\"image\": {value}, {key}: {value}}}, {key}: {value}}}, {key}: 1}}");
        for problem in checked(text.as_bytes()).diagnostics {
            prop_assert!(render(&problem).ends_with('\n'));
        }
    }
}
