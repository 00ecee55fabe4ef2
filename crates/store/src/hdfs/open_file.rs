//! Reading a file that its writer left open, which hdfs-native does not: what was synced in it.
//!
//! The NameNode tells the length that the last sync told it, and where the last block lies; each DataNode of that block
//! has as many bytes of it at least.

use std::time::Duration;

use bytes::Bytes;
use dybox_hrpc::{Address, Auth, Call, Client, Options, Settings, Target};
use tokio::time::timeout;

use super::block::read_block;
use super::link::Hdfs;
use super::proto::hdfs::{
    GetBlockLocationsRequestProto, GetBlockLocationsResponseProto, LocatedBlockProto, LocatedBlocksProto,
};
use crate::StoreError;
use crate::error::Kind;

const PROTOCOL: &str = "org.apache.hadoop.hdfs.protocol.ClientProtocol";
/// Where a NameNode listens when an address names no port.
const PORT: u16 = 8020;
/// How long the NameNode's answer and one DataNode may take: waiting for a lease recovery takes little longer.
const ANSWER: Duration = Duration::from_secs(3);
/// Settings with which DataNodes want a login that we lack.
const GUARDED: [&str; 2] = ["dfs.encrypt.data.transfer", "dfs.data.transfer.protection"];

impl Hdfs {
    /// All that was synced in a file, whoever has it open.
    pub(super) async fn read_open(&self, name: &str) -> Result<Bytes, StoreError> {
        let failed = |why: String| StoreError::of(Kind::Unreachable, "read the open file", self.url(name), why);
        let settings = Settings::from_map(self.settings().clone());
        if let Some(key) = closed_to_us(&settings) {
            return Err(failed(format!("{key} asks for a login")));
        }
        let located = self.locate_blocks(name, &settings).await.map_err(failed)?;
        let by_name = settings.get("dfs.client.use.datanode.hostname") == Some("true");
        let mut bytes = Vec::new();
        for block in in_order(located) {
            if block.offset != bytes.len() as u64 {
                return Err(failed(format!("no block at byte {}", bytes.len())));
            }
            bytes.extend_from_slice(&any_replica(&block, by_name).await.map_err(failed)?);
        }
        Ok(bytes.into())
    }

    async fn locate_blocks(&self, name: &str, settings: &Settings) -> Result<LocatedBlocksProto, String> {
        let options = Options::from_settings(settings).map_err(|error| error.to_string())?;
        let target = Target {
            addresses: namenodes(settings, self.authority()),
            protocol: PROTOCOL,
            auth: Auth::Simple { user: self.user() },
            options: Options { connect: ANSWER, patience: Some(Duration::ZERO), ..options },
        };
        let request = GetBlockLocationsRequestProto { src: self.path(name), offset: 0, length: i64::MAX as u64 };
        let limits = Call { deadline: ANSWER, idempotent: true };
        let answer = Client::new(target).call("getBlockLocations", &request, limits).await;
        let answer: GetBlockLocationsResponseProto = answer.map_err(|error| error.to_string())?;
        answer.locations.ok_or_else(|| "it does not exist".to_owned())
    }
}

fn closed_to_us(settings: &Settings) -> Option<&'static str> {
    let is_set = |key: &str| settings.get(key).is_some_and(|value| !value.is_empty() && value != "false");
    let secure = settings.get("hadoop.security.authentication").is_some_and(|way| way != "simple");
    if secure {
        return Some("hadoop.security.authentication");
    }
    GUARDED.into_iter().find(|key| is_set(key))
}

/// The servers behind `hdfs://AUTHORITY`: those of a nameservice, or the one that is named.
fn namenodes(settings: &Settings, authority: &str) -> Vec<Address> {
    let service = authority.strip_prefix("hdfs://").unwrap_or(authority);
    let address = |id: &String| {
        let text = settings.get(&format!("dfs.namenode.rpc-address.{service}.{id}"))?;
        Some(Address::read(text, PORT)?.named(id))
    };
    let of_service: Vec<_> = settings.list(&format!("dfs.ha.namenodes.{service}")).iter().filter_map(address).collect();
    if of_service.is_empty() { Address::read(service, PORT).into_iter().collect() } else { of_service }
}

