# The only verbs. What is needed is installed from the lock file into .venv, nothing by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PROTOS := $(shell find protos -name '*.proto')
SDKS := $(wildcard services/ingest/tests/sdks/*.lock)
PIN := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

.DEFAULT_GOAL := help

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(VENV)/.ready: requirements-dev.lock pyproject.toml
	@echo "merhaba: making the environment (first time takes a minute or two)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "merhaba needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@mkdir -p gen
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

gen/.ready: $(VENV)/.ready tools/protos.py $(PROTOS)
	@$(BIN)/python tools/protos.py
	@touch $@

# Clients that tests try against the front door. They exclude each other, so each has its own place.
$(VENV)/sdks/%/.ready: services/ingest/tests/sdks/%.lock | $(VENV)/.ready
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(@D) -r $<
	@touch $@

# Schemas of what operators bring to Kubernetes, for tests of the manifests; without npm they cannot be checked.
$(VENV)/models/.ready: $(wildcard tests/deploy/models/*.js*) | $(VENV)/.ready
	@mkdir -p $(@D) && cp $^ $(@D)
	@command -v npm >/dev/null && npm ci --prefix $(@D) --silent --no-audit --no-fund || echo "merhaba: npm is missing, so kinds of operators are not checked"
	@touch $@

.PHONY: setup
setup: gen/.ready $(VENV)/models/.ready $(SDKS:services/ingest/tests/sdks/%.lock=$(VENV)/sdks/%/.ready) ## the environment and the built contracts

.PHONY: protos
protos: setup ## build the contracts into gen/

.PHONY: run
run: setup ## everything on this machine, with real data; ARGS=--once ends by itself
	@$(BIN)/merhaba run $(ARGS)

.PHONY: test
test: setup ## every test, against real servers
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup $(ARGS)

.PHONY: survive
survive: setup ## the long tests: kills, freezes, a full disk, fuzzing
	@SURVIVE=long $(BIN)/python -m pytest tests/ingest tests/sender services/ingest/tests/test_fuzz.py services/ingest/tests/test_raw_http.py services/ingest/tests/test_batching.py tests/security tests/chaos/test_chaos.py

.PHONY: chaos
chaos: setup ## SEED=n SECONDS=n: kills, freezes and cuts for a whole suite, then every promise checked
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(SECONDS),--seconds $(SECONDS)) $(ARGS)

.PHONY: lint
lint: setup ## ruff, mypy, import contracts, buf, kustomize, migrations
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/lint_protos.py
	@$(BIN)/python tools/lint_k8s.py
	@$(BIN)/python tools/lint_migrations.py

.PHONY: audit
audit: setup ## known weaknesses of what is locked
	@$(BIN)/python -m tools.audit

.PHONY: fmt
fmt: setup ## format code and contracts
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/buf format -w protos

.PHONY: bench
bench: setup ## make bench NAME=suite: one measurement, the last line is JSON
	@$(BIN)/python -m bench.$(NAME) $(ARGS)

.PHONY: lock
lock: setup ## pin every dependency again, with hashes
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(PIN) --upgrade pyproject.toml --extra local --extra dev -o requirements-dev.lock
	@$(PIN) pyproject.toml -c requirements-dev.lock -o requirements.lock
	@echo cyclonedx-bom | $(PIN) -c requirements-dev.lock - -o deploy/sbom.lock
	@for sdk in $(notdir $(SDKS:.lock=)); do echo "$${sdk%-*}==$${sdk##*-}" | $(PIN) --upgrade - -o services/ingest/tests/sdks/$$sdk.lock; done

.PHONY: clean
clean: ## forget the data of this machine's stack
	@test ! -x $(BIN)/merhaba || $(BIN)/merhaba clean
