#!/usr/bin/env python3
"""Runs a gate again and again in the lab and counts what it says: the evidence for its two error rates.

  e1  the same path against itself, deployed twice: no FAIL, and told apart no oftener than 5 % allow
  e2  a planted toll of 10 % of p50: FAIL in at least 54 of 60
  e3  a CPU burner in random rounds, on a CPU that carries the traffic: rounds are replaced, or INVALID; never FAIL
  e4  the same burner only while one arm is measured: INVALID
  e5  an arm that declares an overlay while native routing carries its packets: INVALID

Interrupt it and run it again: finished gates are kept, an unfinished one goes on. `--minutes` ends it between two
gates; `--share 1/2` and `--share 2/2` part the gates among two that run side by side, a CPU each. Traffic is 64-byte TCP
request/response with client and server on one CPU, slices of 1 s. A gate of e1 takes 0.5 min (1.6 where a cell needs
the second stage), of e2 1.6 min, of e3 to e5 0.5 to 1 min. `taskset -c 1` before it pins everything to one CPU.

Usage: scripts/gate-evidence.py EXPERIMENT [--runs N] [--share I/N] [--minutes M] [--work DIR] [--out DIR]
                                [--tollgate FILE] [--summary-only]

Needs root, or an ordinary user's namespaces. Prints one line for each gate and writes OUT/gate-EXPERIMENT.json.
"""

import argparse
import datetime
import json
import math
import os
import random
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

# The name stands in calibrations, which must serve all experiments on this path.
NAME = "shared-rr"

SCENARIO = """schema = 1
name = "{name}"
about = "{about}"
reference = "native"

[rounds]
count = 10
slice = "{slice}"
warmup = "200ms"

[arm.native]
wire = "native"

{arms}
[workload.rr.tcp-rr]
payload = "64 B"
cpu = "shared"
"""

POLICY = """schema = 1

[margins]
p50 = "5%"
p99 = "10%"
"""

AGAIN = "[arm.again]\nwire = \"native\"\n"

# What an operator does who believes in the overlay and routes around it.
LYING = """[arm.overlay]
wire = "vxlan"
apply = [
  { on = "client-node", run = ["ip", "route", "replace", "10.244.1.0/24", "via", "192.168.77.2", "dev", "eth0"] },
  { on = "server-node", run = ["ip", "route", "replace", "10.244.0.0/24", "via", "192.168.77.1", "dev", "eth0"] },
]
"""

# Share of rounds in which e3 burns: one or two of ten, so that most campaigns can replace them.
BURNT = 0.15

EXPERIMENTS = {
    "e1": ("The same path against itself, deployed twice", "again"),
    "e2": ("A planted toll of 10 % of p50", "planted"),
    "e3": ("The same path twice, a CPU burner in random rounds", "again"),
    "e4": ("The same path twice, a CPU burner while one of them is measured", "again"),
    "e5": ("An overlay that native routing carries", "overlay"),
}


class Burner:
    """A process that takes one CPU whenever it is let."""

    def __init__(self, cpu):
        self.child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        os.sched_setaffinity(self.child.pid, {cpu})
        self.burning = True
        self.let(False)

    def let(self, burn):
        if burn != self.burning:
            self.child.send_signal(signal.SIGCONT if burn else signal.SIGSTOP)
            self.burning = burn

    def end(self):
        self.child.kill()
        self.child.wait()


def bounds(hits, trials):
    """Clopper and Pearson: one-sided 95 % bounds of the true rate."""

    def tail(p):  # P(at most `hits` of `trials`)
        return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits + 1))

    def at_least(p):  # P(at least `hits`)
        return 1 - sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits))

    def solve(rises, target):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if rises(middle) < target else (low, middle)
        return (low + high) / 2

    return {
        "hits": hits,
        "of": trials,
        "at_least": 0.0 if hits == 0 else round(solve(at_least, 0.05), 4),
        "at_most": 1.0 if hits == trials else round(solve(lambda p: -tail(p), -0.05), 4),
    }


def write_files(args, folder, arms, about):
    folder.mkdir(parents=True, exist_ok=True)
    scenario = folder / f"{NAME}.toml"
    scenario.write_text(SCENARIO.format(name=NAME, about=about, slice=args.slice, arms=arms))
    policy = folder / "gate.toml"
    policy.write_text(POLICY)
    return scenario, policy