/// The file's blocks, each once. The last one stands apart, and among the others, too.
fn in_order(located: LocatedBlocksProto) -> Vec<LocatedBlockProto> {
    let mut blocks: Vec<_> = located.blocks.into_iter().chain(located.last_block).collect();
    blocks.sort_by_key(|block| (block.offset, block.b.block_id));
    blocks.dedup_by_key(|block| block.b.block_id);
    blocks.retain(|block| block.b.num_bytes() > 0);
    blocks
}

async fn any_replica(block: &LocatedBlockProto, by_name: bool) -> Result<Vec<u8>, String> {
    let mut why = "no DataNode has the last block".to_owned();
    for node in block.locs.iter().map(|node| &node.id) {
        let host = if by_name { &node.host_name } else { &node.ip_addr };
        let port = u16::try_from(node.xfer_port).unwrap_or_default();
        why = match timeout(ANSWER, read_block((host, port), block)).await {
            Ok(Ok(bytes)) => return Ok(bytes),
            Ok(Err(error)) => format!("DataNode {host}:{port}: {error}"),
            Err(_) => format!("DataNode {host}:{port}: no answer within {} s", ANSWER.as_secs()),
        };
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::hdfs::proto::common::TokenProto;
    use crate::hdfs::proto::hdfs::ExtendedBlockProto;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let map: BTreeMap<_, _> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::from_map(map)
    }

    fn block(offset: u64, id: u64, len: u64) -> LocatedBlockProto {
        let b = ExtendedBlockProto { pool_id: "p".into(), block_id: id, generation_stamp: 1, num_bytes: Some(len) };
        let block_token =
            TokenProto { identifier: vec![], password: vec![], kind: String::new(), service: String::new() };
        LocatedBlockProto { b, offset, locs: Vec::new(), block_token }
    }

    #[test]
    fn the_namenodes_are_those_of_the_address() {
        let said = |pairs: &[(&str, &str)], authority: &str| -> Vec<String> {
            namenodes(&settings(pairs), authority).iter().map(ToString::to_string).collect()
        };
        assert_eq!(said(&[], "hdfs://nn:9000"), ["nn:9000"]);
        assert_eq!(said(&[], "hdfs://nn"), ["nn:8020"]);
        let pair = [
            ("dfs.ha.namenodes.prod", "a, b"),
            ("dfs.namenode.rpc-address.prod.a", "n1:1"),
            ("dfs.namenode.rpc-address.prod.b", "n2:2"),
        ];
        assert_eq!(said(&pair, "hdfs://prod"), ["n1:1", "n2:2"]);
    }

    #[test]
    fn datanodes_that_want_a_login_are_not_tried() {
        assert_eq!(closed_to_us(&settings(&[])), None);
        assert_eq!(closed_to_us(&settings(&[("dfs.encrypt.data.transfer", "false")])), None);
        assert_eq!(closed_to_us(&settings(&[("dfs.encrypt.data.transfer", "true")])), Some(GUARDED[0]));
        assert_eq!(closed_to_us(&settings(&[("dfs.data.transfer.protection", "privacy")])), Some(GUARDED[1]));
        assert!(closed_to_us(&settings(&[("hadoop.security.authentication", "kerberos")])).is_some());
    }

    #[test]
    fn the_last_block_counts_once_and_an_empty_one_not_at_all() {
        let ids = |blocks: Vec<_>, last_block| -> Vec<u64> {
            in_order(LocatedBlocksProto { blocks, last_block }).iter().map(|block| block.b.block_id).collect()
        };
        assert_eq!(ids(vec![block(0, 1, 9)], Some(block(9, 2, 3))), [1, 2]);
        assert_eq!(ids(vec![block(0, 1, 9), block(9, 2, 3)], Some(block(9, 2, 3))), [1, 2]);
        assert_eq!(ids(vec![block(0, 1, 9)], Some(block(9, 2, 0))), [1]);
        assert_eq!(ids(vec![], None), Vec::<u64>::new());
    }
}
