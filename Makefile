# The index of what can be done here. Anything longer than a few lines is a script or an xtask.
SHELL := /bin/bash
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help bench test build lint doc acceptance schema html-check benches peers fuzz flood vm-test setup-bench setup-test setup-peers

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

bench: setup-bench build ## Set up, build, run the quickstart, print the table and the report's path
	target/release/tollgate run quickstart

test: setup-test lint ## Set up, run all checks and tests
	cargo build --locked -p tollgate -p tollgate-probes
	cargo nextest run --workspace --locked --no-fail-fast
	cargo test --doc --workspace --locked -q
	cargo xtask schema --check
	$(MAKE) --no-print-directory html-check

build: ## Build the release binaries
	cargo build --release --locked -p tollgate -p tollgate-probes

lint: ## Formatting, clippy, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

acceptance: ## Prove the statistics: error rates with their bands
	cargo test --release --locked -q -p tollgate-reports --test acceptance -- --nocapture --test-threads 2

schema: ## Write the JSON Schemas of scenario, record and report
	cargo xtask schema

html-check: ## Open a report, a gate's page and a history's in headless Chromium and take screenshots
	cargo build -q --locked -p tollgate-reports --example report --features test-support
	for page in html gate history; do \
	  target/debug/examples/report $$page >target/$$page.html && \
	  scripts/html-check.sh target/$$page.html target/screenshots/$$page || exit 1; \
	done

benches: ## Criterion benches of the hot paths
	cargo bench --workspace --locked

peers: setup-peers build ## Compare with peer tools, interleaved (about 20 minutes on a quiet machine)
	scripts/peers.py

SECONDS_EACH ?= 60

fuzz: ## Fuzz every decoder that faces the network, a minute each
	scripts/fuzz.sh $(SECONDS_EACH)

vm-test: ## Run the lab's tests on Debian's own kernel in a virtual machine, for what this machine's kernel lacks
	scripts/vm-test.sh

flood: ## What garbage, half-open and slow peers cost a client, as ratios with intervals
	scripts/flood.sh

setup-bench:
	@scripts/setup.sh bench

setup-test:
	@scripts/setup.sh test

setup-peers:
	@scripts/setup.sh peers
