//! A full connection-tracking table refuses new connections, and the machine's limit stays as it is.

use std::fs;

use tollgate_lab::Role;
use tollgate_results::arm::Datapath;
use tollgate_results::kernel::{ConntrackTable, Kernel};
use tollgate_results::outcome::Protocol;

use crate::harness::{capabilities, echo, holder, lab, name, native, ping, run};

/// The machine's limit, and how many connections it tracks itself.
const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

#[test]
fn a_full_table_refuses_some_connections_and_the_machine_keeps_its_limit() {
    let Some(lab) = lab() else { return };
    let datapath = Datapath {
        kernel: Kernel {
            conntrack: ConntrackTable::Full,
            ..Kernel::default()
        },
        ..native()
    };
    if let Some(missing) = capabilities().missing(&datapath) {
        eprintln!("SKIPPED, NOTHING WAS TESTED: {missing}");
        return;
    }
    let limit = || {
        fs::read_to_string(LIMIT)
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    let before = limit();
    let (free, full) = (name("free"), name("full"));
    lab.deploy(&free, &native(), 1).unwrap();
    let facts = match lab.deploy(&full, &datapath, 1) {
        Ok(facts) => facts,
        Err(error) if error.chain().contains("more than") => {
            eprintln!("SKIPPED, NOTHING WAS TESTED: {}", error.chain());
            return;
        }
        Err(error) => panic!("{}", error.chain()),
    };
    assert!(facts.kernel["conntrack"].contains(&before.to_string()));
    let mut refused = Vec::new();
    for arm in [&free, &full] {
        let _echo = echo(&lab, arm);
        let target = lab.endpoints(arm).unwrap().target.to_string();
        let earlier = lab.counters(arm).unwrap();
        let (well, printed) = run(
            &lab,
            arm,
            Role::Client,
            &[holder(), "connect", &target, "200"],
        );
        let stood = printed.trim().parse::<u64>().unwrap();
        assert!(well && stood > 0, "{printed}");
        let seen = lab.counters(arm).unwrap().since(&earlier);
        let node = seen
            .conntrack_refusals
            .iter()
            .find(|node| node.node == "a")
            .unwrap();
        refused.push((stood, node.dropped, seen.conntrack_entries[0].entries));
    }
    let [(all, none, few), (some, dropped, many)] = refused[..] else {
        unreachable!("two arms");
    };
    assert_eq!((all, none), (200, 0), "a free table refuses nobody");
    assert!(few < 1_000, "{few}");
    assert!(some < 200 && dropped > 0, "{refused:?}");
    assert!(
        many + 1_000 > before && many <= before,
        "{many} of {before}"
    );
    assert_eq!(limit(), before);
    // Other arms have tables of their own.
    let _echo = echo(&lab, &free);
    ping(&lab, &free, 10, Protocol::Tcp);
}
