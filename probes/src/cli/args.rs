//! The arguments of every command.

mod streams;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tollgate_results::units::{Bytes, Nanoseconds, Rate};
use tollgate_results::workload::OpenLoad;

pub(crate) use self::streams::{TcpStreamArgs, UdpStreamArgs};

/// Measures the latency of a network path, or answers such a measurement.
#[derive(Debug, Parser)]
#[command(
    name = "tollgate-probe",
    version,
    after_help = "\
Example:
  tollgate-probe serve --bind 192.0.2.2 --port 8080        # on one machine
  tollgate-probe tcp-rr 192.0.2.2:8080 --duration 10s      # on the other"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the probe can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer traffic of every kind on one port, TCP and UDP
    #[command(after_help = "\
Example:
  tollgate-probe serve --bind 0.0.0.0 --port 8080

Replies are never larger than requests, but for HTTP responses (--max-response).
Bound to 0.0.0.0 or :: it answers from the address that was asked, UDP too, at a small
cost for each datagram. Ctrl-C ends it, with exit code 0.")]
    Serve(ServeArgs),
    /// Serve jobs to a runner, over the network or on an inherited Unix socket
    #[command(after_help = AGENT_HELP)]
    Agent(AgentArgs),
    /// Measure what is known beforehand: whether this machine can measure
    #[command(after_help = SELFTEST_HELP)]
    Selftest(SelftestArgs),
    /// Find the largest packet that gets to a host in one piece
    #[command(after_help = PATH_MTU_HELP)]
    PathMtu(PathMtuArgs),
    /// Say what the network of this node is made of: links, rules, eBPF programs, conntrack
    #[command(after_help = INSPECT_HELP)]
    Inspect(InspectArgs),
    #[command(flatten)]
    Traffic(Traffic),
}

/// What `inspect` sees.
const INSPECT_HELP: &str = "\
Examples:
  sudo tollgate-probe inspect
  sudo tollgate-probe inspect --json --every 1m     # as the pods of node-inspector do

It looks at the network namespace that it runs in, through the kernel's own interfaces,
and changes nothing. What it has no privilege for is told as unread: rules want
CAP_NET_ADMIN, eBPF programs CAP_SYS_ADMIN too.";

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Look again after this time, 5 s to 24 h, until interrupted
    #[arg(long, value_name = "TIME")]
    pub(crate) every: Option<Nanoseconds>,
    /// Print JSON, one line each time
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `path-mtu` does and says.
const PATH_MTU_HELP: &str = "\
Example:
  tollgate-probe path-mtu 192.0.2.2
  tollgate-probe path-mtu 192.0.2.2:8080        # where ICMP is filtered

Packets that must not be fragmented, by binary search: ICMP echo requests to a HOST,
or datagrams to the `tollgate-probe serve` at HOST:PORT, whose replies are as large:
then the narrower direction counts. Compared with the device's MTU and with what the
kernel assumes of the route. A hop that says \"too big\" is told from a black hole, where
larger packets vanish without a word and connections stall.";

