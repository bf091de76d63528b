//! The path MTU of an arm, found by the probe in its pods and on its nodes before anything is measured.

use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeReader, Read as _, pipe};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use tollgate_lab::{ArmEndpoints, Lab, Program, Role};
use tollgate_results::arm::Name;
use tollgate_results::line::Line;
use tollgate_results::path_mtu::{ArmMtus, PathMtu};
use tollgate_results::units::Nanoseconds;

/// A path inside one machine answers within microseconds.
const PROBE: [&str; 5] = [
    "path-mtu",
    "--json",
    "--timeout=50ms",
    "--tries=2",
    "--socket=auto",
];

/// Longest that one search may take: all its probes in vain take less than two seconds.
const LIMIT: Duration = Duration::from_secs(5);

/// Longest answer that is read.
const LONGEST: u64 = 16 << 10;

/// Longest delay of a line over which the search still takes no time worth mentioning.
const LONGEST_DELAY: Nanoseconds = Nanoseconds(5_000_000);

/// Says whether the search would end soon over a line, and not take its losses for a limit.
pub(super) fn can_be_found(line: &Line) -> bool {
    let longest = Nanoseconds(line.delay.0.saturating_add(line.jitter.0));
    line.loss_ppm == 0 && line.rate.is_none() && longest <= LONGEST_DELAY
}

/// Looks between client and server, and between their nodes, both ways at once. What can't be found out is left out: it is
/// a fact about the path, and no reason not to measure it.
pub(super) fn find(
    lab: &Lab,
    arm: &Name,
    endpoints: &ArmEndpoints,
    probe: &Path,
) -> Option<ArmMtus> {
    let [node_a, node_b] = endpoints.nodes;
    let (client, server) = (endpoints.client, endpoints.server);
    let searches = [
        (Role::Client, client, server),
        (Role::Server, server, client),
        (Role::NodeA, node_a, node_b),
        (Role::NodeB, node_b, node_a),
    ];
    // All are under way before the first is waited for. To one's own address there is no path.
    let searches = searches.map(|(role, from, to)| {
        (from != to)
            .then(|| Search::start(lab, arm, role, (probe, to)))
            .flatten()
    });
    let [there, back, node_there, node_back] = searches.map(|search| search?.found());
    let found = ArmMtus {
        there,
        back,
        node_there,
        node_back,
    };
    (found != ArmMtus::default()).then_some(found)
}

/// A probe that searches.
struct Search {
    program: Program,
    /// What it says.
    reader: PipeReader,
}

impl Search {
    fn start(lab: &Lab, arm: &Name, role: Role, (probe, to): (&Path, IpAddr)) -> Option<Self> {
        let mut argv = vec![OsString::from(probe)];
        argv.extend(PROBE.map(OsString::from));
        argv.push(to.to_string().into());
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .ok()?;
        let (reader, writer) = pipe().ok()?;
        let stdio = [null.as_fd(), writer.as_fd(), null.as_fd()];
        let program = lab.exec_start(arm, role, &argv, stdio).ok()?;
        Some(Self { program, reader })
    }

    fn found(self) -> Option<PathMtu> {
        // A pipe holds more than the probe says, so that it ends without a reader.
        let status = self.program.wait_for(LIMIT).ok()??;
        let mut said = String::new();
        self.reader.take(LONGEST).read_to_string(&mut said).ok()?;
        status.success().then(|| serde_json::from_str(&said).ok())?
    }
}
