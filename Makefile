# One command each: a virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Without compiling: most of what is installed is never imported, and Python compiles the rest on first use.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

# Tests have small tensors: a second thread costs more than it gives, many times more beside other work.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: demo test slow lint format bench bench-quick faults lock clean

demo: $(VENV)/installed-demo
	$(BIN)/mmgraph demo --out runs/demo

# Files of tests are spread over the processors, at most eight.
test: lint
	$(PYTEST) --numprocesses auto --maxprocesses 8 --dist loadfile

slow: $(VENV)/installed-dev
	$(PYTEST) --run-slow -m slow

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/installed-dev
	$(BIN)/python experiments/benchmarks/run.py --plot runs/bench/scaling.png

bench-quick: $(VENV)/installed-dev
	$(BIN)/python experiments/benchmarks/run.py --quick --results runs/bench-quick

faults: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python experiments/faults/run.py --out experiments/faults/results.json

lock: $(VENV)/installed-dev
	$(BIN)/python .ci/lock.py

clean:
	rm -rf $(VENV) runs

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("mmgraph needs Python 3.11 or newer, got " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-demo: pyproject.toml | $(VENV)/bin/python
	@echo "installing mmgraph and what the demo needs into $(VENV) (a few minutes)"
	$(PIP) -e ".[demo]"
	@touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing mmgraph and what the checks need into $(VENV) (a few minutes)"
	$(PIP) -e ".[dev]"
	@touch $@ $(VENV)/installed-demo
