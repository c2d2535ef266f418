# Everything a fresh machine needs is Python 3.11, pip, make and a C compiler; another Python by make PYTHON=python3.12.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo test test-fast faults check clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: setup
	$(BIN)/anaume demo --out demo

# The suite on all cores; test-fast leaves out what starts child processes or trains a network.
test: setup
	$(BIN)/pytest -n auto --dist worksteal

test-fast: setup
	$(BIN)/pytest -n auto --dist worksteal -m "not slow"

# Many more trials of each fault than in the suite: kills, full disks, damaged files, odd text. About an hour.
faults: setup
	ANAUME_FAULTS_LONG=1 $(BIN)/pytest tests/faults

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv demo .mypy_cache .ruff_cache .pytest_cache
