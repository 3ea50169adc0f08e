# The only verbs. What is needed is installed from the lock file into .venv, nothing by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PROTOS := $(shell find protos -name '*.proto')
SDKS := $(wildcard services/ingest/tests/sdks/*.lock)

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

.PHONY: setup
setup: gen/.ready $(SDKS:services/ingest/tests/sdks/%.lock=$(VENV)/sdks/%/.ready) ## the environment and the built contracts

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
	@SURVIVE=long $(BIN)/python -m pytest tests/ingest tests/sender services/ingest/tests/test_fuzz.py services/ingest/tests/test_raw_http.py services/ingest/tests/test_batching.py

.PHONY: lint
lint: setup ## ruff, mypy, import contracts, buf, kustomize
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/lint_protos.py
	@$(BIN)/python tools/lint_k8s.py

.PHONY: fmt
fmt: setup ## format code and contracts
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/buf format -w protos

.PHONY: bench
bench: setup ## make bench NAME=walk: one measurement, the last line is JSON
	@$(BIN)/python -m bench.$(NAME) $(ARGS)

.PHONY: lock
lock: setup ## pin every dependency again, with hashes
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade pyproject.toml --extra local --extra dev -o requirements-dev.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -c requirements-dev.lock -o requirements.lock
	@for sdk in $(notdir $(SDKS:.lock=)); do echo "$${sdk%-*}==$${sdk##*-}" | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade - -o services/ingest/tests/sdks/$$sdk.lock; done

.PHONY: clean
clean: ## forget the data of this machine's stack
	@test ! -x $(BIN)/merhaba || $(BIN)/merhaba clean
