//! `ports`: which ports of a task others can reach, and at which ones of the machine.

use std::net::IpAddr;

use dybox_model::policy::left_to_administrator;
use dybox_model::{FIRST_FREE_PORT, Network, Port, PortRange, Protocol};

use crate::draft::{Body, Stage};
use crate::node::Node;
use crate::reader::{Reader, Spot};
use crate::text::Span;

/// Most ports of one stage: the engine has a process for each.
const MOST: u32 = 64;
/// How a port is written.
const FORMS: &str = "write 80, \"8080:80\", \"127.0.0.1:8080:80\", \"53:53/udp\" or \"9000-9002\"";

/// Reads `ports`: `[[address:]host:]container[/protocol]`.
pub(crate) fn ports(reader: &mut Reader, node: &Node) -> Option<Vec<Spot<Port>>> {
    let items = reader.texts(node, "ports")?;
    let mut all: Vec<Spot<Port>> = Vec::new();
    for item in items {
        match parse(&item.value) {
            Ok(ports) if all.len() + ports.len() > MOST as usize => {
                let message = format!("the stage publishes more than {MOST} ports");
                reader.report.error("E0216", item.span, message).help("publish those that are spoken to from outside");
                return None;
            }
            Ok(ports) => all.extend(ports.into_iter().map(|value| Spot { value, span: item.span })),
            Err(why) => {
                let message = format!("{:?} is no port", item.value);
                reader.report.error("E0530", item.span, message).label(why).help(FORMS);
            }
        }
    }
    twice(reader, &all);
    Some(all)
}

/// The ports that a text names; a range of the container's has one of the machine's for each.
fn parse(text: &str) -> Result<Vec<Port>, String> {
    let (rest, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some((_, other)) => return Err(format!("{other:?} is neither tcp nor udp")),
    };
    let (rest, container) = rest.rsplit_once(':').map_or((None, rest), |(rest, port)| (Some(rest), port));
    let container = PortRange::parse(container)?;
    let (address, host) = match rest.map(|rest| rest.rsplit_once(':').ok_or(rest)) {
        None => (None, None),
        Some(Err(host)) => (None, Some(host)),
        Some(Ok((address, host))) => (Some(self::address(address)?), Some(host).filter(|host| !host.is_empty())),
    };
    let host = host.map(PortRange::parse).transpose()?;
    if container.count() > MOST {
        return Err(format!("these are {} ports, and at most {MOST} are published", container.count()));
    }
    let one = |at: u32, port: u16| {
        let host = match host {
            // Any of several for one.
            Some(range) if container.count() == 1 => Some(range),
            Some(range) if range.count() == container.count() => {
                u16::try_from(at).ok().map(|at| PortRange::one(range.first + at))
            }
            Some(range) => return Err(format!("{range} are {} ports for {}", range.count(), container.count())),
            None => None,
        };
        Ok(Port { container: port, protocol, address, host })
    };
    (0u32..).zip(container.first..=container.last).map(|(at, port)| one(at, port)).collect()
}

fn address(text: &str) -> Result<IpAddr, String> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = inner.parse::<IpAddr>().map_err(|_| format!("{text:?} is no address of a machine"))?;
    match address.is_ipv6() && inner == text {
        true => Err(format!("write [{text}], so that its colons are told from the ports'")),
        false => Ok(address),
    }
}

/// Reports what is there twice, and ports of the machine that two of the container's want.
fn twice(reader: &mut Reader, all: &[Spot<Port>]) {
    for (at, Spot { value: port, span }) in all.iter().enumerate() {
        let Some(other) = all[..at].iter().find(|other| clash(&other.value, port)) else { continue };
        let message = match port.host.filter(|_| other.value.container != port.container) {
            Some(host) => format!("port {host} of the machine is given away twice"),
            None => format!("port {} is published twice", port.container),
        };
        let note = format!("the other one is at {}", reader.report.text.short(other.span));
        reader.report.error("E0531", *span, message).note(note).help("keep one of them");
    }
}

