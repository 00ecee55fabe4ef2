//! What the build makes of `proto/hadoop/yarn*.proto`. Nobody but this crate sees it.

pub(crate) mod common {
    #![expect(unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/hadoop.common.rs"));
}

pub(crate) mod yarn {
    #![expect(unreachable_pub, reason = "generated code")]
    include!(concat!(env!("OUT_DIR"), "/hadoop.yarn.rs"));
}
