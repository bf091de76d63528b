//! HTTP responses as the probe reads them, whole and cut anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_probes::decoders;

fuzz_target!(|bytes: &[u8]| {
    decoders::http_response(bytes);
});
