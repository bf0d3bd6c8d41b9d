# Two commands are enough: `make run` opens the chat, `make test` runs the tests.
# Each first makes .venv ready (.ci/installer/bootstrap.py), which takes no time when it already is.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench dev clean

help: ## Show this list
	@echo 'make run       install what the chat needs into .venv, then open it (ARGS="--policy strict")'
	@echo 'make test      install what the tests need, then run them all (ARGS="-k session")'
	@echo 'make lint      ruff, mypy and the import contracts'
	@echo 'make format    let ruff format the code and mend what it can'
	@echo 'make bench     measure what the README claims about speed'
	@echo 'make dev       install everything for work on the code, run nothing'
	@echo 'make clean     remove .venv and all caches in this folder'
	@echo
	@echo 'PYTHON=...     the Python to use (3.11 or newer)'
	@echo 'WHEELS=...     take llama-cpp-python prebuilt: cpu, metal, cu124, ... (docs/install.md)'
	@echo 'CMAKE_ARGS=... build it with these options, e.g. CMAKE_ARGS="-DGGML_CUDA=on" make run'

define ready
@command -v $(PYTHON) >/dev/null || { echo 'oa-chat needs Python 3.11 or newer ($(PYTHON) was not found).' >&2; exit 1; }
@$(PYTHON) -E -s .ci/installer/bootstrap.py $(1)
endef

run:
	$(call ready)
	@$(BIN)/oa-chat $(ARGS)

test:
	$(call ready,test serve data cluster train)
	@$(BIN)/python -m pytest $(ARGS)

lint:
	$(call ready,lint)
	@status=0; \
	for tool in 'ruff check .' 'ruff format --check .' mypy lint-imports; do \
		echo "== $$tool"; \
		$(BIN)/$$tool || status=1; \
	done; \
	exit $$status

format:
	$(call ready,lint)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench:
	$(call ready,test serve data cluster train)
	@$(BIN)/python -m benchmarks $(ARGS)

dev:
	$(call ready,lint test serve data cluster train)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find oa_chat converters tests .ci -name __pycache__ -type d -prune -exec rm -rf {} +
