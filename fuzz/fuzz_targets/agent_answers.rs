//! What an agent answers, as the runner reads it: reports with histograms, counters, facts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tollgate_results::agent::{Armed, Hello, HostFacts, PathFacts, Refusal, Serving};
use tollgate_results::counters::Counters;
use tollgate_results::evidence::DeviceCounters;
use tollgate_results::outcome::JobReport;

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<Hello>(bytes);
    let _ = serde_json::from_slice::<Armed>(bytes);
    let _ = serde_json::from_slice::<Serving>(bytes);
    let _ = serde_json::from_slice::<Refusal>(bytes);
    let _ = serde_json::from_slice::<HostFacts>(bytes);
    let _ = serde_json::from_slice::<PathFacts>(bytes);
    let _ = serde_json::from_slice::<Vec<DeviceCounters>>(bytes);
    if let Ok(counters) = serde_json::from_slice::<Counters>(bytes) {
        let _ = counters.since(&Counters::default());
        let _ = counters.since(&counters);
    }
    if let Ok(report) = serde_json::from_slice::<JobReport>(bytes) {
        let _ = report.outcome.bottleneck(&report.histograms);
        for histogram in report.histograms.values() {
            let _ = histogram.quantile_of_sent(0.99, report.outcome.lost);
        }
        // What was read can be written and read again.
        let text = serde_json::to_vec(&report).expect("plain data");
        assert_eq!(serde_json::from_slice::<JobReport>(&text).expect("our own"), report);
    }
});
