//! Two campaigns compared offline.

use tollgate_reports::analyse;
use tollgate_reports::model::{Analysis, Metric, Verdict};
use tollgate_reports::render;
use tollgate_reports::synthetic::{Synthetic, datapath, measured_mut, name};
use tollgate_reports::unpaired::{ComparedCell, Comparison, ComparisonError, Method, compare};
use tollgate_results::arm::{Service, Wire};
use tollgate_results::run::Campaign;
use tollgate_results::units::Nanoseconds;
use unicode_width::UnicodeWidthStr as _;

/// Native against an overlay that costs `toll` on each packet, all of it `drift` times as slow.
fn campaign(seed: u64, toll: f64, drift: f64) -> Campaign {
    let mut synthetic = Synthetic::overlay();
    synthetic.seed = seed;
    synthetic.arms[0].per_packet = drift;
    synthetic.arms[1].per_packet = toll * drift;
    let mut campaign = synthetic.referenced().campaign();
    campaign.run.started_unix_ms += 1_000_000 * seed;
    campaign
}

fn analysis(seed: u64, toll: f64, drift: f64) -> Analysis {
    analyse(&campaign(seed, toll, drift))
}

fn p50(comparison: &Comparison) -> &ComparedCell {
    let mut cells = comparison.cells.iter();
    cells.find(|cell| cell.metric == Metric::P50).unwrap()
}

