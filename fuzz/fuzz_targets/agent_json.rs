//! What a runner sends: jobs and responders. A job that is accepted is within the agent's bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_probes::decoders;

fuzz_target!(|bytes: &[u8]| {
    if let Some(job) = decoders::job(bytes) {
        assert!((1_000_000..=600_000_000_000).contains(&job.duration.0));
        assert!(job.warmup.0 <= 60_000_000_000);
        assert!(job.target.port() != 0);
    }
    decoders::serve(bytes);
});
