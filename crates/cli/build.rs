//! How the program is linked.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=order.txt");
    let is = |key: &str, value: &str| var(key).is_ok_and(|is| is == value);
    if !is("PROFILE", "release") {
        return;
    }
    // Loading a position-independent program writes to 600 KiB of its pages and reads 900 KiB of relocations, in every
    // proxy and master (docs/decisions/0005-cluster.md).
    println!("cargo:rustc-link-arg-bins=-no-pie");
    // What runs in parts that live long lies together, so that they have 4 MB of the program's pages and not 11 (the
    // same page). Only where Rust brings its own linker, which knows these options.
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu")
    {
        let dir = var("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
        println!("cargo:rustc-link-arg-bins=-Wl,--symbol-ordering-file={dir}/order.txt");
        println!("cargo:rustc-link-arg-bins=-Wl,--no-warn-symbol-ordering");
    }
}
