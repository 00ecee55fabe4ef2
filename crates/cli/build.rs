//! How the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Loading a position-independent program writes to 600 KiB of its pages and reads 900 KiB of relocations, in every
    // proxy and master (docs/decisions/0005-cluster.md).
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
