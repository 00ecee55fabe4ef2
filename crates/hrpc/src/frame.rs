//! Frames: a length of four bytes, then protobuf messages that each begin with their own length.

use bytes::{Buf, Bytes, BytesMut};
use prost::Message;

/// Why bytes are no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadFrame {
    /// The very first bytes are not Hadoop's.
    Foreign(String),
    /// A length or a message that can't be.
    Garbled(String),
}

/// Bytes as they came, cut into frames. Memory grows with what came, never with what a length promises.
pub(crate) struct Frames {
    bytes: BytesMut,
    largest: usize,
    first: bool,
}

impl Frames {
    /// Frames of at most `largest` bytes. `first`: the other side might not be Hadoop at all.
    pub(crate) fn new(largest: usize, first: bool) -> Self {
        Self { bytes: BytesMut::new(), largest, first }
    }

    pub(crate) fn set_largest(&mut self, largest: usize) {
        self.largest = largest;
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, without its length.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, BadFrame> {
        let Some(length) = self.bytes.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length == 0 || length > self.largest {
            return Err(self.bad_length(length));
        }
        if self.bytes.len() < 4 + length {
            return Ok(None);
        }
        self.first = false;
        self.bytes.advance(4);
        let frame = self.bytes.split_to(length).freeze();
        if self.bytes.is_empty() {
            // Otherwise the room of the largest frame would stay for as long as the connection.
            self.bytes = BytesMut::new();
        }
        Ok(Some(frame))
    }

    fn bad_length(&self, length: usize) -> BadFrame {
        if !self.first {
            return BadFrame::Garbled(format!("a frame claims {length} bytes, at most {} are taken", self.largest));
        }
        BadFrame::Foreign(match &self.bytes[..] {
            [b'H', b'T', b'T', b'P', ..] => {
                let line = self.bytes[..].split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
                format!("it answers like a web server: {}", printable(line))
            }
            [0x15 | 0x16, 3, ..] => "it answers like a server with TLS".to_owned(),
            other => format!("it answers {}", printable(other)),
        })
    }
}

/// The beginning of foreign bytes, fit to be shown.
fn printable(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(60)];
    format!("\"{}\"", shown.escape_ascii())
}

/// Appends one frame of these messages.
pub(crate) fn put(out: &mut BytesMut, header: &impl Message, rest: &[&[u8]]) {
    let body = header.encode_to_vec();
    let mut length = body.len() + prost::length_delimiter_len(body.len());
    length += rest.iter().map(|part| part.len()).sum::<usize>();
    let length = u32::try_from(length).expect("a request is bounded far below 4 GiB");
    out.extend_from_slice(&length.to_be_bytes());
    put_delimited(out, &body);
    for part in rest {
        out.extend_from_slice(part);
    }
}

/// Appends a message's bytes behind their length.
pub(crate) fn put_delimited(out: &mut BytesMut, body: &[u8]) {
    prost::encode_length_delimiter(body.len(), out).expect("the buffer grows");
    out.extend_from_slice(body);
}

/// A message as bytes behind their length.
pub(crate) fn delimited(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut out = BytesMut::with_capacity(body.len() + 5);
    put_delimited(&mut out, &body);
    out.freeze()
}

/// Takes the next message's bytes off a frame.
pub(crate) fn take(frame: &mut Bytes) -> Result<Bytes, BadFrame> {
    let bad = || BadFrame::Garbled("a message's length is wrong".to_owned());
    let length = prost::decode_length_delimiter(&mut *frame).map_err(|_| bad())?;
    if length > frame.len() {
        return Err(bad());
    }
    Ok(frame.split_to(length))
}

/// Takes the next message off a frame.
pub(crate) fn take_message<M: Message + Default>(frame: &mut Bytes) -> Result<M, BadFrame> {
    M::decode(take(frame)?).map_err(|error| BadFrame::Garbled(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{BadFrame, Frames};

    #[test]
    fn frames_come_out_however_the_bytes_come_in() {
        let bytes = b"\0\0\0\x03abc\0\0\0\x01d";
        for piece in 1..bytes.len() {
            let mut frames = Frames::new(10, true);
            let mut found = Vec::new();
            for part in bytes.chunks(piece) {
                frames.push(part);
                while let Some(frame) = frames.next().expect("frames") {
                    found.push(frame);
                }
            }
            assert_eq!(found, [&b"abc"[..], b"d"]);
        }
    }

    #[test]
    fn foreign_servers_are_told_apart() {
        for (bytes, what) in [
            (&b"HTTP/1.1 404 Not Found\r\nx"[..], "web server: \"HTTP/1.1 404 Not Found\""),
            (b"\x15\x03\x01\0\x02\x02", "TLS"),
            (b"SSH-2.0-x\r\n", "it answers \"SSH-2.0-x\\r\\n\""),
            (b"\0\0\0\0", "it answers"),
        ] {
            let mut frames = Frames::new(100, true);
            frames.push(bytes);
            let Err(BadFrame::Foreign(said)) = frames.next() else { panic!("{bytes:?} passed") };
            assert!(said.contains(what), "{said}");
        }
    }

    #[test]
    fn a_length_of_two_gibibytes_takes_no_memory() {
        let mut frames = Frames::new(128 << 20, false);
        frames.push(b"\x7f\xff\xff\xff");
        assert!(matches!(frames.next(), Err(BadFrame::Garbled(why)) if why.contains("2147483647")));
    }
}
