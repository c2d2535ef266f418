# Everything a fresh machine needs is Python 3.11, pip, make and a C compiler; another Python by make PYTHON=python3.12.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo test test-fast faults soak check docs clean

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

# Two hours of training with a resume every few minutes.
soak: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.soak

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# The site, docs/_site/index.html. A broken link and every other warning is an error.
docs: setup
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env docs docs/_site

clean:
	rm -rf .venv demo docs/_site .mypy_cache .ruff_cache .pytest_cache
