#!/usr/bin/env bash
# Installs what building and running Tollgate needs and is missing. Says what and why; safe to run twice.
# Needs root for the package manager only.
#
# Usage: scripts/setup.sh bench   what building and running needs
#        scripts/setup.sh test    that, and what the checks and tests need
#        scripts/setup.sh peers   what `make bench` needs, and the tools that `make peers` compares with
set -euo pipefail

purpose=${1:-bench}

# package | a file that it brings | why
needed='
build-essential|/usr/bin/cc|compiles the C parts of crates
pkg-config|/usr/bin/pkg-config|finds the C libraries
clang|/usr/bin/clang|compiles the eBPF programs
libelf-dev|/usr/include/libelf.h|loads the eBPF programs
zlib1g-dev|/usr/include/zlib.h|loads the eBPF programs
libbpf-dev|/usr/include/bpf/bpf_helpers.h|headers of the eBPF programs
iptables|/usr/sbin/iptables-legacy|the lab runs kube-proxy rules (iptables, legacy and nft)
nftables|/usr/sbin/nft|the lab runs kube-proxy rules (nftables)
'
for_tests='
chromium|/usr/bin/chromium|opens the HTML report and looks for errors
util-linux|/usr/bin/setpriv|runs the lab tests as an ordinary user
python3|/usr/bin/python3|drives the browser in the HTML check
'

for_peers='
python3|/usr/bin/python3|drives the comparison
sockperf|/usr/bin/sockperf|a peer: request/response
qperf|/usr/bin/qperf|a peer: request/response
irtt|/usr/bin/irtt|a peer: paced datagrams
iperf3|/usr/bin/iperf3|a peer: streams
nuttcp|/usr/bin/nuttcp|a peer: streams
wrk|/usr/bin/wrk|a peer: HTTP
hey|/usr/bin/hey|a peer: HTTP
'

say() { printf 'setup: %s\n' "$*"; }

case $purpose in
    bench) ;;
    test) needed+=$for_tests ;;
    peers) needed+=$for_peers ;;
    *)
        say "usage: scripts/setup.sh bench|test|peers" >&2
        exit 2
        ;;
esac

missing=()
while IFS='|' read -r package file why; do
    [ -z "$package" ] && continue
    # A shim elsewhere in the PATH serves as well as the package's own file.
    if [ ! -e "$file" ] && ! { [ "${file#/usr/bin/}" != "$file" ] && command -v "${file##*/}" >/dev/null; }; then
        say "missing: $package ($why)"
        missing+=("$package")
    fi
done <<<"$needed"

if [ ${#missing[@]} -gt 0 ]; then
    # shellcheck source=/dev/null
    family=$(. /etc/os-release 2>/dev/null && echo "${ID:-} ${ID_LIKE:-}")
    case " $family " in
        *' debian '* | *' ubuntu '*) ;;
        *)
            say "this is not Debian or Ubuntu: install your distribution's packages for: ${missing[*]}" >&2
            exit 2
            ;;
    esac
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            say "run as root, or install sudo: apt-get install ${missing[*]}" >&2
            exit 2
        }
        as_root=(sudo)
    fi
    say "installing with apt-get: ${missing[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# The lowest toolchain is the workspace's rust-version.
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml" | head -n 1)
export PATH="$PATH:$HOME/.cargo/bin"
have=$(cargo --version 2>/dev/null | cut -d' ' -f2 || true)
if [ -z "$have" ] || [ "$(printf '%s\n%s\n' "$wanted" "$have" | sort -V | head -n 1)" != "$wanted" ]; then
    say "missing: Rust $wanted or newer (have: ${have:-none}); installing it for this user with rustup"
    if command -v rustup >/dev/null; then
        rustup toolchain install stable --profile minimal --component rustfmt,clippy
        rustup default stable
    else
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
            sh -s -- -y --profile minimal --component rustfmt,clippy
    fi
fi

if [ "$purpose" = test ] && ! cargo nextest --version >/dev/null 2>&1; then
    say "missing: cargo-nextest (runs the tests); building it takes some minutes"
    cargo install --locked cargo-nextest
fi
say "everything for \`make $purpose\` is here"
