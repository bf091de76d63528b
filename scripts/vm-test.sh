#!/usr/bin/env bash
# Boots Debian's own kernel in a virtual machine and runs the lab there: for what works on that kernel (netem, Geneve,
# IP in IP, WireGuard, the eBPF objects on an older kernel), never for how fast. The processor is emulated in software,
# so that no hardware support is needed. Nothing is installed: the kernel's package is only unpacked.
#
# Usage: scripts/vm-test.sh [TEST...]     tests of the lab's suite; all that concern datapaths where none is named
#   LIMIT=1800  seconds that the machine may run
#   KERNEL=linux-image-6.1.0-56-amd64  the kernel's package; what linux-image-amd64 stands for where it is left out
#   SUITE=trixie  the release of Debian that it comes from; this machine's own where it is left out
#   KERNEL_DEB=FILE  a package that is there already, in place of both
#
# Exit code 0 where no test failed, 1 where one did, 2 where the machine could not be built or did not end.
set -euo pipefail

cd "$(dirname "$0")/.."
here=scripts/vm-test
work=target/vm
root=$work/root
triple=x86_64-unknown-linux-gnu
limit=${LIMIT:-1800}

say() { printf 'vm-test: %s\n' "$*"; }
die() {
    say "$*" >&2
    exit 2
}

[ "$(uname -m)" = x86_64 ] || die "the machine's kernel is for x86_64, and this is $(uname -m)"
while IFS='|' read -r package program; do
    [ -z "$package" ] && continue
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
        die "\`$program\` is missing: apt-get install --no-install-recommends $package"
done <<'END'
qemu-system-x86|qemu-system-x86_64
busybox-static|busybox
cpio|cpio
kmod|depmod
dpkg|dpkg-deb
xz-utils|xz
jq|jq
iptables|iptables
nftables|nft
iproute2|ip
iproute2|tc
END
export PATH=$PATH:/usr/sbin:/sbin

mkdir -p "$work"

# The kernel with its modules, unpacked.
deb=${KERNEL_DEB:-}
if [ -z "$deb" ]; then
    from_suite=()
    if [ -n "${SUITE:-}" ]; then
        # Lists of their own: what this machine installs stays as it is.
        apt=$PWD/$work/apt-$SUITE
        mkdir -p "$apt"/{lists,cache}
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $SUITE main" \
            >"$apt/sources.list"
        from_suite=(-o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
            -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Acquire::Languages=none)
        apt-get -qq "${from_suite[@]}" update || die "the lists of $SUITE cannot be fetched"
    fi
    package=${KERNEL:-$(apt-cache "${from_suite[@]}" depends linux-image-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)}
    [ -n "$package" ] || die "apt knows no linux-image-amd64; run apt-get update, or name a package in KERNEL"
    deb=$(find "$work" -maxdepth 1 -name "${package}_*.deb" | head -n 1)
    if [ -z "$deb" ]; then
        say "fetching $package"
        (cd "$work" && apt-get -qq "${from_suite[@]}" -o APT::Sandbox::User=root download "$package") ||
            die "$package cannot be downloaded"
        deb=$(find "$work" -maxdepth 1 -name "${package}_*.deb" | head -n 1)
    fi
fi
kernel=$work/$(basename "$deb" .deb)
if [ ! -d "$kernel" ]; then
    rm -rf "$kernel.part"
    dpkg-deb -x "$deb" "$kernel.part" || die "$deb is no package of a kernel"
    mv "$kernel.part" "$kernel"
fi
# Newer packages have their modules below /usr.
from=$(find "$kernel/lib/modules" "$kernel/usr/lib/modules" -mindepth 1 -maxdepth 1 2>/dev/null | head -n 1 || true)
[ -n "$from" ] || die "$deb has no modules"
release=$(basename "$from")

