//! The state servers: each is asked.

use std::time::Instant;

use dybox_model::roster::Health;

use super::Finding;
use crate::command::Context;
use crate::command::servers::Servers;
use crate::report::chain;

const PART: &str = "state servers";

/// Asks every server. Runs go on without them, so nothing here is a failure.
pub(super) async fn look(context: &Context) -> Vec<Finding> {
    let servers = match Servers::of(context) {
        Ok(Some(servers)) => servers,
        Ok(None) => return Vec::new(),
        Err(failure) => {
            let next = failure.next.clone().unwrap_or_default();
            return vec![Finding::warn(PART, "certificate", failure.what.clone(), next)];
        }
    };
    let mut found = Vec::new();
    for address in &servers.addresses {
        let start = Instant::now();
        found.push(match servers.ask(address).await {
            Err(error) => Finding::warn(PART, address, chain(&error), error.advice()),
            Ok(view) => {
                let well = view.nodes.iter().filter(|node| node.health == Health::Healthy).count();
                let words = format!(
                    "{well} of {} nodes are healthy; answered in {} ms",
                    view.nodes.len(),
                    start.elapsed().as_millis()
                );
                match view.troubles.as_slice() {
                    [] => Finding::ok(PART, address.clone(), words),
                    troubles => Finding::warn(
                        PART,
                        address,
                        format!("{words}; {}", troubles.join("; ")),
                        "look at the disk of that server's --dir",
                    ),
                }
            }
        });
    }
    found
}