/// Arguments of `path-mtu`.
#[derive(Debug, Args)]
pub(crate) struct PathMtuArgs {
    /// Whom to ask: HOST by ICMP, HOST:PORT by UDP
    #[arg(value_name = "HOST[:PORT]")]
    pub(crate) target: String,
    /// How long an answer is waited for, 1 ms to 10 s
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    pub(crate) timeout: Nanoseconds,
    /// Probes of one size without an answer until it is too big, 1 to 10
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(crate) tries: u32,
    /// What kind of socket ICMP goes through
    #[arg(long, value_name = "KIND", default_value = "auto")]
    pub(crate) socket: SocketKind,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How an agent is joined.
const AGENT_HELP: &str = "\
Examples:
  tollgate-probe agent --listen 192.0.2.2:7788     # on the other machine of a pair
  tollgate-probe agent --fd 3                      # by the runner itself

With --listen it makes a certificate and a token at its first start, and prints the
line with which the runner's machine joins it. The token stands in that line on a
terminal only: elsewhere the line says where to fetch it. Traffic uses a port of its
own, TCP and UDP, which a firewall has to let through too (7789, or as told to
`tollgate run --port`). Ctrl-C ends it, with exit code 0.";

/// Arguments of `agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    /// Number of an inherited descriptor, a Unix stream socket
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "listen",
        conflicts_with = "listen"
    )]
    pub(crate) fd: Option<i32>,
    /// Address and port to listen on, by TLS 1.3; 0.0.0.0 or :: (in brackets) for all addresses
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Listen without TLS: on loopback only, for a tunnel or a port-forward
    #[arg(long, requires = "listen")]
    pub(crate) plain: bool,
    /// Folder of certificate and token [default: ~/.local/state/tollgate]
    #[arg(long, value_name = "DIR", requires = "listen")]
    pub(crate) state_dir: Option<PathBuf>,
    /// File with the token, 64 hexadecimal digits, instead of one of its own
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) token_file: Option<PathBuf>,
}

/// What `selftest` does, and what its verdict stands on.
const SELFTEST_HELP: &str = "\
Example:
  tollgate-probe selftest --cpu 1

A responder of its own, on loopback and the same CPU, delays by 10, 50 and 200 µs,
loses, duplicates, reorders and stalls for 200 ms. The probe must report just that:
delays within 1 µs or 2 %, counts exactly. It takes about 10 s.

Degraded: a delay is off by more; the clock costs 100 ns; 1 % of sleeps end 1 ms
late; over loopback p99 is five times p50, or p50 above 100 µs.
Can't measure, exit code 4: a delay is off by five times as much; a count is
wrong; the clock costs 1 µs; loopback loses 1 % of the requests.";

