//! Files as real NodeManagers wrote them (`tests/data`), files of our own making, and noise.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use proptest::prelude::*;

use super::*;

const REAL_TFILE: &[u8] = include_bytes!("../../tests/data/tfile-gz");
const REAL_IFILE: &[u8] = include_bytes!("../../tests/data/ifile-gz");

impl ReadAt for Vec<u8> {
    fn len(&self) -> u64 {
        Self::len(self) as u64
    }

    async fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let part = start.checked_add(length).and_then(|end| self.get(start..end));
        part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

type Content = Vec<(Entry, Vec<u8>)>;
type Files<'a> = Vec<(&'a str, Vec<u8>)>;

fn read_all(bytes: &[u8]) -> Result<Content, LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut reader = Reader::open(bytes.to_vec()).await?;
        let mut all = Vec::new();
        while let Some(entry) = reader.next().await? {
            let mut content = Vec::new();
            while let Some(bytes) = reader.chunk().await? {
                assert!(!bytes.is_empty());
                content.extend(bytes);
            }
            all.push((entry, content));
        }
        Ok(all)
    })
}

fn content_of<'a>(all: &'a Content, container: &str, name: &str) -> &'a [u8] {
    let found = all.iter().find(|(entry, _)| entry.container.ends_with(container) && entry.name == name);
    &found.unwrap_or_else(|| panic!("no {name} of {container}")).1
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// TFile's number, in a form that holds all.
fn number(value: i64) -> Vec<u8> {
    match i8::try_from(value) {
        Ok(small) if small >= -32 => vec![small.cast_unsigned()],
        _ => [&[(8_u8).wrapping_sub(129)][..], &value.to_be_bytes()].concat(),
    }
}

fn text(value: &str) -> Vec<u8> {
    [number(value.len() as i64), value.as_bytes().to_vec()].concat()
}

fn utf(value: &str) -> Vec<u8> {
    [&u16::try_from(value.len()).unwrap().to_be_bytes()[..], value.as_bytes()].concat()
}

fn record(key: &str, value: &[u8], chunk: usize) -> Vec<u8> {
    let key = utf(key);
    let mut out = [number(key.len() as i64), key].concat();
    let mut parts = value.chunks(chunk).peekable();
    while let Some(part) = parts.next() {
        let length = part.len() as i64;
        out.extend(number(if parts.peek().is_some() { -length } else { length }));
        out.extend(part);
    }
    out
}

/// What a NodeManager would write: one block for each container.
fn tfile(containers: &[(&str, Files)], packing: &str, chunk: usize) -> Vec<u8> {
    const MAGIC: [u8; 16] = *b"\xd1\x11\xd3\x68\x91\xb5\xd7\xb6\x39\xdf\x41\x40\x92\xba\xe1\x50";
    let pack = |raw: Vec<u8>| (raw.len(), if packing == "gz" { zlib(&raw) } else { raw });
    let mut out = MAGIC.to_vec();
    let mut index = [text(packing), number(containers.len() as i64 + 1)].concat();
    let mut add = |out: &mut Vec<u8>, raw: Vec<u8>| {
        let (length, stored) = pack(raw);
        for part in [out.len(), stored.len(), length] {
            index.extend(number(part as i64));
        }
        out.extend(stored);
    };
    add(&mut out, [record("VERSION", &[0, 0, 0, 1], 9), record("APPLICATION_OWNER", &utf("root"), 9)].concat());
    for (container, files) in containers {
        let file = |(name, bytes): &(&str, Vec<u8>)| [utf(name), utf(&bytes.len().to_string()), bytes.clone()].concat();
        let value: Vec<u8> = files.iter().flat_map(file).collect();
        add(&mut out, record(container, &value, chunk));
    }
    let index_at = out.len();
    let (length, stored) = pack(index);
    out.extend(&stored);
    let metas_at = out.len() as u64;
    out.extend(number(1));
    out.extend([text("data:BCFile.index"), text(packing)].concat());
    for part in [index_at, stored.len(), length] {
        out.extend(number(part as i64));
    }
    out.extend(metas_at.to_be_bytes());
    out.extend([0, 1, 0, 0]);
    out.extend(MAGIC);
    out
}

fn long(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place * place / 7 % 251) as u8).collect()
}

