//! One block from one DataNode, by HDFS's data transfer protocol: a request, then packets of checksums and data.

use std::io;

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::proto::hdfs::{
    BaseHeaderProto, BlockOpResponseProto, ClientOperationHeaderProto, LocatedBlockProto, OpReadBlockProto,
    PacketHeaderProto, ReadOpChecksumInfoProto,
};

/// The protocol's version, and the operation that reads.
const HELLO: [u8; 3] = [0, 28, 81];
const SUCCESS: u32 = 0;
const CRC32C: u32 = 2;
/// What `checksum OK` is in [the last word](read_block): field 1, value 6, behind its length.
const READ_WELL: [u8; 3] = [2, 8, 6];
/// A packet has 64 KiB as a rule; a DataNode sends none above this.
const LARGEST: usize = 32 << 20;

/// The block's bytes, as many as the NameNode knows of.
pub(super) async fn read_block(at: (&str, u16), block: &LocatedBlockProto) -> io::Result<Vec<u8>> {
    let mut line = BufReader::new(TcpStream::connect(at).await?);
    line.write_all(&request(block)).await?;
    let answer = BlockOpResponseProto::decode(&*delimited(&mut line).await?)?;
    if answer.status != SUCCESS {
        let why = answer.message.unwrap_or_else(|| format!("status {}", answer.status));
        return Err(io::Error::other(why.lines().next().unwrap_or_default().to_owned()));
    }
    let bytes = packets(&mut line, block.b.num_bytes(), answer.read_op_checksum_info.as_ref()).await?;
    // The DataNode need not hear it.
    let _ = line.write_all(&READ_WELL).await;
    Ok(bytes)
}

fn request(block: &LocatedBlockProto) -> Vec<u8> {
    let base_header = BaseHeaderProto { block: block.b.clone(), token: Some(block.block_token.clone()) };
    let header = ClientOperationHeaderProto { base_header, client_name: "dybox".to_owned() };
    let request = OpReadBlockProto { header, offset: 0, len: block.b.num_bytes() };
    let mut bytes = HELLO.to_vec();
    bytes.extend_from_slice(&request.encode_length_delimited_to_vec());
    bytes
}

/// Data up to the packet without any. A DataNode sends whole chunks, so more than was asked for.
async fn packets(
    line: &mut (impl AsyncRead + Unpin),
    want: u64,
    sums: Option<&ReadOpChecksumInfoProto>,
) -> io::Result<Vec<u8>> {
    let want = usize::try_from(want).map_err(|_| wrong("a block that is too large"))?;
    let mut bytes = Vec::new();
    loop {
        let rest = line.read_u32().await? as usize;
        let mut header = vec![0; usize::from(line.read_u16().await?)];
        line.read_exact(&mut header).await?;
        let header = PacketHeaderProto::decode(&*header)?;
        let len = usize::try_from(header.data_len).map_err(|_| wrong("a packet of negative length"))?;
        let checked =
            rest.checked_sub(4 + len).filter(|_| rest <= LARGEST).ok_or_else(|| wrong("a packet's length"))?;
        let mut packet = vec![0; checked + len];
        line.read_exact(&mut packet).await?;
        if len == 0 {
            break;
        }
        let (checks, data) = packet.split_at(checked);
        verify(checks, data, sums)?;
        if usize::try_from(header.offset_in_block) != Ok(bytes.len()) {
            return Err(wrong("packets that are out of order"));
        }
        bytes.extend_from_slice(data);
        if bytes.len() > want.saturating_add(LARGEST) {
            return Err(wrong("more than was asked for"));
        }
    }
    if bytes.len() < want {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.truncate(want);
    Ok(bytes)
}

/// Each chunk against its checksum, where it is of the usual kind.
fn verify(checks: &[u8], data: &[u8], sums: Option<&ReadOpChecksumInfoProto>) -> io::Result<()> {
    let Some(sums) = sums.map(|sums| &sums.checksum).filter(|sums| sums.r#type == CRC32C) else { return Ok(()) };
    let chunks = data.chunks((sums.bytes_per_checksum as usize).max(1));
    let sums = chunks.map(|chunk| crc32c::crc32c(chunk).to_be_bytes());
    if sums.eq(checks.chunks(4).map(|sum| <[u8; 4]>::try_from(sum).unwrap_or_default())) {
        return Ok(());
    }
    Err(wrong("a checksum that does not match"))
}

/// A message behind its length.
async fn delimited(line: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let (mut len, mut shift) = (0_usize, 0);
    loop {
        let byte = line.read_u8().await?;
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 21 {
            return Err(wrong("an answer that is too long"));
        }
    }
    let mut bytes = vec![0; len];
    line.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it sent {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hdfs::proto::hdfs::ChecksumProto;

    const SUMS: ReadOpChecksumInfoProto =
        ReadOpChecksumInfoProto { checksum: ChecksumProto { r#type: CRC32C, bytes_per_checksum: 4 } };

    fn packet(offset: i64, data: &[u8]) -> Vec<u8> {
        let checks: Vec<u8> = data.chunks(4).flat_map(|chunk| crc32c::crc32c(chunk).to_be_bytes()).collect();
        let data_len = i32::try_from(data.len()).unwrap();
        let last_packet_in_block = data.is_empty();
        let header = PacketHeaderProto { offset_in_block: offset, seqno: 0, last_packet_in_block, data_len };
        let header = header.encode_to_vec();
        let mut bytes = u32::try_from(4 + checks.len() + data.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(&u16::try_from(header.len()).unwrap().to_be_bytes());
        [bytes, header, checks, data.to_vec()].concat()
    }

    async fn read(sent: &[u8], want: u64) -> io::Result<Vec<u8>> {
        packets(&mut &*sent, want, Some(&SUMS)).await
    }

    #[tokio::test]
    async fn packets_are_put_together_and_cut_to_what_was_synced() {
        let sent = [packet(0, b"abcdef"), packet(6, b"ghi"), packet(9, b"")].concat();
        assert_eq!(read(&sent, 9).await.unwrap(), b"abcdefghi");
        assert_eq!(read(&sent, 7).await.unwrap(), b"abcdefg", "what was not synced is not there");
        assert!(read(&sent, 10).await.is_err(), "something that was synced is missing");
        assert!(read(&sent[..sent.len() - 30], 9).await.is_err(), "the line was cut");
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_refused() {
        let mut flipped = packet(0, b"abcdef");
        *flipped.last_mut().unwrap() ^= 1;
        assert!(read(&[flipped, packet(6, b"")].concat(), 6).await.unwrap_err().to_string().contains("checksum"));
        assert!(read(&[packet(3, b"abc"), packet(6, b"")].concat(), 3).await.is_err());
        assert!(read(&[255; 64], 3).await.is_err());
        assert!(read(&[0; 64], 3).await.is_err());
        assert!(delimited(&mut &[0xff_u8; 9][..]).await.is_err());
    }
}
