# `make demo` and `make test` work from a fresh clone on Debian 12 and its relatives; nothing needs to be there before.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-fast lint check-types clean lock help programs
.NOTPARALLEL:
help:
	@echo "make demo       build a small real corpus, cross-validate CCS + FSA on it, predict (about 6 minutes)"
	@echo "make test       everything that must pass: lint, types, all tests, coverage (about 10 minutes)"
	@echo "make test-fast  the inner loop (about 2 minutes)"

.venv/.package: pyproject.toml constraints.txt scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh package
.venv/.dev: pyproject.toml constraints.txt scripts/setup.sh
	PYTHON=$(PYTHON) scripts/setup.sh dev

# First, so that one who may not install them learns it before a long download.
programs:
	@scripts/setup.sh programs

demo: programs .venv/.package
	@$(BIN)/python scripts/demo.py

test: lint check-types
	@scripts/setup.sh programs || true
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=90

test-fast: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not slow"

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check-types: .venv/.dev
	$(BIN)/mypy

# The versions that `make test` last passed with; Python 3.10 is too old for some of them and resolves its own.
lock: .venv/.dev
	$(BIN)/pip freeze --exclude-editable | sed -E 's/\+cpu//; s/(.*)/\1; python_version >= "3.11"/' > constraints.txt

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .coverage* demo
