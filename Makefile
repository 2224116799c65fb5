# `make run` and `make test` need nothing but make and Python 3.11 or newer.
PYTHON ?= python3
PORT ?= 8000
# Tests run in a process per core; more than four at once are too many for one database server.
SIDE_BY_SIDE ?= -n auto --maxprocesses 4

export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help run test lint format soak bench clean

help:
	@echo "make run     the project with demonstration data; PORT=8001 for another port"
	@echo "make test    all that must pass: lint, then the tests on SQLite, PostgreSQL and MariaDB"
	@echo "make lint    style, types, import contracts, migrations, deployment checks"
	@echo "make format  correct what can be corrected"
	@echo "make soak    long tests under load, with killed workers, on all databases"
	@echo "make bench   benchmarks"
	@echo "make clean   remove the environment, the demonstration's data and all caches"

run: export DEBUG := on
run: export DJANGO_RUNSERVER_HIDE_WARNING := true
run: export PYTHONWARNINGS := ignore:You're running the worker
run: .venv/installed
	@python manage.py migrate --verbosity 0
	@SMS_LOG_LEVEL=ERROR python manage.py demo --port $(PORT)
	@honcho --env /dev/null --no-prefix start --port $(PORT) || test $$? -eq 130

# Hundreds of processes start: none compiles anew what another one has.
test soak: export PYTHONDONTWRITEBYTECODE :=

test: lint
	@python -m pytest $(SIDE_BY_SIDE)
	@python -m tests.services pytest $(SIDE_BY_SIDE) -m "databases and not soak"

lint: .venv/installed-dev
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	@mkdir -p build
	DATA_DIR=build/lint python manage.py makemigrations --check --dry-run
	DATA_DIR=build/lint HTTPS=on python manage.py check --deploy --fail-level WARNING

format: .venv/installed-dev
	ruff check --fix .
	ruff format .

soak: .venv/installed-dev
	@python -m pytest -m soak
	@python -m tests.services pytest -m "databases and soak"

bench: .venv/installed-dev
	@test -f benchmarks/__main__.py || { echo "There are no benchmarks yet."; exit 1; }
	python -m benchmarks

clean:
	rm -rf .venv data build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

.venv/installed: requirements.txt pyproject.toml | .venv/bin/pip
	@echo "Installing into .venv; this takes one to three minutes …"
	@pip install -qq --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt requirements.txt pyproject.toml | .venv/bin/pip
	@echo "Installing into .venv; this takes one to three minutes …"
	@pip install -qq --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/installed

.venv/bin/pip:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'This needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)')"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }
