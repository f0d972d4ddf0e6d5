# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 7860
WORKERS ?= 2
BIN := $(VENV)/bin
# Where it is set, every process compiles torch and transformers anew (8 s); the bytecode stays inside $(VENV).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long check format bench clean

help: ## what can be made
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.ready-dev ## make the environment in .venv, with the tools to develop

# Two stamps: the demo does not need the test tools.
$(VENV)/.ready-%: pyproject.toml constraints.txt scripts/setup_env.py
	@$(PYTHON) scripts/setup_env.py $(VENV) $*
	@touch $@

demo: $(VENV)/.ready-all ## explain one figure in the terminal, then open the web page (PORT=7860)
	@$(BIN)/llava-graph examples --explain 1
	@$(BIN)/llava-graph-serve all --port $(PORT)

test: setup ## run the tests (WORKERS=4 on more cores)
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not browser and not long"
	@$(BIN)/pytest -m browser # one after the other: a page waits for seconds, not for busy cores

test-long: setup ## run the tests that train again and again, take many processes, or do one thing a thousand times
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile -m long

check: setup ## style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup ## let ruff format the code
	@$(BIN)/ruff check --fix -q .
	@$(BIN)/ruff format -q .

bench: setup ## measure, side by side with the alternatives (docs/benchmarks.md)
	@$(BIN)/python -m benchmarks

bench-%: setup ## one of them: make bench-extraction
	@$(BIN)/python -m benchmarks $*

clean: ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache
