"""The work that is compared, and how each tool does it.

A tool's `measure` returns its figures for one piece of work, by the figure's name. Where a tool halves the round trip, or
prints a mean instead of a median, the figure is brought back to what the others print, or has a name of its own (`mean`).
"""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable

PAYLOAD = 64
HERE = Path(__file__).parent
FLOOR = Path(tempfile.gettempdir()) / f"tollgate-floor-{os.getpid()}"
LAST = os.cpu_count() - 1


@dataclass(frozen=True)
class Placement:
    name: str
    client: int
    server: int


SHARED = Placement("shared", LAST, LAST)
SPLIT = Placement("split", LAST, 0)


@dataclass(frozen=True)
class Point:
    """Where and for how long a tool measures."""

    lab: object
    placement: Placement
    seconds: float

    def run(self, *argv):
        return self.lab.run("client", self.placement.client, argv)

    def at(self, base):
        """Address and port of a server: each has one for each CPU it may run on."""
        return f"{self.lab.server}:{port(base, self.placement.server)}"

    def port(self, base):
        return port(base, self.placement.server)


def port(base, cpu):
    return base + (1 if cpu else 0)


@dataclass(frozen=True)
class Figure:
    """One figure of a piece of work. A goal is for the unfavourable end of the ratio's interval."""

    name: str
    unit: str
    scale: float
    higher_is_better: bool = False
    margin: str = "2%"
    goal: float | None = None
    goals: tuple = ()  # of single peers: (name, goal)

    def show(self, value):
        return f"{value / self.scale:.4g} {self.unit}"

    def judge(self, interval, peer):
        """Whether the goal is met by the whole interval, missed by the whole interval, or undecided."""
        goal = dict(self.goals).get(peer, self.goal)
        if goal is None:
            return ""
        low, high = interval
        if self.higher_is_better:
            met, missed, sign = low >= goal, high < goal, "≥"
        else:
            met, missed, sign = high <= goal, low > goal, "≤"
        return f"{sign} {goal}: " + ("met" if met else "**missed**" if missed else "undecided")


@dataclass(frozen=True)
class Tool:
    name: str
    program: str | None
    measure: Callable[[Point], dict]
    servers: tuple = ()  # each a function from a CPU to the server's command


@dataclass(frozen=True)
class Work:
    name: str
    title: str
    figures: tuple
    tools: list = field(default_factory=list)
    placements: tuple = (SHARED, SPLIT)

    def among(self, peers, placement):
        """The same with these peers alone, and this placement; nothing said leaves all."""
        tools = [tool for tool in self.tools if not peers or tool.name in ("tollgate", *peers)]
        placements = tuple(one for one in self.placements if not placement or one.name == placement)
        return replace(self, tools=tools, placements=placements)

    def without(self, missing):
        return replace(self, tools=[tool for tool in self.tools if tool.program not in missing])


# Servers, each on a port of its own for each CPU.
TOLLGATE, FLOOR_PORT, SOCKPERF_TCP, SOCKPERF_UDP, QPERF, NUTTCP, NUTTCP_DATA, IRTT, IPERF3 = range(8080, 8260, 20)


def servers(lab):
    """The commands of all servers, by the tool's name. Tollgate's is bound to the server's address, as in every lab: bound
    to all of them it would ask and say with each datagram which one it is, as no other tool does."""
    subprocess.run(["cc", "-O2", "-o", FLOOR, HERE / "floor.c"], check=True)
    return {
        "tollgate": [lambda cpu: [lab.bin / "tollgate-probe", "serve", "--bind", lab.server, "--port", port(TOLLGATE, cpu)]],
        "floor": [lambda cpu: [FLOOR, "serve", port(FLOOR_PORT, cpu)]],
        "sockperf": [
            lambda cpu: ["sockperf", "server", "--tcp", "-p", port(SOCKPERF_TCP, cpu)],
            lambda cpu: ["sockperf", "server", "-p", port(SOCKPERF_UDP, cpu)],
        ],
        "qperf": [lambda cpu: ["qperf", "-lp", port(QPERF, cpu)]],
        "nuttcp": [lambda cpu: ["nuttcp", "-S", "--nofork", "-P", port(NUTTCP, cpu), "-p", port(NUTTCP_DATA, cpu)]],
        "irtt": [lambda cpu: ["irtt", "server", "-i", "0", "-b", f":{port(IRTT, cpu)}"]],
        "iperf3": [lambda cpu: ["iperf3", "-s", "-p", port(IPERF3, cpu)]],
    }


def serve(lab, wanted):
    """Starts the servers of the named tools in a lab, for each CPU of a placement."""
    commands = servers(lab)
    for name in sorted(wanted & commands.keys()):
        for command in commands[name]:
            for cpu in sorted({SHARED.server, SPLIT.server}):
                lab.start("server", cpu, command(cpu))


def find(pattern, text):
    match = re.search(pattern, text)
    if not match:
        raise ValueError(f"no figure in: {text[-200:]}")
    return float(match.group(1))


# tollgate-probe


