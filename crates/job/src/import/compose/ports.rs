//! `ports` of a service.

use super::Compose;
use crate::import::out::{Mapping, Out};
use crate::node::{Key, Node};
use crate::reader::Reader;

/// Ports are written as compose has them in short; its long form is made shorter.
pub(super) fn put(compose: &mut Compose, reader: &mut Reader, stage: &mut Mapping, (key, node): (&Key, &Node)) {
    let mut ports = Vec::new();
    for item in node.items() {
        match item.said().map(str::to_owned).or_else(|| long(item)) {
            Some(port) if port.ends_with("/sctp") => {
                reader.no_counterpart(stage, key, &format!("{port}: ports are of tcp or udp"));
            }
            Some(port) => ports.push(compose.variables.fill(port.trim_end_matches("/tcp"))),
            None => reader.no_counterpart(stage, key, "it names no port of the container"),
        }
    }
    if !ports.is_empty() {
        stage.put("ports", Out::texts(ports));
    }
}

/// `{target: 80, published: "8080", host_ip: 127.0.0.1, protocol: udp}`
fn long(item: &Node) -> Option<String> {
    let said = |key: &str| item.get(key).and_then(Node::said);
    let mut port = said("target")?.to_owned();
    let published = said("published").filter(|published| *published != "0");
    if let Some(published) = published {
        port = format!("{published}:{port}");
    }
    if let Some(address) = said("host_ip") {
        let address = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        port = if published.is_some() { format!("{address}:{port}") } else { format!("{address}::{port}") };
    }
    Some(match said("protocol") {
        Some(protocol) => format!("{port}/{protocol}"),
        None => port,
    })
}
