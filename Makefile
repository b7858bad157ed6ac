# What a person does with this project. `make help` lists it.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

BIN := .venv/bin
ENVIRONMENT := .venv/.complete
LICENCES := Apache;BSD;MIT;ISC;MPL-2.0;Mozilla Public License 2.0;PSF;Python Software Foundation;LGPL
OURS := $(shell sed -n 's/^name = "\(.*\)"/\1/p' contracts/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml)
CHART_TOOLS := .venv/chart-tools/.complete
NODE := .venv/node/.complete

.PHONY: help run up down test test-compose faults faults-cluster bench lint fmt schemas audit lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(ENVIRONMENT) ## Run the whole system here, with sample data; Ctrl-C stops it
	@exec $(BIN)/devstack run --with-parent

up: ## The same with Docker Compose, in the background: makes passwords in .env once, and waits until all is ready
	@exec sh deploy/compose/up.sh

down: ## Stop what `make up` started; the data stays
	@exec docker compose --profile '*' down --remove-orphans

test: $(ENVIRONMENT) $(CHART_TOOLS) $(NODE) ## Run all tests, on a real PostgreSQL and a real RabbitMQ
	@exec $(BIN)/pytest -n 2 --dist loadfile

test-compose: $(ENVIRONMENT) ## Build the images, run the Compose stack, scale it, restart each container; skips without a Docker engine
	@TEST_COMPOSE=1 exec $(BIN)/pytest tests/compose -v

faults: $(ENVIRONMENT) ## Break it in every way, and balance the books: FAULTS=F1,F7 chooses, SEEDS=20 or SEED=7 repeats
	@FAULTS=$${FAULTS:-all} exec $(BIN)/pytest tests/faults -q

faults-cluster: $(ENVIRONMENT) ## The same on three RabbitMQ nodes: one is killed, frozen, cut off; FAULTS=C1,C3 chooses
	@FAULTS=$${FAULTS:-cluster} exec $(BIN)/pytest tests/faults -q

bench: $(ENVIRONMENT) ## Measure it next to its baselines: ONLY=poll,api chooses, FULL=1 takes full sizes; results in bench/results
	@exec $(BIN)/python -m bench

lint: $(ENVIRONMENT) ## Check style, types, the walls between packages, the promises of the contract, the broker's definitions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m aggregator_contracts.schemas --check
	$(BIN)/python -m event_bus.definitions --without-users | diff -u deploy/rabbitmq/definitions.json - # or: make schemas

fmt: $(ENVIRONMENT) ## Format the code, and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

schemas: $(ENVIRONMENT) ## Generate the contract's JSON Schemas, AsyncAPI document and page again, and the broker's definitions
	$(BIN)/python -m aggregator_contracts.schemas
	$(BIN)/python -m event_bus.definitions --without-users >deploy/rabbitmq/definitions.json

# A package that nobody could look up fails it as well: an audit of nothing finds nothing.
audit: $(ENVIRONMENT) ## Look for known vulnerabilities and unwanted licences; dist/sbom.cdx.json and docs/licences.md list all
	@mkdir -p dist
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o dist/sbom.cdx.json $(BIN)/python
	$(BIN)/pip-licenses --partial-match --allow-only="$(LICENCES)" --ignore-packages $(OURS) \
	  --order=name --no-version --format=markdown --output-file=docs/licences.md
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.lock

lock: $(ENVIRONMENT) ## Lock the dependencies again, after a pyproject.toml changed
	$(BIN)/uv lock
	$(BIN)/uv export -q --format requirements-txt --all-packages --all-groups --no-emit-workspace --no-header -o requirements.lock
	{ sed -n 1p requirements.txt; awk '/^[^ ]/ { here = /^uv==/ } here' requirements.lock; } > requirements.new
	mv requirements.new requirements.txt

clean: ## Remove the environment and all caches; the data in .local stays
	rm -rf .venv tests/node/node_modules examples/node/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(ENVIRONMENT): requirements.lock tools/devstack/environment.sh $(wildcard contracts/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml)
	@sh tools/devstack/environment.sh

$(CHART_TOOLS): deploy/helm/tools.lock deploy/helm/tools.sh | $(ENVIRONMENT)
	@sh deploy/helm/tools.sh

$(NODE): tests/node/tools.lock tests/node/tools.sh tests/node/package-lock.json examples/node/package-lock.json | $(ENVIRONMENT)
	@sh tests/node/tools.sh