def toll(args, folder):
    """Measures p50 of the plain path once and returns a tenth of it, as the scenario writes it."""
    known = folder / "planted.json"
    if not known.exists():
        scenario, _ = write_files(args, folder / "p50", AGAIN, "What p50 is before a toll is planted")
        command = [args.tollgate, "run", str(scenario), "--json", "--seed", "1"]
        out = folder / "p50" / "campaign"
        command += ["--resume", str(out)] if out.exists() else ["--out", str(out)]
        if out.exists():
            command = [args.tollgate, "run", "--resume", str(out), "--json"]
        report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        levels = [level for level in report["levels"] if level["arm"] == "native" and level["metric"] == "p50"]
        p50_ns = levels[0]["typical"]["median"]
        known.write_text(json.dumps({"p50_ns": p50_ns, "planted_ns": round(p50_ns / 10)}))
    return json.loads(known.read_text())


def arms_of(args, folder):
    if args.experiment == "e2":
        return f"[arm.planted]\nwire = \"native\"\nplanted = \"{toll(args, folder)['planted_ns']}ns\"\n"
    return LYING if args.experiment == "e5" else AGAIN


def watch(experiment, number, process, burner):
    """Follows a gate's progress and burns when it is time. Returns what it said otherwise."""
    chance = random.Random(number)
    seen, said = None, []
    for line in process.stderr:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            said.append(line.strip())
            continue
        if event["event"] == "measuring" and burner:
            if experiment == "e4":
                burner.let(event["arm"] == "again")
            elif event["round"] != seen:
                seen = event["round"]
                burner.let(chance.random() < BURNT)
        elif event["event"] in ("finished", "deploying") and burner:
            burner.let(False)
        if event["event"] == "note":
            said.append(event["text"])
    return said