fn refused(before: &Analysis, after: &Analysis) -> Vec<String> {
    match compare(before, after, None, false) {
        Err(ComparisonError::Differ(differences)) => differences
            .into_iter()
            .map(|difference| format!("{}: {}", difference.about, difference.text))
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn shown(comparison: &Comparison) -> String {
    String::from_utf8(render::comparison(comparison, false)).unwrap()
}

#[test]
fn what_moves_arm_and_reference_alike_is_no_difference() {
    let comparison = compare(
        &analysis(1, 1.25, 1.0),
        &analysis(2, 1.25, 1.4),
        None,
        false,
    )
    .unwrap();
    let cell = p50(&comparison);
    assert_ne!(cell.verdict, Verdict::Slower, "{}", cell.words);
    assert!(
        (cell.effect.unwrap().value - 1.0).abs() < 0.03,
        "{}",
        cell.words
    );
    assert_eq!((cell.method, cell.installs), (Method::RankSum, [1, 1]));
    let native = comparison
        .references
        .iter()
        .find(|moved| moved.metric == Metric::P50)
        .unwrap();
    assert!(
        (native.after.median / native.before.median - 1.4).abs() < 0.05,
        "{native:?}"
    );
}

#[test]
fn a_toll_that_grew_is_slower_and_labelled_as_unpaired() {
    let comparison = compare(&analysis(1, 1.25, 1.0), &analysis(2, 1.5, 1.0), None, false).unwrap();
    let cell = p50(&comparison);
    assert_eq!(cell.verdict, Verdict::Slower, "{}", cell.words);
    assert!(
        cell.effect.unwrap().interval95.contains(1.2),
        "{}",
        cell.words
    );
    assert!(
        cell.words
            .starts_with("slower: the toll of vxlan over native went from +2"),
        "{}",
        cell.words
    );
    assert!(!comparison.paired);
    let costs = comparison.costs.join("\n");
    for cost in ["Unpaired: ", "For these installs only", "tollgate gate"] {
        assert!(costs.contains(cost), "{costs}");
    }
    let back = compare(&analysis(2, 1.5, 1.0), &analysis(1, 1.25, 1.0), None, false).unwrap();
    assert_eq!(p50(&back).verdict, Verdict::Faster);
    let text = serde_json::to_string(&comparison).unwrap();
    assert_eq!(
        serde_json::from_str::<Comparison>(&text).unwrap(),
        comparison
    );
}

#[test]
fn a_margin_of_ones_own_takes_the_place_of_the_plans() {
    let (before, after) = (analysis(1, 1.25, 1.0), analysis(2, 1.30, 1.0));
    let wide = compare(&before, &after, Some(0.2), false).unwrap();
    assert_eq!(
        p50(&wide).verdict,
        Verdict::Equivalent,
        "{}",
        p50(&wide).words
    );
    assert!(p50(&wide).words.contains("(90 %)"), "{}", p50(&wide).words);
    let narrow = compare(&before, &after, Some(0.001), false).unwrap();
    assert_eq!(p50(&narrow).verdict, Verdict::Slower);
}

#[test]
fn what_differs_is_refused_by_name_and_compared_anyway_at_a_price() {
    let before = analysis(1, 1.25, 1.0);
    let mut elsewhere = campaign(2, 1.25, 1.0);
    elsewhere.run.facts.kernel = "6.1.0".to_owned();
    let elsewhere = analyse(&elsewhere);
    let told = refused(&before, &elsewhere);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("machine: fingerprint ") && told[0].contains("kernel: "),
        "{told:?}"
    );
    let comparison = compare(&before, &elsewhere, None, true).unwrap();
    assert_eq!(comparison.differences.len(), 1);
    assert!(
        comparison.costs[0].contains("may be the machine's doing"),
        "{:?}",
        comparison.costs
    );

    let mut longer = campaign(2, 1.25, 1.0);
    longer.run.plan.rounds.slice = Nanoseconds(7_000_000_000);
    longer.run.plan.scenario = name("other");
    let told = refused(&before, &analyse(&longer)).join("\n");
    assert!(
        told.contains("scenario: `overlay` against `other`"),
        "{told}"
    );
    assert!(told.contains("slice: ") && told.contains("7s"), "{told}");

    let mut synthetic = Synthetic::overlay();
    synthetic.seed = 2;
    synthetic.arms[1].arm.datapath = datapath(Wire::Native, Service::None, None);
    let declared = analyse(&synthetic.referenced().campaign());
    let told = refused(&before, &declared).join("\n");
    assert!(
        told.contains("arm vxlan: wire: vxlan against native"),
        "{told}"
    );
}

#[test]
fn another_traffic_of_one_name_is_never_compared() {
    let before = analysis(1, 1.25, 1.0);
    let mut after = analysis(2, 1.25, 1.0);
    after.workloads[0].timestamps = true;
    let told = refused(&before, &after).join("\n");
    assert!(
        told.contains("workload tcp-rr: timestamps: false against true"),
        "{told}"
    );
    assert_eq!(
        compare(&before, &after, None, true),
        Err(ComparisonError::NothingInCommon)
    );
}

#[test]
fn one_campaign_twice_and_nothing_in_common_are_refused() {
    let one = analysis(1, 1.25, 1.0);
    assert_eq!(
        compare(&one, &one, None, true),
        Err(ComparisonError::OneCampaign)
    );
    let mut alone = analysis(2, 1.25, 1.0);
    alone.cells.clear();
    assert_eq!(
        compare(&one, &alone, None, false),
        Err(ComparisonError::NothingInCommon)
    );
}

#[test]
fn what_is_invalid_or_too_little_has_no_number() {
    let before = analysis(1, 1.25, 1.0);
    let mut synthetic = Synthetic::overlay();
    synthetic.seed = 2;
    synthetic.arms[1].carried = datapath(Wire::Native, Service::None, None);
    let broken = analyse(&synthetic.referenced().campaign());
    let comparison = compare(&before, &broken, None, false).unwrap();
    let cell = p50(&comparison);
    assert_eq!(
        (cell.verdict, cell.effect, cell.after),
        (Verdict::Invalid, None, None)
    );
    assert!(
        cell.words.contains("the second campaign: "),
        "{}",
        cell.words
    );

    let mut short = Synthetic::overlay();
    short.seed = 3;
    short.rounds = 5;
    let short = analyse(&short.referenced().campaign());
    let comparison = compare(&before, &short, None, false).unwrap();
    let cell = p50(&comparison);
    assert_eq!((cell.verdict, cell.effect), (Verdict::Insufficient, None));
    assert!(
        shown(&comparison).contains("insufficient"),
        "{}",
        shown(&comparison)
    );
}

#[test]
fn where_all_replies_were_lost_nothing_is_claimed() {
    let silent = |seed: u64| {
        let mut campaign = campaign(seed, 1.25, 1.0);
        for slice in &mut campaign.slices {
            let outcome = &mut measured_mut(slice).unwrap().outcome;
            (outcome.lost, outcome.replied) = (outcome.sent, 0);
            slice.histograms.clear();
        }
        analyse(&campaign)
    };
    let comparison = compare(&silent(1), &silent(2), None, false);
    let Ok(comparison) = comparison else {
        assert_eq!(comparison, Err(ComparisonError::NothingInCommon));
        return;
    };
    for cell in &comparison.cells {
        let nothing = matches!(cell.verdict, Verdict::Insufficient | Verdict::Invalid);
        let loss = cell.metric == Metric::Loss && cell.verdict == Verdict::Equivalent;
        assert!(nothing || loss, "{}: {}", cell.metric, cell.words);
    }
}

#[test]
fn four_installs_on_each_side_are_compared_by_their_means() {
    let installs = |seed: u64, toll: f64| {
        let mut analysis = analysis(seed, toll, 1.0);
        for cell in &mut analysis.cells {
            for (index, pair) in cell.pairs.iter_mut().enumerate() {
                pair.install = u32::try_from(index % 4).unwrap();
            }
        }
        analysis
    };
    let comparison = compare(&installs(1, 1.25), &installs(2, 1.6), None, false).unwrap();
    let cell = p50(&comparison);
    assert_eq!((cell.method, cell.installs), (Method::InstallMeans, [4, 4]));
    assert_eq!(cell.verdict, Verdict::Slower, "{}", cell.words);
    assert!(
        comparison.costs.join("\n").contains("Welch"),
        "{:?}",
        comparison.costs
    );
}

#[test]
fn the_terminal_fits_80_columns_and_bans_what_is_banned() {
    for (before, after) in [(1.25, 1.25), (1.25, 1.5)] {
        let comparison = compare(
            &analysis(1, before, 1.0),
            &analysis(2, after, 1.1),
            None,
            true,
        )
        .unwrap();
        let text = shown(&comparison);
        for line in text.lines() {
            assert!(line.width() <= 80, "{line}");
        }
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
        for banned in ["same", "significant", "significantly", "NaN"] {
            assert!(!words.contains(&banned), "{banned}:\n{text}");
        }
    }
    let comparison = compare(&analysis(1, 1.25, 1.0), &analysis(2, 1.5, 1.1), None, false).unwrap();
    insta::assert_snapshot!(shown(&comparison));
}
