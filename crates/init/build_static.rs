// Builds the static init. Not a module of this crate: the build script of the crate that embeds init, and the tests
// that need one, include this file, so that there is one way to build it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds init for `host` into `target_dir` and returns the binary's path. A nested cargo with a target directory of
/// its own: cargo locks by target directory, so the two never wait for each other.
fn build_static(cargo: &OsStr, init_dir: &Path, target_dir: &Path, host: &str) -> Result<PathBuf, String> {
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--target", host]);
    command.arg("--manifest-path").arg(init_dir.join("Cargo.toml"));
    command.arg("--target-dir").arg(target_dir);
    // What the outer cargo was told is not for this one: above all clippy, which would only check.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let exact = ["CARGO_TARGET_DIR", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"];
        if ["CARGO_PROFILE_", "CARGO_BUILD_"].iter().any(|prefix| text.starts_with(prefix)) || exact.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    // With a named target these flags reach the program alone, not the build scripts and macros of its dependencies.
    command.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Crelocation-model=static");
    for (key, value) in [("OPT_LEVEL", "s"), ("LTO", "fat"), ("CODEGEN_UNITS", "1"), ("STRIP", "symbols"), ("DEBUG", "0")] {
        command.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    command.env("CARGO_PROFILE_RELEASE_PANIC", "unwind");
    let output = command.output().map_err(|error| format!("can't run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("init does not build:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(target_dir.join(host).join("release/dybox-init"))
}
