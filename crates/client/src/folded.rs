//! A journal as it was read.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use dybox_journal::{Decoded, Records, Run, State, decode, pieces};

use crate::cluster::Told;

/// Bytes of a journal that a thread reads at a time: some thousand records.
const PIECE: usize = 1 << 20;
/// Pieces that the second thread may be ahead.
const AHEAD: usize = 4;

/// A journal as it was read.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// What its facts add up to.
    pub run: Run,
    /// What is wrong with it.
    pub damage: Option<String>,
    /// Bytes of whole records.
    pub whole: u64,
    /// Why there may be more of it than could be read.
    pub short: Option<String>,
}

impl Folded {
    /// What these bytes say.
    pub(crate) fn of(told: Told) -> Self {
        let (run, whole, state) = fold(&told.bytes, PIECE);
        let damage = match state {
            State::Clean | State::Torn { .. } => None,
            State::Broken { .. } => Some(format!("damaged at byte {whole}")),
            State::Foreign { version, .. } => Some(format!("written by a newer DYbox (version {version})")),
        };
        Self { run, damage, whole: whole as u64, short: told.short }
    }
}

/// What a journal adds up to, the bytes of its whole records, and why reading ended there. Nearly all the time goes into
/// reading records, so a second thread reads every other piece of a long one.
fn fold(bytes: &[u8], size: usize) -> (Run, usize, State) {
    let pieces = pieces(bytes, size);
    let (mut run, mut done) = (Run::default(), 0);
    thread::scope(|scope| {
        let (give, given) = sync_channel(AHEAD);
        let theirs = pieces.iter().skip(1).step_by(2);
        let helped = pieces.len() > 1 && thread::Builder::new().spawn_scoped(scope, || read(theirs, give)).is_ok();
        for (number, piece) in pieces.iter().enumerate() {
            let theirs = if helped && number % 2 == 1 { given.recv().ok() } else { None };
            let consumed = match theirs {
                Some(Decoded { facts, consumed, .. }) => {
                    facts.iter().for_each(|fact| run.apply(fact));
                    consumed
                }
                None => take(piece, &mut run).0,
            };
            done += consumed;
            if consumed < piece.len() {
                break;
            }
        }
    });
    // Why reading ended there can be told only with all in sight that follows.
    let (rest, state) = take(&bytes[done..], &mut run);
    (run, done + rest, state)
}

/// Reads these pieces, until nobody wants them any more.
fn read<'a>(pieces: impl Iterator<Item = &'a &'a [u8]>, give: SyncSender<Decoded>) {
    for piece in pieces {
        if give.send(decode(piece)).is_err() {
            return;
        }
    }
}

fn take(bytes: &[u8], run: &mut Run) -> (usize, State) {
    let mut records = Records::new(bytes);
    records.by_ref().for_each(|fact| run.apply(&fact));
    records.end()
}

#[cfg(test)]
mod tests {
    use dybox_journal::encode_into;
    use dybox_model::{AttemptId, Fact, GrantId, Millis, StageId, SubDagId, TaskId};

    use super::*;

    /// A journal of so many attempts, and where each record begins.
    fn journal(tasks: u32) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for index in 0..tasks {
            starts.push(bytes.len());
            let attempt = AttemptId { task: TaskId { stage: StageId(0), index }, number: 1 };
            let grant = GrantId::compose(SubDagId(0), 1, index);
            encode_into(&Fact::AttemptStarted { attempt, grant, at: Millis(u64::from(index)) }, &mut bytes);
        }
        (bytes, starts)
    }

    fn alone(bytes: &[u8]) -> (Run, usize, State) {
        let mut run = Run::default();
        let (consumed, state) = take(bytes, &mut run);
        (run, consumed, state)
    }

    #[test]
    fn two_threads_read_what_one_reads() {
        let (bytes, _) = journal(1000);
        let whole = alone(&bytes);
        assert_eq!(whole.0.strays, 1000);
        for size in [1, 100, 1000, 10_000, bytes.len(), 2 * bytes.len()] {
            assert_eq!(fold(&bytes, size), whole, "{size}");
        }
        assert_eq!(fold(&[], PIECE), alone(&[]));
    }

    #[test]
    fn damage_is_what_one_reader_sees_wherever_it_is() {
        let (bytes, starts) = journal(60);
        for &start in &starts {
            for at in [start, start + 3, start + 5, start + 8, start + 20] {
                let mut changed = bytes.clone();
                changed[at] ^= 0x41;
                let (run, consumed, state) = alone(&changed);
                let (ours, whole, why) = fold(&changed, 500);
                assert_eq!((ours, whole), (run, consumed), "{at}");
                assert_eq!(std::mem::discriminant(&why), std::mem::discriminant(&state), "{at}");
                let cut = &bytes[..at];
                let (run, consumed, _) = alone(cut);
                let (ours, whole, why) = fold(cut, 500);
                assert_eq!((ours, whole), (run, consumed), "{at}");
                assert!(matches!(why, State::Clean | State::Torn { .. }), "{at}");
            }
        }
    }
}
