//! Compiles the services of `proto/dybox` without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    let protos = ["dybox/v1/master.proto", "dybox/v1/roster.proto", "dybox/v1/session.proto"];
    for proto in protos {
        println!("cargo:rerun-if-changed={root}/{proto}");
    }
    let files = protox::compile(protos, [root])?;
    tonic_prost_build::configure().bytes(".").codec_path("crate::codec::Lean").compile_fds(files)?;
    Ok(())
}
