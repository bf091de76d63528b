#!/usr/bin/env bash
# Compares native routing in a lab of root's with one of an ordinary user's: interleaved rounds of 64-byte TCP
# request/response, client and server on one CPU. The verdict should be `equivalent` within 5 %.
#
# Usage: scripts/rootless.sh [ROUNDS] [SECONDS]     as root; default 12 rounds, 2 s for each measurement
set -euo pipefail

cd "$(dirname "$0")/.."
rounds=${1:-12}
seconds=${2:-2}
bin=${BIN:-$PWD/target/release}
cpu=$(($(nproc) - 1))
work=$(mktemp -d)
user=65534 # nobody

[ "$(id -u)" -eq 0 ] || {
    echo "rootless: needs root, to stand beside an ordinary user" >&2
    exit 2
}

as() { # as root|user PROGRAM…
    local who=$1
    shift
    if [ "$who" = root ]; then "$@"; else
        setpriv --reuid=$user --regid=$user --clear-groups env -u XDG_RUNTIME_DIR "$@"
    fi
}

down() {
    for who in root user; do as $who "$bin/tollgate" lab down "native-$who" 2>/dev/null || true; done
    rm -rf "$work"
}
trap down EXIT

for who in root user; do
    as $who "$bin/tollgate" lab up "native-$who" 2>/dev/null
    as $who "$bin/tollgate" lab exec "native-$who" server -- taskset -c "$cpu" \
        "$bin/tollgate-probe" serve --bind 0.0.0.0 --port 8080 </dev/null >/dev/null 2>&1 &
done
sleep 1

echo round,arm,value >"$work/pairs.csv"
for round in $(seq 1 "$rounds"); do
    for who in $(printf 'root\nuser\n' | shuf); do
        value=$(as $who "$bin/tollgate" lab exec "native-$who" client -- taskset -c "$cpu" \
            "$bin/tollgate-probe" tcp-rr server:8080 --duration "${seconds}s" --payload 64 --json </dev/null |
            sed -n 's/.*"p50_ns": *\([0-9]*\).*/\1/p')
        echo "$round,$who,$value" >>"$work/rounds.csv"
    done
done
# The first arm in the file is the reference.
for who in root user; do grep ",$who," "$work/rounds.csv"; done >>"$work/pairs.csv"
"$bin/tollgate" compare --pairs "$work/pairs.csv" --margin 5%
