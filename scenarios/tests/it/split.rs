//! A scenario that splits requests over backends behind a gateway.

use tollgate_scenarios::{Scenario, shipped};

fn text() -> &'static str {
    let mut all = shipped().iter();
    let found = all.find(|known| known.name == "gateway-split");
    found.map_or("", |known| known.text)
}

fn told(from: &str, to: &str) -> String {
    assert!(text().contains(from), "{from}");
    let text = text().replacen(from, to, 1);
    match Scenario::parse("gateway-split.toml", &text) {
        Ok(scenario) => format!("{:?}", scenario.split),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn weights_are_read() {
    let scenario = Scenario::load("gateway-split").unwrap();
    let weights: Vec<_> = scenario
        .split
        .iter()
        .map(|(name, weight)| (name.as_str(), *weight))
        .collect();
    assert_eq!(weights, [("canary", 10), ("stable", 90)]);
    assert!(Scenario::load("quickstart").unwrap().split.is_empty());
}

#[test]
fn what_is_no_split_is_refused_with_its_place() {
    for (from, to, part) in [
        ("canary = 10\n", "", "split: 1 backends; a split has 2 to 8"),
        (
            "stable = 90",
            "stable = -1",
            "split.stable: is -1; a weight is 0 to 1000000",
        ),
        (
            "stable = 90",
            "stable = 1000001",
            "a weight is 0 to 1000000",
        ),
        (
            "stable = 90\ncanary = 10",
            "stable = 0\ncanary = 0",
            "every weight is 0",
        ),
        ("stable = 90", "\"a.b\" = 90", "`a.b` names a pod"),
        ("stable = 90", "a- = 90", "`a-` names a pod"),
        (
            "stable = 90",
            "client = 90",
            "`client` is the pod that sends",
        ),
        (
            "stable = 90",
            "stable = \"most\"",
            "split.stable: expected a whole number",
        ),
        (
            "[arm.gateway]",
            "[arm.gate]",
            "a split has the arms [arm.direct] and [arm.gateway]",
        ),
    ] {
        let told = told(from, to);
        assert!(told.contains(part), "{from} -> {to}: {told}");
    }
    let zero = told("canary = 10", "canary = 0");
    assert!(
        zero.contains("(\"canary\"): 0"),
        "nobody may be sent there: {zero}"
    );
}
