#!/usr/bin/env bash
# What strangers cost a client, side by side: p50 of tcp-rr and udp-rr beside garbage, 1,000 half-open peers and a
# slow-loris, as ratios to a quiet responder with their interval. Loopback only. Usage: scripts/flood.sh [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-20}
cargo build --release --locked -q -p tollgate
cargo build --release --locked -q -p tollgate-probes --example flood
csv=$(mktemp)
trap 'rm -f "$csv" "$csv.pair"' EXIT
target/release/examples/flood "$rounds" >"$csv"
for workload in tcp-rr udp-rr; do
    for strangers in garbage half-open slow-loris; do
        echo "== $workload beside $strangers: p50 in ns, against a quiet responder"
        # The first arm is the reference.
        { echo round,arm,value; grep "^$workload,.*,quiet," "$csv"; grep "^$workload,.*,$strangers," "$csv"; } |
            sed "s/^$workload,//" >"$csv.pair"
        target/release/tollgate compare --pairs "$csv.pair" --margin 10%
    done
done
