//! Compiles the headers of Hadoop RPC without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    let files = ["hadoop/rpc.proto", "hadoop/security.proto"];
    for file in files {
        println!("cargo:rerun-if-changed={root}/{file}");
    }
    let compiled = protox::compile(files, [root])?;
    tonic_prost_build::configure().bytes(".").build_client(false).build_server(false).compile_fds(compiled)?;
    Ok(())
}
