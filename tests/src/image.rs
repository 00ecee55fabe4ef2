//! Images that are made here: no hub is asked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::binary::{binary, stripped};
use crate::engine::Engine;

/// Makes an image of `dybox` and the libraries that it is linked to, each at its own path, and nothing else.
///
/// # Panics
/// When a tool is missing, or the engine takes no image.
pub fn own_image(engine: &Engine, name: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    put(&stripped(), &dir.path().join("usr/local/bin/dybox"));
    for library in libraries() {
        let place = library.strip_prefix("/").expect("ldd names whole paths");
        put(&library, &dir.path().join(place));
    }
    let (archive, root) = (dir.path().with_extension("tar"), dir.path());
    let packed = Command::new("tar").arg("-C").arg(root).arg("-cf").arg(&archive).arg(".").status().expect("tar runs");
    let made = engine.docker(&["import", &archive.to_string_lossy(), name]);
    let _ = std::fs::remove_file(&archive);
    assert!(packed.success() && made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// What `ldd` says that the program needs, the loader too.
fn libraries() -> Vec<PathBuf> {
    let said = Command::new("ldd").arg(binary()).stdin(Stdio::null()).output().expect("ldd runs").stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn put(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().expect("a file has a directory")).expect("directories");
    std::fs::copy(from, to).expect("a copy");
}
