//! The embedded resource manager: its words are nearly ours.

use std::collections::BTreeSet;

use dybox_local::{self as local, Local};
use dybox_model::{Cause, GrantId, Wish};

use super::{News, Order};

/// One machine's.
#[derive(Debug)]
pub(crate) struct OneMachine {
    local: Local,
}

impl OneMachine {
    pub(crate) fn new(local: Local) -> Self {
        Self { local }
    }

    pub(super) fn order(&self, order: Order) {
        self.local.order(match order {
            Order::Ask { wish, count } => local::Order::Ask { size: wish.size, priority: wish.priority, count },
            Order::Launch { grant } => local::Order::Launch { grant },
            Order::Sweep { grant } => local::Order::Sweep { grant },
            Order::Kill { grant } => local::Order::Kill { grant },
            // One machine has no other one to go to.
            Order::Blacklist { .. } | Order::Forgive { .. } => return,
            // The machine never asks for it here.
            Order::Resize { .. } => return,
        });
    }

    /// Grants of earlier masters: who lives says Hello, whoever is dead is swept. A share that the journal does not
    /// know was taken just before a crash.
    pub(crate) fn look_after_the_past(&self, known: &BTreeSet<GrantId>, shares: &[GrantId]) -> Vec<News> {
        for &grant in shares {
            let order = match known.contains(&grant) {
                true => local::Order::Adopt { grant },
                false => local::Order::Sweep { grant },
            };
            self.local.order(order);
        }
        let tell = |&grant: &GrantId| match shares.contains(&grant) {
            true => News::Expect { grant },
            false => News::Gone { grant, clean: false, how: String::new() },
        };
        known.iter().map(tell).collect()
    }

    pub(crate) async fn close(self) {
        self.local.close().await;
    }
}

pub(super) fn news(event: local::Event) -> News {
    match event {
        local::Event::Granted { grant, size, priority } => {
            let (host, container) = (String::new(), String::new());
            let wish = Some(Wish { priority, ..Wish::anywhere(size) });
            News::Granted { grant, size, host, container, wish }
        }
        local::Event::Gone { grant, clean, how } => News::Gone { grant, clean, how },
        local::Event::Swept { grant, exits } => News::Swept { grant, exits },
        local::Event::Refused { size, why } => News::Refused { wish: Wish::anywhere(size), why },
        local::Event::Waits { why } => News::Waits { why },
        local::Event::OthersWait { any, first } => News::OthersWait { any, first },
        local::Event::Trouble { text } => News::Trouble { text, cause: Some(Cause::StoreFailed) },
    }
}
