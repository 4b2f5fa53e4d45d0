# Everything runs from .venv, which bin/setup prepares by itself and leaves alone while nothing changed.
BIN     := .venv/bin
WORKERS := $(shell n=$$(nproc 2>/dev/null || echo 2); [ "$$n" -ge 2 ] || n=2; echo "$$n")
PYTEST  := $(BIN)/pytest -n $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check bench fmt clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## prepare uv, Python 3.13 and the locked packages (the others do it too)
	@bin/setup

demo: setup ## five companies' agents and one pack's whole journey; KEEP=1 leaves them running
	@$(BIN)/python -m agents.demo $(if $(filter-out 0,$(KEEP)),--keep)

test: setup ## the quick tests, in parallel; ARGS="-k word" goes to pytest
	@$(PYTEST) -m "not slow" $(ARGS)

test-slow: setup ## the tests that take long
	@$(PYTEST) -m slow $(ARGS) || [ $$? -eq 5 ] # 5: there is none

check: setup ## format, lint, types, import contracts and the quick tests; SKIP_TESTS=1 leaves these out
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache
ifeq ($(filter-out 0,$(SKIP_TESTS)),)
	@$(PYTEST) -m "not slow" $(ARGS)
endif

bench: setup ## every figure of bench/ as a table
	@for script in bench/[a-z]*.py; do [ -e "$$script" ] || continue; \
		echo "== $$script"; $(BIN)/python "$$script" || exit; done

fmt: setup ## write every file as the checks want it
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

clean: ## remove what was built or fetched here, .venv and the demo's folders included
	rm -rf .venv .cache .demo .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
