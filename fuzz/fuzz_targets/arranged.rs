//! The messages with which a stream is arranged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_probes::decoders;

fuzz_target!(|bytes: &[u8]| decoders::arranged(bytes));