# Programs without any library of their own, so that they run where there is nothing else.
say "building the static programs"
export RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_DEV_DEBUG=0
cargo build --locked --quiet --target $triple -p tollgate -p tollgate-probes
suite=$(cargo test --locked --quiet --no-run --message-format=json --target $triple -p tollgate-lab --test it |
    jq -r 'select(.profile.test == true and .target.name == "it").executable')
[ -x "$suite" ] || die "cargo built no test suite of the lab"

# What the machine finds at its root.
rm -rf "$root"
mkdir -p "$root"/{bin,dev,etc,proc,run,sys,tmp,usr/sbin,vm}
cp "$(command -v busybox)" target/$triple/debug/{tollgate,tollgate-probe,lab-holder} "$root/bin/"
cp "$suite" "$root/bin/lab-suite"
strip "$root"/bin/{tollgate,tollgate-probe,lab-holder,lab-suite}
with_libraries() { # with_libraries FILE...: copies programs and plugins with all that they load
    local file
    for file in "$@"; do
        printf '%s\n' "$file"
        ldd "$file" 2>/dev/null | grep -o '/[^ ]*' || true
    done | sort -u | while read -r file; do install -D "$file" "$root$file"; done
}
with_libraries /usr/sbin/{xtables-legacy-multi,xtables-nft-multi,nft} "$(command -v ip)" "$(command -v tc)" \
    /usr/lib/x86_64-linux-gnu/xtables/lib*.so
for table in iptables ip6tables; do
    for does in "" -restore -save; do
        for backend in legacy nft; do
            ln -s xtables-$backend-multi "$root/usr/sbin/$table-$backend$does"
        done
        ln -s xtables-nft-multi "$root/usr/sbin/$table$does"
    done
done
modules=lib/modules/$release
for part in net lib crypto arch/x86/crypto drivers/net/vxlan drivers/net/wireguard; do
    mkdir -p "$root/$modules/kernel/$part"
    cp -r "$from/kernel/$part/." "$root/$modules/kernel/$part"
done
# Beside the drivers of network cards, which are directories.
cp "$from"/kernel/drivers/net/*.ko* "$root/$modules/kernel/drivers/net/"
find "$root/$modules" -name '*.ko.xz' -exec xz -d {} +
cp "$from"/modules.{order,builtin,builtin.modinfo} "$root/$modules/"
depmod -b "$root" "$release"
install -m 755 $here/init "$root/init"
cp $here/{steps.sh,vm-wires.toml} "$root/vm/"
echo root:x:0:0:root:/:/bin/sh >"$root/etc/passwd"
echo 127.0.0.1 localhost >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
if [ $# -gt 0 ]; then printf '%s\n' "$@"; else
    all=$("$suite" --list --format terse | sed -n 's/: test$//p')
    # What no other machine may have run, first.
    for module in wires netkit boundaries services places pods datapaths; do grep "^$module::" <<<"$all" || true; done
fi >"$root/vm/tests"
(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$work/initramfs.gz"

say "booting $release with $(wc -l <"$root/vm/tests") tests, at most $limit s"
log=$work/console.log
timeout "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nodefaults -display none \
    -serial stdio -no-reboot -kernel "$kernel/boot/vmlinuz-$release" -initrd "$work/initramfs.gz" \
    -append "console=ttyS0 panic=-1 quiet" </dev/null | sed -u 's/\r$//' | tee "$log" |
    grep --line-buffered -E '^(ok|FAILED|skipped|note|    )' || true
grep -q '^end of the tests' "$log" || die "the machine did not come to its end within $limit s: $log"
ok=$(grep -c '^ok ' "$log" || true)
failed=$(grep -c '^FAILED ' "$log" || true)
# A test that tries several datapaths says of each by itself what the kernel lacks; the others it has tested.
skipped=$(sed -n 's/^skipped \([^ ]*\): .*/\1/p' "$log" | sort -u | wc -l)
say "$ok ok, $failed failed, $skipped skipped in part or wholly on $release (the whole console: $log)"
[ "$failed" -eq 0 ] && [ "$ok" -gt 0 ]
