//! Ports of attempts: at which addresses of this machine they are asked for, and where they are then.
//!
//! Without an address, one machine gives its loopback, so that nothing of a developer's machine is open to others
//! unasked; a cluster's gives all its addresses, for nobody sits at it.

use std::net::{IpAddr, Ipv4Addr};

use dybox_engine::{Engine, EngineError, Kind};
use dybox_logic::proxy::Event;
use dybox_model::{Cause, Port, PortRange, Published, TaskSpec};
use dybox_store::policy::of_machine;

use crate::conf::Places;
use crate::inbox::Arrived;
use crate::ports::Ports;
use crate::start::Refused;

/// The attempt with the addresses and choices of ports that this machine gives it; nothing where it has no ports.
pub(crate) fn with_addresses(places: &Places, spec: &TaskSpec) -> Result<Option<TaskSpec>, Refused> {
    if spec.ports.is_empty() {
        return Ok(None);
    }
    let rules = of_machine().map_err(|bad| Refused { cause: Cause::Policy, text: bad.to_string() })?;
    let unsaid = if places.far.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let given = |port: &Port| {
        let port = rules.as_ref().map_or_else(|| port.clone(), |rules| rules.within(port));
        Port { address: port.address.or(Some(IpAddr::V4(unsaid))), ..port }
    };
    Ok(Some(TaskSpec { ports: spec.ports.iter().map(given).collect(), ..spec.clone() }))
}

/// Tells where the ports of a container that runs are. That nobody can tell is no reason to end it.
pub(crate) async fn tell(ports: &Ports, engine: &Engine, spec: &TaskSpec, container: &str) {
    if spec.ports.is_empty() {
        return;
    }
    match engine.inspect(container).await {
        Ok(seen) => {
            let found = seen.map(|seen| seen.ports).unwrap_or_default();
            let all = found.into_iter().map(|one| reached(&ports.places, one)).collect();
            ports.arrive(Arrived::Published(spec.attempt, all));
        }
        Err(error) => tracing::warn!(attempt = %spec.attempt, %error, "can't tell where its ports are"),
    }
}

/// What is bound to all addresses is reached at the machine's name, or right here.
fn reached(places: &Places, port: Published) -> Published {
    let Some(address) = port.host.parse::<IpAddr>().ok().filter(IpAddr::is_unspecified) else { return port };
    let host = match (&places.far, address) {
        (Some(far), _) => far.host.clone(),
        (None, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.to_string(),
        (None, IpAddr::V6(_)) => std::net::Ipv6Addr::LOCALHOST.to_string(),
    };
    Published { host, ..port }
}

/// The refusal of a port that is taken. On a cluster another machine may have it free: this grant takes no further
/// task, so that the next try comes elsewhere.
pub(crate) fn taken(ports: &Ports, spec: &TaskSpec, error: &EngineError) -> Option<Refused> {
    if error.kind != Kind::PortTaken {
        return None;
    }
    let wanted = which(&spec.ports, &error.text);
    Some(match &ports.places.far {
        None => Refused { cause: Cause::PortTaken, text: format!("{wanted}: {}", reason(&error.text)) },
        Some(far) => {
            let text = format!("{wanted} of {}: {}", far.host, reason(&error.text));
            ports.tell(Event::EngineLost { why: text.clone() });
            Refused { cause: Cause::PortTakenThere, text }
        }
    })
}

/// A look at more ports than this is too long for a start.
const OTHERS_MAX: u16 = 15;

/// How many ports the engine may try after the first, of the longest range.
pub(crate) fn others(ports: &[Port]) -> u16 {
    let more = ports.iter().filter_map(|port| port.host).map(|host| host.last - host.first);
    more.max().unwrap_or(0).min(OTHERS_MAX)
}

/// Whether another program has taken a port of a range, of which another one would do. The engine itself looks past what
/// its containers have, and not past this.
pub(crate) fn is_one_of_many(ports: &[Port], error: &EngineError) -> bool {
    error.kind == Kind::PortTaken && named(ports, &error.text).is_some_and(|(_, host)| host.first < host.last)
}

/// The engine's reason, without the endpoint that it names first.
fn reason(words: &str) -> &str {
    words.split_once("): ").map_or(words, |(_, reason)| reason)
}

/// The port that the engine's words are about, or all that were asked for.
fn which(ports: &[Port], words: &str) -> String {
    match named(ports, words) {
        Some((port, _)) => format!("port {port}"),
        None => {
            let hosts = ports.iter().filter_map(|port| port.host);
            format!("port {}", hosts.map(|host| host.to_string()).collect::<Vec<_>>().join(" or "))
        }
    }
}

/// The port that the engine's words are about, and as what it was asked for.
fn named(ports: &[Port], words: &str) -> Option<(u16, PortRange)> {
    let tail = |word: &str| word.trim_end_matches(':').rsplit_once(':')?.1.parse::<u16>().ok();
    let asked = |port| ports.iter().filter_map(|port| port.host).find(|host| host.has(PortRange::one(port)));
    words.split_whitespace().filter_map(tail).find_map(|port| Some((port, asked(port)?)))
}

#[cfg(test)]
mod tests {
    use dybox_model::Protocol;

    use super::*;

    #[test]
    fn the_engines_words_tell_which_port_is_taken() {
        let port = |host| Port { container: 80, protocol: Protocol::Tcp, address: None, host };
        let asked = [port(None), port(Some(PortRange::one(8080))), port(Some(PortRange { first: 9000, last: 9009 }))];
        let said = "driver failed programming: Bind for 127.0.0.1:8080 failed: port is already allocated";
        assert_eq!(which(&asked, said), "port 8080");
        let said = "Error starting userland proxy: listen tcp4 0.0.0.0:9003: bind: address already in use";
        assert_eq!(which(&asked, said), "port 9003");
        let whole = format!("driver failed on endpoint dybox-x (0aa3): {said}");
        assert_eq!(reason(&whole), said);
        assert_eq!(which(&asked, "all ports are allocated"), "port 8080 or 9000-9009");
        let many = |words: &str| is_one_of_many(&asked, &EngineError::new("start", Kind::PortTaken, words));
        assert!(many(said) && !many("Bind for 127.0.0.1:8080 failed") && !many("all ports are allocated"));
        assert!(!is_one_of_many(&asked, &EngineError::new("start", Kind::BadOptions, said)));
        assert_eq!((others(&asked), others(&asked[..2])), (9, 0));
        assert_eq!(others(&[port(Some(PortRange { first: 1, last: u16::MAX }))]), OTHERS_MAX);
    }
}
