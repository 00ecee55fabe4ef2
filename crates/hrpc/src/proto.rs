//! What the build makes of `proto/hadoop/rpc.proto` and `security.proto`. Nobody but this crate sees it.
#![expect(unreachable_pub, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/hadoop.common.rs"));
