# What a developer types. Every target can be run again at any time; each installs what it needs or says what to install.
# Arguments for the program go through ARGS: make demo ARGS="--once --devices 50".

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO := cargo
ARGS ?=

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build-packages ## Build Provost and watch a commit make 200 simulated devices compliant.
	$(CARGO) build --release --locked
	@target=$$($(CARGO) metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'); \
		exec "$$target/release/provost" demo $(ARGS)

# Where `make install` puts things; its bin/ belongs into PATH.
PREFIX ?= $(HOME)/.local

.PHONY: install
install: build-packages ## Install Provost and its kubectl plugin in $(PREFIX)/bin (PREFIX, ~/.local by default).
	$(CARGO) install --locked --path . --root $(PREFIX)
	ln -sf provost $(PREFIX)/bin/kubectl-provost
	ln -sf provost $(PREFIX)/bin/kubectl_complete-provost
	@echo "kubectl provost --help"

.PHONY: test
test: test-packages ## Run every unit, integration and documentation test.
	@hack/test.sh $(ARGS)

.PHONY: test-long
test-long: test-packages ## Run the long tests as well: thousands of devices, many restarts.
	@hack/test.sh --release -- --include-ignored

.PHONY: lint
lint: build-packages ## Check format, lints, documentation, dependencies and spelling.
	@hack/lint.sh

.PHONY: fmt
fmt: ## Format the code.
	$(CARGO) fmt --all

.PHONY: crds
crds: chart-crds ## Write the custom resource definitions in crds/ and in the chart again.
	$(CARGO) run --quiet --locked -- crd --out crds

.PHONY: chart-crds
chart-crds: build-packages ## Write the custom resource definitions in charts/provost/files/crds again.
	$(CARGO) run --quiet --locked -- crd --out charts/provost/files/crds

.PHONY: chart-docs
chart-docs: test-packages ## Write the table of values in charts/provost/README.md again.
	PROVOST_TEST_WRITE=1 $(CARGO) test --quiet --locked --test it chart::readme

.PHONY: kubernetes-docs
kubernetes-docs: test-packages ## Write the table of the embedded API's differences in docs/kubernetes.md again.
	PROVOST_TEST_WRITE=1 $(CARGO) test --quiet --locked --test it conformance::documented

.PHONY: chart
chart: ## Package the Helm chart in target/.
	@helm=$$(hack/control-plane/build.sh helm); mkdir -p target; "$$helm" package charts/provost --destination target

.PHONY: cli-reference
cli-reference: build-packages ## Write the documentation of the command line in docs/cli.md again.
	$(CARGO) run --quiet --locked -- reference --out docs/cli.md

.PHONY: doc
doc: build-packages ## Build the code's documentation, private items included.
	$(CARGO) doc --locked --no-deps --document-private-items
	@echo "docs/ is the guide for people: 'mdbook serve' shows it as a book."

# What the copy is of, for people who read the table: SOURCE="release 27.1".
SOURCE ?= profiles and commands of 18.2/15.2 seed 1, declarations of 27.0 seed 1
.PHONY: schema-table
schema-table: build-packages ## Write the table of Apple's schema again (SCHEMA: a copy of github.com/apple/device-management).
	$(CARGO) run --quiet --locked -- schema import "$(SCHEMA)" --source "$(SOURCE)" --out src/policy/schema/apple.json

.PHONY: bench
bench: build-packages ## Run the benchmarks.
	$(CARGO) bench --locked --bench hot_paths $(ARGS)

.PHONY: fuzz
fuzz: build-packages ## Fuzz one target, TARGET=plist, for RUNS executions (a million by default); ARGS are libFuzzer's.
	@hack/fuzz.sh "$(TARGET)" "$(or $(RUNS),1000000)" $(ARGS)

.PHONY: fuzz-smoke
fuzz-smoke: build-packages ## Run every fuzz target for a short while (SECONDS_EACH, 20 by default).
	@hack/fuzz-smoke.sh

.PHONY: kubectl
kubectl: ## Build the kubectl that the tests use and print where it is.
	@hack/control-plane/build.sh kubectl

.PHONY: image
image: image-packages ## Build the container image in target/image, without a container daemon.
	@hack/image/build.sh

.PHONY: build-packages test-packages image-packages
build-packages:
	@hack/system-packages.sh build
test-packages:
	@hack/system-packages.sh build test image
image-packages:
	@hack/system-packages.sh build image
