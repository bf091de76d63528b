//! Results of other tools. Those in `import/` are as the tools printed them (iperf3 3.12, sockperf 3.7, over loopback); of
//! iperf3's, sockets, streams and intervals are cut out.

use tollgate_reports::import::{
    Figure, ImportError, ImportedCell, ImportedComparison, Run, Tool, compare, read,
};
use tollgate_reports::model::{Metric, Verdict};

const TCP: &str = include_str!("import/iperf3-tcp.json");
const UDP: &str = include_str!("import/iperf3-udp.json");
const BIDIR: &str = include_str!("import/iperf3-bidir.json");
const REFUSED: &str = include_str!("import/iperf3-refused.json");
const PP: &str = include_str!("import/sockperf-pp.txt");
const RTT: &str = include_str!("import/sockperf-rtt.txt");
const UNDER_LOAD: &str = include_str!("import/sockperf-ul.txt");
const THROUGHPUT: &str = include_str!("import/sockperf-tp.txt");
const NO_SERVER: &str = include_str!("import/sockperf-noserver.txt");
const FULL_LOG: &str = include_str!("import/sockperf-full-log.csv");

/// The columns of k8s-netperf's CSV; older versions have fewer.
const CSV: &str = "Driver,Profile,Same node,Host Network,Service,External Server,Duration,Parallelism,# of Samples,\
Message Size,Burst,Confidence metric - low,Confidence metric - high,Avg Throughput,Throughput Metric,\
99%tile Observed Latency,Latency Metric
netperf,TCP_STREAM,false,false,false,false,10,1,3,1024,0,2500.5,2700.25,2600.5,Mb/s,3.3333333333333335,usec
iperf3,TCP_STREAM,false,true,false,false,10,2,3,8192,0,2500.5,2700.25,2500.25,Mb/s,0,usec
netperf,TCP_RR,false,false,true,false,10,1,3,1024,2,9000.5,9900.5,9300.5,OP/s,451.3333333333333,usec
";

fn figures(text: &str) -> Vec<(String, Metric, f64)> {
    let figures = read(text).unwrap().figures.into_iter();
    figures
        .map(
            |Figure {
                 workload,
                 metric,
                 value,
             }| (workload, metric, value),
        )
        .collect()
}

fn refused(text: &str) -> String {
    let error = read(text).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn iperf3_gives_what_arrived() {
    let one = "TCP, 1 stream".to_owned();
    assert_eq!(
        figures(TCP),
        [(one, Metric::Throughput, 18_136_571_798.416_286)]
    );
    let offered = "UDP, 1 stream, 10000000 bit/s offered".to_owned();
    assert_eq!(
        figures(UDP),
        [
            (offered.clone(), Metric::Throughput, 10_187_572.368_958_624),
            (offered, Metric::Loss, 0.0)
        ]
    );
    let both: Vec<String> = figures(BIDIR)
        .into_iter()
        .map(|(workload, ..)| workload)
        .collect();
    assert_eq!(
        both,
        [
            "TCP, 1 stream, both ways at once",
            "TCP, 1 stream, both ways at once, server to client"
        ]
    );
}

#[test]
fn a_failed_or_cut_run_of_iperf3_has_no_figure() {
    assert!(refused(REFUSED).contains("unable to connect to server: Connection refused"));
    let cut = &TCP[..TCP.len() / 2];
    assert!(
        refused(cut).contains("not whole as JSON"),
        "{}",
        refused(cut)
    );
    let nan = TCP.replace("18136571798.416286", "-nan");
    assert!(
        refused(&nan).contains("not whole as JSON"),
        "{}",
        refused(&nan)
    );
    let nothing = TCP.replace("18136571798.416286", "0");
    assert!(
        refused(&nothing).contains("has no figure"),
        "{}",
        refused(&nothing)
    );
    let stream = "{\"event\":\"start\",\"data\":{}}\n{\"event\":\"end\",\"data\":{}}\n";
    assert!(
        refused(stream).contains("--json-stream"),
        "{}",
        refused(stream)
    );
}

#[test]
fn datagrams_that_were_all_lost_are_a_loss_and_no_throughput() {
    let lost = UDP
        .replace("\"lost_packets\": 0", "\"lost_packets\": 39")
        .replace("10187572.368958624", "0");
    let found = figures(&lost);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].1, found[0].2), (Metric::Loss, 1.0));
    // Reordering has made iperf3 print negative losses.
    let negative = UDP.replace("\"lost_packets\": 0", "\"lost_packets\": -3");
    assert!(
        figures(&negative)
            .iter()
            .all(|(_, metric, _)| *metric != Metric::Loss)
    );
}

