//! The path MTU in a network namespace of the test's own, in which rules stand in for a path.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tollgate_probes::path_mtu::{Wanted, find};
use tollgate_results::path_mtu::{MtuLimit, PathMtu, Prober};
use tollgate_results::workload::SocketKind;

use crate::namespace;
use crate::traffic::responder;

fn ask(target: &str, by: Prober) -> PathMtu {
    let wanted = Wanted {
        target: target.parse().unwrap(),
        by,
        socket: SocketKind::Auto,
        timeout: Duration::from_millis(30),
        tries: 2,
    };
    find(&wanted).unwrap()
}

/// Has the kernel drop what is longer on its way in, without a word.
fn swallow_beyond(bytes: u32) {
    let rules = format!(
        "add table inet hole
         add chain inet hole in {{ type filter hook input priority 0; }}
         add rule inet hole in meta length > {bytes} drop
"
    );
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    nft.stdin
        .take()
        .unwrap()
        .write_all(rules.as_bytes())
        .unwrap();
    assert!(nft.wait().unwrap().success());
}

#[test]
fn loopback_takes_what_its_device_takes() {
    namespace::inside("path_mtu", "loopback_takes_what_its_device_takes", || {
        let up = ["link", "set", "lo", "mtu", "9000"];
        assert!(Command::new("ip").args(up).status().unwrap().success());
        let (_v4, by_port) = responder("127.0.0.1");
        for (target, by) in [
            ("127.0.0.1:0", Prober::IcmpEcho),
            ("[::1]:0", Prober::IcmpEcho),
            (&by_port.to_string(), Prober::Udp),
        ] {
            let found = ask(target, by);
            assert_eq!(found.mtu, Some(9_000), "{found:?}");
            assert_eq!(found.limit, MtuLimit::Device, "{found:?}");
            assert_eq!(found.device.as_deref(), Some("lo"), "{found:?}");
            assert_eq!(
                (found.device_mtu, found.probes),
                (Some(9_000), 2),
                "{found:?}"
            );
        }
    });
}

#[test]
fn a_black_hole_is_found() {
    namespace::inside("path_mtu", "a_black_hole_is_found", || {
        swallow_beyond(1_300);
        let (_v4, by_port) = responder("127.0.0.1");
        for (target, by) in [
            ("127.0.0.1:0", Prober::IcmpEcho),
            ("[::1]:0", Prober::IcmpEcho),
            (&by_port.to_string(), Prober::Udp),
        ] {
            let found = ask(target, by);
            assert_eq!(found.mtu, Some(1_300), "{found:?}");
            assert_eq!(
                found.limit,
                MtuLimit::BlackHole { from: 1_301 },
                "{found:?}"
            );
        }
    });
}

#[test]
fn where_nothing_answers_nothing_is_known() {
    namespace::inside("path_mtu", "where_nothing_answers_nothing_is_known", || {
        swallow_beyond(0);
        let found = ask("127.0.0.1:0", Prober::IcmpEcho);
        assert_eq!((found.mtu, &found.limit), (None, &MtuLimit::NoReply));
        assert_eq!(found.probes, 2);
    });
}
