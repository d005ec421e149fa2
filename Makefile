# Recipes name files relative to this directory, so its path may hold spaces.
.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos lint up down clean lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' Makefile

# What tests call besides, under the name of its package.
test: WANTED = kcat

setup: ## install what is missing
	@infra/bootstrap $(WANTED)

demo: setup ## show this machine's own telemetry, live
	@.venv/bin/streamgauge demo

test: setup ## run every check and test on a real stack
	@infra/check

# As many as there is time for: a seed takes about ten seconds.
SEEDS ?= 20

chaos: setup ## break a stack of its own in every way, SEEDS=20 times
	@.venv/bin/streamgauge chaos --seeds "$(SEEDS)" --pairs

lint: setup ## run the checks that need no stack
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports

up: setup ## start Kafka, TimescaleDB and Redis
	@.venv/bin/streamgauge stack up

down: setup ## stop them; the data stays
	@.venv/bin/streamgauge stack down

clean: ## remove the stack with its data, and what was installed into this directory
	@if [ -x .venv/bin/streamgauge ]; then .venv/bin/streamgauge stack destroy --yes; fi
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One version of each package for all Pythons: what is tested with one is what runs with another.
COMPILE = .venv/bin/uv pip compile --quiet --upgrade --universal --fork-strategy fewest \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock"

lock: setup ## pin the newest versions of all dependencies
	.venv/bin/python -m pip install --quiet uv
	$(COMPILE) --extra dev --output-file requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --output-file requirements-runtime.lock pyproject.toml
