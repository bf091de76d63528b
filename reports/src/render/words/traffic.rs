//! What a workload sends, when, and where its ends run, in plain English.

use tollgate_results::stream::{Direction, Receiving, Sending, TcpOptions, UdpStream};
use tollgate_results::units::Bytes;
use tollgate_results::workload::{
    Arrivals, Close, Connections, Cpu, Http, HttpVersion, Load, OpenLoad, Traffic, Workload,
};

/// Says what a workload sends, and when.
pub(in crate::render) fn sends(workload: &Workload) -> String {
    match workload.load {
        Load::Closed => traffic(&workload.traffic),
        Load::Open(open) => scheduled(&workload.traffic, &open),
    }
}

/// Says what an open loop sends, and that its latency is another thing.
fn scheduled(traffic: &Traffic, open: &OpenLoad) -> String {
    let several = |one: &str, many: &str| match open.connections {
        1 => one.to_owned(),
        number => format!("{number} {many}"),
    };
    let what = match traffic {
        Traffic::UdpRr { payload, timeout } => format!(
            "datagrams of {payload} and their replies over {}; lost after {}",
            several("one socket", "sockets"),
            timeout.words()
        ),
        Traffic::IcmpEcho {
            payload, timeout, ..
        } => format!(
            "ICMP echo requests of {payload} over {}, answered by the far end's kernel; lost after {}",
            several("one socket", "sockets"),
            timeout.words()
        ),
        Traffic::Http(Http { response, .. }) => format!(
            "HTTP GETs with responses of {response} over {}, one at a time on each",
            several("one kept connection", "kept connections")
        ),
        Traffic::TcpRr { payload } => format!(
            "requests of {payload} and their replies over {}",
            several("one open TCP connection", "open TCP connections")
        ),
        other => self::traffic(other),
    };
    let arrivals = match open.arrivals {
        Arrivals::Constant => "evenly spaced",
        Arrivals::Poisson => "as independent users arrive (Poisson)",
    };
    format!(
        "open loop: {what}; {} planned, {arrivals}, and latency counts from the planned time. Not comparable with \
         a closed loop",
        open.rate
    )
}

fn traffic(traffic: &Traffic) -> String {
    match traffic {
        Traffic::TcpRr { payload } => {
            format!(
                "a request of {payload} and its reply on one open TCP connection, over and over"
            )
        }
        Traffic::TcpCrr { payload, close } => {
            let close = match close {
                Close::Rst => "reset (RST)",
                Close::Fin => "close (FIN)",
            };
            format!(
                "connect, a request of {payload}, its reply, {close}: a TCP connection for each request"
            )
        }
        Traffic::TcpStream {
            flows,
            payload,
            options,
        } => tcp_stream(*flows, *payload, options),
        Traffic::UdpStream(stream) => udp_stream(stream),
        Traffic::UdpRr { payload, timeout } => {
            let timeout = timeout.words();
            format!("a datagram of {payload} and its reply, over and over; lost after {timeout}")
        }
        Traffic::IcmpEcho {
            payload, timeout, ..
        } => format!(
            "an ICMP echo request of {payload}, answered by the far end's kernel, over and over; lost after {}",
            timeout.words()
        ),
        Traffic::TcpSyn { timeout, .. } => format!(
            "a TCP SYN and what answers it, without a connection, over and over; lost after {timeout}"
        ),
        Traffic::Http(http) => self::http(http),
    }
}

fn http(http: &Http) -> String {
    let protocol = match (http.version, &http.tls) {
        (HttpVersion::Http1, None) => "HTTP",
        (HttpVersion::Http1, Some(_)) => "HTTPS",
        (HttpVersion::Http2, None) => "HTTP/2",
        (HttpVersion::Http2, Some(_)) => "HTTP/2 over TLS",
    };
    let over = match (http.connections, http.parallel) {
        (Connections::Kept, 1) => " on one kept connection".to_owned(),
        (Connections::Kept, many) => format!(" on {many} kept connections at once"),
        (Connections::New, 1) => ", a new connection for each".to_owned(),
        (Connections::New, many) => format!(", a new connection for each, {many} at once"),
    };
    let streams = match http.streams {
        1 => String::new(),
        many => format!(", {many} streams on each"),
    };
    let response = http.response;
    format!("{protocol} GET with a response of {response}{over}{streams}")
}

