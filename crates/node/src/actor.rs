//! The loop: looks, shows what it saw to every line, and carries the greatest mark.

use std::sync::Arc;

use dybox_model::roster::Mark;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::bring;
use crate::conf::Conf;
use crate::line::{Heard, Seen, keep_line};
use crate::probe::Probe;
use crate::sweep;

/// Orders of people that wait; one more is dropped.
const ORDERS: usize = 64;
/// Wishes of masters that wait to be looked at.
const WISHES: usize = 16;

/// Reports to all servers until `end` comes.
pub async fn run(conf: Conf, end: impl Future<Output = ()>) {
    let conf = Arc::new(conf);
    let (show, seen) = watch::channel(None);
    let (give, mut marks) = mpsc::channel(16);
    let (want, wanted) = mpsc::channel(ORDERS);
    let (wish, wished) = mpsc::channel(WISHES);
    let heard = Heard { marks: give, orders: want, wishes: wish };
    for server in &conf.servers {
        tokio::spawn(keep_line(Arc::clone(&conf), server.clone(), seen.clone(), heard.clone()));
    }
    let (tell, swept) = watch::channel(None);
    let sweeping = sweep::keep_clean(Arc::clone(&conf), wanted, tell);
    let (came, arrivals) = watch::channel(Vec::new());
    let bringing = bring::keep_bringing(Arc::clone(&conf), wished, seen, came);
    let looking = async {
        let mut probe = Probe::before(&conf, bring::is_able(&conf.bringing));
        let mut arrivals = arrivals;
        let mut mark = Mark::default();
        let mut facts = Arc::default();
        let mut beat = interval(conf.interval);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            if arrivals.has_changed().unwrap_or(false) {
                probe.look_at_images();
            }
            let (mut pulse, now) = probe.look(&conf).await;
            while let Ok(other) = marks.try_recv() {
                mark = mark.max(other);
            }
            pulse.mark = mark.clone();
            pulse.sweep = swept.borrow().clone();
            pulse.arrivals = arrivals.borrow_and_update().clone();
            if now != *facts {
                facts = Arc::new(now);
            }
            show.send_replace(Some(Seen { pulse, facts: Arc::clone(&facts) }));
        }
    };
    tokio::select! {
        () = end => {}
        () = looking => {}
        () = sweeping => {}
        () = bringing => {}
    }
}
