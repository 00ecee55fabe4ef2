//! The broom: a sweep now and then, and when a person asks for one. What was done goes into the next reports.

mod cgroups;
mod choose;
mod homes;
mod images;
mod merge;

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dybox_model::Millis;
use dybox_model::sweep::{HomeSweep, Sweep, SweepOrder};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::conf::Conf;
use crate::probe::now;

pub(crate) use choose::is_pressed;

/// The first one comes soon: an agent that was away may have missed much.
const SOON: Duration = Duration::from_secs(5);
/// Orders that are remembered, so that two servers can bring the same one.
const REMEMBERED: usize = 8;

/// Orders that wait, and the newest that were obeyed.
#[derive(Debug, Default)]
struct Orders {
    waiting: VecDeque<SweepOrder>,
    obeyed: VecDeque<String>,
}

impl Orders {
    fn take(&mut self, order: SweepOrder) {
        let known = self.obeyed.contains(&order.id) || self.waiting.iter().any(|one| one.id == order.id);
        if !known {
            tracing::info!(order = order.id, by = order.by, "a sweep is wanted");
            self.waiting.push_back(order);
        }
    }

    /// What one sweep can obey: all that wait and want the same as the first of them.
    fn next(&mut self) -> Option<Vec<SweepOrder>> {
        let dry_run = self.waiting.front()?.dry_run;
        let (now, later): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(|order| order.dry_run == dry_run);
        self.waiting = later.into();
        Some(now)
    }

    fn obey(&mut self, orders: Vec<SweepOrder>) -> Vec<String> {
        self.obeyed.extend(orders.into_iter().map(|order| order.id));
        let surplus = self.obeyed.len().saturating_sub(REMEMBERED);
        self.obeyed.drain(..surplus);
        self.obeyed.iter().cloned().collect()
    }
}

/// Sweeps for as long as the agent lives.
pub(crate) async fn keep_clean(
    conf: Arc<Conf>,
    mut wanted: mpsc::Receiver<SweepOrder>,
    tell: watch::Sender<Option<Sweep>>,
) {
    let idle = conf.cleaning.local_dirs.is_empty() && conf.cleaning.homes.is_empty();
    if idle {
        tracing::info!("nothing is swept: neither --local-dir nor --sweep-home says where homes lie");
    }
    open_to_all(&conf.cleaning.run_dir);
    let (mut orders, mut number) = (Orders::default(), 0);
    let mut next = Instant::now() + SOON;
    loop {
        tokio::select! {
            () = sleep_until(next), if !idle => {}
            // The lines live as long as the agent.
            Some(order) = wanted.recv() => orders.take(order),
        }
        while let Ok(order) = wanted.try_recv() {
            orders.take(order);
        }
        let asked = orders.next();
        if asked.is_none() && Instant::now() < next {
            continue;
        }
        let asked = asked.unwrap_or_default();
        let dry_run = asked.first().is_some_and(|order| order.dry_run);
        number += 1;
        let start = Instant::now();
        let mut sweep = Sweep { number, dry_run, ..clean(&conf, dry_run).await };
        if idle {
            sweep.troubles.push("its agent was not told where homes lie (--local-dir, --sweep-home)".to_owned());
        }
        sweep.took = Millis(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX));
        sweep.at = now();
        sweep.orders = orders.obey(asked);
        say(&sweep);
        tell.send_replace(Some(sweep));
        if !dry_run {
            next = Instant::now() + conf.cleaning.every;
        }
    }
}

/// One sweep of everything.
async fn clean(conf: &Conf, dry_run: bool) -> Sweep {
    let places = homes::places(&conf.cleaning);
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
    let mut found = homes::sweep(conf, places, dry_run).await;
    for home in found.iter_mut().filter_map(|(_, found)| found.as_mut().ok()) {
        clear_cgroups(home, dry_run);
    }
    let whole = found.iter().all(|(_, found)| found.is_ok());
    let mut sweep = merge::merge(&found);
    sweep.homes = count;
    let mut homes: Vec<HomeSweep> = found.into_iter().filter_map(|(_, found)| found.ok()).collect();
    let own = own(conf, dry_run).await;
    let whole = whole && own.is_ok();
    homes.extend(own.ok().flatten());
    if homes.is_empty() {
        return sweep;
    }
    // What a home needs that did not answer is not known.
    let collected = match whole {
        true => images::collect(conf, &homes, dry_run).await,
        false => Ok(images::Gone::default()),
    };
    match collected {
        Ok(gone) => (sweep.images, sweep.bytes) = (gone.images, gone.bytes),
        Err(why) => sweep.troubles.push(format!("images: {why}")),
    }
    sweep
}

