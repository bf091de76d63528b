//! The first bytes of a TCP connection, and the blocks of a stream, cut anyhow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_probes::decoders;
use tollgate_probes::wire::Preamble;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(preamble) = Preamble::decode(bytes) {
        assert_eq!(Preamble::decode(&preamble.encode()), Ok(preamble));
    }
    let _ = Preamble::may_start_with(bytes);
    decoders::greeting(bytes);
    decoders::blocks(bytes);
});
