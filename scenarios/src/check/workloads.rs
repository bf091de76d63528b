//! Workloads: ranges of their numbers, and that each runs somewhere.

use tollgate_results::arm::{Arm, Name};
use tollgate_results::stream::{TcpOptions, UdpStream};
use tollgate_results::sweep::FlowSweep;
use tollgate_results::units::{Bytes, Nanoseconds};
use tollgate_results::workload::{
    Beside, Connections, Http, HttpVersion, Load, OpenLoad, Traffic, Trust, Workload,
};

use super::range;
use crate::document::Document;
use crate::file::{self, BesideTable, File, OpenTable, WorkloadTable};

/// Range of the time-outs of [`Traffic`].
const TIMEOUTS: (Nanoseconds, Nanoseconds) = (Nanoseconds(1_000_000), Nanoseconds(10_000_000_000));

/// Range of [`Beside::flows`] as it is written.
const FLOWS_BESIDE: (i64, i64) = (Beside::FLOWS.0 as i64, Beside::FLOWS.1 as i64);

/// Most workloads of a scenario.
const MOST_WORKLOADS: usize = 64;

/// Checks all workloads and returns them in the file's order.
pub(super) fn check(document: &mut Document<'_>, file: &File) -> Vec<Workload> {
    let mut tables: Vec<(&Name, &WorkloadTable)> = file.workload.iter().collect();
    tables.sort_by_key(|(name, _)| document.offset(&["workload", name.as_str()]));
    if tables.is_empty() && !document.is_broken(&["workload"]) {
        document.fault(
            &["workload"],
            "no workload; write for example [workload.rr.tcp-rr]",
        );
    }
    if tables.len() > MOST_WORKLOADS {
        let message = format!(
            "{} workloads; at most {MOST_WORKLOADS} are run",
            tables.len()
        );
        document.fault(&["workload"], message);
    }
    tables
        .into_iter()
        .map(|(name, table)| {
            let workload = workload(name, table);
            numbers(document, &workload, table);
            ports(document, file, &workload, table);
            if let Some(fault) =
                beside_of(table).and_then(|beside| range(beside.flows, FLOWS_BESIDE))
            {
                let kind = workload.traffic.kind();
                document.fault(&["workload", name.as_str(), kind, "beside", "flows"], fault);
            }
            if let Some(file::Load::Open(table)) = loads(table) {
                open(document, &workload, table);
            }
            if workload.timestamps && workload.load != Load::Closed {
                let path = [
                    "workload",
                    name.as_str(),
                    workload.traffic.kind(),
                    "timestamps",
                ];
                document.fault(
                    &path,
                    "needs a closed loop; write load = \"closed\", or false",
                );
            }
            workload
        })
        .collect()
}

/// Notes workloads that no arm runs.
pub(super) fn check_use(document: &mut Document<'_>, file: &File, arms: &[Arm]) {
    if arms.is_empty() || document.is_broken(&["arm"]) {
        return;
    }
    for name in file.workload.keys() {
        if !arms.iter().any(|arm| arm.workloads.contains(name)) {
            let message = "runs on no arm; name it in an arm's `workloads`, or remove it";
            document.fault(&["workload", name.as_str()], message);
        }
    }
}

fn workload(name: &Name, table: &WorkloadTable) -> Workload {
    let (traffic, cpu) = match table {
        WorkloadTable::TcpRr(rr) => (
            Traffic::TcpRr {
                payload: rr.payload,
            },
            rr.cpu,
        ),
        WorkloadTable::TcpCrr(crr) => (
            Traffic::TcpCrr {
                payload: crr.payload,
                close: crr.close,
            },
            crr.cpu,
        ),
        WorkloadTable::TcpStream(stream) => {
            // What doesn't fit is out of range, which `numbers` says.
            let flows = u32::try_from(stream.flows).unwrap_or(0);
            let options = TcpOptions {
                direction: stream.direction,
                send: stream.send,
                receive: stream.receive,
                congestion: stream.congestion.clone(),
                pacing: stream.pacing,
            };
            let payload = stream.payload;
            let traffic = Traffic::TcpStream {
                flows,
                payload,
                options,
            };
            (traffic, stream.cpu)
        }
        WorkloadTable::UdpStream(stream) => (Traffic::UdpStream(datagrams(stream)), stream.cpu),
        WorkloadTable::UdpRr(rr) => (
            Traffic::UdpRr {
                payload: rr.payload,
                timeout: rr.timeout,
            },
            rr.cpu,
        ),
        WorkloadTable::IcmpEcho(echo) => (
            Traffic::IcmpEcho {
                payload: echo.payload,
                timeout: echo.timeout,
                socket: echo.socket,
            },
            echo.cpu,
        ),
        WorkloadTable::Http(http) => (
            Traffic::Http(Http {
                // What doesn't fit is out of range, which `numbers` says.
                parallel: u32::try_from(http.parallel).unwrap_or(0),
                streams: u32::try_from(http.streams).unwrap_or(0),
                version: http.version,
                tls: http.tls.then_some(Trust::Any),
                ..Http::new(http.connections, http.response)
            }),
            http.cpu,
        ),
    };
    let timestamps = match table {
        WorkloadTable::TcpRr(rr) => rr.timestamps,
        WorkloadTable::UdpRr(rr) => rr.timestamps,
        WorkloadTable::IcmpEcho(echo) => echo.timestamps,
        WorkloadTable::TcpCrr(_)
        | WorkloadTable::TcpStream(_)
        | WorkloadTable::UdpStream(_)
        | WorkloadTable::Http(_) => false,
    };
    Workload {
        name: name.clone(),
        traffic,
        load: load(table),
        timestamps,
        // What doesn't fit is out of range, which `ports` says.
        ports: swept(table).map(|ports| u32::try_from(ports).unwrap_or(0)),
        cpu,
        beside: beside_of(table).map(|beside| Beside {
            // What doesn't fit is out of range, which is said.
            flows: u32::try_from(beside.flows).unwrap_or(0),
            direction: beside.direction,
        }),
    }
}

