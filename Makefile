# make demo and make test do all their own set-up; both are quick when it has been done.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
export OMP_NUM_THREADS := 1

.PHONY: setup demo test test-cluster faults format lint lock bench clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml workflow/executor/pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing into .venv (about a minute and 6 GB the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . --editable workflow/executor
	@touch $(READY)

demo: setup
	@$(BIN)/snakemake demo
	@echo "The report: $(CURDIR)/results/studies/demo/report.html"

test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# On a SLURM of one node that is started for it. Needs root, and gets Debian's packages if need be.
test-cluster: setup
	@CLUSTER=yes $(BIN)/python -m pytest tests/cluster

faults: setup
	@FAULTS=all $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m fault

format: setup
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix . && $(BIN)/snakefmt Snakefile workflow

lint: setup
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/snakefmt --check Snakefile workflow
	@$(BIN)/python .ci/lock.py

lock: setup
	@$(BIN)/python .ci/lock.py --write

bench: setup
	@$(BIN)/python -m benchmarks

clean:
	rm -rf .venv
