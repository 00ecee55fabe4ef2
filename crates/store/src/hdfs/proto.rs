//! What the build makes of `proto/hadoop/hdfs.proto`. Nobody but this crate sees it.

pub(super) mod common {
    #![expect(unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/hadoop.common.rs"));
}

pub(super) mod hdfs {
    #![expect(unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/hadoop.hdfs.rs"));
}
