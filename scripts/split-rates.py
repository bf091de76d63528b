#!/usr/bin/env python3
"""How often the split test errs, asked through a real weighted proxy on this machine's loopback.

Two responders stand behind a proxy that draws one of them for each connection (bench-runner/examples/weighted-proxy.rs). Every
run sends requests with `tollgate-probe http` and judges them with `tollgate cluster split`, declared 90 to 10. Asked for: a true 90/10 is accepted at least 93 times of 100, a true 85/15 refused at least 99 times; over kept
connections requests stay with a backend, and that is said.

Needs: cargo build --release -p tollgate -p tollgate-probes --bins && cargo build --release -p tollgate --example weighted-proxy

Usage: scripts/split-rates.py [--runs 100] [--kept 20] [--seed N] [--bin FOLDER] [--duration 3s]
Exit code 1 where a rate is outside of what is asked for.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ("--weight", "stable=90", "--weight", "canary=10")


def proxy(args, backends, share):
    """Starts a proxy of this canary's share; returns it with its port."""
    command = [args.bin / "examples/weighted-proxy", *map(str, backends), str(share), str(args.seed)]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    return child, int(child.stdout.readline())


def serve(program, name):
    """Starts a responder; returns it with its port."""
    child = subprocess.Popen(
        [program, "serve", "--json", "--name", name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    return child, json.loads(child.stdout.readline())["port"]


def judge(args, port, more):
    """One run: returns what the split test says."""
    url = f"http://127.0.0.1:{port}/bytes/64"
    probe = [args.bin / "tollgate-probe", "http", url, "--json", "--warmup", "0s", *more]
    printed = subprocess.run(probe, check=True, capture_output=True, text=True).stdout
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(printed)
        file.flush()
        command = [args.bin / "tollgate", "cluster", "split", *WEIGHTS, "--json", "--from", file.name]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def counted(args, backends, share, runs, more):
    """How often each verdict came, how often requests were seen to go together, and of how many requests at least."""
    child, port = proxy(args, backends, share)
    try:
        said = [judge(args, port, more) for _ in range(runs)]
    finally:
        child.terminate()
        child.wait()
    verdicts = Counter(one["verdict"] for one in said)
    clustered = sum(one["clustered"] is not None for one in said)
    # All runs together say whether the proxy itself splits as it should.
    requests, canary = sum(one["requests"] for one in said), sum(one["shares"][1]["hits"] for one in said)
    print(
        f"true {1 - share:.0%} to {share:.0%}, {' '.join(more)}: {dict(verdicts)}; clustered {clustered} of {runs}; "
        f"{canary / requests:.2%} of {requests} requests went to the canary, at least {min(one['requests'] for one in said)} a run",
        flush=True,
    )
    return verdicts, clustered


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--kept", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release")
    parser.add_argument("--duration", default="3s", help="of a run on new connections")
    args = parser.parse_args()
    started = [serve(args.bin / "tollgate-probe", name) for name in ("stable", "canary")]
    try:
        backends = [port for _, port in started]
        new = ("--connections", "new", "--duration", args.duration)
        good, _ = counted(args, backends, 0.10, args.runs, new)
        bad, _ = counted(args, backends, 0.15, args.runs, new)
        _, clustered = counted(args, backends, 0.10, args.kept, ("--connections", "40", "--duration", "1s"))
    finally:
        for child, _ in started:
            child.terminate()
            child.wait()
    if clustered < args.kept:
        sys.exit(f"requests over kept connections were seen to go together in {clustered} of {args.kept} runs only")
    accepted, refused = good["as-declared"] / args.runs, bad["off"] / args.runs
    if accepted < 0.93 or refused < 0.99:
        sys.exit(f"accepted {accepted:.0%} of the true ones, refused {refused:.0%} of the others")


if __name__ == "__main__":
    main()
