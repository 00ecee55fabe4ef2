//! What an agent says every few seconds, as fields: a state server hears it a thousand times a second.

use dybox_model::Millis;
use dybox_model::roster::{Arrival, Canary, Disk, Mark, Pressure, Pulse};
use dybox_model::sweep::{Sweep, Tally};

use super::NodeReport;
use super::view::{facts_in, facts_out};
use crate::proto::{self, pulse as said};

/// What is to be said.
pub(super) fn report_out(report: NodeReport) -> proto::NodeReport {
    let NodeReport { host, seq, pulse, facts } = report;
    proto::NodeReport { host, seq, pulse: Some(pulse_out(pulse)), facts: facts.map(facts_out) }
}

/// What was said.
///
/// # Errors
/// What of it can't be understood.
pub(super) fn report_in(message: proto::NodeReport) -> Result<NodeReport, String> {
    let proto::NodeReport { host, seq, pulse, facts } = message;
    let pulse = pulse_in(pulse.ok_or("it says nothing of now")?)?;
    Ok(NodeReport { host, seq, pulse, facts: facts.map(facts_in).transpose()? })
}

pub(super) fn pulse_out(pulse: Pulse) -> proto::Pulse {
    let Pulse { at, ping, list, trouble, running, disks, pressure, canary, sweep, arrivals, mark } = pulse;
    let disk = |Disk { of, path, free, total }| said::Disk { of, path, free, total };
    let share = |share: Option<u16>| share.map(u32::from);
    let Pressure { cpu, io, memory } = pressure;
    let told = said::Pressure { cpu: share(cpu), io: share(io), memory: share(memory) };
    let arrival = |Arrival { image, took, at, why }| said::Arrival { image, took: took.0, at: at.0, why };
    proto::Pulse {
        at: at.0,
        ping: ping.map(|took| took.0),
        list: list.map(|took| took.0),
        trouble,
        running,
        disks: disks.into_iter().map(disk).collect(),
        pressure: Some(told).filter(|_| !pressure.is_none()),
        canary: canary.map(|Canary { at, why }| said::Canary { at: at.0, why }),
        sweep: sweep.map(sweep_out),
        arrivals: arrivals.into_iter().map(arrival).collect(),
        mark: (!mark.is_none()).then(|| mark_out(mark)),
    }
}

pub(super) fn pulse_in(message: proto::Pulse) -> Result<Pulse, String> {
    let proto::Pulse { at, ping, list, trouble, running, disks, pressure, canary, sweep, arrivals, mark } = message;
    let disk = |said::Disk { of, path, free, total }| Disk { of, path, free, total };
    let arrival = |said::Arrival { image, took, at, why }| Arrival { image, took: Millis(took), at: Millis(at), why };
    Ok(Pulse {
        at: Millis(at),
        ping: ping.map(Millis),
        list: list.map(Millis),
        trouble,
        running,
        disks: disks.into_iter().map(disk).collect(),
        pressure: pressure.map(pressure_in).transpose()?.unwrap_or_default(),
        canary: canary.map(|said::Canary { at, why }| Canary { at: Millis(at), why }),
        sweep: sweep.map(sweep_in),
        arrivals: arrivals.into_iter().map(arrival).collect(),
        mark: mark.map(mark_in).unwrap_or_default(),
    })
}

pub(super) fn mark_out(Mark { rev, drained, why, by, at }: Mark) -> said::Mark {
    said::Mark { rev, drained, why, by, at: at.0 }
}

pub(super) fn mark_in(said::Mark { rev, drained, why, by, at }: said::Mark) -> Mark {
    Mark { rev, drained, why, by, at: Millis(at) }
}

fn pressure_in(message: said::Pressure) -> Result<Pressure, String> {
    let share = |share: Option<u32>| {
        let share = share.map(|share| u16::try_from(share).map_err(|_| format!("{share} thousandths of a minute")));
        share.transpose()
    };
    let said::Pressure { cpu, io, memory } = message;
    Ok(Pressure { cpu: share(cpu)?, io: share(io)?, memory: share(memory)? })
}

fn sweep_out(sweep: Sweep) -> said::Sweep {
    let Sweep { number, at, took, dry_run, homes, removed, unproven, kept, images, bytes, troubles, orders } = sweep;
    let tally = |Tally { containers, networks, grants, cgroups, runs }| {
        let said = said::Tally { containers, networks, grants, cgroups, runs };
        Some(said).filter(|said| *said != said::Tally::default())
    };
    let (removed, unproven) = (tally(removed), tally(unproven));
    let (at, took) = (at.0, took.0);
    said::Sweep { number, at, took, dry_run, homes, removed, unproven, kept, images, bytes, troubles, orders }
}