/// Returns how many source ports a workload sweeps over; `None` for one.
const fn swept(table: &WorkloadTable) -> Option<i64> {
    match table {
        WorkloadTable::TcpRr(rr) => rr.ports,
        WorkloadTable::UdpRr(rr) => rr.ports,
        WorkloadTable::TcpCrr(_)
        | WorkloadTable::TcpStream(_)
        | WorkloadTable::UdpStream(_)
        | WorkloadTable::IcmpEcho(_)
        | WorkloadTable::Http(_) => None,
    }
}

/// Checks a sweep over source ports.
fn ports(document: &mut Document<'_>, file: &File, workload: &Workload, table: &WorkloadTable) {
    let Some(ports) = swept(table) else {
        return;
    };
    let (least, most) = FlowSweep::PORTS;
    let shortest = Nanoseconds(FlowSweep::shortest_ns(workload.ports.unwrap_or(0)));
    let fault = if !workload.may_sweep() {
        Some("a sweep needs a closed loop without timestamps; write load = \"closed\"".to_owned())
    } else if let Some(fault) = range(ports, (i64::from(least), i64::from(most))) {
        Some(fault)
    } else if file.rounds.slice < shortest {
        Some(format!(
            "slices of {} are too short for {ports} ports; write rounds.slice = \"{shortest}\" or fewer ports",
            file.rounds.slice
        ))
    } else {
        None
    };
    if let Some(message) = fault {
        let path = [
            "workload",
            workload.name.as_str(),
            workload.traffic.kind(),
            "ports",
        ];
        document.fault(&path, message);
    }
}

fn datagrams(table: &file::UdpStream) -> UdpStream {
    // What doesn't fit is out of range, which `numbers` says.
    let small = |number: i64| u32::try_from(number).unwrap_or(0);
    UdpStream {
        payload: table.payload,
        direction: table.direction,
        rate: table.rate,
        batch: small(table.batch),
        gso: small(table.gso),
        gro: table.gro,
        zerocopy: table.zerocopy,
    }
}

/// Returns when a workload sends.
fn load(table: &WorkloadTable) -> Load {
    match loads(table) {
        Some(file::Load::Open(open)) => {
            // What doesn't fit is out of range, and a missing rate a fault: `open` says so.
            let small = |number: i64| u32::try_from(number).unwrap_or(0);
            Load::Open(OpenLoad {
                rate: open.open.unwrap_or(OpenLoad::RATES.0),
                arrivals: open.arrivals,
                connections: small(open.connections),
                in_flight: small(open.in_flight),
            })
        }
        Some(file::Load::Closed(_)) | None => Load::Closed,
    }
}

/// Returns the bulk data beside a workload; a stream has none.
const fn beside_of(table: &WorkloadTable) -> Option<&BesideTable> {
    match table {
        WorkloadTable::TcpRr(rr) => rr.beside.as_ref(),
        WorkloadTable::TcpCrr(crr) => crr.beside.as_ref(),
        WorkloadTable::UdpRr(rr) => rr.beside.as_ref(),
        WorkloadTable::IcmpEcho(echo) => echo.beside.as_ref(),
        WorkloadTable::Http(http) => http.beside.as_ref(),
        WorkloadTable::TcpStream(_) | WorkloadTable::UdpStream(_) => None,
    }
}

/// Returns the `load` of a table; a stream has none.
const fn loads(table: &WorkloadTable) -> Option<&file::Load> {
    match table {
        WorkloadTable::TcpRr(rr) => Some(&rr.load),
        WorkloadTable::TcpCrr(crr) => Some(&crr.load),
        WorkloadTable::UdpRr(rr) => Some(&rr.load),
        WorkloadTable::IcmpEcho(echo) => Some(&echo.load),
        WorkloadTable::Http(http) => Some(&http.load),
        WorkloadTable::TcpStream(_) | WorkloadTable::UdpStream(_) => None,
    }
}