#[test]
fn a_file_of_a_real_node_manager_is_read() {
    let all = read_all(REAL_TFILE).unwrap();
    let container = all[0].0.container.as_str();
    assert!(container.starts_with("container_1795261346240_0001_01_"), "{container}");
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|(entry, bytes)| entry.container == container && entry.length == bytes.len() as u64));
    assert!(content_of(&all, container, "launch_container.sh").starts_with(b"#!/bin/bash\n"));
    assert_eq!(content_of(&all, container, "stdout"), b"");
}

#[test]
fn a_file_of_the_other_format_is_read() {
    let all = read_all(REAL_IFILE).unwrap();
    let container = "container_1795261109079_0001_01_000002";
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|(entry, bytes)| entry.container == container && entry.length == bytes.len() as u64));
    assert!(content_of(&all, container, "launch_container.sh").starts_with(b"#!/bin/bash\n"));
    assert!(content_of(&all, container, "prelaunch.out").ends_with(b"\n"));
}

#[test]
fn long_files_in_chunks_and_blocks_are_read_whole() {
    let containers = [
        ("container_1_0001_01_000001", vec![("stdout", long(3_000_000)), ("stderr", Vec::new())]),
        ("container_1_0001_01_000002", vec![("a", b"one".to_vec()), ("b", long(70_000))]),
    ];
    for packing in ["none", "gz"] {
        for chunk in [100, 65_536, usize::MAX] {
            let all = read_all(&tfile(&containers, packing, chunk)).unwrap();
            let names: Vec<_> = all.iter().map(|(entry, _)| (entry.name.as_str(), entry.length)).collect();
            assert_eq!(names, [("stdout", 3_000_000), ("stderr", 0), ("a", 3), ("b", 70_000)]);
            assert_eq!(content_of(&all, "000001", "stdout"), long(3_000_000));
            assert_eq!(content_of(&all, "000002", "b"), long(70_000));
        }
    }
}

#[test]
fn what_is_not_asked_for_is_passed_over() {
    let containers = [("container_1_0001_01_000001", vec![("a", long(500_000)), ("b", b"two".to_vec())])];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut reader = Reader::open(tfile(&containers, "gz", 1000)).await.unwrap();
        reader.next().await.unwrap();
        reader.chunk().await.unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap().name, "b");
        assert_eq!(reader.chunk().await.unwrap().unwrap(), b"two");
        assert_eq!(reader.next().await.unwrap(), None);
    });
}

#[test]
fn numbers_have_five_classes_of_length() {
    let read = |bytes: &[u8]| {
        let bytes = bytes.to_vec();
        let length = bytes.len() as u64;
        let region = stream::Region { offset: 0, stored: length, raw: length };
        let mut stream = stream::Stream::new(region, stream::Packing::Plain);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(stream.number(&bytes)).unwrap()
    };
    assert_eq!(read(&[127]), 127);
    assert_eq!(read(&[0xe0]), -32);
    assert_eq!(read(&[0xcd, 0x2c]), 300);
    assert_eq!(read(&[0xcb, 0xdf]), -33);
    assert_eq!(read(&[0xa9, 0x86, 0xa0]), 100_000);
    assert_eq!(read(&[0x90, 0x98, 0x96, 0x80]), 10_000_000);
    assert_eq!(read(&[0x83, 0x7f, 0xff, 0xff, 0xff]), i64::from(i32::MAX));
    assert_eq!(read(&number(i64::MIN)), i64::MIN);
}

#[test]
fn what_cannot_be_read_is_said() {
    assert!(matches!(read_all(b"hello"), Err(LogError::Foreign)));
    assert!(matches!(read_all(&[7; 500][..499]), Err(LogError::Damaged { .. })), "it ends as it begins");
    let lzo = tfile(&[("container_1", vec![])], "lzo", 9);
    assert!(matches!(read_all(&lzo), Err(LogError::Compression(name)) if name == "lzo"));
    let mut cut = REAL_TFILE.to_vec();
    cut.truncate(cut.len() - 5);
    assert!(matches!(read_all(&cut), Err(LogError::Damaged { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_no_panic(which in 0..3_usize, places in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..6)) {
        let own = tfile(&[("container_1", vec![("a", long(300)), ("b", long(30))])], "none", 50);
        let mut bytes = [REAL_TFILE, REAL_IFILE, &own][which].to_vec();
        for (place, byte) in places {
            let place = place as usize % bytes.len();
            bytes[place] = byte;
        }
        // Whatever comes out, it comes to an end.
        let _ = read_all(&bytes);
    }

    #[test]
    fn noise_is_no_java(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = java::read(&[&[0xac, 0xed, 0, 5][..], &bytes].concat());
    }
}
