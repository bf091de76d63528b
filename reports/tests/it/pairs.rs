//! Pairs from CSV: what is refused, and how it says so.

use tollgate_reports::model::{Direction, Verdict};
use tollgate_reports::pairs::{compare, parse_csv};

fn faults(csv: &str) -> Vec<String> {
    parse_csv(csv).unwrap_err().lines().collect()
}

/// Rounds 1 to `rounds`, the arm 20 % above the reference, give or take.
fn csv(rounds: u32) -> String {
    let rows = (1..=rounds).map(|round| {
        let wobble = 1.0 + 0.001 * f64::from(round);
        format!("{round},old,100\n{round},new,{}\n", 120.0 * wobble)
    });
    std::iter::once("round,arm,value\n".to_owned())
        .chain(rows)
        .collect()
}

#[test]
fn the_first_arm_is_the_reference() {
    let pairs = parse_csv(&csv(10)).unwrap();
    let found = compare(&pairs, Direction::LargerIsWorse, 0.05);
    assert_eq!((&*found.reference, &*found.arm), ("old", "new"));
    assert_eq!(found.verdict, Verdict::Slower);
    let ratio = found.ratio.unwrap();
    let [low, high] = found.interval.unwrap().map(Option::unwrap);
    assert!(
        low <= ratio && ratio <= high && low > 1.2,
        "{low} {ratio} {high}"
    );
    assert!(
        found.words.contains("+20.") && found.words.starts_with("slower: "),
        "{}",
        found.words
    );

    let found = compare(&pairs, Direction::SmallerIsWorse, 0.05);
    assert_eq!(found.verdict, Verdict::Faster);
    assert!((found.ratio.unwrap() * ratio - 1.0).abs() < 1e-12);
}

#[test]
fn five_rounds_are_insufficient_not_an_error() {
    let found = compare(&parse_csv(&csv(5)).unwrap(), Direction::LargerIsWorse, 0.05);
    assert_eq!(found.verdict, Verdict::Insufficient);
    assert_eq!(found.ratio, None);
    assert!(found.reason.unwrap().contains("at least 6"));
}

#[test]
fn a_lost_measurement_is_infinitely_bad() {
    let text = csv(10).replace("3,new,", "3,new,inf\n11,old,100\n11,new,");
    let found = compare(&parse_csv(&text).unwrap(), Direction::LargerIsWorse, 0.05);
    assert_eq!(found.verdict, Verdict::Slower);
    let json = serde_json::to_value(&found).unwrap();
    assert!(json["ratio"].is_number(), "{json}");
    let lost = |round| format!("{round},a,inf\n{round},b,inf\n");
    let rows: Vec<String> = (0..6).map(lost).collect();
    let all_lost = format!("round,arm,value\n{}", rows.concat());
    let found = compare(
        &parse_csv(&all_lost).unwrap(),
        Direction::LargerIsWorse,
        0.05,
    );
    assert_eq!(found.verdict, Verdict::Insufficient);
}

#[test]
fn windows_line_ends_spaces_and_a_byte_order_mark_are_read() {
    let text = format!(
        "\u{feff}{}",
        csv(6).replace(',', " , ").replace('\n', "\r\n")
    );
    assert_eq!(parse_csv(&text), parse_csv(&csv(6)));
}

#[test]
fn all_faults_are_told_at_once_with_their_lines() {
    let found =
        faults("round,arm,value\n1,a,NaN\n1,b,2\n2,a,-3\n2,b\nx,a,4\n3,a,5\n3,a,6\n4,b,0\n");
    let expected = [
        "line 2: value `NaN` is not a positive number; write one, or `inf` for a lost measurement",
        "line 4: value `-3` is not a positive number; write one, or `inf` for a lost measurement",
        "line 4: round 2 has no value of `b`",
        "line 5: 2 columns, not 3; write `round,arm,value`",
        "line 6: round `x` is not a whole number",
        "line 7: round 3 has no value of `b`",
        "line 8: round 3 of `a` stands already in line 7",
        "line 9: value `0` is not a positive number; write one, or `inf` for a lost measurement",
        "line 9: round 4 has no value of `a`",
    ];
    assert_eq!(found, expected);
}

#[test]
fn files_that_are_something_else_are_refused_in_a_line() {
    assert_eq!(
        faults("")[0],
        "the file is empty; start with the line `round,arm,value`"
    );
    assert!(faults("{\"a\": 1}\n")[0].contains("line 1: the first line is `{\\\"a\\\": 1}`"));
    assert!(faults("round,arm,value\n")[0].contains("no rows"));
    assert!(faults("round,arm,value\n1,a,1\n2,a,1\n")[0].contains("only one arm, `a`"));
    let three = "round,arm,value\n1,a,1\n1,b,1\n1,c,1\n";
    assert!(faults(three)[0].contains("3 arms (a, b, c)"));
    // A flood is cut short, and a long or wild value neither fills nor garbles the line.
    let wild = format!(
        "round,arm,value\n{}",
        format!("1,a,\u{1b}[31m{}\n", "x".repeat(500)).repeat(500)
    );
    let found = faults(&wild);
    assert!(found.len() <= 51, "{}", found.len());
    assert!(
        found
            .iter()
            .all(|line| line.len() < 200 && !line.contains('\u{1b}'))
    );
    assert!(
        found.last().unwrap().contains("more fault"),
        "{:?}",
        found.last()
    );
}

#[test]
fn more_rounds_than_can_be_counted_exactly_are_refused() {
    assert!(faults(&csv(1_001))[0].contains("1,001 rounds are more than 1,000"));
}