def probe(kind, *options, warmup="200ms"):
    def measure(point):
        out = point.run(
            point.lab.bin / "tollgate-probe", kind, point.at(TOLLGATE), "--duration", f"{point.seconds}s",
            "--warmup", warmup, "--json", *options,
        )  # fmt: skip
        found = json.loads(out)
        figures = {"p50": found["p50_ns"], "p99": found["p99_ns"], "mean": found["mean_ns"], "rate": found["rate_per_s"], "bytes": found["bytes_per_s"]}
        return {name: value for name, value in figures.items() if value is not None}

    return Tool("tollgate", None, measure)


# The floor: minimal loops in C.


def floor(kind, *waits, name="floor"):
    def measure(point):
        address, number = point.at(FLOOR_PORT).split(":")
        p50, mean, rate = map(float, point.run(FLOOR, kind, address, number, point.seconds, *waits).split())
        return {"p50": p50, "mean": mean, "rate": rate}

    return Tool(name, None, measure)


# sockperf: with --full-rtt it doesn't halve.


def sockperf(*options, base):
    def measure(point):
        address, number = point.at(base).split(":")
        out = point.run("sockperf", "ping-pong", "-i", address, "-p", number, *options, "-m", PAYLOAD, "-t", whole(point), "--full-rtt")
        return {"p50": 1000 * find(r"percentile 50\.000 = *([0-9.]+)", out), "mean": 1000 * find(r"Round trip is ([0-9.]+)", out)}

    return Tool("sockperf", "sockperf", measure)


def whole(point):
    """Seconds for tools that take whole numbers only."""
    return max(1, round(point.seconds))


# qperf prints the mean of half a round trip.


def qperf(test):
    def measure(point):
        address, number = point.at(QPERF).split(":")
        out = point.run("qperf", "-lp", number, "-t", whole(point), "-m", PAYLOAD, address, test)
        value, unit = re.search(r"latency *= *([0-9.]+) *(ns|us|ms|sec)", out).groups()
        return {"mean": 2 * float(value) * {"ns": 1, "us": 1e3, "ms": 1e6, "sec": 1e9}[unit]}

    return Tool("qperf", "qperf", measure)


# irtt sends on a schedule of one request a millisecond; its figures leave out lateness.


def irtt(point):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        point.run("irtt", "client", "-i", "1ms", "-d", f"{point.seconds}s", "-l", PAYLOAD, "-Q", "-o", file.name, point.at(IRTT))
        stats = json.loads(Path(file.name).read_text())["stats"]["rtt"]
    return {"p50": stats["median"], "mean": stats["mean"]}


# Streams: throughput, and what it costs on both ends: the time in which the machine's CPUs were not idle, in its
# kernel's ticks.


def busy_ns():
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return (user + nice + system + irq + softirq) * 10**9 // os.sysconf("SC_CLK_TCK")


def stream(name, program, flows, command):
    """A tool whose `command(point)` runs a stream and returns the bytes per second that arrived."""

    def measure(point):
        before = busy_ns()
        rate = command(point)
        return {"bytes": rate, "cost": (busy_ns() - before) / (rate * point.seconds)}

    return Tool(name, program, measure)


def probe_stream(flows):
    inner = probe("tcp-stream", "--flows", str(flows), warmup="0ms").measure
    return stream("tollgate", None, flows, lambda point: inner(point)["bytes"])


def iperf3(point, *options):
    address, number = point.at(IPERF3).split(":")
    return json.loads(point.run("iperf3", "-c", address, "-p", number, "-t", whole(point), "-J", *options))["end"]


def nuttcp(point, *options):
    address, _ = point.at(NUTTCP).split(":")
    return point.run(
        "nuttcp", "-fparse", "-P", point.port(NUTTCP), "-p", point.port(NUTTCP_DATA), "-T", whole(point), *options, address,
    )  # fmt: skip


def iperf3_stream(flows):
    return stream("iperf3", "iperf3", flows, lambda point: iperf3(point, "-P", flows)["sum_received"]["bits_per_second"] / 8)


def nuttcp_stream(flows):
    options = ("-N", flows) if flows > 1 else ()
    return stream("nuttcp", "nuttcp", flows, lambda point: 1e6 / 8 * find(r"rate_Mbps=([0-9.]+)", nuttcp(point, *options)))


# Datagrams per second that arrived, 64 bytes of payload each.


def probe_datagrams(*options):
    def measure(point):
        out = point.run(
            point.lab.bin / "tollgate-probe", "udp-stream", point.at(TOLLGATE), "--duration", f"{point.seconds}s",
            "--warmup", "0ms", "--payload", PAYLOAD, "--json", *options,
        )  # fmt: skip
        up = json.loads(out)["datagrams"]["up"]
        seconds = up["receiving_ns"] / 1e9
        return {"rate": up["received"] / seconds}

    return Tool("tollgate", None, measure)


def iperf3_datagrams(point):
    end = iperf3(point, "-u", "-b", 0, "-l", PAYLOAD)["sum_received"]
    return {"rate": (end["packets"] - end["lost_packets"]) / end["seconds"]}


