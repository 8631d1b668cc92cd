# Every target makes the virtual environment it needs, with plain python3 and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One version of torch, so that the demo's numbers are the same on every machine of a kind.
$(VENV)/demo: pyproject.toml | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/dev: pyproject.toml | $(BIN)/python
	$(PIP) torch==2.13.0
	$(PIP) --editable '.[dev,demo]'
	@touch $@

demo: $(VENV)/demo ## evaluate a small vision-language model on easy-VQA with two workers, offline
	$(BIN)/assay run examples/easy-vqa.yaml --workers 2

test: check ## the checks, and all tests that this machine can run
	$(BIN)/python -m pytest

check: $(VENV)/dev ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev ## one JSON line of figures per case
	$(BIN)/python -m benchmarks

clean: ## remove the virtual environment and caches, keep runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
