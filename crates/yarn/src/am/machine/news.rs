//! What the answer to a heartbeat brings.

use std::collections::BTreeSet;

use dybox_model::Millis;

use super::talk::{Answer, Effect};
use super::{Am, Call};
use crate::am::event::Event;
use crate::container::Container;
use crate::ids::NodeId;

impl Am {
    pub(super) fn answered(&mut self, now: Millis, answer: Answer, out: &mut Vec<Effect>) {
        let Some(Call::Beat(said)) = self.call.take() else { return };
        if answer.shutdown {
            return self.over("the ResourceManager told this attempt to stop".to_owned(), out);
        }
        if answer.resync {
            return self.register_again(now);
        }
        self.reached(now, out);
        self.response_id = answer.response_id;
        self.asks.took(&said.asks);
        self.grants.told(&said.release, &said.resizes);
        self.avoided_there.extend(said.avoid);
        said.avoid_no_more.iter().for_each(|place| {
            self.avoided_there.remove(place);
        });
        if let Some(tracking) = said.tracking {
            self.tracking_there = tracking;
        }
        self.refused_in_a_row = 0;
        if !answer.granted.is_empty() {
            self.last_grant = Some(now);
            self.last_change = now;
        }
        self.take_news(answer, out);
    }

    fn take_news(&mut self, answer: Answer, out: &mut Vec<Effect>) {
        out.extend(answer.own_token.map(Effect::Token));
        out.extend(answer.tokens.into_iter().map(|(node, token): (NodeId, _)| Effect::NodeToken(node, token)));
        let found = self.take_new(answer.previous);
        self.tell_found(found, out);
        for container in answer.granted {
            self.granted(container, out);
        }
        for container in answer.resized {
            if self.grants.resized(&container) {
                out.push(Effect::Tell(Event::Updated(container)));
            }
        }
        for (id, why, version) in answer.not_resized {
            if self.grants.not_resized(id, version) {
                out.push(Effect::Tell(Event::UpdateFailed { id, why }));
            }
        }
        let preempts: BTreeSet<_> = answer.preempts.into_iter().collect();
        if preempts != self.preempts {
            let news: Vec<_> = preempts.difference(&self.preempts).copied().collect();
            self.preempts = preempts;
            out.extend((!news.is_empty()).then_some(Effect::Tell(Event::Preempts(news))));
        }
        for status in answer.completed.into_iter().filter(|status| status.complete) {
            if self.grants.end(status.id) {
                let (exit, diagnostics) = (status.exit, status.diagnostics);
                out.push(Effect::Tell(Event::Completed { id: status.id, exit, diagnostics }));
            }
        }
        self.nodes.update(answer.changed_nodes);
        self.tell_nodes(out);
        let headroom = (answer.headroom, answer.nodes);
        if self.headroom.replace(headroom) != Some(headroom) {
            out.push(Effect::Tell(Event::Headroom { free: headroom.0, nodes: headroom.1 }));
        }
    }

    fn granted(&mut self, mut container: Container, out: &mut Vec<Effect>) {
        if self.grants.knows(container.id) {
            return;
        }
        let Some(wish) = self.asks.granted(container.request) else {
            return self.grants.refuse(container.id);
        };
        if !self.counts_cpus {
            container.size.cpu_milli = container.size.cpu_milli.max(crate::convert::rounded(wish.size).cpu_milli);
        }
        self.grants.hold(&container);
        out.push(Effect::Tell(Event::Granted { container, wish }));
    }

    /// Those of earlier attempts that were not known yet; from now on they are.
    pub(super) fn take_new(&mut self, containers: Vec<Container>) -> Vec<Container> {
        let new: Vec<_> = containers.into_iter().filter(|container| !self.grants.knows(container.id)).collect();
        new.iter().for_each(|container| self.grants.hold(container));
        new
    }

    pub(super) fn tell_found(&self, found: Vec<Container>, out: &mut Vec<Effect>) {
        out.extend((!found.is_empty()).then_some(Effect::Tell(Event::Found(found))));
    }

    pub(super) fn tell_nodes(&mut self, out: &mut Vec<Effect>) {
        out.extend(self.nodes.news().map(|nodes| Effect::Tell(Event::Nodes(nodes))));
    }
}
