# make demo: set up .venv if needed and run the demonstration. make test: the tests. make help: the rest.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint format bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    train, shrink, repair, distil and reload a small network (under 3 minutes)"
	@echo "make test    run the tests"
	@echo "make lint    ruff (lint and format) and mypy"
	@echo "make format  let ruff mend what it can"
	@echo "make bench   the benchmarks; they need the packages of the extra 'bench'"
	@echo "make clean   remove caches and out/ (the environment stays)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "netsmith needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# Stamp files: pip runs again only after pyproject.toml changed. torch and torchvision have to match, so each target
# is one pip command.
$(VENV)/.core: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[dev]"
	@touch $(VENV)/.core $@

$(VENV)/.bench: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check -e ".[bench]"
	@touch $(VENV)/.core $(VENV)/.dev $@

demo: $(VENV)/.core
	$(BIN)/netsmith demo

test: $(VENV)/.dev
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench
	@for script in benchmarks/*/run.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks examples docs -name __pycache__ -type d -prune -exec rm -rf {} +
