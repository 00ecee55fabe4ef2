//! The encoding of records: `[u32 length][u32 crc32c][u8 version][JSON]`, little-endian. Length and checksum are
//! those of version and JSON together.

use dybox_model::Fact;

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
    let mut facts = Vec::new();
    let mut consumed = 0;
    let state = loop {
        let rest = &bytes[consumed..];
        if rest.is_empty() {
            break State::Clean;
        }
        let Some(body) = sound_body(rest) else { break what_is_wrong(rest, consumed) };
        match parse(body) {
            Ok(fact) => facts.push(fact),
            Err(why) => break State::Foreign { offset: consumed, version: body[0], why },
        }
        consumed += HEAD + body.len();
    };
    Decoded { facts, consumed, state }
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
        Some((&VERSION, json)) => serde_json::from_slice(json).map_err(|e| e.to_string()),
        _ => Err("its version is not known here".to_owned()),
    }
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
