//! Builds the static init, which this crate carries inside.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use sha2::{Digest, Sha256};

include!("../init/build_static.rs");

fn main() {
    let var = |name: &str| std::env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let out = PathBuf::from(var("OUT_DIR"));
    let init = Path::new(&var("CARGO_MANIFEST_DIR")).join("../init");
    for file in ["src", "Cargo.toml", "build_static.rs"] {
        println!("cargo::rerun-if-changed={}", init.join(file).display());
    }
    println!("cargo::rerun-if-changed={}", init.join("../redact/src").display());
    let target = var("TARGET").to_string_lossy().into_owned();
    let built = build_static(&var("CARGO"), &init, &out.join("init"), &target).unwrap_or_else(|why| panic!("{why}"));
    let bytes = std::fs::read(&built).unwrap_or_else(|error| panic!("{}: {error}", built.display()));
    let digest = hex::encode(Sha256::digest(&bytes));
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    let packed = packer.write_all(&bytes).and_then(|()| packer.finish()).unwrap_or_else(|error| panic!("{error}"));
    for (name, content) in [("z", packed), ("length", bytes.len().to_string().into_bytes())] {
        let file = out.join("dybox-init").with_extension(name);
        std::fs::write(&file, content).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
    println!("cargo::rustc-env=DYBOX_INIT_DIGEST={digest}");
}
