# One file for the analyst who wants to see it run and for the developer. `make help` lists it.

PYTHON      ?= python3
VENV        := .venv
BIN         := $(VENV)/bin
CONSTRAINTS ?= constraints.txt
EXTRAS      ?= all,dev
# Another installer may be named, e.g. INSTALL="uv pip install --python .venv/bin/python".
INSTALL     ?= $(BIN)/python -m pip install --quiet
JOBS        ?= auto
PYTEST_ARGS ?=
# Touched when the environment matches pyproject.toml and the constraints.
STAMP       := $(VENV)/.installed
PACKAGE     := $(shell find xdeepr -name '*.py' 2>/dev/null)
SCRIPTS     := $(sort $(filter-out %/__init__.py,$(wildcard benchmarks/*.py)))
LINTED      := xdeepr tests $(wildcard examples) $(wildcard benchmarks)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test lint format docs bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The venv is mended in place, not wiped: rebuilding torch and friends costs minutes.
$(STAMP): pyproject.toml $(wildcard $(CONSTRAINTS))
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing xdeepr[$(EXTRAS)] into $(VENV) (about two minutes the first time)"
	$(INSTALL) -c $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@touch $@

install: $(STAMP)  ## make or update the environment in .venv

demo: $(STAMP)  ## downscale an example offline: scores, a CF netCDF and a picture
	$(BIN)/xdeepr demo

# One thread per worker: two-thread torch slows down fourfold when workers share the cores. Files keep
# the order of tests/conftest.py, long ones first.
test: $(STAMP)  ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMP)  ## ruff, mypy and docstrings
	$(BIN)/ruff check $(LINTED)
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/mypy
	$(BIN)/numpydoc lint $(PACKAGE)

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix $(LINTED)
	$(BIN)/ruff format $(LINTED)

docs: $(STAMP)  ## build the documentation, warnings are errors
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

bench: $(STAMP)  ## run every script in benchmarks/
	@set -e; for script in $(SCRIPTS); do echo "== $$script"; $(BIN)/python $$script; done

clean:  ## remove what was built (the environment stays; remove .venv by hand)
	rm -rf build dist docs/_build docs/generated *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find xdeepr tests examples benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
