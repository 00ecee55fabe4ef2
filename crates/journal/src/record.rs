//! The encoding of records: `[u32 length][u32 crc32c][u8 version][JSON]`, little-endian. Length and checksum are
//! those of version and JSON together.

use dybox_model::{AttemptId, Exit, Fact, GrantId, Millis, Published};
use serde::Deserialize;

/// Version of the encoding. A fact that older readers can't know needs no new one: they say so and stop.
pub const VERSION: u8 = 1;

/// Longest record, version and JSON together.
const MAX_RECORD: usize = 64 << 20;

/// Bytes before the version.
const HEAD: usize = 8;

/// What was read of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Every record before the place where reading ended.
    pub facts: Vec<Fact>,
    /// Bytes that these records take: where reading ended, and where a reader of a growing journal goes on.
    pub consumed: usize,
    /// Why reading ended there.
    pub state: State,
}

/// Why reading ended. Offsets count from the first of the given bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// There was no more.
    Clean,
    /// The last record is not whole: its write is under way, or a crash cut it. It was never acknowledged.
    Torn {
        /// Bytes of it that are there.
        bytes: usize,
    },
    /// Bytes are not what was written. What follows can't be trusted.
    Broken {
        /// Where the damaged record starts.
        offset: usize,
    },
    /// A whole record that this DYbox does not understand: a newer one wrote it.
    Foreign {
        /// Where it starts.
        offset: usize,
        /// Its version.
        version: u8,
        /// What the parser said.
        why: String,
    },
}

/// One record as bytes.
#[must_use]
pub fn encode(fact: &Fact) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    encode_into(fact, &mut out);
    out
}

/// Puts one record at the end of `out`: several make a batch that is written and synced at once.
pub fn encode_into(fact: &Fact, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    out.push(VERSION);
    serde_json::to_writer(&mut *out, fact).expect("facts have text keys only and a Vec takes all bytes");
    let body = &out[start + HEAD..];
    let len = u32::try_from(body.len()).expect("a fact is far below 4 GiB").to_le_bytes();
    let sum = crc32c::crc32c(body).to_le_bytes();
    out[start..start + 4].copy_from_slice(&len);
    out[start + 4..start + HEAD].copy_from_slice(&sum);
}

/// Reads records until the end or the first that is not whole and sound.
#[must_use]
pub fn decode(bytes: &[u8]) -> Decoded {
    let mut records = Records::new(bytes);
    let facts = records.by_ref().collect();
    let (consumed, state) = records.end();
    Decoded { facts, consumed, state }
}

/// The records of a journal, one at a time: who folds them need not hold them all.
#[derive(Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    consumed: usize,
    ended: Option<State>,
}

impl<'a> Records<'a> {
    /// Of these bytes, which begin with a whole record.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, consumed: 0, ended: None }
    }

    /// Bytes of the records that were given out, and why no more came; [`State::Clean`] before the last was asked for.
    #[must_use]
    pub fn end(self) -> (usize, State) {
        (self.consumed, self.ended.unwrap_or(State::Clean))
    }

    fn stop(&mut self, why: State) -> Option<Fact> {
        self.ended = Some(why);
        None
    }
}

impl Iterator for Records<'_> {
    type Item = Fact;

    fn next(&mut self) -> Option<Fact> {
        let rest = &self.bytes[self.consumed..];
        if self.ended.is_some() {
            return None;
        }
        if rest.is_empty() {
            return self.stop(State::Clean);
        }
        let Some(body) = sound_body(rest) else { return self.stop(what_is_wrong(rest, self.consumed)) };
        match parse(body) {
            Ok(fact) => {
                self.consumed += HEAD + body.len();
                Some(fact)
            }
            Err(why) => self.stop(State::Foreign { offset: self.consumed, version: body[0], why }),
        }
    }
}

/// Bytes of the whole and sound records that these bytes begin with, whatever is in them.
#[must_use]
pub fn whole(bytes: &[u8]) -> usize {
    let mut end = 0;
    while let Some(body) = sound_body(&bytes[end..]) {
        end += HEAD + body.len();
    }
    end
}

