# Everything one does here. Each target sets up what it needs in .venv; a second run finds it there.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
DEMO ?= demo
PYTEST_ARGS ?=

BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
SETTINGS := pyproject.toml constraints.txt tools/group.py
OURS := src tests tools examples

# The tests run side by side already: one thread to each library.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow test-all lint docs bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(STAMPS)/run $(STAMPS)/test $(STAMPS)/lint  ## everything that developing takes, in .venv

demo: $(STAMPS)/run  ## fake a plate, build a corpus, benchmark four methods, write a report; offline
	$(BIN)/corpuscle demo nuclei $(DEMO)
	@echo "open $(CURDIR)/$(DEMO)/report.html in a browser"

test: $(STAMPS)/test  ## the fast tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q --durations=5 $(PYTEST_ARGS)

test-slow: $(STAMPS)/test  ## kill tests, scale and long runs on real data
	$(BIN)/python -m pytest -m slow -n $(WORKERS) --dist worksteal -q --durations=15 $(PYTEST_ARGS)

test-all: test test-slow  ## both

lint: $(STAMPS)/lint $(STAMPS)/test  ## style, types, spelling, licences
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/python tools/licences.py

docs: $(STAMPS)/docs  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open $(CURDIR)/site/index.html in a browser"

bench: $(STAMPS)/test  ## measure speed and memory beside the peers', into docs/benchmarks.md
	$(BIN)/python -m benchmarks

clean:  ## remove what make has made, .venv included
	rm -rf $(VENV) $(DEMO) $(DEMO).ledger site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests tools examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "corpuscle needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/run: $(SETTINGS) | $(BIN)/python
	@mkdir -p $(STAMPS)
	$(PIP) -e ".[report]"
	@touch $@

$(STAMPS)/%: $(STAMPS)/run
	$(BIN)/python tools/group.py $* > $(STAMPS)/$*.txt
	$(PIP) -r $(STAMPS)/$*.txt
	@touch $@
