//! Whatever lies in a credentials file: no panic; what can be read is written and read again as the same.
#![no_main]

use dybox_hrpc::Credentials;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Credentials::read(bytes) {
        assert_eq!(Credentials::read(&read.write()).as_ref(), Ok(&read));
        assert_eq!(Credentials::read(&read.write_protobuf()).as_ref(), Ok(&read));
    }
});
