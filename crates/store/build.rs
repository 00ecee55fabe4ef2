//! Compiles the few messages of HDFS that hdfs-native keeps for itself, without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let root = "../../proto";
    for file in ["hadoop/hdfs.proto", "hadoop/security.proto"] {
        println!("cargo:rerun-if-changed={root}/{file}");
    }
    let mut compiled = protox::compile(["hadoop/hdfs.proto"], [root])?;
    // Of what they import, they use tokens alone.
    for file in compiled.file.iter_mut().filter(|file| file.package() == "hadoop.common") {
        file.message_type.retain(|message| message.name() == "TokenProto");
    }
    tonic_prost_build::configure().build_client(false).build_server(false).compile_fds(compiled)?;
    Ok(())
}
