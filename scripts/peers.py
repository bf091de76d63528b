#!/usr/bin/env python3
"""Compares tollgate-probe with other tools on the same work, in interleaved rounds in one lab.

Every tool measures the same path (native routing between two pods) with the same payload, on client and server
CPUs that are the same for all: `shared` has both on one CPU, `split` each on its own. Within a round each piece of work is
measured by each tool once, in an order drawn from the seed. The verdict is `tollgate compare --pairs`: Hodges-Lehmann
ratio of the rounds with the exact signed-rank interval. Besides, the overlay's ratio (vxlan over native) by Tollgate is
compared with the ratio by sockperf.

Writes values.csv (every figure) and table.md into the folder given by --out. `make peers` calls it.
"""

import argparse
import csv
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import tools  # noqa: E402
from lab import Lab  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def measure(work, tool, lab, placement, seconds):
    """A tool's figures, with one more try where it fails: servers of peers are sometimes not ready again in time."""
    for left in (1, 0):
        try:
            found = tool.measure(tools.Point(lab, placement, seconds))
            figures = {figure.name: found[figure.name] for figure in work.figures if found.get(figure.name)}
            if figures:
                return figures
            raise ValueError("no figure")
        except (ValueError, KeyError, IndexError, subprocess.SubprocessError) as error:
            if not left:
                sys.exit(f"peers: {tool.name} gave no figure for {work.name}, {placement.name}: {error}")
            time.sleep(0.5)


def rounds(args, lab, works, rows):
    order = random.Random(args.seed)
    for number in range(args.rounds + 1):  # round 0 is discarded
        jobs = [(work, placement) for work in works for placement in work.placements]
        order.shuffle(jobs)
        for work, placement in jobs:
            for tool in order.sample(work.tools, len(work.tools)):
                progress(f"round {number} of {args.rounds}: {work.name} {placement.name} {tool.name}")
                figures = measure(work, tool, lab, placement, args.seconds)
                if number:
                    rows.extend((number, work.name, name, placement.name, tool.name, value) for name, value in figures.items())
    progress("")


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)


def agreement(args, rows):
    """The overlay's ratio by two tools, each from its own pair of figures."""
    work = tools.OVERLAY
    labs = {arm: Lab(args.bin, f"peers-{arm}-{os.getpid()}", wire=arm) for arm in ("native", "vxlan")}
    try:
        for lab in labs.values():
            tools.serve(lab, {tool.name for tool in work.tools})
        time.sleep(1)
        order = random.Random(args.seed)
        for number in range(args.rounds + 1):
            jobs = [(tool, arm) for tool in work.tools for arm in labs]
            order.shuffle(jobs)
            value = {(tool.name, arm): measure(work, tool, labs[arm], tools.SHARED, args.seconds)["p50"] for tool, arm in jobs}
            if number:
                for tool in work.tools:
                    ratio = value[tool.name, "vxlan"] / value[tool.name, "native"]
                    rows.append((number, work.name, "p50", "shared", tool.name, ratio))
    finally:
        for lab in labs.values():
            lab.down()


def compare(args, rows, work, figure, placement, peer, tool="tollgate"):
    """Returns a tool's figure over the peer's with its 95 % interval, and the verdict."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        pairs = csv.writer(file)
        pairs.writerow(("round", "arm", "value"))
        for name in (peer, tool):
            pairs.writerows((r, name, v) for r, *key, v in rows if key == [work.name, figure.name, placement, name])
        file.flush()
        command = [args.bin / "tollgate", "compare", "--pairs", file.name, "--margin", figure.margin, "--json"]
        if figure.higher_is_better:
            command.append("--higher-is-better")
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    if result["interval"] is None:
        return None, None, result["verdict"]
    ratio, (low, high) = result["ratio"], result["interval"]
    if figure.higher_is_better:  # `ratio` is oriented so that above 1 is worse
        ratio, low, high = 1 / ratio, 1 / high, 1 / low
    return ratio, (low, high), result["verdict"]


def table(args, rows, works):
    lines = [
        "| work | CPUs | figure | tollgate | peer | its figure | tollgate ÷ peer, 95 % | goal |",
        "|---|---|---|---|---|---|---|---|",
    ]

    def middle(*key):
        return statistics.median(v for r, *found, v in rows if found == list(key))

    for work in works:
        for figure, placement, tool in itertools.product(work.figures, work.placements, work.tools):
            if tool.name == "tollgate" or not any(row[1:5] == (work.name, figure.name, placement.name, tool.name) for row in rows):
                continue
            ratio, interval, verdict = compare(args, rows, work, figure, placement.name, tool.name)
            own, its = (figure.show(middle(work.name, figure.name, placement.name, name)) for name in ("tollgate", tool.name))
            shown = f"{ratio:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else verdict
            goal = figure.judge(interval, tool.name) if interval else ""
            lines.append(f"| {work.title} | {placement.name} | {figure.name} | {own} | {tool.name} | {its} | {shown} | {goal} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=12, help="rounds after the discarded first, 6 or more")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement")
    parser.add_argument("--seed", type=int, default=1, help="source of the order")
    parser.add_argument("--only", default="", help="pieces of work, comma-separated")
    parser.add_argument("--tools", default="", help="peers to compare with, comma-separated")
    parser.add_argument("--placement", default="", help="shared or split; both where nothing is said")
    parser.add_argument("--out", type=Path, default=ROOT / "target" / "peers", help="folder for values.csv and table.md")
    parser.add_argument("--bin", type=Path, default=ROOT / "target" / "release", help="where tollgate and tollgate-probe are")
    args = parser.parse_args()
    if os.cpu_count() < 2:
        sys.exit("peers: split placement needs two CPUs")
    works = [work for work in tools.WORKS if not args.only or work.name in args.only.split(",")]
    works = [work.among(args.tools.split(",") if args.tools else [], args.placement) for work in works]
    wanted = {tool.program for work in works for tool in work.tools if tool.program}
    missing = sorted(program for program in wanted if not shutil.which(program))
    works = [work.without(missing) for work in works]
    if missing:
        print(f"peers: unmeasured, since missing here: {', '.join(missing)}", file=sys.stderr)
    args.out.mkdir(parents=True, exist_ok=True)

    rows = []
    lab = Lab(args.bin, f"peers-{os.getpid()}")
    try:
        tools.serve(lab, {tool.name for work in works for tool in work.tools})
        time.sleep(1)
        rounds(args, lab, works, rows)
    finally:
        lab.down()
    if not args.only or tools.OVERLAY.name in args.only.split(","):
        agreement(args, rows)
        works.append(tools.OVERLAY)
    with open(args.out / "values.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("round", "work", "figure", "cpu", "tool", "value"))
        writer.writerows(rows)
    text = table(args, rows, works)
    if missing:
        text += f"\nUnmeasured, since missing there: {', '.join(missing)}.\n"
    (args.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