def gate(args, number, scenario, policy, burner):
    """Runs or finishes one gate; returns its exit code, or None where it is finished already."""
    folder = args.folder / f"{number:03}"
    if (folder / "gate.json").exists():
        return None
    command = [args.tollgate, "gate", "--progress", "json"]
    if (folder / "run-1" / "request.json").exists():
        command += ["--resume", str(folder)]
    else:
        command += [str(scenario), "--policy", str(policy), "--out", str(folder), "--seed", str(number)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = watch(args.experiment, number, process, burner)
        code = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    finally:
        if burner:
            burner.let(False)
    if not (folder / "gate.json").exists():
        sys.exit(f"gate {number} ended with {code}: " + "; ".join(said[-3:]))
    return code


CODES = {"done": 0, "failed": 1, "usage": 2, "inconclusive": 3, "invalid": 4}


def summarise(args, arm):
    reports = []
    for path in sorted(args.folder.glob("[0-9]*/gate.json")):
        reports.append((path.parent, json.loads(path.read_text())))
    if not reports:
        sys.exit("no gate is finished: nothing to sum up")
    runs = len(reports)
    first = json.loads((reports[0][0] / "run-1" / "stage-1" / "run.json").read_text())
    cells = {}
    for _, report in reports:
        for cell in report["cells"]:
            known = cells.setdefault(cell["metric"], {"rulings": {}, "effects": [], "told_apart": 0, "slower": 0})
            known["rulings"][cell["ruling"]] = known["rulings"].get(cell["ruling"], 0) + 1
            effect = cell["first"]["effect"]
            if effect:
                low, high = effect["interval95"]["low"], effect["interval95"]["high"]
                known["effects"].append(effect["value"])
                known["told_apart"] += low > 1 or high < 1
    failed = sum(report["exit"] == "failed" for _, report in reports)
    invalid = sum(report["exit"] == "invalid" for _, report in reports)
    dropped, installs = [], []
    for folder, report in reports:
        installs.append(sum(stage["installs"] for stage in report["stages"]))
        dropped.append(
            sum(
                json.loads(path.read_text())["conduct"]["dropped"]
                for path in sorted(folder.glob("run-1/stage-*/report.json"))
            )
        )
    exits = {}
    for _, report in reports:
        exits[report["exit"]] = exits.get(report["exit"], 0) + 1
    told = {metric: bounds(cell["told_apart"], runs) for metric, cell in cells.items()}
    # 99.9 % of campaigns of 60 with a true rate of 5 % have at most 9 hits (statistics §4.5).
    most = next(
        k
        for k in range(runs + 1)
        if sum(math.comb(runs, i) * 0.05**i * 0.95 ** (runs - i) for i in range(k + 1)) >= 0.999
    )
    criteria = {
        "e1": (
            f"0 FAIL; every cell told apart in at most {most} of {runs}",
            failed == 0 and all(cell["told_apart"] <= most for cell in cells.values()),
        ),
        "e2": ("FAIL in at least 54 of 60", failed / runs >= 54 / 60),
        "e3": ("never FAIL", failed == 0),
        "e4": ("INVALID", invalid == runs),
        "e5": ("INVALID", invalid == runs),
    }
    criterion, met = criteria[args.experiment]
    facts = first["facts"]
    started = [report["stages"][0]["started_unix_ms"] for _, report in reports]

    def day(ms):
        return datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")

    summary = {
        "experiment": args.experiment,
        "about": EXPERIMENTS[args.experiment][0],
        "command": args.command_line,
        "machine": {
            "cpu": facts["cpu_model"],
            "cpus": facts["cpus"],
            "memory_mib": facts["memory_mib"],
            "kernel": facts["kernel"],
            "hypervisor": facts["hypervisor"],
            "clocksource": facts["clocksource"],
            "privilege": facts["privilege"],
            "fingerprint": reports[0][1]["fingerprint"],
        },
        "versions": {"tollgate": first["version"], "commit": args.commit},
        "first_gate": day(min(started)),
        "last_gate": day(max(started)),
        "arm": arm,
        "slice": first["plan"]["rounds"]["slice"],
        "warmup": first["plan"]["rounds"]["warmup"],
        "policy": reports[0][1]["policy"],
        "calibration": reports[-1][1]["calibration"],
        "gates": runs,
        "exits": exits,
        "failed": bounds(failed, runs),
        "invalid": bounds(invalid, runs),
        "cells": {
            metric: {
                "rulings": cell["rulings"],
                "told_apart_in_stage_1": told[metric],
                "effect_of_stage_1": {
                    "median": round(statistics.median(cell["effects"]), 4),
                    "least": round(min(cell["effects"]), 4),
                    "most": round(max(cell["effects"]), 4),
                }
                if cell["effects"]
                else None,
            }
            for metric, cell in cells.items()
        },
        "rounds_dropped": {"none": dropped.count(0), "some": runs - dropped.count(0), "most": max(dropped)},
        "installs": sum(installs),
        "criterion": criterion,
        "met": met,
    }
    planted = args.folder / "planted.json"
    if planted.exists():
        summary["planted"] = json.loads(planted.read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"gate-{args.experiment}.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
    print(f"{args.experiment}: {runs} gates, exits {exits}; {criterion}: {'met' if met else 'NOT met'}; {path}")


def commit():
    # Where it is no checkout, or git is not there, the version alone must do.
    try:
        here = Path(__file__).resolve().parent
        done = subprocess.run(["git", "-C", str(here), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        return done.stdout.strip() or None
    except OSError:
        return None


def share(text):
    part, _, whole = text.partition("/")
    if not (part.isdigit() and whole.isdigit() and 1 <= int(part) <= int(whole)):
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write 1/2 for the first of two")
    return int(part), int(whole)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=sorted(EXPERIMENTS))
    parser.add_argument("--runs", type=int, default=60, help="gates in all, those included that are finished")
    parser.add_argument("--share", type=share, default=(1, 1), metavar="I/N", help="only every Nth gate, from the Ith")
    parser.add_argument("--minutes", type=float, default=math.inf, help="start no gate after so many minutes")
    parser.add_argument("--slice", default="1s", help="measured length of a slice")
    parser.add_argument("--work", type=Path, default=Path("target/evidence"), help="where the gates are kept")
    parser.add_argument("--out", type=Path, default=Path("results/reference"), help="where the summary is written")
    parser.add_argument("--tollgate", default="target/release/tollgate", help="the program")
    parser.add_argument("--summary-only", action="store_true", help="sum up what is there, measure nothing")
    args = parser.parse_args()
    args.folder = args.work / args.experiment
    about, arm = EXPERIMENTS[args.experiment]
    cpus = sorted(os.sched_getaffinity(0))
    pinned = f"taskset -c {','.join(map(str, cpus))} " if len(cpus) < os.cpu_count() else ""
    args.command_line = pinned + shlex.join(
        ["scripts/gate-evidence.py", args.experiment, "--runs", str(args.runs), "--slice", args.slice]
    )
    args.commit = commit()
    if not args.summary_only:
        args.folder.mkdir(parents=True, exist_ok=True)
        scenario, policy = write_files(args, args.folder, arms_of(args, args.folder), about)
        burner = Burner(cpus[-1]) if args.experiment in ("e3", "e4") else None
        try:
            deadline = time.monotonic() + 60 * args.minutes
            part, whole = args.share
            for number in range(part, args.runs + 1, whole):
                if time.monotonic() > deadline:
                    break
                code = gate(args, number, scenario, policy, burner)
                if code is not None:
                    report = json.loads((args.folder / f"{number:03}" / "gate.json").read_text())
                    print(f"{args.experiment} {number}/{args.runs}: exit {code}: {report['words']}", flush=True)
        except KeyboardInterrupt:
            print("interrupted; run it again to go on", file=sys.stderr)
            sys.exit(130)
        finally:
            if burner:
                burner.end()
    summarise(args, arm)


if __name__ == "__main__":
    main()
