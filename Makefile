# Every target is a whole command; `make help` lists them.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
# `-e /dev/null`: settings come from the environment alone, where the doctor saw them, and from no .env file.
HONCHO := PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONUNBUFFERED=1 $(BIN)/honcho start -e /dev/null

.PHONY: help demo run test test-long check bench fuzz chaos load lint pictures clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Walletkin needs Python 3.11 or newer; set PYTHON=…" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED) pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Under honcho nothing is a terminal, and yet somebody reads.
demo run: export WALLETKIN_LOG_FORMAT ?= text

# A made-up chain keeps its data apart from the real one's.
demo: export WALLETKIN_DATA_DIR ?= var/demo
demo: export WALLETKIN_SIMULATOR_SEED ?= 7
demo: export WALLETKIN_SIMULATOR_BIND ?= 127.0.0.1:8899
demo: export WALLETKIN_SOLANA_RPC_URL ?= http://$(WALLETKIN_SIMULATOR_BIND)
demo: export WALLETKIN_DEXSCREENER_URL ?= http://$(WALLETKIN_SIMULATOR_BIND)
demo: export WALLETKIN_JUPITER_URL ?= http://$(WALLETKIN_SIMULATOR_BIND)
demo: export WALLETKIN_RPC_REQUESTS_PER_S ?= 2000
demo: $(INSTALLED) ## install what is needed and start everything on a made-up chain
	@$(BIN)/walletkin doctor
	@$(HONCHO) web pipeline enrichment simulator

run: $(INSTALLED) ## the same on the real chain (the public RPC endpoint, unless WALLETKIN_SOLANA_RPC_URL says otherwise)
	@$(BIN)/walletkin doctor
	@$(HONCHO) web pipeline enrichment

# Many tests wait for processes, so more workers than cores are busy; tests/conftest.py orders them.
test test-long fuzz: WORKERS ?= 4
test: $(INSTALLED_DEV) ## run the tests with 4 workers (WORKERS=0: in one process; DB=postgresql: the database tests alone, on it)
	$(BIN)/python -m pytest -n $(WORKERS) --durations 12 $(if $(DB),--database $(DB))

# The tests marked `long`, the property tests with more examples, and the database tests on PostgreSQL.
test-long: export HYPOTHESIS_PROFILE ?= long
test-long: $(INSTALLED_DEV) ## run what takes long: chaos, kill loops, outages, every width, PostgreSQL
	$(BIN)/python -m pytest -n $(WORKERS) --durations 12 -m "long or hypothesis"
	HYPOTHESIS_PROFILE=default $(BIN)/python -m pytest -n $(WORKERS) --durations 12 --database postgresql

check: lint test test-long ## everything that CI checks

bench: $(INSTALLED_DEV) ## measure, and print the figures
	$(BIN)/python -m tests.benchmarks

fuzz: export HYPOTHESIS_PROFILE ?= fuzz
fuzz: export CONTRACT_EXAMPLES ?= 200
fuzz: $(INSTALLED_DEV) ## send tens of thousands of hostile inputs to everything that reads
	$(BIN)/python -m pytest -n $(WORKERS) --durations 12 $(addprefix tests/webapp/,test_fuzz.py test_contract.py intake)

chaos: $(INSTALLED_DEV) ## kill at random what runs, ten minutes on each of the two ways to run, and look whether anything was lost
	$(BIN)/python -m tests.system.chaos

load: $(INSTALLED_DEV) ## let 300 browsers poll while 20 analyses run, then too many at once
	$(BIN)/python -m tests.system.load

lint: $(INSTALLED_DEV) ## check style, formatting, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/mypy
	$(BIN)/lint-imports

pictures: $(INSTALLED_DEV) ## write a screenshot of every page to var/pictures
	$(BIN)/python -m tests.browser.pictures

clean: ## remove the environment and what was made by running
	rm -rf $(VENV) var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