#[test]
fn sockperf_halves_and_is_doubled() {
    let imported = read(PP).unwrap();
    assert_eq!(imported.tool, Tool::Sockperf);
    assert!(
        imported.notes[0].contains("doubled"),
        "{:?}",
        imported.notes
    );
    let found = figures(PP);
    assert_eq!(
        found[0],
        (
            "sockperf UDP, round trips".to_owned(),
            Metric::P50,
            11_176.0
        )
    );
    let metrics: Vec<Metric> = found.iter().map(|(_, metric, _)| *metric).collect();
    assert_eq!(
        metrics,
        [
            Metric::P50,
            Metric::P90,
            Metric::P99,
            Metric::P999,
            Metric::Loss
        ]
    );
    // With --full-rtt it prints round trips: the median of the next run, by chance the same to the digit.
    assert_eq!(figures(RTT)[0], found[0]);
    assert!(read(RTT).unwrap().notes.is_empty());
    let log = figures(FULL_LOG);
    assert_eq!(
        log[0],
        ("sockperf, round trips".to_owned(), Metric::P50, 13_670.0)
    );
}

#[test]
fn a_reply_that_nobody_asked_for_is_not_lost() {
    // 547 messages, a reply asked for every other one: 274 came.
    let loss = figures(UNDER_LOAD)
        .into_iter()
        .find(|(_, metric, _)| *metric == Metric::Loss);
    assert!(loss.unwrap().2.abs() < 1e-12);
}

#[test]
fn percentiles_among_lost_replies_are_infinite() {
    let lossy = PP.replace("# dropped messages = 0", "# dropped messages = 500");
    let found = figures(&lossy);
    let value = |wanted: Metric| {
        found
            .iter()
            .find(|(_, metric, _)| *metric == wanted)
            .unwrap()
            .2
    };
    assert!(value(Metric::P50).is_finite() && value(Metric::P90).is_finite());
    assert!(value(Metric::P99).is_infinite() && value(Metric::P999).is_infinite());
    assert!((value(Metric::Loss) - 500.0 / 18_826.0).abs() < 1e-12);
    assert!(read(&lossy).unwrap().notes[1].contains("leaves lost replies out"));
    assert!(refused(NO_SERVER).contains("every reply was lost"));
    let cut = PP.split_inclusive('\n').take(8).collect::<String>();
    assert!(refused(&cut).contains("cut short"), "{}", refused(&cut));
}

#[test]
fn sockperf_throughput_has_rate_and_bits() {
    let found = figures(THROUGHPUT);
    let one_way = "sockperf UDP, messages one way".to_owned();
    assert_eq!(found[0], (one_way.clone(), Metric::Rate, 76_024.0));
    assert_eq!((&found[1].0, found[1].1), (&one_way, Metric::Throughput));
    assert!((found[1].2 - 8.12e6).abs() < 1.0, "{found:?}");
}

#[test]
fn k8s_netperf_is_read_from_csv_and_json_alike() {
    let found = figures(CSV);
    assert_eq!(found.len(), 5, "{found:?}");
    assert_eq!(
        found[0],
        (
            "netperf TCP_STREAM, 1 parallel, 1024 B".to_owned(),
            Metric::Throughput,
            2_600.5e6
        )
    );
    // iperf3 has no latency there: the 0 is none.
    let named = "netperf TCP_RR, 1 parallel, 1024 B, 2 in a burst, through a service";
    assert_eq!(found[3], (named.to_owned(), Metric::Rate, 9_300.5));
    assert_eq!((found[4].1, found[4].2.round()), (Metric::P99, 451_333.0));
    assert!(read(CSV).unwrap().notes[0].contains("no 99th percentile"));

    let json = r#"[{"uuid": "x", "driver": "netperf", "profile": "TCP_RR", "parallelism": 1, "messageSize": 1024,
        "burst": 2, "service": true, "hostNetwork": false, "local": false, "throughput": 9300.5, "latency": 451.25,
        "tputMetric": "OP/s", "ltcyMetric": "usec", "udpLossPercent": 0}]"#;
    let found = figures(json);
    assert_eq!(found[0], (named.to_owned(), Metric::Rate, 9_300.5));
    assert_eq!((found[1].1, found[1].2), (Metric::P99, 451_250.0));
}

