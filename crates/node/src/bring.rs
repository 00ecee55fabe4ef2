//! Images that masters wish for: a few at a time, each by a process of its own, and only where there is room.

use std::collections::{BTreeMap, VecDeque};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use dybox_model::roster::{Arrival, BringOrder, Pulse};
use dybox_model::{ImageRef, Millis};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::conf::{Bringing, Conf};
use crate::line::Seen;
use crate::probe::now;
use crate::process::answer;
use crate::sweep::is_pressed;

/// Wishes that wait; one more is dropped.
const MOST_WAITING: usize = 8;
/// Of them and of those in hand, of one run.
const MOST_OF_RUN: usize = 4;
/// Arrivals that are told, and for how long.
const TOLD: usize = 8;
const TOLD_FOR: Millis = Millis::from_secs(120);
/// For one image: a pull without progress ends much sooner.
const LIMIT: Duration = Duration::from_secs(3600);
/// Of an answer.
const ANSWER_MOST: u64 = 64 << 10;

/// Wishes that wait and are in hand, and what came.
#[derive(Debug, Default)]
struct Wishes {
    waiting: VecDeque<BringOrder>,
    /// Images that come now, each with the run that wished first.
    running: BTreeMap<String, String>,
    arrivals: Vec<Arrival>,
}

impl Wishes {
    /// Takes a wish in, or says why not. The same image is brought once, whoever wishes it.
    fn take(&mut self, order: BringOrder) -> Result<(), &'static str> {
        let known = self.running.contains_key(&order.image) || self.waiting.iter().any(|one| one.image == order.image);
        if known {
            return Ok(());
        }
        let waiting = self.waiting.iter().map(|one| &one.run);
        let of_run = self.running.values().chain(waiting).filter(|run| **run == order.run).count();
        if self.waiting.len() >= MOST_WAITING || of_run >= MOST_OF_RUN {
            return Err("too many wait");
        }
        self.waiting.push_back(order);
        Ok(())
    }

    /// The next one to bring, where fewer than `at_once` are in hand.
    fn next(&mut self, at_once: usize) -> Option<String> {
        if self.running.len() >= at_once {
            return None;
        }
        let BringOrder { image, run } = self.waiting.pop_front()?;
        self.running.insert(image.clone(), run);
        Some(image)
    }

    /// One is not in hand any more; whether there is something to tell.
    fn done(&mut self, image: &str, arrival: Option<Arrival>, now: Millis) -> bool {
        self.running.remove(image);
        let news = arrival.is_some();
        self.arrivals.extend(arrival);
        self.arrivals.retain(|one| now.since(one.at) <= TOLD_FOR);
        let surplus = self.arrivals.len().saturating_sub(TOLD);
        self.arrivals.drain(..surplus);
        news
    }
}

/// Why an image is not brought, whoever wishes it.
fn untrusted(rules: &Bringing, image: &str) -> Option<String> {
    if ImageRef::parse(image).is_err() {
        return Some("it is no image reference".to_owned());
    }
    rules.policy.as_ref()?.image(image).map(|refusal| refusal.to_string())
}

/// Why nothing is brought here now, as far as this machine knows.
fn unfit(conf: &Conf, pulse: &Pulse) -> Option<String> {
    if pulse.mark.drained {
        return Some("the machine is drained".to_owned());
    }
    if pulse.list.is_none() {
        return Some("the engine does not answer".to_owned());
    }
    let full = pulse.disks.iter().find(|disk| disk.of == "engine" && is_pressed(&conf.cleaning.images, disk));
    full.map(|disk| format!("{} is more than {} % full", disk.path, conf.cleaning.images.high))
}

/// Makes the place where it is noted what was brought. What can't be noted would never be removed.
pub(crate) fn is_able(rules: &Bringing) -> bool {
    if rules.at_once == 0 {
        return false;
    }
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&rules.home);
    let write = made.and_then(|()| tempfile_in(&rules.home));
    if let Err(error) = &write {
        let path = rules.home.display();
        tracing::info!(%path, %error, "no images are brought in advance: nobody could note them there");
    }
    write.is_ok()
}