fn tcp_stream(flows: u32, payload: Bytes, options: &TcpOptions) -> String {
    let flows = match flows {
        1 => "one TCP connection".to_owned(),
        flows => format!("{flows} TCP connections"),
    };
    let direction = direction(options.direction, " in each direction");
    let congestion = options.congestion.as_ref();
    let congestion = congestion.map_or_else(String::new, |name| format!(", under {name}"));
    let pacing = options.pacing;
    let pacing = pacing.map_or_else(String::new, |rate| format!(", each paced at {rate}"));
    let send = match options.send {
        Sending::Copy => "",
        Sending::Zerocopy => ", sent without a copy (MSG_ZEROCOPY)",
        Sending::Sendfile => ", sent without a copy (sendfile)",
    };
    let receive = match options.receive {
        Receiving::Copy => "",
        Receiving::Truncate => ", received without a copy (MSG_TRUNC)",
    };
    format!(
        "bulk data over {flows}{direction}, written {payload} at a time{congestion}{pacing}{send}{receive}"
    )
}

fn udp_stream(stream: &UdpStream) -> String {
    let UdpStream {
        payload,
        direction: way,
        rate,
        batch,
        gso,
        gro,
        zerocopy,
    } = *stream;
    let way = direction(way, " in each direction");
    let rate = rate.map_or_else(
        || "as fast as they go".to_owned(),
        |rate| format!("{rate}, evenly spaced"),
    );
    let calls = match batch {
        1 => "one buffer to a system call".to_owned(),
        batch => format!("up to {batch} buffers to a system call"),
    };
    let gso = match gso {
        1 => String::new(),
        gso => format!(", {gso} datagrams to a buffer (GSO)"),
    };
    let gro = if gro { ", merged on receipt (GRO)" } else { "" };
    let zerocopy = if zerocopy {
        ", sent without a copy"
    } else {
        ""
    };
    format!("datagrams of {payload}{way}, {rate}; {calls}{gso}{gro}{zerocopy}")
}

/// Says which way a stream goes, unless it is the usual one.
const fn direction(direction: Direction, both: &'static str) -> &'static str {
    match direction {
        Direction::Up => "",
        Direction::Down => " from server to client",
        Direction::Both => both,
    }
}

/// Says what a workload sends and where client and server run, as a sentence.
pub(in crate::render) fn workload(workload: &Workload) -> String {
    let text = traffic(&workload.traffic);
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let first = first.unwrap_or_default();
    let stamped = stamped(workload);
    let ports = workload.ports.map_or_else(String::new, |ports| {
        format!("; from {ports} source ports in turn")
    });
    format!(
        "{first}{}; {}{ports}{stamped}.",
        letters.as_str(),
        placement(workload.cpu)
    )
}

/// Says what follows where round trips are split: figures are not those of the same traffic without.
pub(in crate::render) const fn stamped(workload: &Workload) -> &'static str {
    if workload.timestamps {
        "; stamped by the kernel, which adds to every figure"
    } else {
        ""
    }
}

/// Says where client and server run, in few words.
pub(in crate::render) const fn placement(cpu: Cpu) -> &'static str {
    match cpu {
        Cpu::Shared => "client and server share one CPU",
        Cpu::Split => "client and server each have a CPU",
        Cpu::Free => "the scheduler places client and server",
    }
}

/// Says what a CPU placement means for the figures.
pub(in crate::render) const fn placement_meaning(cpu: Cpu) -> &'static str {
    match cpu {
        Cpu::Shared => {
            "Client and server run on one CPU, so a figure is the serial CPU cost of the path. It is the most \
             repeatable placement; it hides work that other CPUs could have taken."
        }
        Cpu::Split => {
            "Client and server each run on a CPU of their own. A figure then holds the wake-ups \
             across CPUs too, and varies more from round to round."
        }
        Cpu::Free => {
            "The scheduler places client and server. This is nearest to everyday use, and varies most."
        }
    }
}
