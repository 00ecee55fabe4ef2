//! Compiles YARN's messages without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    let files = ["hadoop/yarn.proto", "hadoop/yarn_service.proto"];
    for file in files.into_iter().chain(["hadoop/security.proto"]) {
        println!("cargo:rerun-if-changed={root}/{file}");
    }
    let mut compiled = protox::compile(files, [root])?;
    // Of what YARN's messages import, they use tokens alone.
    for file in compiled.file.iter_mut().filter(|file| file.package() == "hadoop.common") {
        file.message_type.retain(|message| message.name() == "TokenProto");
    }
    tonic_prost_build::configure().build_client(false).build_server(false).compile_fds(compiled)?;
    Ok(())
}
