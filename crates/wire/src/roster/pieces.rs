//! Facts in pieces. A line keeps a buffer as large as the largest message that ever came over it, and a server has a
//! thousand lines: so a node's images, which come once, come in messages that are no larger than the others.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tonic::{Status, Streaming};

use crate::proto::NodeReport;

/// Most bytes of facts in one message.
const PIECE: usize = 512;
/// Most bytes of facts: thousands of images.
const FACTS_MAX: usize = 4 << 20;

/// An agent's messages, whose facts go in pieces.
pub(super) struct Pieces<S> {
    reports: S,
    waiting: VecDeque<NodeReport>,
}

impl<S> Pieces<S> {
    pub(super) const fn of(reports: S) -> Self {
        Self { reports, waiting: VecDeque::new() }
    }
}

impl<S: Stream<Item = NodeReport> + Unpin> Stream for Pieces<S> {
    type Item = NodeReport;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NodeReport>> {
        let this = self.get_mut();
        if let Some(next) = this.waiting.pop_front() {
            return Poll::Ready(Some(next));
        }
        Pin::new(&mut this.reports).poll_next(cx).map(|report| {
            this.waiting = cut(report?);
            this.waiting.pop_front()
        })
    }
}

/// The last one is the report; those before it bring the first pieces of its facts.
fn cut(mut report: NodeReport) -> VecDeque<NodeReport> {
    let mut cut = VecDeque::new();
    while report.facts.len() > PIECE {
        let facts = report.facts.split_to(PIECE);
        cut.push_back(NodeReport {
            host: report.host.clone(),
            seq: report.seq,
            facts,
            more: true,
            ..NodeReport::default()
        });
    }
    cut.push_back(report);
    cut
}

/// The next whole report.
pub(super) async fn whole(messages: &mut Streaming<NodeReport>) -> Result<Option<NodeReport>, Status> {
    let mut facts = Vec::new();
    while let Some(mut message) = messages.message().await? {
        if facts.len() + message.facts.len() > FACTS_MAX {
            return Err(Status::resource_exhausted("the facts are too long"));
        }
        if facts.is_empty() && !message.more {
            return Ok(Some(message));
        }
        facts.extend_from_slice(&message.facts);
        if !message.more {
            message.facts = facts.into();
            return Ok(Some(message));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_the_whole_and_the_last_one_has_all_else() {
        for len in [0, 1, PIECE, PIECE + 1, 5 * PIECE + 7] {
            let facts: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let report = NodeReport {
                host: "n1".to_owned(),
                seq: 7,
                pulse: "{}".into(),
                facts: facts.clone().into(),
                more: false,
            };
            let cut = cut(report.clone());
            assert!(cut.iter().all(|piece| piece.facts.len() <= PIECE && piece.host == "n1" && piece.seq == 7));
            assert_eq!(cut.iter().filter(|piece| !piece.more).count(), 1);
            assert_eq!(cut.iter().flat_map(|piece| piece.facts.clone()).collect::<Vec<_>>(), facts);
            let last = cut.back().unwrap();
            assert_eq!((last.more, &last.pulse), (false, &report.pulse));
        }
    }
}
