//! What the build makes of `proto/hadoop/rpc.proto` and `security.proto`. Nobody but this crate sees it.
#![expect(unreachable_pub, clippy::enum_variant_names, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/hadoop.common.rs"));
