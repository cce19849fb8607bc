# Every target works on a bare machine with Python 3.11+ and make: what is missing is installed first, into the checkout.
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$python >/dev/null 2>&1 && $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$python && exit; done; echo python3)
RUN := .venv/bin/python
WORKERS ?= 2
PORT ?= 8000
TEMPLATES = $(shell find templates -name '*.html' 2>/dev/null | sort)

# Values for tools that only read the settings; nothing connects to them.
READ_SETTINGS = env DJANGO_SETTINGS_MODULE=portal.settings DATABASE_URL=postgres://nobody@127.0.0.1:1/none \
	REDIS_URL=redis://127.0.0.1:1/0 PORTAL_INSTALLATION_ID=000000000000 PORTAL_ALLOWED_HOSTS=portal.company.com \
	PORTAL_BASE_URL=https://portal.company.com \
	PORTAL_SECRET_KEY=only-read-by-checks-0123456789-abcdefghijklmnopqrstuvwxyz-0123456789 \
	PORTAL_ENCRYPTION_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=

.DEFAULT_GOAL := help
.PHONY: help install demo smoke test quick stop mutants check lint types format bench lock screenshots clean

help: ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

install: ## Install what is missing or out of date
	@$(PYTHON) -m devstack.install

demo: install ## Run the whole product with data to play with, on PORT (8000); Ctrl-C ends it
	@PORT=$(PORT) exec $(RUN) -m devstack.demo

smoke: install ## Run the product's story end to end on throw-away servers
	@exec $(RUN) -m devstack.smoke

test: ## Run every check and every test
	@$(PYTHON) -m devstack.install --with-chromium --with-pgbouncer
	@$(MAKE) check
	@$(RUN) -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_OPTIONS)

quick: install ## Run the tests in ARGS (all) on servers that stay for the next run; "make stop" ends them
	@KEEP_TEST_SERVERS=1 $(RUN) -m pytest -q $(ARGS)

stop: ## Stop the servers that "make quick" has left
	@$(PYTHON) -m devstack.kept_servers

mutants: ## Break rules of domain, policy and services, one at a time, and list what no test notices; ONLY="policy"
	@$(PYTHON) -m devstack.install --with-mutmut
	@exec $(RUN) -m devstack.mutants $(ONLY)

check: lint types ## Run what needs no server: style, types, layers, templates, migrations, settings

lint: install
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	PYTHONPATH=. .venv/bin/lint-imports --no-cache
	@echo djade --check templates
	@.venv/bin/djade --target-version 5.2 --check $(TEMPLATES)
	$(RUN) -m djlint --quiet --profile=django --lint templates
	@echo manage.py makemigrations --check
	@$(READ_SETTINGS) $(RUN) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@echo manage.py check --deploy
	@$(READ_SETTINGS) $(RUN) manage.py check --deploy --fail-level WARNING

types: install
	@echo mypy
	@$(READ_SETTINGS) $(RUN) -m mypy

format: install ## Format Python and templates
	$(RUN) -m ruff check --fix-only --quiet
	$(RUN) -m ruff format
	@.venv/bin/djade --target-version 5.2 $(TEMPLATES) || true  # its status tells that it changed something

bench: ## Measure; ONLY="engine activation" measures those
	@$(PYTHON) -m devstack.install --with-chromium
	@exec $(RUN) -m tests.bench $(ONLY)

lock: ## Choose the newest packages that pyproject.toml and package.json allow
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		pyproject.toml -o requirements/production.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		pyproject.toml --group dev -c requirements/production.txt -o requirements/development.txt
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--group mutants -c requirements/development.txt -o requirements/mutants.txt
	npm update --package-lock-only

screenshots: ## Take the pictures of the user guide
	@$(PYTHON) -m devstack.install --with-chromium
	@exec $(RUN) -m tests.screenshots

clean: ## Remove the demo's data and everything that was installed or made
	@$(PYTHON) -m devstack.kept_servers
	rm -rf .demo .smoke .cache build staticfiles .venv node_modules
