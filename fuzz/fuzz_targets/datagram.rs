//! Datagrams, as a responder and a client take them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_probes::decoders;

fuzz_target!(|bytes: &[u8]| {
    decoders::datagram(bytes);
});