/// Checks the schedule of an open loop.
fn open(document: &mut Document<'_>, workload: &Workload, table: &OpenTable) {
    let kind = workload.traffic.kind();
    let path = ["workload", workload.name.as_str(), kind, "load"];
    if !workload.traffic.may_be_open() {
        let message = match workload.traffic {
            Traffic::Http(_) => {
                "an open loop of http needs kept connections, version 1.1 and no TLS; write load = \"closed\", or leave those out"
            }
            _ => {
                "only tcp-rr, udp-rr, icmp-echo and http have an open loop; write load = \"closed\""
            }
        };
        return document.fault(&path, message);
    }
    let (least, most) = OpenLoad::CONNECTIONS;
    let (least, most) = (i64::from(least), i64::from(most));
    let in_flight = (
        table.connections.clamp(least, most),
        i64::from(OpenLoad::MOST_IN_FLIGHT),
    );
    let faults = [
        (
            "open",
            table.open.and_then(|rate| range(rate, OpenLoad::RATES)),
        ),
        ("connections", range(table.connections, (least, most))),
        ("in-flight", range(table.in_flight, in_flight)),
    ];
    for (key, fault) in faults {
        if let Some(message) = fault {
            document.fault(&[path[0], path[1], path[2], path[3], key], message);
        }
    }
    if table.open.is_none() && !document.is_broken(&path) {
        document.fault(&path, "has no rate; write load = { open = \"10k/s\" }");
    }
}

/// Checks the numbers of a workload, whose limits are those of [`Traffic`].
fn numbers(document: &mut Document<'_>, workload: &Workload, table: &WorkloadTable) {
    let kind = workload.traffic.kind();
    let bytes = |least, most| (Bytes(least), Bytes(most));
    let mut note = |key: &str, fault: Option<String>| {
        if let Some(message) = fault {
            document.fault(&["workload", workload.name.as_str(), kind, key], message);
        }
    };
    match &workload.traffic {
        Traffic::TcpRr { payload } | Traffic::TcpCrr { payload, .. } => {
            note("payload", range(*payload, bytes(1, 1 << 20)));
        }
        Traffic::TcpStream {
            payload, options, ..
        } => {
            note("payload", range(*payload, bytes(1, 1 << 20)));
            if let WorkloadTable::TcpStream(stream) = table {
                note("flows", range(stream.flows, (1, 128)));
            }
            let pacing = options.pacing;
            note(
                "pacing",
                pacing.and_then(|rate| range(rate, TcpOptions::PACING)),
            );
            let name = options.congestion.as_deref();
            note("congestion", name.and_then(TcpOptions::congestion_fault));
        }
        Traffic::UdpStream(stream) => {
            let payload = range(stream.payload, UdpStream::PAYLOADS);
            let rate = stream.rate.and_then(|rate| range(rate, UdpStream::RATES));
            note("rate", rate);
            if let WorkloadTable::UdpStream(table) = table {
                let wide = |(least, most): (u32, u32)| (i64::from(least), i64::from(most));
                note("batch", range(table.batch, wide(UdpStream::BATCHES)));
                let segments = range(table.gso, wide(UdpStream::SEGMENTS));
                let fits = payload.is_none().then(|| stream.buffer_fault()).flatten();
                note("gso", segments.or(fits));
            }
            note("payload", payload);
        }
        Traffic::UdpRr { payload, timeout } => {
            note("payload", range(*payload, bytes(32, 64_000)));
            note("timeout", range(*timeout, TIMEOUTS));
        }
        Traffic::IcmpEcho {
            payload, timeout, ..
        } => {
            note("payload", range(*payload, bytes(16, 64_000)));
            note("timeout", range(*timeout, TIMEOUTS));
        }
        // No table makes it: SYNs are sent by hand.
        Traffic::TcpSyn { .. } => {}
        Traffic::Http(http) => {
            note("response", range(http.response, bytes(0, 1 << 20)));
            if let WorkloadTable::Http(table) = table {
                let (least, most) = Http::PARALLEL;
                let most = match http.connections {
                    Connections::Kept => most,
                    Connections::New => Http::MOST_NEW,
                };
                note(
                    "parallel",
                    range(table.parallel, (least.into(), most.into())),
                );
                let (least, most) = Http::STREAMS;
                let many =
                    http.version == HttpVersion::Http2 && http.connections == Connections::Kept;
                let fault = range(table.streams, (least.into(), most.into()));
                let alone = || {
                    (table.streams != 1 && !many).then(|| {
                        "several streams need version = \"2\" and kept connections; write streams = 1".to_owned()
                    })
                };
                note("streams", fault.or_else(alone));
                if workload.load.open().is_some() && table.parallel != 1 {
                    let message = "an open loop has its own number; write load = { open = .., connections = .. }";
                    note("parallel", Some(message.to_owned()));
                }
            }
        }
    }
}