fn clash(one: &Port, other: &Port) -> bool {
    let anywhere = |port: &Port| port.address.is_none_or(|address| address.is_unspecified());
    let meet = one.address == other.address || anywhere(one) || anywhere(other);
    one.protocol == other.protocol
        && match (one.host, other.host) {
            // Of a range the engine takes what the other leaves.
            (Some(one), Some(other)) => meet && one.count() == 1 && one == other,
            (None, None) => one.container == other.container && one.address == other.address,
            _ => false,
        }
}

/// What ports say beside the stage's other keys: they need a network, and room on a machine.
pub(crate) fn check(reader: &mut Reader, body: &mut Body) {
    let Some(first) = body.ports.iter().flatten().next().map(|port| port.span) else { return };
    match &body.network {
        // Who publishes a port has asked for a network.
        None => body.network = Some(Network::Bridge),
        Some(Network::None) => {
            let message = "\"ports\" and \"network\": none can't both be given";
            let note = "without a network nobody can reach the task";
            reader.report.error("E0206", first, message).note(note).help("write network: bridge, or take ports away");
        }
        Some(_) => {}
    }
    low(reader, body);
}

/// Ports that only an administrator gives away.
fn low(reader: &mut Reader, body: &Body) {
    if !reader.world.is_cluster() {
        return;
    }
    let silent = reader.policy.rules.iter().all(|rules| rules.published_ports.is_none());
    let low = |spot: &&Spot<Port>| left_to_administrator(None, std::slice::from_ref(&spot.value)).is_some();
    let found =
        body.ports.iter().flatten().find(low).filter(|_| silent).map(|spot| (spot.value.to_string(), spot.span));
    if let Some((port, span)) = found {
        let message =
            format!("port {port} is below {FIRST_FREE_PORT}, which a cluster's machines give to nobody by themselves");
        let note = format!("{} has no `published_ports`", reader.policy.file.display());
        let help = format!("take a port from {FIRST_FREE_PORT} on, or ask the administrator");
        reader.report.error("E0809", span, message).note(note).help(help);
    }
}

/// Reports ports of a machine that several tasks of the stage would want at a time.
pub(crate) fn check_tasks(reader: &mut Reader, stage: &Stage) {
    let items = stage.each.as_ref().map(|each| each.items.as_ref().map(Vec::len));
    let tasks = match items {
        Some(None) => None,
        Some(Some(items)) => Some(u32::try_from(items).unwrap_or(u32::MAX)),
        None => Some(stage.body.parallelism.unwrap_or(1)),
    };
    let scarce = |host: PortRange| tasks.is_none_or(|tasks| tasks > host.count());
    let mut ports = stage.body.ports.iter().flatten();
    let Some((host, port, span)) = ports.find_map(|spot| {
        let host = spot.value.host.filter(|&host| scarce(host))?;
        Some((host, Port { host: None, ..spot.value.clone() }, spot.span))
    }) else {
        return;
    };
    let (placement, name) = (&stage.body.placement, &stage.name.value);
    let many = tasks.map_or("a task for each item".to_owned(), |tasks| format!("{tasks} tasks"));
    let message = format!("stage {name:?} has {many}, and each wants port {host} of its machine");
    report(reader, span, message, (&port, placement.spread.is_some() && placement.hard != Some(false)));
}

fn report(reader: &mut Reader, span: Span, message: String, (port, spread): (&Port, bool)) {
    let help = format!("leave out the host port: \"{port}\"; `dybox status` tells which one each task got");
    match reader.world.is_cluster() {
        true if spread => {}
        true => {
            let note = "where two of them come to one machine, the second one is tried again elsewhere, or later";
            let help = format!("{help}; or add placement: {{ spread: host }}");
            reader.report.warning("W0532", span, message).note(note).help(help);
        }
        false => {
            reader.report.error("E0532", span, message).note("they run on one machine").help(help);
        }
    }
}