fn tempfile_in(dir: &std::path::Path) -> std::io::Result<()> {
    let probe = dir.join(format!("probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}

/// Brings images for as long as the agent lives; what came is told through `tell`.
pub(crate) async fn keep_bringing(
    conf: Arc<Conf>,
    mut wanted: mpsc::Receiver<BringOrder>,
    seen: watch::Receiver<Option<Seen>>,
    tell: watch::Sender<Vec<Arrival>>,
) {
    let (mut wishes, mut pulls) = (Wishes::default(), JoinSet::new());
    loop {
        while let Some(image) = wishes.next(conf.bringing.at_once) {
            let pulse = seen.borrow().as_ref().map(|seen| seen.pulse.clone()).unwrap_or_default();
            if let Some(why) = unfit(&conf, &pulse) {
                tracing::info!(image, why, "not brought in advance");
                wishes.done(&image, None, now());
                continue;
            }
            let command = command(&conf, &image);
            pulls.spawn(async move { (bring(command, &image).await, image) });
        }
        tokio::select! {
            // The lines live as long as the agent.
            Some(order) = wanted.recv() => take(&conf, &mut wishes, order),
            Some(done) = pulls.join_next() => {
                let Ok((arrival, image)) = done else { continue };
                if wishes.done(&image, arrival, now()) {
                    tell.send_replace(wishes.arrivals.clone());
                }
            }
        }
    }
}

fn take(conf: &Conf, wishes: &mut Wishes, order: BringOrder) {
    let (image, run) = (order.image.clone(), order.run.clone());
    let refused = untrusted(&conf.bringing, &image).or_else(|| wishes.take(order).err().map(str::to_owned));
    if let Some(why) = refused {
        tracing::info!(image, run, why, "not brought in advance");
    }
}

fn command(conf: &Conf, image: &str) -> Command {
    let mut command = Command::new(&conf.cleaning.program);
    command.arg0("dybox").arg("bring-image").arg("--home").arg(&conf.bringing.home).arg("--").arg(image);
    command.envs(conf.engine.host.as_ref().map(|host| ("DOCKER_HOST", host)));
    command.env("DYBOX_RUN_DIR", &conf.cleaning.run_dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Nothing where it was there already.
async fn bring(command: Command, image: &str) -> Option<Arrival> {
    let said = answer::<Option<Arrival>>(command, "the pull", (LIMIT, ANSWER_MOST)).await;
    let arrival = said.unwrap_or_else(|why| Some(Arrival { image: image.to_owned(), took: Millis(0), at: now(), why }));
    match &arrival {
        None => tracing::info!(image, "it was there already"),
        Some(Arrival { why, took, .. }) if why.is_empty() => tracing::info!(image, ms = took.0, "brought in advance"),
        Some(Arrival { why, .. }) => tracing::info!(image, why, "not brought in advance"),
    }
    arrival
}

#[cfg(test)]
mod tests {
    use dybox_model::policy::Rules;
    use dybox_model::roster::{Disk, Mark};

    use super::*;

    fn order(image: &str, run: &str) -> BringOrder {
        BringOrder { image: image.to_owned(), run: run.to_owned() }
    }

    fn arrival(image: &str, at: u64) -> Arrival {
        Arrival { image: image.to_owned(), at: Millis(at), ..Arrival::default() }
    }

    #[test]
    fn an_image_is_brought_once_and_a_few_at_a_time() {
        let mut wishes = Wishes::default();
        for (image, run) in [("a", "one"), ("b", "one"), ("a", "two"), ("c", "two")] {
            wishes.take(order(image, run)).unwrap();
        }
        assert_eq!([wishes.next(2), wishes.next(2), wishes.next(2)], [Some("a".into()), Some("b".into()), None]);
        wishes.take(order("a", "three")).unwrap();
        assert!(wishes.done("a", Some(arrival("a", 5)), Millis(5)));
        assert_eq!([wishes.next(2), wishes.next(2)], [Some("c".into()), None]);
        assert!(!wishes.done("b", None, Millis(6)), "it was there");
        assert_eq!(wishes.arrivals, [arrival("a", 5)]);
    }

    #[test]
    fn no_run_takes_all_the_room_and_there_is_an_end_to_it() {
        let mut wishes = Wishes::default();
        for number in 0..4 {
            wishes.take(order(&format!("a{number}"), "one")).unwrap();
        }
        wishes.next(1);
        assert!(wishes.take(order("a4", "one")).is_err(), "one of them is in hand");
        for number in 0..5 {
            wishes.take(order(&format!("b{number}"), &format!("r{number}"))).unwrap();
        }
        assert!(wishes.take(order("c", "last")).is_err());
        for at in 0..20 {
            wishes.done("x", Some(arrival("x", at)), Millis(at));
        }
        assert_eq!((wishes.arrivals.len(), wishes.arrivals[0].at), (TOLD, Millis(12)));
        wishes.done("x", None, Millis(120_015));
        assert_eq!(wishes.arrivals[0].at, Millis(15));
    }

    #[test]
    fn the_machines_policy_counts_whatever_a_master_wishes() {
        let rules = |policy: Option<Rules>| Bringing { home: "/h".into(), at_once: 2, policy };
        let trusts = Rules { trusted_registries: Some(vec!["r.example".to_owned()]), ..Rules::default() };
        let digests = Rules { require_digest: true, ..Rules::default() };
        assert_eq!(untrusted(&rules(None), "busybox:1"), None);
        assert!(untrusted(&rules(None), "--help").is_some());
        assert!(untrusted(&rules(Some(trusts.clone())), "busybox:1").unwrap().contains("docker.io"));
        assert_eq!(untrusted(&rules(Some(trusts)), "r.example/a:1"), None);
        assert!(untrusted(&rules(Some(digests)), "busybox:1").unwrap().contains("digest"));
    }

    #[test]
    fn nothing_is_brought_where_the_machine_is_drained_or_full_or_its_engine_silent() {
        let dir = tempfile::tempdir().unwrap();
        let conf = crate::probe::tests::conf(dir.path());
        let disk = |free| Disk { of: "engine".into(), path: "/d".into(), free, total: 100 };
        let well = Pulse { list: Some(Millis(1)), disks: vec![disk(15)], ..Pulse::default() };
        assert_eq!(unfit(&conf, &well), None);
        let drained = Pulse { mark: Mark { rev: 1, drained: true, ..Mark::default() }, ..well.clone() };
        assert!(unfit(&conf, &drained).unwrap().contains("drained"));
        assert!(
            unfit(&conf, &Pulse { disks: vec![disk(14)], ..well.clone() }).unwrap().contains("/d is more than 85 %")
        );
        assert!(unfit(&conf, &Pulse { list: None, ..well }).is_some());
    }

    #[test]
    fn what_can_not_be_noted_is_not_brought() {
        let dir = tempfile::tempdir().unwrap();
        let rules = |home: &str, at_once| Bringing { home: dir.path().join(home), at_once, policy: None };
        assert!(is_able(&rules("lib/dybox", 2)));
        assert!(!is_able(&rules("lib/dybox", 0)));
        std::fs::write(dir.path().join("file"), b"").unwrap();
        assert!(!is_able(&rules("file/dybox", 2)));
    }
}
