//! A lab for a test, with an echo server and a client in an arm.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tollgate_lab::{Capabilities, Lab, LabOptions, Program, Role};
use tollgate_results::arm::{Datapath, Name, Position, Service, Services, Wire};
use tollgate_results::evidence::DatapathCounters;
use tollgate_results::outcome::{Flow, Protocol};

/// Names the program that the tests' labs live in, where it is not the one that cargo built.
pub(crate) const HOLDER_VARIABLE: &str = "TOLLGATE_TEST_HOLDER";

/// Set in a process of a test's own that plays a part of it: the part's name.
pub(crate) const MAKER: &str = "TOLLGATE_TEST_MAKER";

/// Returns the program that the tests' labs live in.
pub(crate) fn holder() -> &'static str {
    static HOLDER: OnceLock<String> = OnceLock::new();
    HOLDER.get_or_init(|| {
        std::env::var(HOLDER_VARIABLE)
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_lab-holder").to_owned())
    })
}

pub(crate) fn options() -> LabOptions {
    LabOptions {
        holder: vec![holder().into()],
    }
}

pub(crate) fn capabilities() -> Capabilities {
    Capabilities::detect(&[holder().into()])
}

/// Starts a lab, or says loudly why this machine has none.
pub(crate) fn lab() -> Option<Lab> {
    match Lab::start(&options()) {
        Ok(lab) => Some(lab),
        Err(error) => {
            eprintln!("SKIPPED, NOTHING WAS TESTED: {}", error.chain());
            None
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// The plainest arm: pods on bridges, native wire, no service.
pub(crate) fn native() -> Datapath {
    Datapath {
        ..Datapath::default()
    }
}

pub(crate) fn vxlan() -> Datapath {
    Datapath {
        wire: Wire::Vxlan,
        ..native()
    }
}

pub(crate) fn with_service(service: Service, services: Services) -> Datapath {
    Datapath {
        service,
        services: Some(services),
        ..native()
    }
}

/// An echo server in an arm; it ends with this value.
pub(crate) struct Echo {
    _program: Program,
}

pub(crate) fn echo(lab: &Lab, arm: &Name) -> Echo {
    let endpoints = lab.endpoints(arm).unwrap();
    let address = SocketAddr::new(endpoints.bind, endpoints.port).to_string();
    let (reader, writer) = io::pipe().unwrap();
    let argv = words(&[holder(), "echo", &address]);
    let null = null();
    let errors = io::stderr();
    let stdio = [null.as_fd(), writer.as_fd(), errors.as_fd()];
    let program = lab.exec_start(arm, Role::Server, &argv, stdio).unwrap();
    drop(writer);
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line).unwrap();
    assert_eq!(
        line, "ready\n",
        "the echo server on {address} did not start"
    );
    Echo { _program: program }
}

/// Runs a program in an arm; returns whether it ended well, and what it printed.
pub(crate) fn run(lab: &Lab, arm: &Name, role: Role, argv: &[&str]) -> (bool, String) {
    let (mut reader, writer) = io::pipe().unwrap();
    let null = null();
    let argv = words(argv);
    let program = lab
        .exec_start(
            arm,
            role,
            &argv,
            [null.as_fd(), writer.as_fd(), writer.as_fd()],
        )
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    drop(writer);
    let mut printed = String::new();
    reader.read_to_string(&mut printed).unwrap();
    (program.wait().unwrap().success(), printed)
}

/// Sends `count` requests to the arm's target and returns the connection as the client saw it. It used the
/// base's congestion control.
pub(crate) fn ping(lab: &Lab, arm: &Name, count: u32, protocol: Protocol) -> Flow {
    let target = lab.endpoints(arm).unwrap().target.to_string();
    let count = count.to_string();
    let mut argv = vec![holder(), "ping", &target, &count];
    if protocol == Protocol::Udp {
        argv.push("udp");
    }
    let (well, printed) = run(lab, arm, Role::Client, &argv);
    assert!(well, "no answer from {target}: {printed}");
    let mut lines = printed.lines();
    let (local, remote) = lines.next().and_then(|line| line.split_once(' ')).unwrap();
    assert!(lines.all(|congestion| congestion == "cubic"), "{printed}");
    Flow {
        protocol,
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        incoming_cpu: None,
    }
}

fn words(argv: &[&str]) -> Vec<OsString> {
    argv.iter().map(OsString::from).collect()
}

fn null() -> File {
    File::open("/dev/null").unwrap()
}

/// This test's own program.
pub(crate) fn this() -> Command {
    Command::new(std::env::current_exe().unwrap())
}

/// Lets other users reach a file or folder.
pub(crate) fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Few services, the one under test first.
pub(crate) fn few() -> Services {
    Services {
        count: 10,
        position: Position::First,
        ..Services::default()
    }
}

/// Whether the test runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Packets that all devices of a kind saw on one node, both ways.
pub(crate) fn packets(counters: &DatapathCounters, node: &str, kind: &str) -> u64 {
    let devices = counters
        .devices
        .iter()
        .filter(|device| device.node == node && device.kind == kind);
    devices
        .map(|device| device.rx_packets + device.tx_packets)
        .sum()
}

/// Deploys an arm, sends 100 requests, and returns what was counted meanwhile and the connection.
pub(crate) fn traffic(
    lab: &Lab,
    arm: &Name,
    datapath: &Datapath,
    protocol: Protocol,
) -> (DatapathCounters, Flow) {
    lab.deploy(arm, datapath, 1)
        .unwrap_or_else(|error| panic!("{}", error.chain()));
    let _echo = echo(lab, arm);
    let before = lab.counters(arm).unwrap();
    let flow = ping(lab, arm, 100, protocol);
    (lab.counters(arm).unwrap().since(&before), flow)
}

/// Whether an arm can stand here; says loudly why not.
pub(crate) fn possible(datapath: &Datapath) -> bool {
    match capabilities().missing(datapath) {
        Some(reason) => {
            eprintln!("SKIPPED, NOTHING WAS TESTED: {datapath}: {reason}");
            false
        }
        None => true,
    }
}
