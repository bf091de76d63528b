//! Whether traffic from outside the cluster took the declared way in and out.

use tollgate_reports::analyse;
use tollgate_reports::model::Judgement;
use tollgate_reports::synthetic::{Synthetic, datapath, name};
use tollgate_results::arm::{Datapath, Outside, Service, Wire};
use tollgate_results::evidence::Translation;
use tollgate_results::run::Campaign;

use crate::validity::change;

/// An arm that lies about its way in and out is found out, whatever it declares and whatever carries it.
#[test]
fn every_way_from_outside_is_held_to_its_own_proof() {
    for &declared in Outside::ALL {
        for carried in Outside::ALL.iter().copied().map(Some).chain([None]) {
            let mut synthetic = Synthetic::overlay();
            synthetic.rounds = 1;
            let plain = || datapath(Wire::Native, Service::None, None);
            synthetic.arms[1].arm.datapath = Datapath {
                outside: Some(declared),
                ..plain()
            };
            synthetic.arms[1].carried = Datapath {
                outside: carried,
                ..plain()
            };
            let analysis = analyse(&synthetic.campaign());
            let evidence = &analysis.arms[1].evidence;
            let expected = if carried == Some(declared) {
                Judgement::Ok
            } else {
                Judgement::Contradicts
            };
            assert_eq!(
                evidence.judgement, expected,
                "{declared} by {carried:?}: {:#?}",
                evidence.checks
            );
        }
    }
}

/// Each proof by itself tells direct return from replies through the entry node.
#[test]
fn no_proof_of_direct_return_leans_on_another() {
    let honest = |outside| {
        let mut synthetic = Synthetic::overlay();
        synthetic.rounds = 1;
        synthetic.arms[1].arm.datapath.wire = Wire::Native;
        synthetic.arms[1].arm.datapath.outside = Some(outside);
        synthetic.arms[1].carried = synthetic.arms[1].arm.datapath.clone();
        synthetic.campaign()
    };
    let contradicted = |campaign: &Campaign| {
        let checks = analyse(campaign).arms[1].evidence.checks.clone();
        let contradicted = checks
            .into_iter()
            .filter(|check| check.judgement == Judgement::Contradicts);
        contradicted.map(|check| check.about).collect::<Vec<_>>()
    };
    let mut campaign = honest(Outside::Dsr);
    assert_eq!(contradicted(&campaign), [""; 0]);
    change(
        &mut campaign,
        |_, arm| arm == "vxlan",
        |measured| {
            for device in &mut measured.evidence.counters.devices {
                device.rx_packets += if device.node == "a" {
                    device.rx_packets
                } else {
                    0
                };
            }
        },
    );
    assert_eq!(contradicted(&campaign), ["way of the replies"]);

    let mut campaign = honest(Outside::SnatEbpf);
    let facts = campaign.run.installs[0]
        .arms
        .get_mut(&name("vxlan"))
        .unwrap();
    facts.hops.as_mut().unwrap().back = 1;
    assert_eq!(contradicted(&campaign), ["routers on the way"]);

    let mut campaign = honest(Outside::Dsr);
    change(
        &mut campaign,
        |_, arm| arm == "vxlan",
        |measured| {
            let programs = measured.evidence.counters.entry_programs.as_mut().unwrap();
            programs.to_client = 1;
        },
    );
    assert_eq!(contradicted(&campaign), ["entry programs"]);

    let mut campaign = honest(Outside::Dsr);
    change(
        &mut campaign,
        |_, arm| arm == "vxlan",
        |measured| {
            let Translation::AtTheEntry { client_as, .. } = &mut measured.evidence.translation
            else {
                panic!("{:?}", measured.evidence.translation);
            };
            *client_as = Some("192.168.77.1:40000".parse().unwrap());
        },
    );
    assert_eq!(contradicted(&campaign), ["connection"]);
}
