# Every command a person or CI needs. `make` alone does all that CI does.
# On a fresh machine only Python 3.11+, make and a package registry are needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SECONDS ?= 600
SEEDS ?= 10000
SINCE ?= HEAD
# Processes that run the tests; most of them wait more than they compute.
JOBS ?= 4

.DEFAULT_GOAL := ci
.PHONY: ci demo test test-pythons lint types contracts unit thorough mutants mutation-testing e2e controlplane bench side-by-side model core-mistakes soak differential torture image node lock docs screenshots recipes release-check clean check-python

ci: test
	@$(MAKE) thorough
	@$(MAKE) mutants QUICK=1
	@$(MAKE) model QUICK=1
	@$(MAKE) docs
	@$(MAKE) release-check
	@$(MAKE) e2e
	@$(MAKE) test-pythons QUICK=1

check-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; \`$(PYTHON)\` is $$($(PYTHON) -V 2>&1)." \
	       "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# Two lock files, one virtual environment: the demo's small set first, so that the
# demo starts in seconds; the tests add the rest.
$(VENV)/.demo: requirements/demo.txt pyproject.toml | check-python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -e $(VENV)/.dev || { echo "Installing what the demo needs into $(VENV) ..."; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/demo.txt && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; }
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | check-python
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing what the tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/kubernetes-leader-election demo

test: lint contracts types unit

lint: $(VENV)/.dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

contracts: $(VENV)/.dev
	@$(BIN)/lint-imports

types: $(VENV)/.dev
	@$(BIN)/mypy

unit: $(VENV)/.dev
	@$(BIN)/python -m pytest -n $(JOBS) -m "not thorough"

# More of the same kinds as some tests of `make test`: 3,000 further worlds, and signals
# at each instant of what a signal may interrupt.
thorough: $(VENV)/.dev
	@$(BIN)/python -m pytest -n $(JOBS) -m thorough

# Mistakes planted in copies of the source: the tests named beside each have to fail.
# QUICK=1: those that are found within seconds.
mutants: $(VENV)/.dev
	@$(BIN)/python -m tests.mutants $(if $(QUICK),--quick)

# Mutants of every kind, drawn at random: `make mutation-testing SECONDS=3600`; it fails
# on nothing, a person looks at those that live. PARTS="core engine": of these alone.
mutation-testing: $(VENV)-mutation/.done
	@nice $(VENV)-mutation/bin/python -m tests.mutants.mutation_testing \
	  --seconds $(SECONDS) $(PARTS)

$(VENV)-mutation/.done: requirements/mutation.txt pyproject.toml | check-python
	@test -x $(VENV)-mutation/bin/python || $(PYTHON) -m venv $(VENV)-mutation
	@echo "Installing what mutation testing needs into $(VENV)-mutation ..."
	@$(VENV)-mutation/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/mutation.txt
	@$(VENV)-mutation/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The unit tests on every newer Python on PATH or in pyenv, or on those named in PYTHONS.
# QUICK=1: without those that take long, as storms of processes and thousands of worlds.
test-pythons:
	@set -e; pythons="$(PYTHONS)"; \
	test -n "$$pythons" || pythons=$$(for version in 3.12 3.13 3.13t 3.14 3.14t 3.15; do \
	  { python$$version -c '' 2>/dev/null && command -v python$$version; } || \
	    ls -d "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version[.-]*/bin/python$$version 2>/dev/null | tail -1; done); \
	test -n "$$pythons" || echo "No Python 3.12 or newer is on PATH or in pyenv: nothing more to test. Name one: make test-pythons PYTHONS=/path/to/python3.12"; \
	for python in $$pythons; do \
	  version=$$($$python -c 'import sys, venv; assert sys.version_info >= (3, 12); print("%d.%d" % sys.version_info[:2] + sys.abiflags)' 2>/dev/null) || { \
	    echo "Not tested on $$python: it does not run, is older than 3.12, or has no venv module."; continue; }; \
	  echo "The unit tests on Python $$version ($$python):"; \
	  other=.venv-$$version; \
	  test -x $$other/bin/python || $$python -m venv $$other; \
	  $$other/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt; \
	  $$other/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	  $$other/bin/python -m pytest -n $(JOBS) $(if $(QUICK),-m "not slow"); \
	done

# etcd, kube-apiserver, kubelet and the rest, compiled once into a cache outside the tree.
controlplane: | check-python
	@$(PYTHON) tests/e2e/controlplane/build.py

# gevent, uWSGI and others, which patch and fork what they run in: the programs of some
# end-to-end tests, apart from all that the other tests need.
$(VENV)-servers/.done: requirements/servers.txt pyproject.toml | check-python
	@test -x $(VENV)-servers/bin/python || $(PYTHON) -m venv $(VENV)-servers
	@$(VENV)-servers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/servers.txt
	@touch $@

# The frameworks of the recipes.
$(VENV)-recipes/.done: requirements/recipes.txt | check-python
	@test -x $(VENV)-recipes/bin/python || $(PYTHON) -m venv $(VENV)-recipes
	@echo "Installing the frameworks of the recipes into $(VENV)-recipes ..."
	@$(VENV)-recipes/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/recipes.txt
	@touch $@

# Frameworks that exclude those of the other recipes.
$(VENV)-recipes-apscheduler4/.done: requirements/recipes-apscheduler4.txt | check-python
	@test -x $(VENV)-recipes-apscheduler4/bin/python || $(PYTHON) -m venv $(VENV)-recipes-apscheduler4
	@$(VENV)-recipes-apscheduler4/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/recipes-apscheduler4.txt
	@touch $@

# The S3 server that a recipe writes to, compiled with Go; its test is left out without it.
$(VENV)-recipes/bin/versitygw: tests/e2e/objectstore/go.mod tests/e2e/objectstore/go.sum | $(VENV)-recipes/.done
	@if command -v go >/dev/null; then \
	  echo "Compiling an S3 server (6 minutes on 2 cores the first time) ..."; \
	  cd tests/e2e/objectstore && go build -buildvcs=false -ldflags="-s -w" \
	    -o $(abspath $@) github.com/versity/versitygw/cmd/versitygw; \
	else echo "Not compiled without Go: the S3 server of a recipe"; fi

RECIPES := $(VENV)-recipes/.done $(VENV)-recipes-apscheduler4/.done $(VENV)-recipes/bin/versitygw

# Each recipe of docs/recipes/ with its real framework, as two replicas; `make e2e` has
# them, too.
recipes: $(VENV)/.dev $(RECIPES)
	@$(BIN)/python -m pytest -n 2 tests/e2e/test_recipe*.py

# Everything that needs the real control plane; builds what is missing of it.
e2e: $(VENV)/.dev $(VENV)-servers/.done $(RECIPES)
	@$(BIN)/python tests/e2e/run.py

# This package, client-go and the official package on one real API server; NODE=1: in
# pods on a real node, as root.
side-by-side: $(VENV)/.dev controlplane
	@$(BIN)/python -m benchmarks.side_by_side$(if $(NODE),.on_node)

# The formal model, checked by TLC; needs Java (11 or newer). QUICK=1: its short form.
model: $(VENV)/.dev
	@$(BIN)/python proofs/run.py $(if $(QUICK),--quick)

# Plants one-line mistakes in the core, and looks in how many worlds each is found.
core-mistakes: $(VENV)/.dev
	@$(BIN)/python -m tests.simulation.core_mistakes

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.electors

docs: $(VENV)/.dev
	@$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build
	@test -s docs/_build/404.html && test -s docs/_build/llms.txt
	@echo "open docs/_build/index.html"

# Each page, wide and narrow, light and dark, to be looked at; needs chromium.
screenshots: docs
	@$(BIN)/python docs/screenshots.py

# sdist and wheel into dist/, built twice, checked, installed and tested; nothing is
# uploaded. RELEASE="--no-pythons": without the tests of the built wheel.
release-check: $(VENV)-release/.done
	@$(VENV)-release/bin/python release/check.py $(RELEASE)

$(VENV)-release/.done: requirements/release.txt | check-python
	@test -x $(VENV)-release/bin/python || $(PYTHON) -m venv $(VENV)-release
	@echo "Installing what builds and checks a release into $(VENV)-release ..."
	@$(VENV)-release/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements/release.txt
	@touch $@

# Random simulated elections on all cores: `make soak SECONDS=3600`.
soak: $(VENV)/.dev
	@$(BIN)/python -m kubernetes_leader_election.testing.simulation.soak \
	  --seconds $(SECONDS) --regressions tests/simulation/regressions.txt \
	  --earlier tests.versions.cores

# The core beside that of a commit: `make differential SEEDS=10000 SINCE=main`.
differential: $(VENV)/.dev
	@$(BIN)/python -m tests.differential --seeds $(SEEDS) --since "$(SINCE)"
	@DIFFERENTIAL_SINCE="$(SINCE)" EXAMPLES=$$(($(SEEDS) / 10 + 1)) $(BIN)/python -m pytest -q -p no:xdist tests/differential/test_machine.py

# Real processes through lying proxies, frozen, killed, forked: `make torture SECONDS=3600`.
# ARGS are more options: `make torture ARGS="--seed 7 --server embedded --without forks"`.
torture: $(VENV)/.dev
	@$(BIN)/python tests/e2e/torture --seconds $(SECONDS) $(ARGS)

# An OCI archive of the Containerfile's image, from the running interpreter.
image: $(VENV)/.dev
	@$(BIN)/python deploy/oci_image.py

# A node of Kubernetes with real pods, as root and with containerd; Ctrl-C ends it.
node: $(VENV)/.dev
	@$(BIN)/python tests/e2e/node

lock:
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --group pyproject.toml:dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --group pyproject.toml:demo -o requirements/demo.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --constraint requirements/dev.txt --group pyproject.toml:mutation pyproject.toml \
	  -o requirements/mutation.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --group pyproject.toml:servers pyproject.toml -o requirements/servers.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --constraint requirements/dev.txt pyproject.toml -o requirements/image.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --group pyproject.toml:recipes -o requirements/recipes.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --group pyproject.toml:recipes-apscheduler4 -o requirements/recipes-apscheduler4.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --constraint requirements/dev.txt --group pyproject.toml:release \
	  -o requirements/release.txt
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --python-version 3.11 --constraint requirements/dev.txt --group pyproject.toml:wheel --extra all --extra celery pyproject.toml \
	  -o requirements/wheel.txt

clean:
	rm -rf $(VENV) .venv-* trial docs/_build build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
