# The probe's image: one static program, nobody's user, nothing else. `docker build -t tollgate-probe:0.1.0 .`
# Without Docker: `cargo xtask image` (k8s-manifests/README.md). linux/arm64 (`docker buildx build --platform
# linux/arm64 .`) is not shown: nobody of the project has run it yet.
FROM rust:1.89-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
RUN target="$(uname -m)-unknown-linux-musl" \
    && cargo build --release --locked --target "$target" -p tollgate-probes \
    && cp "target/$target/release/tollgate-probe" /tollgate-probe

FROM scratch
COPY --from=build /tollgate-probe /tollgate-probe
USER 65532:65532
ENTRYPOINT ["/tollgate-probe"]
