//! Why asks wait, in a sentence.

use std::time::Duration;

use dybox_model::{Node, Resources, Wish, format_bytes, format_cpus};
use tokio::time::Instant;

use super::yarn::largest;

/// An ask that is answered sooner does not wait.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The text is looked at no more often.
const AGAIN: Duration = Duration::from_secs(2);

/// What is known of the cluster's room, and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Waits {
    pub(super) queue: String,
    /// What the queue would still give.
    pub(super) free: Option<Resources>,
    pub(super) nodes: Vec<Node>,
    /// What the session says, where it is not YARN that gives.
    pub(super) session: Option<String>,
    said: String,
    /// When it is looked at next; nothing while no ask waits.
    next: Option<Instant>,
}

impl Waits {
    pub(super) fn wake(&self) -> Option<Instant> {
        self.next
    }

    /// A new text, when it changed.
    pub(super) fn look<'a>(&mut self, asks: impl Iterator<Item = (&'a Wish, u32)>, now: Instant) -> Option<String> {
        let mut asks = asks.peekable();
        let text = if asks.peek().is_none() {
            self.next = None;
            String::new()
        } else {
            let next = *self.next.get_or_insert(now + PATIENCE);
            if now < next {
                return None;
            }
            self.next = Some(now + AGAIN);
            self.sentence(asks)
        };
        let new = text != self.said;
        self.said.clone_from(&text);
        new.then_some(text)
    }

    fn sentence<'a>(&self, mut asks: impl Iterator<Item = (&'a Wish, u32)>) -> String {
        let known = |host: &String| self.nodes.iter().any(|node| node.host == *host && node.usable);
        let nowhere = |wish: &Wish| !wish.relaxed && wish.racks.is_empty() && !wish.hosts.is_empty();
        let lost = asks.find(|(wish, _)| !self.nodes.is_empty() && nowhere(wish) && !wish.hosts.iter().any(known));
        if let Some((wish, _)) = lost {
            return format!("no machine of the cluster that takes work is called {}", wish.hosts.join(" or "));
        }
        if let Some(session) = self.session.as_ref().filter(|text| !text.is_empty()) {
            return session.clone();
        }
        let mut text = format!("YARN has not granted it yet: queue {}", self.queue);
        match self.free {
            Some(free) => text.push_str(&format!(" has {} left for this run", words(free))),
            None => text.push_str(" does not say what is left"),
        }
        if let Some(free) = largest(&self.nodes) {
            text.push_str(&format!(", the freest machine {}", words(free)));
        }
        text
    }
}

fn words(room: Resources) -> String {
    format!("{} cpus and {}", format_cpus(room.cpu_milli), format_bytes(room.memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_soon_does_not_wait() {
        let wish = Wish::anywhere(Resources { cpu_milli: 1000, memory: 1 << 30 });
        let (mut waits, start) = (Waits { queue: "etl".into(), ..Waits::default() }, Instant::now());
        let asks = || [(&wish, 2)].into_iter();
        assert_eq!(waits.look(asks(), start), None);
        waits.free = Some(Resources::default());
        let text = waits.look(asks(), start + PATIENCE).unwrap();
        assert!(text.contains("queue etl has 0 cpus"), "{text}");
        assert_eq!(waits.look(asks(), start + PATIENCE), None);
        assert_eq!(waits.look([].into_iter(), start + PATIENCE), Some(String::new()));
        assert_eq!(waits.wake(), None);
    }

    #[test]
    fn a_machine_that_is_not_there_is_named() {
        let node = Node {
            host: "a".into(),
            rack: "/r".into(),
            labels: vec![],
            capacity: Resources::default(),
            used: Resources::default(),
            usable: true,
        };
        let wish = Wish { hosts: vec!["b".into()], ..Wish::default() };
        let mut waits = Waits { nodes: vec![node], ..Waits::default() };
        let start = Instant::now();
        waits.look([(&wish, 1)].into_iter(), start);
        let text = waits.look([(&wish, 1)].into_iter(), start + PATIENCE).unwrap();
        assert_eq!(text, "no machine of the cluster that takes work is called b");
    }
}
