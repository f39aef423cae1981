# Everything here needs only Python 3.11+, make and a network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= sqlite
B ?=
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench servers lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runtime: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.bench: requirements-bench.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.lock
	@touch $@

demo: $(VENV)/.runtime ## Simulate a plant, train, watch failures being predicted (STORE=influx for the real servers)
	$(BIN)/vigie demo --store $(STORE) $(ARGS)

test: $(VENV)/.runtime lint ## Lint, types, architecture and all tests (says what it skips)
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.runtime ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench ## Measure: make bench B=cmapss|ingest|faults|features|model|simulator|schedule
	@test -n "$(B)" || { echo "Name a benchmark: make bench B=name; there are:" $(basename $(notdir $(wildcard benchmarks/bench_*.py))) >&2; exit 2; }
	@PATH="$(CURDIR)/.servers/bin:$$PATH" $(BIN)/python -m benchmarks.bench_$(subst -,_,$(B)) $(ARGS)

servers: ## Install Mosquitto (Debian) and build influxd 2.7.12 (Go) for tests and STORE=influx
	deploy/servers

lock: ## Renew the hashed locks after changing dependencies in pyproject.toml
	deploy/lock

clean: ## Remove what was built, keep data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