/// Arguments of `selftest`.
#[derive(Debug, Args)]
pub(crate) struct SelftestArgs {
    /// CPU that both ends share; the last one by default
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<u32>,
    /// Print JSON, times in nanoseconds
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address to listen on; 0.0.0.0 or :: for all
    #[arg(long, value_name = "ADDR", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) bind: IpAddr,
    /// Port to listen on, TCP and UDP; 0 takes a free one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) port: u16,
    /// CPU that every thread is pinned to
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<u32>,
    /// Largest HTTP response to anyone who asks, up to 1 MiB
    #[arg(long, value_name = "BYTES", default_value = "64 KiB", value_parser = bytes)]
    pub(crate) max_response: Bytes,
    /// Name that HTTP responses give the responder, in x-tollgate-backend; the host's by default
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Send streams to whoever asks for them over TCP, beyond loopback too
    #[arg(long)]
    pub(crate) send_streams: bool,
    /// Answer only machines that show the token in this file, 64 hexadecimal digits; each for 12 minutes
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Say where it listens in JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The kinds of traffic.
#[derive(Debug, Subcommand)]
pub(crate) enum Traffic {
    /// Request and response on one TCP connection
    #[command(after_help = "\
Example:
  tollgate-probe tcp-rr 192.0.2.2:8080 --duration 5s --payload 64 --cpu 0 --json
  tollgate-probe tcp-rr 192.0.2.2:8080 --rate 10k/s --arrivals poisson --connections 4

With --rate requests go out on a schedule (an open loop) and latency counts from the
planned time; without, each after the reply to the one before (a closed loop). Figures
of the two are not comparable: a closed loop omits the requests that waited.

With --ports each 5-tuple is visited many times, in random order within blocks. p says how
often equal ones would look as different. Over TCP the far end has a thread for each port,
whose CPU differs, too: pin it (`serve --cpu N`), or sweep with udp-rr.")]
    TcpRr {
        #[command(flatten)]
        common: Common,
        /// Size of request and reply, 1 B to 1 MiB
        #[arg(long, value_name = "BYTES", default_value = "64 B", value_parser = bytes)]
        payload: Bytes,
        /// Split each round trip by the kernel's timestamps; it costs time
        #[arg(long)]
        timestamps: bool,
        /// Sweep over so many source ports, 2 to 256, and say how far they differ
        #[arg(long, value_name = "N", conflicts_with_all = ["rate", "timestamps"])]
        ports: Option<u32>,
        #[command(flatten)]
        open: OpenArgs,
        /// Connections that share the requests of an open loop, 1 to 1,024
        #[arg(long, value_name = "N", default_value_t = 1, requires = "rate")]
        connections: u32,
    },
    /// Connect, request, response, close
    #[command(after_help = "\
Example:
  tollgate-probe tcp-crr 192.0.2.2:8080 --duration 5s --close fin

A latency runs from before the socket is made to the end of the reply.
With FIN the local ports run out after some 28,000 connections a minute.")]
    TcpCrr {
        #[command(flatten)]
        common: Common,
        /// Size of request and reply, 1 B to 1 MiB
        #[arg(long, value_name = "BYTES", default_value = "64 B", value_parser = bytes)]
        payload: Bytes,
        /// How the client closes
        #[arg(long, value_name = "HOW", default_value = "rst")]
        close: Close,
    },
    /// Bulk data over TCP; counts what arrived
    #[command(after_help = "\
Example:
  tollgate-probe tcp-stream 192.0.2.2:8080 --duration 10s --flows 4
  tollgate-probe tcp-stream 192.0.2.2:8080 --direction down --congestion cubic --pacing '1 Gbit/s'

Down streams need a far end that may send them: `serve --send-streams`. Pacing is TCP's
own where the device has no fq queueing discipline.")]
    TcpStream(TcpStreamArgs),
    /// Datagrams without replies: loss, order and delay variation of each direction
    #[command(after_help = "\
Example:
  tollgate-probe udp-stream 192.0.2.2:8080 --rate 50k/s --payload 200
  tollgate-probe udp-stream 192.0.2.2:8080 --direction both --gso 16 --gro

Both ends agree on it over TCP, on the port given; the receiver's counts come that way too.
With --rate delays count: PDV and IPDV as of RFC 5481; one-way delays only where both ends
read one clock. Down streams need a far end that may send them: `serve --send-streams`.")]
    UdpStream(UdpStreamArgs),
    /// Request and response by datagrams
    #[command(after_help = "\
Example:
  tollgate-probe udp-rr 192.0.2.2:8080 --duration 5s --timeout 100ms --timestamps

With --timestamps the far end says, too, how long it had each request: in replies
of 40 B or more, if it is a tollgate-probe.")]
    UdpRr {
        #[command(flatten)]
        common: Common,
        /// Size of each datagram, 32 B to 64,000 B
        #[arg(long, value_name = "BYTES", default_value = "64 B", value_parser = bytes)]
        payload: Bytes,
        /// A reply later than this is lost, 1 ms to 10 s
        #[arg(long, value_name = "TIME", default_value = "1s")]
        timeout: Nanoseconds,
        /// Split each round trip by the kernel's timestamps; it costs time
        #[arg(long)]
        timestamps: bool,
        /// Sweep over so many source ports, 2 to 256, and say how far they differ
        #[arg(long, value_name = "N", conflicts_with_all = ["rate", "timestamps"])]
        ports: Option<u32>,
        #[command(flatten)]
        open: OpenArgs,
        /// Sockets that share the requests of an open loop, 1 to 1,024
        #[arg(long, value_name = "N", default_value_t = 1, requires = "rate")]
        connections: u32,
    },
    /// Time from a SYN to the SYN-ACK or RST that answers it: TCP ping
    #[command(after_help = "\
Example:
  tollgate-probe tcp-syn 192.0.2.2:443 --duration 5s
  tollgate-probe tcp-syn 192.0.2.2:443 --socket unprivileged

Any TCP port does, open or closed. Through a raw socket, where that is allowed, no
connection comes of it: the kernel answers a SYN-ACK with a RST by itself. A load balancer
that works at the socket (eBPF at connect) doesn't see such SYNs.
Unprivileged, the kernel connects and resets: the time includes making the socket, a RST
counts as refused, and the time-out is 8 s.")]
    TcpSyn {
        #[command(flatten)]
        common: Common,
        /// An answer later than this is lost, 1 ms to 10 s
        #[arg(long, value_name = "TIME", default_value = "1s")]
        timeout: Nanoseconds,
        /// What kind of socket to use
        #[arg(long, value_name = "KIND", default_value = "auto")]
        socket: SocketKind,
    },
    /// ICMP echo requests, answered by the far end's kernel: ping
    #[command(after_help = "\
Example:
  tollgate-probe icmp-echo 192.0.2.2 --duration 5s --timestamps
  tollgate-probe icmp-echo 2001:db8::2 --rate 1k/s --arrivals constant

Nothing has to run on the other end. By default through a raw socket where that is
allowed (root, or CAP_NET_RAW), else through a ping socket, which the sysctl
net.ipv4.ping_group_range of the network namespace allows, for IPv6 too.",
        mut_arg("target", |arg| arg.value_name("HOST").help("Whom to ask: an address or a name")))]
    IcmpEcho {
        #[command(flatten)]
        common: Common,
        /// Size after the ICMP header, 16 B to 64,000 B
        #[arg(long, value_name = "BYTES", default_value = "56 B", value_parser = bytes)]
        payload: Bytes,
        /// A reply later than this is lost, 1 ms to 10 s
        #[arg(long, value_name = "TIME", default_value = "1s")]
        timeout: Nanoseconds,
        /// What kind of socket to use
        #[arg(long, value_name = "KIND", default_value = "auto")]
        socket: SocketKind,
        /// Split each round trip by the kernel's timestamps; it costs time
        #[arg(long)]
        timestamps: bool,
        #[command(flatten)]
        open: OpenArgs,
        /// Sockets that share the requests of an open loop, 1 to 1,024
        #[arg(long, value_name = "N", default_value_t = 1, requires = "rate")]
        connections: u32,
    },
    /// HTTP GET, of a `tollgate-probe serve` or of any other server
    #[command(after_help = "\
