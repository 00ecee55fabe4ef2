//! How the program is linked.

use std::env::var;

fn main() {
    for file in ["build.rs", "resident.ld"] {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=DYBOX_TRACE");
    let is = |key: &str, value: &str| var(key).is_ok_and(|is| is == value);
    if !is("PROFILE", "release") {
        return;
    }
    // Loading a position-independent program writes to 600 KiB of its pages and reads 900 KiB of relocations, in every
    // proxy and master (docs/decisions/0005-cluster.md).
    println!("cargo:rustc-link-arg-bins=-no-pie");
    if let Ok(dir) = var("DYBOX_TRACE") {
        // Of scripts/resident/run, which finds out what belongs into the list below.
        for arg in ["-Wl,--no-as-needed", &format!("-L{dir}"), "-ltrace", &format!("-Wl,-rpath,{dir}")] {
            println!("cargo:rustc-link-arg-bins={arg}");
        }
    } else if is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
    {
        // What runs in parts that live long lies together, so that they have a third of the program's pages and not two
        // thirds (the same page).
        let dir = var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{dir}/resident.ld");
    }
}
