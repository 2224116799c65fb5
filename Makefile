# `make run` and `make test` need nothing but make and Python 3.11 or newer.
PYTHON ?= python3
PORT ?= 8000

export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help run test lint format soak bench clean

help:
	@echo "make run     the project with demonstration data (PORT=8000)"
	@echo "make test    everything that must pass: lint, types, import contracts, checks, tests"
	@echo "make lint    the same without the tests; make format corrects what can be corrected"
	@echo "make soak    long tests under load, with killed workers"
	@echo "make bench   benchmarks"
	@echo "make clean   remove the environment, data and caches"

run: export DEBUG = on
run: export DJANGO_RUNSERVER_HIDE_WARNING = true
run: .venv/installed
	@python manage.py migrate --verbosity 0
	@python manage.py demo --port $(PORT)
	@echo "  Ctrl-C stops everything."
	@honcho --no-prefix start --port $(PORT); status=$$?; test $$status -eq 130 || exit $$status
