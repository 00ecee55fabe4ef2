use std::process::Command;

use super::*;

/// An entry as tar writes it.
fn entry(name: &str, kind: u8, link: &str, bytes: &[u8]) -> Vec<u8> {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{:011o}", bytes.len()).as_bytes());
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..263].copy_from_slice(b"ustar\0");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut all = block.to_vec();
    all.extend_from_slice(bytes);
    all.resize(all.len().next_multiple_of(BLOCK), 0);
    all
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 2 * BLOCK]].concat()
}

#[test]
fn what_tar_packs_comes_out_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let long = "n".repeat(120);
    for format in ["pax", "gnu", "ustar"] {
        let from = dir.path().join("src");
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/a"), vec![7; 5000]).unwrap();
        fs::write(from.join("empty"), "").unwrap();
        fs::write(from.join(&long), "long").unwrap();
        fs::set_permissions(from.join("empty"), Permissions::from_mode(0o640)).unwrap();
        let _ = symlink("sub/a", from.join("link"));
        let _ = fs::hard_link(from.join("sub/a"), from.join("twin"));
        let mut tar = Command::new("tar");
        tar.args(["-C", &dir.path().to_string_lossy(), "--format", format, "-cf", "-", "src"]);
        let packed = tar.output().unwrap();
        if format == "ustar" && packed.stdout.is_empty() {
            continue;
        }
        let to = dir.path().join(format!("out-{format}"));
        let done = unpack(&mut &packed.stdout[..], &to).unwrap();
        assert_eq!(fs::read(to.join("sub/a")).unwrap(), vec![7; 5000], "{format}");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("sub/a"));
        assert_eq!(fs::metadata(to.join("empty")).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read(to.join("twin")).unwrap().len(), 5000);
        if format != "ustar" {
            assert_eq!(fs::read(to.join(&long)).unwrap(), b"long", "{format}");
        }
        assert!(done.files >= 3 && done.link.is_none(), "{done:?}");
    }
}

#[test]
fn nothing_climbs_out() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    for name in ["a/../../x", "../x", "a/b/../../../x", ".."] {
        let error = unpack(&mut &archive(&[entry(name, b'0', "", b"evil")])[..], &to).unwrap_err();
        assert!(error.to_string().contains("climbs"), "{name}: {error}");
    }
    assert!(!dir.path().join("x").exists());
    // An absolute name is one below, too.
    unpack(&mut &archive(&[entry("/etc/passwd", b'0', "", b"x")])[..], &to).unwrap_err();
    assert!(!to.join("passwd").exists());
}

#[test]
fn a_link_in_the_archive_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (to, outside) = (dir.path().join("to"), dir.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    let through = archive(&[
        entry("a/", b'5', "", b""),
        entry("a/l", b'2', outside.to_str().unwrap(), b""),
        entry("a/l/kept", b'0', "", b"evil"),
    ]);
    assert!(unpack(&mut &through[..], &to).unwrap_err().to_string().contains("no directory"));
    assert_eq!(fs::read(outside.join("kept")).unwrap(), b"kept");
    // A file takes the place of a link, not of what it leads to.
    let over = archive(&[
        entry("a/", b'5', "", b""),
        entry("a/l", b'2', outside.join("kept").to_str().unwrap(), b""),
        entry("a/l", b'0', "", b"new"),
    ]);
    let to = dir.path().join("over");
    unpack(&mut &over[..], &to).unwrap();
    assert_eq!(
        (fs::read(to.join("l")).unwrap(), fs::read(outside.join("kept")).unwrap()),
        (b"new".to_vec(), b"kept".to_vec())
    );
    let twin = archive(&[entry("a/", b'5', "", b""), entry("a/t", b'1', "../outside/kept", b"")]);
    assert!(unpack(&mut &twin[..], &dir.path().join("twin")).is_err());
}

#[test]
fn what_is_cut_off_is_said_and_leaves_no_part() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("file");
    let whole = archive(&[entry("file", b'0', "", &[1; 3000])]);
    for len in [100, 600, 2000, whole.len() - 2 * BLOCK] {
        let error = unpack(&mut &whole[..len], &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{len}: {error}");
    }
    let part = unpack(&mut &whole[..2000], &to);
    assert!(part.is_err() && !to.exists());
    assert_eq!(unpack(&mut &whole[..], &to).unwrap().bytes, 3000);
    assert!(unpack(&mut &vec![b'x'; 4096][..], &to).unwrap_err().to_string().contains("damaged"));
    let link = archive(&[entry("now", b'2', "/data/7", b"")]);
    assert_eq!(unpack(&mut &link[..], &dir.path().join("l")).unwrap().link.as_deref(), Some("/data/7"));
}
