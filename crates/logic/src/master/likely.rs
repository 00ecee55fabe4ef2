//! Images on machines where the run has no grant yet: their agents bring what a stage that follows will need there. Only
//! as many machines as its tasks are likely to be asked for on, and never all that could.

use std::cmp::Reverse;

use dybox_model::roster::Arrival;
use dybox_model::{Fact, Millis, Node, Resources, StageId};

use super::places::copies;
use super::pool::Stand;
use super::prefetch::Wished;
use super::{Effect, Master};

/// Machines on which agents are asked for one image.
const MOST_HOSTS: usize = 8;
/// Images on machines that were asked for and of which nothing was heard.
const MOST_AWAY: usize = 16;

impl Master {
    /// Has agents bring the images of stages that follow soon to machines on which the run holds nothing.
    pub(super) fn bring_there(&mut self, out: &mut Vec<Effect>) {
        // Before the first proxy is there nobody knows where the run is.
        if !self.pool.iter().any(|(_, grant)| grant.stand == Stand::Here) {
            return;
        }
        for stage in self.prefetch.soon() {
            if self.tasks.verdict(stage).is_some() {
                continue;
            }
            let hosts = self.likely(stage);
            for host in &hosts {
                let last = self.hosts.roster.arrival(host, self.prefetch.image_of(stage)).map(|arrival| arrival.at);
                self.prefetch.wished(host, stage, last);
            }
            if !hosts.is_empty() {
                out.push(Effect::Bring { stage, hosts });
            }
        }
    }

    /// The machines on which the image of a stage is to be brought now: those where its tasks will be asked for once it
    /// begins, as far as they do not find room on grants that the run has, or on machines that have the image or get it.
    fn likely(&self, stage: StageId) -> Vec<String> {
        let Some(entry) = self.tasks.stage(stage) else { return Vec::new() };
        let shape = self.tasks.shapes.get(entry.shape);
        let (size, place) = (shape.size, shape.place.as_deref());
        let most = place.and_then(|place| place.placement.most_on_host()).unwrap_or(u32::MAX);
        // What a soft placement names is where its tasks go as long as there is room.
        let allowed = |node: &&Node| place.is_none_or(|place| self.hosts.allows(&place.placement, &node.host));
        let open = self.hosts.of_size(size).filter(|node| !self.hosts.is_left_out(&node.host)).filter(allowed);
        let images = self.images.get(stage.0 as usize).map(String::as_str).into_iter().collect();
        let (mut rest, mut rooms) = (self.prefetch.tasks_of(stage), Vec::new());
        for node in open {
            let host = node.host.as_str();
            let held = self.grants_for(size, host).min(most);
            let room = copies(size, node.capacity - node.used).min(most - held);
            rest = rest.saturating_sub(held);
            let wish = self.prefetch.wish(host, stage);
            if self.hosts.roster.has(host, &images) || matches!(wish, Some(Wished::Open(_) | Wished::Came)) {
                rest = rest.saturating_sub(room);
            } else if wish.is_none() && self.pool.held_on(host) == 0 && self.hosts.roster.brings(host) {
                rooms.push((room, host));
            }
        }
        rooms.retain(|(room, _)| *room > 0);
        rooms.sort_by_key(|&(room, host)| (Reverse(room), host));
        let (asked, away) = self.prefetch.wishes(stage);
        let free = MOST_HOSTS.saturating_sub(asked).min(MOST_AWAY.saturating_sub(away));
        let needed = |(room, _): &(u32, &str)| {
            let more = rest > 0;
            rest = rest.saturating_sub(*room);
            more
        };
        rooms.into_iter().take(free).take_while(needed).map(|(_, host)| host.to_owned()).collect()
    }

    /// Grants on a machine that could take a task of this size.
    fn grants_for(&self, size: Resources, host: &str) -> u32 {
        let fits = self.pool.iter().filter(|(_, grant)| grant.host == host && size.fits(grant.size)).count();
        u32::try_from(fits).unwrap_or(u32::MAX)
    }

    /// Writes down what agents have brought, of what this master wished.
    pub(super) fn heard_of_arrivals(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let came: Vec<(String, Arrival)> = self.hosts.roster.arrivals().collect();
        for (host, Arrival { image, took, at, why }) in came {
            if self.prefetch.came(&host, (&image, at, why.is_empty()))
                && self.is_open()
                && !self.prefetch.knows(&image, &host)
            {
                self.record(Fact::ImageBrought { image, host, stage: None, took, at: now, why }, out);
            }
        }
    }
}
