# make demo   makes images of all sizes itself and finds the generated ones among them
# make test   runs the tests
# make test-all    those, and the slow ones: clusters, killed processes
# make test-heart  runs those that need neither Spark nor Java
# make test-oldest  runs those that need Spark on the oldest Spark that setup.cfg allows
# make lint   checks style and types
# make bench  measures speed and memory, writes benchmarks/results.md
# make wheel  builds the wheel that spark-submit takes
# make docs   builds the documentation as a site, site/index.html
# Each sets up .venv first: Python 3.11 or newer, locked versions, Java 17 or newer.

PYTHON ?= python3
BIN := .venv/bin
OLDEST := 4.0.1
JAVA := $(or $(JAVA_HOME:%=%/bin/java),java)

# Installs the first of some Debian packages that can be had, or says how to.
apt = { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "installing $(1)" \
	&& apt-get update -qq && for package in $(1); do \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y $$package >/dev/null 2>&1 && exit 0; \
	done; echo "needed: sudo apt-get install $(firstword $(1))" >&2; exit 1; }

.PHONY: help setup demo test test-all test-heart test-oldest lint bench wheel docs clean
help:
	@sed -n 's/^# \(make\|Each\)/\1/p' Makefile

setup: .venv/installed
	@$(JAVA) -version 2>&1 | grep -Eq 'version "(1[7-9]|[2-9][0-9])' \
	|| $(call apt,openjdk-17-jre-headless openjdk-21-jre-headless default-jre-headless)

.venv/installed: setup.cfg pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "needed: Python 3.11 or newer, make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call apt,python3-venv)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	--no-build-isolation --editable .
	@touch $@

demo: setup
	@rm -rf demo
	$(BIN)/noisescope simulate --out demo/dump --size any --photographs 250 --generated 64 \
	--generators 2 --reference 300
	$(BIN)/noisescope detect --images demo/dump/images --reference demo/dump/reference \
	--out demo/run
	$(BIN)/noisescope evaluate --verdicts demo/run/verdicts --labels demo/dump/labels.csv

# The report is tried in a browser; its tests skip where none can be had.
# Three at a time on any machine: threads of BLAS would spin for each other's processors.
test: setup
	@for browser in chromium chromium-browser google-chrome; do \
	command -v $$browser >/dev/null && exit 0; done; ($(call apt,chromium)) || true
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: setup
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-heart: .venv/installed
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -m heart -n 2 tests/heart

# All else as locked, in an environment of its own.
.venv-oldest/installed: setup.cfg pyproject.toml requirements.lock
	$(PYTHON) -m venv --clear $(@D)
	sed 's/^pyspark==.*/pyspark==$(OLDEST)/' requirements.lock > $(@D)/requirements.lock
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
	-r $(@D)/requirements.lock
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	--no-build-isolation --editable .
	@touch $@

test-oldest: setup .venv-oldest/installed
	.venv-oldest/bin/python -m pytest -m spark

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks

wheel: setup
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:
	rm -rf .venv .venv-oldest dist build demo site *.egg-info