/// What the agent itself brought. Its home has no runs, so nothing else in it counts.
async fn own(conf: &Conf, dry_run: bool) -> Result<Option<HomeSweep>, ()> {
    let dir = conf.bringing.home.clone();
    if !dir.join("machine/images").is_dir() {
        return Ok(None);
    }
    let found = homes::sweep(conf, vec![homes::Place { dir, nested: false }], dry_run).await.pop();
    match found {
        Some((_, Ok(found))) => Ok(Some(HomeSweep { unproven: Vec::new(), ..found })),
        Some((dir, Err(why))) => {
            tracing::warn!(home = %dir.display(), "no image is removed: {why}");
            Err(())
        }
        None => Ok(None),
    }
}

fn clear_cgroups(home: &mut HomeSweep, dry_run: bool) {
    if dry_run {
        return;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for dir in std::mem::take(&mut home.cgroups) {
        match cgroups::remove(Path::new(&dir), &mounts) {
            Ok(()) => home.removed.cgroups += 1,
            Err(error) => home.troubles.push(format!("cgroup {dir}: {error}")),
        }
    }
}

fn say(sweep: &Sweep) {
    let Sweep { removed, unproven, images, troubles, .. } = sweep;
    if !removed.is_none() || *images > 0 || !troubles.is_empty() {
        let (gone, left) = (removed.words(), unproven.words());
        let what = if sweep.dry_run { "would be removed" } else { "removed" };
        tracing::info!(what, gone, images, left, trouble = troubles.join("; "), "swept");
    }
}

/// Makes the place in which proxies of all users lock what only one of them should do at a time.
fn open_to_all(run_dir: &Path) {
    let dir = run_dir.join("pulls");
    let make = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(run_dir)?;
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => fs::set_permissions(&dir, Permissions::from_mode(0o1777)),
        }
    };
    if let Err(error) = make() {
        let path = dir.display();
        tracing::info!(%path, %error, "users pull the same image side by side: can't make the place for their locks");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::conf::{Cleaning, ImageRules};

    pub(crate) fn cleaning(dir: &Path) -> Cleaning {
        Cleaning {
            local_dirs: Vec::new(),
            homes: Vec::new(),
            program: "/bin/false".into(),
            run_dir: dir.to_owned(),
            every: Duration::from_secs(300),
            least_age: Duration::from_secs(60),
            keep_failed: Duration::from_secs(86_400),
            keep_logs: Duration::from_secs(7 * 86_400),
            images: ImageRules { high: 85, low: 75, least_age: Duration::from_secs(3600) },
        }
    }

    fn order(id: &str, dry_run: bool) -> SweepOrder {
        SweepOrder { id: id.to_owned(), dry_run, by: "ann".to_owned() }
    }

    #[test]
    fn an_order_counts_once_and_dry_ones_go_by_themselves() {
        let mut orders = Orders::default();
        for (id, dry_run) in [("a", false), ("b", true), ("a", false), ("c", false)] {
            orders.take(order(id, dry_run));
        }
        let ids = |orders: &[SweepOrder]| orders.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
        let first = orders.next().unwrap();
        assert_eq!(ids(&first), ["a", "c"]);
        assert_eq!(orders.obey(first), ["a", "c"]);
        orders.take(order("c", false));
        let second = orders.next().unwrap();
        assert_eq!((ids(&second), orders.next().is_none()), (vec!["b".to_owned()], true));
        for id in 0..20 {
            orders.obey(vec![order(&id.to_string(), false)]);
        }
        assert_eq!(orders.obeyed.len(), REMEMBERED);
    }

    #[test]
    fn the_place_for_locks_is_open_and_sticky() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        open_to_all(&run_dir);
        open_to_all(&run_dir);
        assert_eq!(fs::metadata(run_dir.join("pulls")).unwrap().permissions().mode() & 0o7777, 0o1777);
    }

    #[test]
    fn what_an_older_agent_leaves_out_is_nothing() {
        let sweep: Sweep = serde_json::from_str(r#"{"number":1,"at":5,"removed":{"containers":2}}"#).unwrap();
        assert_eq!((sweep.removed.containers, sweep.removed.networks, sweep.troubles.len()), (2, 0, 0));
    }
}
