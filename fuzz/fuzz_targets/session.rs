//! The handshake with a responder. Half of the inputs get a valid MAC, which no fuzzer would guess.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_probes::decoders;

fuzz_target!(|bytes: &[u8]| {
    decoders::session(bytes);
    decoders::session_with_mac(bytes);
});
