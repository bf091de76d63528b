#!/usr/bin/env python3
"""What it costs a request/response loop to have an end to its waits.

Minimal loops in C (scripts/peers/floor.c) without any, with a time-out of the socket, and with an alarm of the thread; and
tollgate-probe, which has an alarm. Interleaved rounds in one lab on native routing, with both ends on one CPU and on one each;
ratios of p50 to the loop without any, Hodges-Lehmann with 95 % intervals. Why: docs/adr/013-alarm.md.

Needs: cargo build --release -p tollgate -p tollgate-probes

Usage: scripts/waits.py [--rounds 24] [--seconds 0.5] [--seed N] [--bin FOLDER]
"""

import argparse
import os
import random
import sys
import time
from pathlib import Path

import peers
from peers import tools
from lab import Lab


def work(kind):
    """The loops for one kind of traffic, all of one figure."""
    figure = tools.Figure("p50", "µs", 1000)
    ended = [tools.floor(kind, way, name=f"floor with {article} {way}") for article, way in (("a", "timeout"), ("an", "alarm"))]
    return tools.Work(kind, kind, (figure,), [tools.floor(kind), *ended, tools.probe(kind)])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bin", type=Path, default=peers.ROOT / "target" / "release")
    args = parser.parse_args()
    works, rows = [work("tcp-rr"), work("udp-rr")], []
    lab = Lab(args.bin, f"waits-{os.getpid()}")
    try:
        tools.serve(lab, {"floor", "tollgate"})
        time.sleep(0.5)
        peers.rounds(args, lab, works, rows)
    finally:
        lab.down()
        tools.FLOOR.unlink(missing_ok=True)
    for one in works:
        for placement in one.placements:
            for tool in one.tools[1:]:
                ratio, interval, _ = peers.compare(args, rows, one, one.figures[0], placement.name, "floor", tool.name)
                print(f"{one.name}, {placement.name}: {tool.name} ÷ floor {ratio:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]")


if __name__ == "__main__":
    sys.exit(main())
