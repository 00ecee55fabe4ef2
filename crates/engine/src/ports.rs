//! Ports that others reach: as the engine is asked for them, and as it says that they are.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{ContainerCreateBody, HostConfig, PortBinding, PortMap};
use dybox_model::{Port, Protocol, Published};

/// Asks for ports. One without a choice of the machine's gets any that is free, one with a range any of that.
pub(crate) fn publish(body: &mut ContainerCreateBody, host: &mut HostConfig, ports: &[Port]) {
    if ports.is_empty() {
        return;
    }
    let mut bindings: PortMap = HashMap::new();
    for port in ports {
        let binding = PortBinding {
            host_ip: port.address.map(|address| address.to_string()),
            host_port: port.host.map(|host| host.to_string()),
        };
        bindings.entry(name(port)).or_default().get_or_insert_default().push(binding);
    }
    let mut exposed: Vec<String> = bindings.keys().cloned().collect();
    exposed.sort_unstable();
    body.exposed_ports = Some(exposed);
    host.port_bindings = Some(bindings);
}

/// `80/tcp`
fn name(port: &Port) -> String {
    format!("{}/{}", port.container, port.protocol.word())
}

/// What of a container can be reached, sorted. `host` is the machine's address as it is bound: it may be that of all.
pub(crate) fn published(ports: PortMap) -> Vec<Published> {
    let mut all: Vec<Published> = ports
        .into_iter()
        .filter_map(|(name, bindings)| Some((parse(&name)?, bindings.unwrap_or_default())))
        .flat_map(|((container, protocol), bindings)| {
            bindings.into_iter().filter_map(move |binding| {
                let port = binding.host_port?.parse().ok().filter(|&port| port > 0)?;
                let host = binding.host_ip.filter(|host| host.parse::<IpAddr>().is_ok());
                Some(Published { container, protocol, host: host.unwrap_or_else(|| "0.0.0.0".to_owned()), port })
            })
        })
        .collect();
    all.sort_unstable();
    all
}

fn parse(name: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = name.split_once('/')?;
    let protocol = [Protocol::Tcp, Protocol::Udp].into_iter().find(|known| known.word() == protocol)?;
    Some((port.parse().ok()?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(host: &str, port: &str) -> PortBinding {
        PortBinding { host_ip: Some(host.to_owned()), host_port: Some(port.to_owned()) }
    }

    #[test]
    fn what_the_engine_says_is_read_and_what_is_only_exposed_is_left_out() {
        let said = HashMap::from([
            ("80/tcp".to_owned(), Some(vec![binding("127.0.0.1", "32768"), binding("", "8080")])),
            ("53/udp".to_owned(), Some(vec![binding("::1", "53")])),
            ("443/tcp".to_owned(), None),
            ("9/sctp".to_owned(), Some(vec![binding("0.0.0.0", "9")])),
            ("10/tcp".to_owned(), Some(vec![binding("0.0.0.0", "")])),
        ]);
        let all: Vec<String> = published(said).iter().map(ToString::to_string).collect();
        assert_eq!(all, ["port 53/udp at [::1]:53", "port 80 at 0.0.0.0:8080", "port 80 at 127.0.0.1:32768"]);
    }
}
