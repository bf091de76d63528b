#!/usr/bin/env bash
# Compares the probe with other tools, in interleaved rounds in one pair of labs (native and vxlan), client and
# server on one CPU, 64-byte TCP request/response:
#   agreement  the overlay's ratio (vxlan p50 / native p50) by Tollgate against the ratio by sockperf
#   floor      Tollgate's p50 against a minimal blocking loop with the same payload and clock
# Both are judged by `tollgate compare`: Hodges-Lehmann ratio, exact signed-rank interval.
#
# Usage: scripts/peers.sh [ROUNDS] [SECONDS]     default 12 rounds, 2 s for each measurement
set -euo pipefail

cd "$(dirname "$0")/.."
rounds=${1:-12}
seconds=${2:-2}
bin=${BIN:-$PWD/target/release}
cpu=$(($(nproc) - 1))
work=$(mktemp -d)
arms=(native vxlan)
tools=(tollgate sockperf floor)

command -v sockperf >/dev/null || {
    echo "peers: sockperf is missing: apt-get install sockperf" >&2
    exit 2
}
[ -n "${BIN:-}" ] || cargo build --release --locked -q -p tollgate -p tollgate-probes
[ -n "${BIN:-}" ] || cargo build --release --locked -q -p tollgate-probes --example floor

down() {
    for arm in "${arms[@]}"; do "$bin/tollgate" lab down "peers-$arm" 2>/dev/null || true; done
    rm -rf "$work"
}
trap down EXIT

in_lab() { # in_lab ARM ROLE PROGRAM…
    local arm=$1 role=$2
    shift 2
    "$bin/tollgate" lab exec "peers-$arm" "$role" -- taskset -c "$cpu" "$@"
}

for arm in "${arms[@]}"; do
    "$bin/tollgate" lab up "peers-$arm" --wire "$arm" 2>/dev/null
    in_lab "$arm" server "$bin/tollgate-probe" serve --bind 0.0.0.0 --port 8080 </dev/null >/dev/null 2>&1 &
    in_lab "$arm" server sockperf server --tcp -p 11111 </dev/null >/dev/null 2>&1 &
    in_lab "$arm" server "$bin/examples/floor" serve 0.0.0.0:8081 </dev/null >/dev/null 2>&1 &
done
sleep 1

# Prints the median round trip in nanoseconds.
p50() { # p50 TOOL ARM
    case $1 in
        tollgate)
            in_lab "$2" client "$bin/tollgate-probe" tcp-rr server:8080 \
                --duration "${seconds}s" --warmup 200ms --payload 64 --json | sed -n 's/.*"p50_ns": *\([0-9]*\).*/\1/p'
            ;;
        sockperf)
            in_lab "$2" client sockperf ping-pong -i "$address" -p 11111 --tcp -m 64 -t "$seconds" --full-rtt 2>&1 |
                sed -n 's/.*percentile 50.000 = *\([0-9.]*\).*/\1/p' | awk '{printf "%d\n", $1 * 1000}'
            ;;
        floor)
            in_lab "$2" client "$bin/examples/floor" run "$address:8081" "$seconds"
            ;;
    esac
}

address=$(in_lab native client getent hosts server | awk '{print $1}')
for round in $(seq 1 "$rounds"); do
    for pair in $(for tool in "${tools[@]}"; do for arm in "${arms[@]}"; do echo "$tool:$arm"; done; done | shuf); do
        tool=${pair%%:*} arm=${pair##*:}
        value=$(p50 "$tool" "$arm")
        [ -n "$value" ] || {
            echo "peers: $tool gave no figure on $arm" >&2
            exit 2
        }
        echo "$round,$tool,$arm,$value" >>"$work/values.csv"
        printf '\rround %d of %d: %-8s %-6s %8d ns' "$round" "$rounds" "$tool" "$arm" "$value" >&2
    done
done
printf '\n' >&2

{
    echo round,arm,value
    awk -F, '{ value[$1, $2, $3] = $4; if ($1 > last) last = $1 }
        END { for (r = 1; r <= last; r++) {
            printf "%d,sockperf,%.6f\n", r, value[r, "sockperf", "vxlan"] / value[r, "sockperf", "native"]
            printf "%d,tollgate,%.6f\n", r, value[r, "tollgate", "vxlan"] / value[r, "tollgate", "native"] } }' \
        "$work/values.csv"
} >"$work/agreement.csv"
{
    echo round,arm,value
    awk -F, '$3 == "native" && $2 == "floor" { print $1 ",floor," $4 }' "$work/values.csv"
    awk -F, '$3 == "native" && $2 == "tollgate" { print $1 ",tollgate," $4 }' "$work/values.csv"
} >"$work/floor.csv"

awk -F, '{ n[$2 "," $3]++; sum[$2 "," $3] += $4 } END { for (k in n) printf "%s: mean of p50 %.2f µs over %d rounds\n", k, sum[k] / n[k] / 1000, n[k] }' \
    "$work/values.csv" | sort
judge() { # judge FILE MARGIN
    "$bin/tollgate" compare --pairs "$1" --margin "$2"
    "$bin/tollgate" compare --pairs "$1" --margin "$2" --json | tr -d ' \n' |
        sed -n 's/.*"interval":\[\([^]]*\)\].*/  95 % interval of the ratio: [\1]\n/p'
}

echo "Overlay ratio by tollgate against the ratio by sockperf:"
judge "$work/agreement.csv" 5%
echo "p50 of tollgate's tcp-rr against a minimal blocking loop:"
judge "$work/floor.csv" 3%
