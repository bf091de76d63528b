# Two images of static programs, nobody's user, nothing else:
#   docker build -t tollgate-probe:0.1.0 .                    the probe
#   docker build -t tollgate:0.1.0 --target runner .          the runner, with the probe beside it
# Without Docker: `cargo xtask image` (k8s-manifests/README.md). linux/arm64 (`docker buildx build --platform
# linux/arm64 .`) is not shown: nobody of the project has run it yet; nor has anybody built the runner's image this way.
FROM rust:1.89-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
RUN target="$(uname -m)-unknown-linux-musl" \
    && cargo build --release --locked --target "$target" -p tollgate-probes \
    && cp "target/$target/release/tollgate-probe" /tollgate-probe

# The runner holds the lab's eBPF programs and libelf.
FROM build AS build-runner
RUN apt-get install -y --no-install-recommends clang libbpf-dev libelf-dev pkg-config zlib1g-dev
RUN target="$(uname -m)-unknown-linux-gnu" \
    && RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$target" -p tollgate \
    && cp "target/$target/release/tollgate" /tollgate

FROM scratch AS runner
COPY --from=build-runner /tollgate /tollgate
COPY --from=build /tollgate-probe /tollgate-probe
USER 65532:65532
ENTRYPOINT ["/tollgate"]

FROM scratch
COPY --from=build /tollgate-probe /tollgate-probe
USER 65532:65532
ENTRYPOINT ["/tollgate-probe"]