def nuttcp_datagrams(point):
    out = nuttcp(point, "-u", "-l", PAYLOAD, "-Ru")
    return {"rate": find(r"pkt=([0-9]+)", out) / find(r"real_seconds=([0-9.]+)", out)}


# HTTP: GET of 64 bytes from Tollgate's responder, for all tools.


def url(point):
    return f"http://{point.at(TOLLGATE)}/bytes/{PAYLOAD}"


def wrk(connections, *options):
    def measure(point):
        out = point.run("wrk", "-t1", f"-c{connections}", f"-d{whole(point)}s", "--latency", *options, url(point))
        return {"rate": find(r"Requests/sec: *([0-9.]+)", out), "p50": time_of("50%", out), "p99": time_of("99%", out)}

    return Tool("wrk", "wrk", measure)


def time_of(label, text):
    value, unit = re.search(rf"{label} +([0-9.]+)(us|ms|s)\b", text).groups()
    return float(value) * {"us": 1e3, "ms": 1e6, "s": 1e9}[unit]


def hey(connections, *options):
    def measure(point):
        out = point.run("hey", "-z", f"{point.seconds}s", "-c", connections, "-cpus", 1, *options, url(point))
        return {"rate": find(r"Requests/sec:\s*([0-9.]+)", out)}  # its times have a resolution of 0.1 ms

    return Tool("hey", "hey", measure)


def oha(connections, *options):
    def measure(point):
        out = point.run("oha", "-z", f"{point.seconds}s", "-c", connections, "--no-tui", "--output-format", "json", *options, url(point))
        found = json.loads(out)
        times = found["latencyPercentiles"]
        return {"rate": found["summary"]["requestsPerSec"], "p50": 1e9 * times["p50"], "p99": 1e9 * times["p99"]}

    return Tool("oha", "oha", measure)


P50 = Figure("p50", "µs", 1e3, goal=1.02)
P99 = Figure("p99", "µs", 1e3, goal=1.02)
MEAN = Figure("mean", "µs", 1e3, goal=1.02)
RATE = Figure("rate", "k/s", 1e3, higher_is_better=True, goal=0.98)
DATAGRAMS = Figure("rate", "k/s", 1e3, higher_is_better=True, goal=1.0, goals=(("iperf3", 1.5),))
BYTES = Figure("bytes", "GB/s", 1e9, higher_is_better=True, goal=0.98)
COST = Figure("cost", "CPU ns/B", 1, goal=1.0)

WORKS = [
    Work(
        "tcp-rr", "TCP request/response, 64 B", (P50, MEAN),
        [probe("tcp-rr", "--payload", "64"), floor("tcp-rr"), sockperf("--tcp", base=SOCKPERF_TCP), qperf("tcp_lat")],
    ),
    Work(
        "udp-rr", "UDP request/response, 64 B", (P50, MEAN),
        [probe("udp-rr", "--payload", "64"), floor("udp-rr"), sockperf(base=SOCKPERF_UDP), qperf("udp_lat")],
    ),
    Work("tcp-crr", "connect, request, response, reset, 64 B", (RATE, P50), [probe("tcp-crr", "--payload", "64"), floor("tcp-crr")]),
    Work(
        "http-new", "HTTP GET on new connections, one at a time", (RATE,),
        [
            probe("http", "--connections", "new"), wrk(1, "-H", "Connection: close"), hey(1, "-disable-keepalive"), oha(1, "--disable-keepalive"),
        ],
    ),
    Work("http", "HTTP GET, one kept connection", (P50, P99, RATE), [probe("http"), wrk(1), hey(1), oha(1)]),
    Work(
        "http-64", "HTTP GET, 64 kept connections on one thread", (RATE,),
        [probe("http", "--connections", "64"), wrk(64), hey(64), oha(64)],
    ),
    Work("tcp-stream-1", "TCP stream, one flow", (BYTES, COST), [probe_stream(1), iperf3_stream(1), nuttcp_stream(1)], (SPLIT,)),
    Work("tcp-stream-4", "TCP stream, four flows", (BYTES, COST), [probe_stream(4), iperf3_stream(4), nuttcp_stream(4)], (SPLIT,)),
    Work(
        "udp-stream", "UDP stream, 64-byte datagrams that arrived, GSO and GRO off", (DATAGRAMS,),
        [probe_datagrams(), Tool("iperf3", "iperf3", iperf3_datagrams), Tool("nuttcp", "nuttcp", nuttcp_datagrams)], (SPLIT,),
    ),
    Work(
        "udp-paced", "UDP request/response, 1,000 a second", (P50,),
        [probe("udp-rr", "--payload", "64", "--rate", "1k/s", "--arrivals", "constant"), Tool("irtt", "irtt", irtt)], (SPLIT,),
    ),
]  # fmt: skip

OVERLAY = Work(
    "overlay", "the overlay's ratio: vxlan p50 over native p50, TCP request/response", (Figure("p50", "×", 1, margin="5%"),),
    [probe("tcp-rr", "--payload", "64"), sockperf("--tcp", base=SOCKPERF_TCP)], (SHARED,),
)  # fmt: skip