#[test]
fn a_hand_edited_csv_names_its_lines() {
    let edited = CSV
        .replace(",2600.5,", ",NaN,")
        .replace(",OP/s,451.3333333333333,usec", "");
    let error = refused(&edited);
    assert!(
        error.contains("line 2: throughput `NaN` is not a number"),
        "{error}"
    );
    assert!(error.contains("line 4: 14 columns and not 17"), "{error}");
    let other = CSV.replace("Avg Throughput", "Mean");
    assert!(
        refused(&other).contains("no column `Avg Throughput`"),
        "{}",
        refused(&other)
    );
}

/// Runs of two arms: throughput as iperf3 prints it, scaled.
fn runs(reference: &[f64], arm: &[f64]) -> Vec<Run> {
    let scaled = |arm: &str, factor: &f64| Run {
        arm: arm.to_owned(),
        file: format!("{arm}-{factor}.json"),
        imported: read(&TCP.replace("18136571798.416286", &format!("{}", 1e9 * factor))).unwrap(),
    };
    let reference = reference.iter().map(|factor| scaled("native", factor));
    reference
        .chain(arm.iter().map(|factor| scaled("vxlan", factor)))
        .collect()
}

fn only(comparison: &ImportedComparison) -> &ImportedCell {
    assert_eq!(comparison.cells.len(), 1, "{comparison:?}");
    &comparison.cells[0]
}

#[test]
fn runs_are_compared_unpaired_and_tagged() {
    let steps = [1.0, 1.01, 0.99, 1.02, 0.98, 1.005, 0.995];
    let slower = steps.map(|step| 0.8 * step);
    let comparison = compare(&runs(&steps, &slower), 0.05).unwrap();
    assert!(!comparison.mergeable && !comparison.paired);
    assert_eq!(
        (comparison.reference.as_str(), comparison.files.len()),
        ("native", 14)
    );
    let cell = only(&comparison);
    assert_eq!(cell.verdict, Verdict::Slower, "{}", cell.words);
    assert!(
        (cell.effect.unwrap().value - 1.25).abs() < 1e-9,
        "{:?}",
        cell.effect
    );
    assert!(
        cell.words
            .starts_with("slower: vxlan against native +25.0 % ["),
        "{}",
        cell.words
    );
    let costs = comparison.costs.join("\n");
    assert!(
        costs.contains("not mergeable") && costs.contains("Unpaired"),
        "{costs}"
    );
    let text = serde_json::to_string(&comparison).unwrap();
    assert_eq!(
        serde_json::from_str::<ImportedComparison>(&text).unwrap(),
        comparison
    );
    for banned in ["no change", "same", "significant"] {
        assert!(!text.contains(banned), "{banned}: {text}");
    }
}

#[test]
fn too_few_runs_are_insufficient_and_one_arm_is_refused() {
    let few = compare(&runs(&[1.0; 7], &[0.5; 5]), 0.05).unwrap();
    let cell = only(&few);
    assert_eq!((cell.verdict, cell.effect), (Verdict::Insufficient, None));
    assert_eq!(
        cell.words,
        "insufficient: 5 runs on one side: an interval needs at least 6 on each"
    );
    assert_eq!(
        compare(&runs(&[1.0; 7], &[]), 0.05),
        Err(ImportError::OneArm)
    );
    let mut other = runs(&[1.0; 7], &[1.0; 7]);
    for run in &mut other[7..] {
        run.imported = read(THROUGHPUT).unwrap();
    }
    assert_eq!(compare(&other, 0.05), Err(ImportError::NothingInCommon));
}

#[test]
fn lost_percentiles_are_worse_without_a_bound() {
    let run = |arm: &str, text: &str| Run {
        arm: arm.to_owned(),
        file: arm.to_owned(),
        imported: read(text).unwrap(),
    };
    let lossy = PP.replace("# dropped messages = 0", "# dropped messages = 500");
    let mut all: Vec<Run> = (0..8).map(|_| run("a", PP)).collect();
    all.extend((0..8).map(|_| run("b", &lossy)));
    let comparison = compare(&all, 0.05).unwrap();
    let cell = |metric: Metric| {
        comparison
            .cells
            .iter()
            .find(|cell| cell.metric == metric)
            .unwrap()
    };
    assert_eq!(cell(Metric::P99).verdict, Verdict::Slower);
    assert!(
        cell(Metric::P99).words.contains("+∞ %"),
        "{}",
        cell(Metric::P99).words
    );
    assert_eq!(cell(Metric::P50).verdict, Verdict::Equivalent);
    assert_eq!(cell(Metric::Loss).verdict, Verdict::Slower);
}
