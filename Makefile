# Every target works from a fresh clone: `make` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# The first Python from 3.11 on that starts; name another with `make PYTHON=...`.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$name" && break; done)

# Of make test-faults; a run that fails says with which of them it is repeated.
FAULTS ?= 1000
SEED ?=
ROUND ?= 1

.PHONY: help setup demo test test-faults check format settings-page schema-dump freeze up down clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything into .venv; quick when nothing changed

# Keyed on pyproject.toml: an edit of the code needs no new install, an edit of what it needs does.
$(STAMP): pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "Rankgres needs Python 3.11 or newer, and none was found." \
		"Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Rankgres needs" \
		"Python 3.11 or newer; $(PYTHON) is not, or does not start." >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' || { echo "$(PYTHON) cannot make virtual environments;" \
		"on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@echo "Installing Rankgres and its packages into $(VENV): a minute or two, about 2 GB"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all,dev]'
	@touch $@

# exec: the command takes the shell's place, so that Ctrl-C reaches it and make waits for its end.
demo: setup ## Index the Python documentation of this machine, search it, leave the stack running
	@exec $(BIN)/rankgres demo

test: setup ## Run the whole test suite
	@exec $(BIN)/python -m pytest

test-faults: setup ## Break everything at random, FAULTS=1000 times; SEED and ROUND begin there again
	@exec $(BIN)/python -m tests.faults --faults $(FAULTS) --round $(ROUND) $(if $(SEED),--seed $(SEED))

check: setup ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

settings-page: setup ## Write docs/settings.md anew from the settings themselves
	$(BIN)/python -m service.settings_page > docs/settings.md

schema-dump: setup ## Write migrations/schema.sql anew from what the migrations make
	$(BIN)/python -m tests.migrations.dump_schema > migrations/schema.sql

freeze: setup ## Freeze the SQL files of migrations/ as they are; right only before a release
	$(BIN)/python -m tests.migrations.freeze > migrations/functions/frozen.txt

up: setup ## Start the stack in the background
	@exec $(BIN)/rankgres up --detach

down: setup ## Stop the stack
	@exec $(BIN)/rankgres down

clean: ## Remove .venv and every cache; the stack's data stays
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
