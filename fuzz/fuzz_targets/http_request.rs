//! The head of an HTTP request, as the responder reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_probes::decoders;

fuzz_target!(|bytes: &[u8]| {
    decoders::http_request(bytes);
});
