# Two commands do all: `make serve` and `make test`. Neither calls apt; what is missing is named.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

# Exact versions, also of what pip builds with: older pips read the first, newer ones the second.
export PIP_CONSTRAINT := constraints/all.txt
export PIP_BUILD_CONSTRAINT := constraints/all.txt

.PHONY: serve test check quick soak docs site cluster bench test-peers clean

serve: $(VENV)/server.stamp
	$(BIN)/folkmoot serve

test: check
	$(BIN)/pytest tests --ignore=tests/system --ignore=tests/examples
	$(BIN)/pytest tests/system $(wildcard tests/examples)

quick: check
	$(BIN)/pytest tests --ignore=tests/system --ignore=tests/examples

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Fresh seeds of the simulator: `make soak MINUTES=600`. What fails is added to tests/simulation/failed_seeds.txt.
soak: $(VENV)/dev.stamp
	$(BIN)/python tools/soak.py $(or $(MINUTES),60)

docs: $(VENV)/dev.stamp
	$(BIN)/python tools/reference.py

# Warnings are errors: a link or an anchor that leads nowhere too. Nothing is fetched.
site: $(VENV)/dev.stamp
	$(BIN)/sphinx-build -q -W --keep-going -n -j auto -c docs/site -b html -d build/doctrees . build/site
	@echo "the pages are at build/site/index.html"

# What `folkmoot cluster` needs beside Java 17, which it names where it is missing: kept for all clones of this machine.
cluster: $(VENV)/server.stamp
	$(BIN)/folkmoot cluster fetch

# Ours and others under the same load: bench/README.md. `make bench COMPARE="--small"` is short.
bench: $(VENV)/server.stamp
	@mkdir -p build
	$(BIN)/folkmoot bench compare --json build/compare.json --html build/compare.html $(COMPARE)

# Builds the peers, which needs their tools and packages from the registries: not a part of `make test`.
test-peers: $(VENV)/dev.stamp
	$(BIN)/pytest -m peers -rs tests/peers

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say which with: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "Making .venv failed. On Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/server.stamp: $(BIN)/pip pyproject.toml setup.py src/folkmoot/gateway/_volley.c src/folkmoot/gateway/_ring.h constraints/all.txt
	$(PIP_INSTALL) -e '.[server]'
	@touch $@

$(VENV)/dev.stamp: $(BIN)/pip pyproject.toml setup.py src/folkmoot/gateway/_volley.c src/folkmoot/gateway/_ring.h constraints/all.txt
	$(PIP_INSTALL) -e '.[server,nats,cassandra,traces,site,dev]'
	@touch $@ $(VENV)/server.stamp