/// Cuts a journal into pieces of whole records with at least `size` bytes each, so that several can read it. It goes by
/// what the records say of their length, nothing else is looked at: the last piece takes what is left, and pieces after a
/// damaged record mean nothing.
#[must_use]
pub fn pieces(bytes: &[u8], size: usize) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let (mut start, mut end) = (0, 0);
    while let Some(next) = head(&bytes[end..]).and_then(|(len, _)| end.checked_add(HEAD)?.checked_add(len)) {
        if next > bytes.len() {
            break;
        }
        end = next;
        if end - start >= size {
            pieces.push(&bytes[start..end]);
            start = end;
        }
    }
    if start < bytes.len() {
        pieces.push(&bytes[start..]);
    }
    pieces
}

/// Version and JSON of the record at the start of `rest`, where it is whole and its checksum fits.
fn sound_body(rest: &[u8]) -> Option<&[u8]> {
    let (len, sum) = head(rest)?;
    let body = rest.get(HEAD..HEAD.checked_add(len)?)?;
    ((1..=MAX_RECORD).contains(&len) && crc32c::crc32c(body) == sum).then_some(body)
}

fn head(rest: &[u8]) -> Option<(usize, u32)> {
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (sum, _) = rest.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*len) as usize, u32::from_le_bytes(*sum)))
}

fn parse(body: &[u8]) -> Result<Fact, String> {
    match body.split_first() {
        Some((&VERSION, json)) => {
            // Looked at once: a parser that is given bytes looks at every string anew.
            let json = std::str::from_utf8(json).map_err(|e| e.to_string())?;
            match of_attempt(json) {
                Some(fact) => Ok(fact),
                None => serde_json::from_str(json).map_err(|e| e.to_string()),
            }
        }
        _ => Err("its version is not known here".to_owned()),
    }
}

/// The records that a journal has of every attempt, nearly all there are. An enum with its tag inside is read into a
/// tree first and then once more; these say what they are in their first bytes, so that each is read at once.
fn of_attempt(json: &str) -> Option<Fact> {
    let of_it = json.strip_prefix(r#"{"fact":"attempt_"#)?;
    if of_it.starts_with(r#"started","#) {
        let Started { attempt, grant, at } = serde_json::from_str(json).ok()?;
        return Some(Fact::AttemptStarted { attempt, grant, at });
    }
    if of_it.starts_with(r#"runs","#) {
        let Runs { attempt, container, at, ports } = serde_json::from_str(json).ok()?;
        return Some(Fact::AttemptRuns { attempt, container, at, ports });
    }
    if of_it.starts_with(r#"ended","#) {
        let Ended { attempt, exit, again } = serde_json::from_str(json).ok()?;
        return Some(Fact::AttemptEnded { attempt, exit, again });
    }
    None
}

/// [`Fact::AttemptStarted`]
#[derive(Deserialize)]
struct Started {
    attempt: AttemptId,
    grant: GrantId,
    at: Millis,
}

/// [`Fact::AttemptRuns`]
#[derive(Deserialize)]
struct Runs {
    attempt: AttemptId,
    container: String,
    at: Millis,
    #[serde(default)]
    ports: Vec<Published>,
}

/// [`Fact::AttemptEnded`]
#[derive(Deserialize)]
struct Ended {
    attempt: AttemptId,
    exit: Exit,
    again: bool,
}

/// Tells a record that was cut from one that was changed.
fn what_is_wrong(rest: &[u8], offset: usize) -> State {
    let torn = State::Torn { bytes: rest.len() };
    // A file system may have made room for a record whose bytes never arrived.
    if rest.iter().all(|&byte| byte == 0) {
        return torn;
    }
    match head(rest) {
        None => torn,
        Some((len, sum)) if len > rest.len() - HEAD => {
            // The length says that more should come. It is believed only if nothing sound is behind it: neither the
            // end of this very record, nor another one.
            let damaged = crc32c::crc32c(&rest[HEAD..]) == sum || (1..rest.len()).any(|at| starts_record(&rest[at..]));
            if damaged { State::Broken { offset } } else { torn }
        }
        Some(_) => State::Broken { offset },
    }
}

fn starts_record(rest: &[u8]) -> bool {
    // The cheap look comes first: this is asked at every byte.
    rest.get(HEAD..HEAD + 2) == Some(&[VERSION, b'{']) && sound_body(rest).is_some()
}