Example:
  tollgate-probe http 192.0.2.2:8080 --duration 5s --connections new --response '1 KiB'
  tollgate-probe http 192.0.2.2:8080 --rate 2k/s --connections 64
  tollgate-probe http https://server.example/path --version 2 --connections 8 --streams 4

HOST:PORT is a `tollgate-probe serve`, asked for so many bytes, which must come. A URL is
any server: whatever it answers is a reply, but an error status (4xx, 5xx) is a failed
request. Redirects are not followed. Over https the server's certificate must be vouched
for by this machine's authorities, by --ca, or by nobody (--insecure).")]
    Http {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        open: OpenArgs,
        #[command(flatten)]
        http: HttpArgs,
    },
}

/// Arguments of HTTP.
#[derive(Debug, Args)]
pub(crate) struct HttpArgs {
    /// Connections at a time: kept (one), N kept, new (one for each request) or new:N
    #[arg(long, value_name = "WHICH|N", default_value = "kept", value_parser = connections)]
    pub(crate) connections: Connections,
    /// Version of HTTP
    #[arg(
        id = "http_version",
        long = "version",
        value_name = "N",
        default_value = "1.1"
    )]
    pub(crate) version: HttpVersion,
    /// Requests at a time on each kept connection of version 2, 1 to 128
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) streams: u32,
    /// Size of the response's body, 0 B to 1 MiB; 64 B by default. Not with a URL
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) response: Option<Bytes>,
    /// Over https accept any certificate
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// Over https accept what the authorities in this file vouch for: certificates in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

/// Version of HTTP.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum HttpVersion {
    /// One request at a time on a connection
    #[value(name = "1.1")]
    One,
    /// Over https by ALPN, over http by prior knowledge
    #[value(name = "2")]
    Two,
}

