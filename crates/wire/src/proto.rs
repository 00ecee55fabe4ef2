//! What the build makes of `proto/dybox/v1`. Nobody but this crate sees it.
#![expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::excessive_nesting,
    clippy::too_many_lines,
    reason = "generated code"
)]

tonic::include_proto!("dybox.v1");
