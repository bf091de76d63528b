//! Scenario files as people write them: what is refused and how, what a plan becomes, what is shipped.

mod arms;
mod claims;
mod cluster;
mod faults;
mod outside;
mod resolve;
mod shipped;
mod split;

use tollgate_results::arm::Name;
use tollgate_scenarios::Scenario;

/// A small good scenario, named `small`.
const SMALL: &str = r#"
schema = 1
name = "small"
about = "VXLAN against native routing"
reference = "native"

[arm.native]

[arm.vxlan]
wire = "vxlan"

[arm.ipt]
service = "iptables-legacy"
services = { count = [1, 100] }

[workload.rr.tcp-rr]

[workload.crr.tcp-crr]
"#;

fn small() -> Scenario {
    Scenario::parse("small.toml", SMALL).expect("the small scenario is good")
}

fn name(text: &str) -> Name {
    text.parse().expect("a valid name")
}

/// Returns the lines with which a text is refused.
fn refused(text: &str) -> Vec<String> {
    let faults = Scenario::parse("small.toml", text).expect_err("the text is bad");
    faults.to_string().lines().map(str::to_owned).collect()
}

/// Refuses `SMALL` with a part replaced, and expects just these lines.
#[track_caller]
fn expect(from: &str, to: &str, lines: &[&str]) {
    assert!(SMALL.contains(from), "nothing to replace: {from}");
    assert_eq!(refused(&SMALL.replacen(from, to, 1)), lines);
}