/// Arguments of an open loop.
#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// Send on a schedule: so many requests per second, 1/s to 1M/s, for example 10k/s
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<Rate>,
    /// How planned times are spread
    #[arg(long, value_name = "HOW", default_value = "poisson", requires = "rate")]
    pub(crate) arrivals: Arrivals,
    /// Most requests without an outcome at once, up to 65,536
    #[arg(long, value_name = "N", default_value_t = OpenLoad::MOST_IN_FLIGHT, requires = "rate")]
    pub(crate) in_flight: u32,
    /// Source of the schedule: the same seed, the same planned times
    #[arg(long, value_name = "N", requires = "rate")]
    pub(crate) seed: Option<u64>,
}

/// How planned times are spread.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Arrivals {
    /// With the same gap
    Constant,
    /// As independent users arrive
    Poisson,
}

/// Arguments of every kind of traffic.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Where `tollgate-probe serve` listens; of http also a URL
    #[arg(value_name = "HOST:PORT")]
    pub(crate) target: String,
    /// Length of the measurement
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub(crate) duration: Nanoseconds,
    /// Traffic before the measurement
    #[arg(long, value_name = "TIME", default_value = "200ms")]
    pub(crate) warmup: Nanoseconds,
    /// CPU that the sending threads are pinned to
    #[arg(long, value_name = "N")]
    pub(crate) cpu: Option<u32>,
    /// File with the token that the responder was started with
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Print JSON, times in nanoseconds
    #[arg(long)]
    pub(crate) json: bool,
}

/// What kind of socket carries what the kernel makes for privileged programs only.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SocketKind {
    /// Raw where it is allowed, else unprivileged
    Auto,
    /// Raw: needs root, or the capability `CAP_NET_RAW`
    Raw,
    /// For ICMP a ping socket, for tcp-syn the kernel's connections
    Unprivileged,
}

/// How a connection is closed.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Close {
    /// Abort: no TIME_WAIT
    Rst,
    /// In order: TIME_WAIT at the client
    Fin,
}

/// Whether HTTP connections are kept, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connections {
    /// This many at a time, for all requests
    Kept(u32),
    /// A new one for each request, this many at a time
    New(u32),
}

/// Reads what `--connections` of http says.
fn connections(text: &str) -> Result<Connections, String> {
    let number = |text: &str| {
        let number = text.parse();
        number.map_err(|_| "write kept, new, a number, or new: and a number".to_owned())
    };
    match text {
        "kept" => Ok(Connections::Kept(1)),
        "new" => Ok(Connections::New(1)),
        _ => match text.strip_prefix("new:") {
            Some(text) => number(text).map(Connections::New),
            None => number(text).map(Connections::Kept),
        },
    }
}

/// Reads an amount of data; on the command line a bare number is one of bytes.
fn bytes(text: &str) -> Result<Bytes, String> {
    if let Ok(number) = text.parse() {
        return Ok(Bytes(number));
    }
    text.parse()
        .map_err(|error: tollgate_results::units::UnitError| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            assert!(
                help.is_some_and(|help| help.contains("Example")),
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn http_connections_are_kept_new_or_so_many() {
        assert_eq!(connections("kept"), Ok(Connections::Kept(1)));
        assert_eq!(connections("64"), Ok(Connections::Kept(64)));
        assert_eq!(connections("new:8"), Ok(Connections::New(8)));
        for text in ["some", "new:", "new:x", "-1"] {
            assert!(connections(text).unwrap_err().contains("kept, new"));
        }
    }

    #[test]
    fn a_bare_number_is_one_of_bytes() {
        assert_eq!(bytes("64"), Ok(Bytes(64)));
        assert_eq!(bytes("1 KiB"), Ok(Bytes(1024)));
        assert!(bytes("64 parsecs").unwrap_err().contains("with a unit"));
    }
}
