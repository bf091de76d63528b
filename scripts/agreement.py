#!/usr/bin/env python3
"""Asks whether sockperf finds what Tollgate finds: p50 of TCP request/response for each kind of pods.

A lab for each kind (bridge, routed, ebpf) stands beside the others; in each of the interleaved rounds both tools measure in each
of them, in an order drawn from the seed, with client and server on one CPU. They agree where the 90 % interval of the
ratio lies within the margin: `tollgate compare --pairs` says so. The probe is run by `tollgate lab exec`, as sockperf is.

Usage: scripts/agreement.py [--rounds N] [--seconds S] [--margin 5%] [--seed N] [--out FOLDER] [--bin FOLDER]
"""

import argparse
import csv
import os
import random
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import tools  # noqa: E402
from lab import Lab  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PODS = ("bridge", "routed", "ebpf")
TOOLS = (tools.sockperf("--tcp", base=tools.SOCKPERF_TCP), tools.probe("tcp-rr", "--payload", str(tools.PAYLOAD)))


def measure(args, labs):
    """Returns the rows of each kind of pods: round, tool, p50 in ns."""
    order = random.Random(args.seed)
    rows = {pods: [] for pods in labs}
    jobs = [(pods, tool) for pods in labs for tool in TOOLS]
    for number in range(args.rounds + 1):  # round 0 is discarded
        for pods, tool in order.sample(jobs, len(jobs)):
            p50 = tool.measure(tools.Point(labs[pods], tools.SHARED, args.seconds))["p50"]
            if number:
                rows[pods].append((number, tool.name, p50))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=12, help="rounds after the discarded first, 6 or more")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement")
    parser.add_argument("--margin", default="5%", help="how far apart still agrees")
    parser.add_argument("--seed", type=int, default=1, help="source of the order")
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "agreement", help="folder for a CSV of each kind of pods")
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release", help="where tollgate and tollgate-probe are")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    labs = {}
    try:
        for pods in PODS:
            labs[pods] = Lab(args.bin, f"agree-{pods}-{os.getpid()}", pods=pods)
            tools.serve(labs[pods], {tool.name for tool in TOOLS})
        time.sleep(1)
        found = measure(args, labs)
    finally:
        for lab in labs.values():
            lab.down()
    for pods, rows in found.items():
        path = args.out / f"{pods}.csv"
        rows.sort(key=lambda row: row[1] != TOOLS[0].name)  # the first arm of a file is the reference
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("round", "arm", "value"))
            writer.writerows(rows)
        print(f"== {pods}", flush=True)
        subprocess.run([args.bin / "tollgate", "compare", "--pairs", path, "--margin", args.margin], check=True)


if __name__ == "__main__":
    main()
