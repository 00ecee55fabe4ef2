//! Whatever lies in a site file: no panic, no endless loop.
#![no_main]

use dybox_hrpc::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let dir = std::env::temp_dir().join(format!("dybox-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    std::fs::write(dir.join("core-site.xml"), bytes).expect("a file");
    if let Ok(settings) = Settings::load(&[dir]) {
        let site = settings.site();
        let there = Settings::from_map(site.clone());
        assert_eq!(there.site(), site);
    }
});