fn sweep_in(message: said::Sweep) -> Sweep {
    let said::Sweep { number, at, took, dry_run, homes, removed, unproven, kept, images, bytes, troubles, orders } =
        message;
    let tally = |said: Option<said::Tally>| {
        let said::Tally { containers, networks, grants, cgroups, runs } = said.unwrap_or_default();
        Tally { containers, networks, grants, cgroups, runs }
    };
    let (removed, unproven) = (tally(removed), tally(unproven));
    let (at, took) = (Millis(at), Millis(took));
    Sweep { number, at, took, dry_run, homes, removed, unproven, kept, images, bytes, troubles, orders }
}

#[cfg(test)]
mod tests {
    use dybox_model::roster::{NodeFacts, NodeImage};
    use prost::Message;

    use super::*;

    fn over_the_line(report: &NodeReport) -> Result<NodeReport, String> {
        report_in(proto::NodeReport::decode(report_out(report.clone()).encode_to_vec().as_slice()).unwrap())
    }

    /// One in which every field is otherwise than in a new one, and than its neighbours.
    fn full() -> Pulse {
        let word = |n: u64| format!("word {n}");
        let tally = |n: u32| Tally { containers: n, networks: n + 1, grants: n + 2, cgroups: n + 3, runs: n + 4 };
        Pulse {
            at: Millis(1),
            ping: Some(Millis(2)),
            list: Some(Millis(3)),
            trouble: word(4),
            running: 5,
            disks: vec![Disk { of: word(6), path: word(7), free: 8, total: u64::MAX }, Disk::default()],
            pressure: Pressure { cpu: Some(0), io: Some(u16::MAX), memory: Some(9) },
            canary: Some(Canary { at: Millis(10), why: word(11) }),
            sweep: Some(Sweep {
                number: 12,
                at: Millis(13),
                took: Millis(14),
                dry_run: true,
                homes: 15,
                removed: tally(20),
                unproven: tally(30),
                kept: 40,
                images: 41,
                bytes: 42,
                troubles: vec![word(43), word(44)],
                orders: vec![word(45)],
            }),
            arrivals: vec![Arrival { image: word(50), took: Millis(51), at: Millis(52), why: word(53) }],
            mark: Mark { rev: 60, drained: true, why: word(61), by: word(62), at: Millis(63) },
        }
    }

    #[test]
    fn what_is_said_is_what_is_heard() {
        let image = NodeImage { id: "sha256:1".to_owned(), names: vec!["busybox:1".to_owned()], size: 7 };
        let facts = NodeFacts { engine: "20".to_owned(), images: vec![image], ..NodeFacts::default() };
        // Zero is not nothing, and a sweep that found nothing is a sweep.
        let zero = Pulse {
            ping: Some(Millis(0)),
            list: Some(Millis(0)),
            canary: Some(Canary { at: Millis(0), why: String::new() }),
            sweep: Some(Sweep::default()),
            arrivals: vec![Arrival::default()],
            ..Pulse::default()
        };
        let half = Pulse { pressure: Pressure { io: Some(0), ..Pressure::default() }, ..Pulse::default() };
        for pulse in [full(), Pulse::default(), zero, half] {
            for facts in [None, Some(facts.clone())] {
                let report = NodeReport { host: "n1".to_owned(), seq: 9, pulse: pulse.clone(), facts };
                assert_eq!(over_the_line(&report).as_ref(), Ok(&report));
            }
        }
    }

    #[test]
    fn what_is_no_report_is_said_to_be_none() {
        let good = report_out(NodeReport { host: "n1".to_owned(), seq: 9, pulse: full(), facts: None });
        assert_eq!(report_in(proto::NodeReport { pulse: None, ..good.clone() }).unwrap_err(), "it says nothing of now");
        let mut pressed = good.clone();
        let cpu = Some(u32::from(u16::MAX) + 1);
        pressed.pulse.as_mut().unwrap().pressure = Some(said::Pressure { cpu, ..said::Pressure::default() });
        assert_eq!(report_in(pressed).unwrap_err(), "65536 thousandths of a minute");
        let facts = proto::Facts { cgroup: 256, ..proto::Facts::default() };
        let why = report_in(proto::NodeReport { facts: Some(facts), ..good }).unwrap_err();
        assert_eq!(why, "cgroup version 256");
    }
}
