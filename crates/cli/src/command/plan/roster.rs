//! What the roster says of the cluster's machines now, and what a run would make of it.

use dybox_job::{Cluster, Plan};
use dybox_logic::master::Advice;
use dybox_model::ImageRef;
use serde_json::{Map, Value, json};

use crate::command::Context;
use crate::command::servers::Servers;

/// Names that are listed of many.
const MOST: usize = 8;

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roster {
    /// No state server is configured.
    None,
    /// None answered in time: the plan is made without.
    Silent,
    /// The answer of a server, and the images that were asked about.
    Seen { server: String, nodes: Vec<Advice>, images: Vec<String> },
}

/// Asks the state servers, for 200 ms at most.
pub(super) async fn ask(context: &Context, plan: &Plan, cluster: &Cluster) -> Roster {
    // What is wrong with its settings was said when the client was made.
    let Ok(Some(servers)) = Servers::of(context) else { return Roster::None };
    let listed = |image: &String| ImageRef::parse(image).map_or_else(|_| image.clone(), |image| image.listed());
    let mut images: Vec<String> =
        plan.stages.iter().filter(|stage| !stage.late.image).map(|stage| listed(&stage.image)).collect();
    images.sort();
    images.dedup();
    let Some((server, view)) = servers.at_once(images.clone()).await else { return Roster::Silent };
    let ours = |node: &&dybox_model::roster::NodeView| cluster.nodes.iter().any(|own| own.host == node.host);
    Roster::Seen { server, nodes: view.nodes.iter().filter(ours).map(Advice::of).collect(), images }
}

impl Roster {
    /// For people; nothing where there is none.
    pub(super) fn text(&self, cluster: &Cluster) -> String {
        let (server, nodes, images) = match self {
            Self::None => return String::new(),
            Self::Silent => return "roster: no state server answers within 200 ms; a run goes on without\n".to_owned(),
            Self::Seen { server, nodes, images } => (server, nodes, images),
        };
        let mut text = format!("roster of {server}: knows {} of {} nodes\n", nodes.len(), cluster.nodes.len());
        let mut say = |words: &str, hosts: Vec<String>| {
            if !hosts.is_empty() {
                text.push_str(&format!("  {words}: {}\n", listed(&hosts)));
            }
        };
        say("nothing is asked for on", with_reason(nodes, |advice| advice.closed.as_ref()));
        say("others come before", with_reason(nodes, |advice| advice.poor.as_ref()));
        for image in images {
            say(&format!("image {image} is on"), having(nodes, image));
        }
        text
    }

    /// For programs; null where there is none.
    pub(super) fn json(&self) -> Value {
        let reasons = |nodes: &[Advice], of: fn(&Advice) -> Option<&String>| -> Vec<Value> {
            let said = nodes.iter().filter_map(|advice| Some((&advice.host, of(advice)?)));
            said.map(|(host, why)| json!({ "host": host, "why": why })).collect()
        };
        match self {
            Self::None => Value::Null,
            Self::Silent => json!({ "server": null }),
            Self::Seen { server, nodes, images } => json!({
                "server": server,
                "closed": reasons(nodes, |advice| advice.closed.as_ref()),
                "avoided": reasons(nodes, |advice| advice.poor.as_ref()),
                "images": images.iter().map(|image| (image.clone(), json!(having(nodes, image)))).collect::<Map<_, _>>(),
            }),
        }
    }
}

fn with_reason(nodes: &[Advice], of: impl Fn(&Advice) -> Option<&String>) -> Vec<String> {
    nodes.iter().filter_map(|advice| Some(format!("{} ({})", advice.host, of(advice)?))).collect()
}

fn having(nodes: &[Advice], image: &String) -> Vec<String> {
    nodes.iter().filter(|advice| advice.images.contains(image)).map(|advice| advice.host.clone()).collect()
}

fn listed(names: &[String]) -> String {
    match names.len().checked_sub(MOST).filter(|more| *more > 0) {
        None => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..MOST].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_the_roster_keeps_away_and_where_images_are() {
        let node = |host: &str| Advice { host: host.to_owned(), ..Advice::default() };
        let image = "busybox:1".to_owned();
        let nodes = vec![
            Advice { closed: Some("drained by ann".to_owned()), ..node("n1") },
            Advice { poor: Some("/d is tight".to_owned()), images: vec![image.clone()], ..node("n2") },
            node("n3"),
        ];
        let seen = Roster::Seen { server: "s1:7311".to_owned(), nodes, images: vec![image] };
        let text = seen.text(&Cluster::default());
        let want = "roster of s1:7311: knows 3 of 0 nodes\n  nothing is asked for on: n1 (drained by ann)\n  others come before: n2 (/d is tight)\n  image busybox:1 is on: n2\n";
        assert_eq!(text, want);
        let json = seen.json();
        assert_eq!(json["closed"][0]["why"], "drained by ann");
        assert_eq!((&json["avoided"][0]["host"], &json["images"]["busybox:1"][0]), (&json!("n2"), &json!("n2")));
        assert_eq!((Roster::None.json(), Roster::None.text(&Cluster::default())), (Value::Null, String::new()));
        assert!(Roster::Silent.text(&Cluster::default()).contains("within 200 ms"));
    }
}
