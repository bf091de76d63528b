//! How a service's connections were spread over its endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use statrs::distribution::{ChiSquared, ContinuousCDF as _};
use tollgate_results::arm::{Arm, Services};
use tollgate_results::counters::Answered;

use crate::model::{Check, EndpointShare, Judgement};
use crate::words;

/// What it is called among the checks.
const BALANCE: &str = "balance";

/// Connections for each endpoint from which on it would be odd that one has none: with so many its chance is below
/// e⁻²⁰, whatever the number of endpoints.
const ENOUGH: u64 = 20;

/// What came to each endpoint over all slices of an arm.
#[derive(Debug, Default)]
pub(super) struct Balance(BTreeMap<IpAddr, (u64, u64)>);

impl Balance {
    pub(super) fn add(&mut self, answered: &[Answered]) {
        for one in answered {
            let (connections, datagrams) = self.0.entry(one.address).or_default();
            *connections = connections.saturating_add(one.connections);
            *datagrams = datagrams.saturating_add(one.datagrams);
        }
    }

    /// Lists the endpoints that anything came to.
    pub(super) fn endpoints(&self) -> Vec<EndpointShare> {
        let all = self.0.iter();
        all.map(|(&address, &(connections, datagrams))| EndpointShare {
            address,
            connections,
            datagrams,
        })
        .collect()
    }

    /// Judges the spread of connections: each endpoint is drawn by chance, or one is kept to where the arm declares
    /// affinity. `None` where nothing can be told apart: one endpoint, or no connection within a window.
    pub(super) fn check(&self, arm: &Arm) -> Option<Check> {
        let services = arm.datapath.services?;
        let counts: Vec<u64> = self
            .0
            .values()
            .map(|(connections, _)| *connections)
            .filter(|connections| *connections > 0)
            .collect();
        let all = counts.iter().copied().fold(0, u64::saturating_add);
        if services.endpoints < 2 || all == 0 {
            return None;
        }
        let (judgement, text) = if services.affinity {
            kept(&counts, all)
        } else {
            spread(services, &counts, all)
        };
        Some(Check {
            about: BALANCE.to_owned(),
            judgement,
            text,
        })
    }
}

/// With affinity the one client stays at one endpoint.
fn kept(counts: &[u64], all: u64) -> (Judgement, String) {
    let all = words::count(all);
    match counts.len() {
        1 => (
            Judgement::Ok,
            format!("all {all} connections at one endpoint, as affinity has it"),
        ),
        endpoints => (
            Judgement::Contradicts,
            format!(
                "declared affinity, but {all} connections of one client went to {endpoints} endpoints"
            ),
        ),
    }
}

fn spread(services: Services, counts: &[u64], all: u64) -> (Judgement, String) {
    let declared = u64::from(services.endpoints);
    let answered = counts.len() as u64;
    if answered < declared && all >= ENOUGH * declared {
        let text = format!(
            "declared {declared} endpoints, but only {answered} had any of {} connections",
            words::count(all)
        );
        return (Judgement::Contradicts, text);
    }
    let least = counts
        .iter()
        .copied()
        .min()
        .filter(|_| answered >= declared);
    let most = counts.iter().copied().max().unwrap_or(0);
    let text = format!(
        "{} connections over {declared} endpoints, {} to {} each; by chance so far apart or further: {}",
        words::count(all),
        words::count(least.unwrap_or(0)),
        words::count(most),
        words::percent(chance(counts, declared, all)),
    );
    (Judgement::Ok, text)
}

/// Returns the chance that a fair draw spreads as unevenly as this or more, by the chi-square test.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of connections, far below 2^52"
)]
fn chance(counts: &[u64], declared: u64, all: u64) -> f64 {
    let expected = all as f64 / declared as f64;
    let off = |count: f64| (count - expected).powi(2) / expected;
    let nobody = declared.saturating_sub(counts.len() as u64) as f64 * off(0.0);
    let statistic: f64 = counts.iter().map(|count| off(*count as f64)).sum::<f64>() + nobody;
    ChiSquared::new((declared - 1) as f64).map_or(1.0, |spread| spread.sf(statistic))
}

#[cfg(test)]
mod tests {
    use tollgate_results::arm::{Datapath, Service};

    use super::*;

    fn check(endpoints: u32, affinity: bool, counts: &[u64]) -> Option<Check> {
        let answered: Vec<Answered> = counts
            .iter()
            .zip(2_u8..)
            .map(|(connections, host)| Answered {
                address: IpAddr::from([10, 244, 1, host]),
                connections: *connections,
                datagrams: 0,
            })
            .collect();
        let mut balance = Balance::default();
        balance.add(&answered);
        assert_eq!(balance.endpoints().len(), counts.len());
        let services = Services {
            endpoints,
            affinity,
            ..Services::default()
        };
        let arm = Arm {
            name: "arm".parse().unwrap(),
            reference: None,
            datapath: Datapath {
                service: Service::Nftables,
                services: Some(services),
                ..Datapath::default()
            },
            workloads: Vec::new(),
            sweep: None,
            change: tollgate_results::change::Change::default(),
        };
        balance.check(&arm)
    }

    #[test]
    fn every_endpoint_of_a_balanced_service_has_its_share() {
        let even = check(3, false, &[3_300, 3_350, 3_350]).unwrap();
        assert_eq!(even.judgement, Judgement::Ok);
        assert!(
            even.text
                .starts_with("10,000 connections over 3 endpoints, 3,300 to 3,350 each")
        );
        let lost = check(3, false, &[5_000, 5_000]).unwrap();
        assert_eq!(lost.judgement, Judgement::Contradicts);
        assert!(
            lost.text.contains("only 2 had any of 10,000"),
            "{}",
            lost.text
        );
        let few = check(3, false, &[1]).unwrap();
        assert_eq!(
            few.judgement,
            Judgement::Ok,
            "too few to tell: {}",
            few.text
        );
    }

    #[test]
    fn affinity_keeps_a_client_at_one_endpoint() {
        assert_eq!(check(3, true, &[100]).unwrap().judgement, Judgement::Ok);
        let lost = check(3, true, &[99, 1]).unwrap();
        assert_eq!(lost.judgement, Judgement::Contradicts);
    }

    #[test]
    fn one_endpoint_or_no_connection_says_nothing() {
        assert_eq!(check(1, false, &[100]), None);
        assert_eq!(check(3, false, &[]), None);
    }

    #[test]
    fn the_chance_is_that_of_the_chi_square_test() {
        // χ² = (10² + 10²)/100 = 2 with one degree of freedom.
        assert!((chance(&[90, 110], 2, 200) - 0.157_299).abs() < 1e-5);
        assert!((chance(&[100, 100], 2, 200) - 1.0).abs() < 1e-12);
        assert!(chance(&[200], 2, 200) < 1e-10);
    }
}
