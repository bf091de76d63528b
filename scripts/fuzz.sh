#!/usr/bin/env bash
# Fuzzes every decoder that faces the network, each for SECONDS (60). Without sanitizers: the code is safe Rust, and
# a panic is what is looked for; so the stable compiler will do. Usage: scripts/fuzz.sh [SECONDS [TARGET…]]
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
export RUSTC_BOOTSTRAP=1
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(cargo fuzz list)
fi
for target in "${targets[@]}"; do
    echo "== $target: $seconds s"
    mkdir -p "fuzz/corpus/$target"
    # The agent's target would listen nowhere and send nothing; a namespace of its own makes sure.
    cargo fuzz build --sanitizer none "$target"
    run=(fuzz/target/*/release/"$target" "fuzz/corpus/$target" "fuzz/seeds/$target")
    args=(-max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="fuzz/artifacts/$target-")
    mkdir -p fuzz/artifacts
    if unshare -rn true 2>/dev/null; then
        unshare -rn "${run[@]}" "${args[@]}" 2>&1 | tail -12
    else
        "${run[@]}" "${args[@]}" 2>&1 | tail -12
    fi
done
