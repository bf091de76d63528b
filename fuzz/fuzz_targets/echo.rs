//! What arrives at a socket for ICMP echo replies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_probes::decoders;

fuzz_target!(|bytes: &[u8]| decoders::echo(bytes));
